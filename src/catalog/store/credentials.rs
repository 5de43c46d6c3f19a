//! Providers' keys in the books: sealed when they go in; only the owner's transaction takes a sealed one out.

use chrono::{DateTime, Utc};
use url::Url;
use uuid::Uuid;

use crate::{
    base::{CredentialId, Moment, OrganizationId},
    catalog::{
        probe::{Finding, Outcome},
        provider::{Auth, Dialect, Quirks},
        row::{Row, Sought},
        vault::Sealed,
        word::{of_json, of_word, word},
    },
    store::{Conn, OwnerTx, StoreError},
};

/// A provider's key as people see it: everything but the key.
#[derive(Clone, Debug)]
pub struct CredentialRow {
    /// Whose key.
    pub provider_id: Uuid,
    /// The provider's name.
    pub provider: String,
    /// Where the key may be sent.
    pub base_url: Url,
    /// The language the provider speaks.
    pub dialect: Dialect,
    /// How the provider wants its key.
    pub auth: Auth,
    /// What tells it from the provider's other keys.
    pub name: String,
    /// Lower is tried first.
    pub position: i32,
    /// Whether it is used.
    pub is_enabled: bool,
    /// Names the key that seals it.
    pub sealing_key_id: String,
    /// Since when another key waits to take its place.
    pub pending_since: Option<Moment>,
    /// When the key was last replaced.
    pub rotated_at: Option<Moment>,
    /// When it was last tried, and what was found.
    pub tested: Option<(Moment, Finding)>,
}

/// A key as it is sealed, and the one that waits to take its place.
#[derive(Clone, Debug)]
pub struct SealedCredential {
    /// The one in use.
    pub current: Sealed,
    /// The one that waits.
    pub pending: Option<Sealed>,
}

/// What is written of a key.
#[derive(Clone, Copy, Debug)]
pub struct NewCredential<'a> {
    /// Its id.
    pub id: CredentialId,
    /// Whose key.
    pub provider_id: Uuid,
    /// What tells it from the provider's other keys.
    pub name: &'a str,
    /// Lower is tried first.
    pub position: i32,
    /// Whether it is used.
    pub is_enabled: bool,
    /// The key.
    pub sealed: &'a Sealed,
}

/// Writes a provider's key, new or replaced.
///
/// # Errors
/// `provider_credentials_name_uq` when the provider has a key of this name; `sealing_keys_retired_ck` when it is sealed
/// with a retired key; else when the books refuse or are away.
pub async fn put(tx: &mut OwnerTx, new: NewCredential<'_>) -> Result<(), StoreError> {
    // No upsert: it would have to read the sealed columns, which nobody may.
    let replaced = sqlx::query!(
        "
        update platform.provider_credentials
        set position = $2, is_enabled = $3, sealing_key_id = $4, sealed_key = $5, sealed_secret = $6
        where id = $1
        ",
        new.id.uuid(),
        new.position,
        new.is_enabled,
        new.sealed.sealing_key_id,
        new.sealed.sealed_key,
        new.sealed.sealed_secret,
    )
    .execute(&mut **tx)
    .await?;
    if replaced.rows_affected() == 0 {
        insert(tx, new).await?;
    }
    Ok(())
}

async fn insert(tx: &mut OwnerTx, new: NewCredential<'_>) -> Result<(), StoreError> {
    let owner = tx.owner().map(OrganizationId::uuid);
    sqlx::query!(
        "
        insert into platform.provider_credentials
            (id, organization_id, provider_id, name, position, is_enabled, sealing_key_id, sealed_key, sealed_secret)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ",
        new.id.uuid(),
        owner,
        new.provider_id,
        new.name,
        new.position,
        new.is_enabled,
        new.sealed.sealing_key_id,
        new.sealed.sealed_key,
        new.sealed.sealed_secret,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Changes what a key is called, where it stands and whether it is used.
///
/// # Errors
/// `provider_credentials_name_uq` when the provider has a key of this name; else when the books refuse or are away.
pub async fn change(
    conn: &mut Conn,
    id: Uuid,
    name: &str,
    position: i32,
    is_enabled: bool,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update platform.provider_credentials set name = $2, position = $3, is_enabled = $4 where id = $1",
        id,
        name,
        position,
        is_enabled,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lays another key beside the one in use, or takes it away.
///
/// # Errors
/// `sealing_keys_retired_ck` when it is sealed with a retired key; else when the books refuse or are away.
pub async fn put_pending(
    conn: &mut Conn,
    id: Uuid,
    pending: Option<&Sealed>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "
        update platform.provider_credentials
        set pending_sealing_key_id = $2, pending_sealed_key = $3, pending_sealed_secret = $4,
            pending_since = case when $2::text is not null then now() end
        where id = $1
        ",
        id,
        pending.map(|sealed| sealed.sealing_key_id.as_str()),
        pending.map(|sealed| sealed.sealed_key.as_slice()),
        pending.map(|sealed| sealed.sealed_secret.as_slice()),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Puts the waiting key in the place of the one in use; says whether one waited.
///
/// # Errors
/// When the books refuse or are away.
pub async fn switch(conn: &mut Conn, id: Uuid) -> Result<bool, StoreError> {
    let switched = sqlx::query_scalar!(
        r#"select platform.switch_credential($1) as "switched!""#,
        id
    )
    .fetch_one(conn)
    .await?;
    Ok(switched)
}

/// Notes what was found when a key was tried.
///
/// # Errors
/// When the books refuse or are away.
pub async fn note_test(
    conn: &mut Conn,
    id: Uuid,
    at: Moment,
    finding: &Finding,
) -> Result<(), StoreError> {
    sqlx::query!(
        "
        update platform.provider_credentials
        set tested_at = $2, test_outcome = $3, test_status = $4, test_detail = $5
        where id = $1
        ",
        id,
        at.utc(),
        word(&finding.outcome)?,
        finding.status.map(i32::from),
        finding.detail,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns one of the owner's keys as it is sealed.
///
/// # Errors
/// When the books are away.
pub async fn sealed(conn: &mut Conn, id: Uuid) -> Result<Option<SealedCredential>, StoreError> {
    let row = sqlx::query!(
        r#"
        select sealing_key_id as "sealing_key_id!", sealed_key as "sealed_key!", sealed_secret as "sealed_secret!",
            pending_sealing_key_id, pending_sealed_key, pending_sealed_secret
        from platform.sealed_credential($1)
        "#,
        id,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| SealedCredential {
        current: Sealed {
            sealing_key_id: row.sealing_key_id,
            sealed_key: row.sealed_key,
            sealed_secret: row.sealed_secret,
        },
        pending: pending(
            row.pending_sealing_key_id,
            row.pending_sealed_key,
            row.pending_sealed_secret,
        ),
    }))
}

/// Puts together what is there whole or not at all.
pub(super) fn pending(
    sealing_key_id: Option<String>,
    sealed_key: Option<Vec<u8>>,
    sealed_secret: Option<Vec<u8>>,
) -> Option<Sealed> {
    Some(Sealed {
        sealing_key_id: sealing_key_id?,
        sealed_key: sealed_key?,
        sealed_secret: sealed_secret?,
    })
}

/// Returns the owner's keys that are sought, without the keys themselves.
///
/// # Errors
/// When the books are away, or a row does not hold what it should.
pub async fn list(
    conn: &mut Conn,
    owner: Option<OrganizationId>,
    sought: &Sought,
) -> Result<Vec<Row<CredentialRow>>, StoreError> {
    let paging = &sought.paging;
    let rows = sqlx::query!(
        "
        select k.id, k.organization_id, k.provider_id, p.name as provider, p.base_url, p.dialect, p.quirks, k.name,
            k.position, k.is_enabled, k.sealing_key_id, k.pending_since, k.rotated_at, k.tested_at, k.test_outcome,
            k.test_status, k.test_detail, k.created_at, k.updated_at
        from platform.provider_credentials k
        join platform.providers p on p.id = k.provider_id and p.deleted_at is null
        where k.deleted_at is null and k.organization_id is not distinct from $1
            and ($2::uuid is null or k.id = $2)
            and ($3::uuid is null or k.provider_id = $3)
            and ($4::uuid is null or (k.id < $4) = $5 and k.id <> $4)
        order by case when $5 then k.id end desc, k.id
        limit $6
        ",
        owner.map(OrganizationId::uuid),
        sought.id,
        sought.provider,
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(conn)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.push(Row {
            id: row.id,
            owner: row.organization_id.map(OrganizationId),
            entry: CredentialRow {
                provider_id: row.provider_id,
                provider: row.provider,
                base_url: of_word(row.base_url)?,
                dialect: of_word(row.dialect)?,
                auth: of_json::<Quirks>(row.quirks)?.auth,
                name: row.name,
                position: row.position,
                is_enabled: row.is_enabled,
                sealing_key_id: row.sealing_key_id,
                pending_since: row.pending_since.map(Moment::from),
                rotated_at: row.rotated_at.map(Moment::from),
                tested: tested(
                    row.tested_at,
                    row.test_outcome,
                    row.test_status,
                    row.test_detail,
                )?,
            },
            created_at: Moment::from(row.created_at),
            updated_at: Moment::from(row.updated_at),
        });
    }
    Ok(found)
}

fn tested(
    at: Option<DateTime<Utc>>,
    outcome: Option<String>,
    status: Option<i32>,
    detail: Option<String>,
) -> Result<Option<(Moment, Finding)>, StoreError> {
    let Some((at, outcome)) = at.zip(outcome) else {
        return Ok(None);
    };
    let finding = Finding {
        outcome: of_word::<Outcome>(outcome)?,
        status: status.and_then(|status| u16::try_from(status).ok()),
        detail: detail.unwrap_or_default(),
    };
    Ok(Some((Moment::from(at), finding)))
}

/// Takes a key away; the ciphertext is wiped.
///
/// # Errors
/// When the books refuse or are away.
pub async fn retire(conn: &mut Conn, id: Uuid) -> Result<(), StoreError> {
    sqlx::query!(
        "
        update platform.provider_credentials
        set deleted_at = now(), sealed_key = '', sealed_secret = '', pending_sealing_key_id = null,
            pending_sealed_key = null, pending_sealed_secret = null, pending_since = null
        where id = $1
        ",
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}
