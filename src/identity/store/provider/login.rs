//! Whom an organization's provider signs in, and how they stand there.

use crate::{
    base::{IdentityProviderId, Moment, OrganizationId, RequestId, UserId},
    store::{Conn, OrgTx, PersonTx, StoreError},
};

/// Finds the provider that signs in the members of the organization with this short name: one, or its oldest.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_for_sign_in(
    conn: &mut Conn,
    slug: &str,
    wanted: Option<IdentityProviderId>,
) -> Result<Option<(OrganizationId, IdentityProviderId)>, StoreError> {
    let row = sqlx::query!(
        r#"select organization_id as "organization_id!", identity_provider_id as "identity_provider_id!"
           from identity.find_identity_provider($1, $2)"#,
        slug,
        wanted.map(IdentityProviderId::uuid),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        (
            OrganizationId(row.organization_id),
            row.identity_provider_id.into(),
        )
    }))
}

/// Finds whom a provider calls `subject`.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_login(
    conn: &mut Conn,
    provider: IdentityProviderId,
    subject: &str,
) -> Result<Option<UserId>, StoreError> {
    let person = sqlx::query_scalar!(
        "select identity.find_external_login($1, $2)",
        provider.uuid(),
        subject,
    )
    .fetch_one(conn)
    .await?;
    Ok(person.map(UserId))
}

/// Remembers what a provider calls the person.
///
/// # Errors
/// `external_logins_subject_uq` when it calls somebody else so.
pub async fn insert_login(
    tx: &mut PersonTx,
    organization: OrganizationId,
    provider: IdentityProviderId,
    subject: &str,
    now: Moment,
) -> Result<(), StoreError> {
    let person = tx.person().uuid();
    sqlx::query!(
        "insert into identity.external_logins (id, user_id, organization_id, identity_provider_id, subject, created_at)
         values ($1, $2, $3, $4, $5, $6)",
        RequestId::new(now).uuid(),
        person,
        organization.uuid(),
        provider.uuid(),
        subject,
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How somebody stands in the organization of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// They are in.
    Live,
    /// They were.
    Ended,
    /// They never were.
    Never,
}

/// Returns how somebody stands in the organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn membership(tx: &mut OrgTx, person: UserId) -> Result<Membership, StoreError> {
    let organization = tx.scope().organization().uuid();
    let is_live = sqlx::query_scalar!(
        r#"select deleted_at is null as "is_live!"
           from identity.organization_memberships
           where organization_id = $1 and user_id = $2"#,
        organization,
        person.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(match is_live {
        Some(true) => Membership::Live,
        Some(false) => Membership::Ended,
        None => Membership::Never,
    })
}
