//! The secrets of organizations' providers, as they are sealed.

use crate::{
    base::{IdentityProviderId, OrganizationId},
    store::{
        Conn, OrgTx, StoreError,
        seal::{Place, Sealed},
    },
};

/// A provider's secret that is to be sealed anew.
#[derive(Clone, Debug)]
pub struct Unwrapped {
    /// Whose it is.
    pub id: IdentityProviderId,
    /// Of which organization.
    pub organization: OrganizationId,
    /// Whom it may be shown to.
    pub issuer: String,
    /// As it is sealed now.
    pub sealed: Sealed,
}

/// Returns where a provider's secret is sealed: whoever changes the issuer must give it anew.
#[must_use]
pub fn place<'a>(
    organization: OrganizationId,
    id: IdentityProviderId,
    issuer: &'a str,
) -> Place<'a> {
    Place {
        table: "identity.identity_providers",
        row: id.uuid(),
        organization: Some(organization),
        column: "sealed_secret",
        audience: issuer,
    }
}

/// Returns what a provider's secret is sealed as.
///
/// # Errors
/// When Postgres does not answer.
pub async fn sealed_secret(
    tx: &mut OrgTx,
    id: IdentityProviderId,
) -> Result<Option<Sealed>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query!(
        "select sealing_key_id, sealed_key, sealed_secret
         from identity.identity_providers
         where organization_id = $1 and id = $2 and deleted_at is null",
        organization,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| Sealed {
        sealing_key_id: row.sealing_key_id,
        sealed_key: row.sealed_key,
        sealed_secret: row.sealed_secret,
    }))
}

/// Writes what a provider's secret is sealed as now.
///
/// # Errors
/// When Postgres does not answer.
pub async fn reseal(
    tx: &mut OrgTx,
    id: IdentityProviderId,
    sealed: &Sealed,
) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "update identity.identity_providers
         set sealing_key_id = $3, sealed_key = $4, sealed_secret = $5
         where organization_id = $1 and id = $2",
        organization,
        id.uuid(),
        sealed.sealing_key_id,
        sealed.sealed_key,
        sealed.sealed_secret,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes a batch of secrets that `current` does not seal, whoever they belong to and also of deleted providers, until
/// the transaction ends.
///
/// # Errors
/// When Postgres does not answer.
pub async fn to_rewrap(
    conn: &mut Conn,
    current: &str,
    batch: i32,
    after: uuid::Uuid,
) -> Result<Vec<Unwrapped>, StoreError> {
    let rows = sqlx::query!(
        r#"select id as "id!", organization_id as "organization_id!", issuer as "issuer!",
               sealing_key_id as "sealing_key_id!", sealed_key as "sealed_key!", sealed_secret as "sealed_secret!"
           from identity.providers_to_rewrap($1, $2, $3)"#,
        current,
        batch,
        after,
    )
    .fetch_all(conn)
    .await?;
    let found = rows.into_iter().map(|row| Unwrapped {
        id: row.id.into(),
        organization: OrganizationId(row.organization_id),
        issuer: row.issuer,
        sealed: Sealed {
            sealing_key_id: row.sealing_key_id,
            sealed_key: row.sealed_key,
            sealed_secret: row.sealed_secret,
        },
    });
    Ok(found.collect())
}

/// Puts a provider's secret back as it was sealed anew.
///
/// # Errors
/// When Postgres does not answer.
pub async fn put_rewrapped(
    conn: &mut Conn,
    id: IdentityProviderId,
    sealed: &Sealed,
) -> Result<(), StoreError> {
    sqlx::query_scalar!(
        "select identity.rewrap_provider($1, $2, $3, $4)::text",
        id.uuid(),
        sealed.sealing_key_id,
        sealed.sealed_key,
        sealed.sealed_secret,
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}
