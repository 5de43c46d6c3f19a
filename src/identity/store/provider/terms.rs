//! What is known of an organization's providers, but for their secrets.

use chrono::{DateTime, Utc};

use super::{IdentityProvider, ProviderTerms};
use crate::{
    base::{IdentityProviderId, Moment, Page, Paging},
    store::{OrgTx, StoreError, seal::Sealed},
    tenancy::Rank,
};

struct Row {
    id: uuid::Uuid,
    name: String,
    issuer: String,
    client_id: String,
    scopes: Vec<String>,
    email_domains: Vec<String>,
    admits_as: Option<String>,
    is_enabled: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for IdentityProvider {
    fn from(row: Row) -> Self {
        let ranks = [Rank::Member, Rank::Guest];
        let admits_as = ranks
            .into_iter()
            .find(|rank| Some(rank.word()) == row.admits_as.as_deref());
        Self {
            id: row.id.into(),
            terms: ProviderTerms {
                name: row.name,
                issuer: row.issuer,
                client_id: row.client_id,
                scopes: row.scopes,
                email_domains: row.email_domains,
                admits_as,
                is_enabled: row.is_enabled,
            },
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        }
    }
}

/// Returns a page of the organization's providers.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list(tx: &mut OrgTx, paging: &Paging) -> Result<Page<IdentityProvider>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, name, issuer, client_id, scopes, email_domains, admits_as, is_enabled, created_at, updated_at
         from identity.identity_providers
         where organization_id = $1 and deleted_at is null
             and ($3::uuid is null
                 or case when $4 then (created_at, id) < ($2, $3) else (created_at, id) > ($2, $3) end)
         order by case when $4 then created_at end desc, case when $4 then id end desc, created_at, id
         limit $5",
        organization,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let providers = rows.into_iter().map(IdentityProvider::from).collect();
    Ok(paging.page(providers, |provider: &IdentityProvider| {
        (provider.created_at, provider.id.uuid())
    }))
}

/// Finds one of the organization's providers.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find(
    tx: &mut OrgTx,
    id: IdentityProviderId,
) -> Result<Option<IdentityProvider>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, name, issuer, client_id, scopes, email_domains, admits_as, is_enabled, created_at, updated_at
         from identity.identity_providers
         where organization_id = $1 and id = $2 and deleted_at is null",
        organization,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(IdentityProvider::from))
}

/// Writes a provider.
///
/// # Errors
/// `identity_providers_name_uq` when the organization has one of that name.
pub async fn insert(
    tx: &mut OrgTx,
    id: IdentityProviderId,
    terms: &ProviderTerms,
    sealed: &Sealed,
    now: Moment,
) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "insert into identity.identity_providers (id, organization_id, name, issuer, client_id, sealing_key_id,
             sealed_key, sealed_secret, scopes, email_domains, admits_as, is_enabled, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)",
        id.uuid(),
        organization,
        terms.name,
        terms.issuer,
        terms.client_id,
        sealed.sealing_key_id,
        sealed.sealed_key,
        sealed.sealed_secret,
        &terms.scopes,
        &terms.email_domains,
        terms.admits_as.map(Rank::word),
        terms.is_enabled,
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Changes a provider; says whether the row is still the `expected` one.
///
/// # Errors
/// `identity_providers_name_uq` when the organization has another of that name.
pub async fn update(
    tx: &mut OrgTx,
    id: IdentityProviderId,
    terms: &ProviderTerms,
    expected: Option<Moment>,
) -> Result<bool, StoreError> {
    let organization = tx.scope().organization().uuid();
    let done = sqlx::query!(
        "update identity.identity_providers
         set name = $3, issuer = $4, client_id = $5, scopes = $6, email_domains = $7, admits_as = $8, is_enabled = $9
         where organization_id = $1 and id = $2 and deleted_at is null
             and ($10::timestamptz is null or updated_at = $10)",
        organization,
        id.uuid(),
        terms.name,
        terms.issuer,
        terms.client_id,
        &terms.scopes,
        &terms.email_domains,
        terms.admits_as.map(Rank::word),
        terms.is_enabled,
        expected.map(Moment::utc),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes a provider away, and its secret for good; says whether it was there.
///
/// # Errors
/// When Postgres does not answer.
pub async fn delete(
    tx: &mut OrgTx,
    id: IdentityProviderId,
    now: Moment,
) -> Result<bool, StoreError> {
    let organization = tx.scope().organization().uuid();
    let done = sqlx::query!(
        "update identity.identity_providers
         set deleted_at = $3, is_enabled = false, sealed_key = '', sealed_secret = ''
         where organization_id = $1 and id = $2 and deleted_at is null",
        organization,
        id.uuid(),
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}
