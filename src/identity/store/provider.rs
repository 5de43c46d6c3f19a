//! Organizations' identity providers in the books, and whom they know.

use chrono::{DateTime, Utc};

use crate::{
    base::{IdentityProviderId, Moment, OrganizationId, Page, Paging, RequestId, UserId},
    store::{
        Conn, OrgTx, PersonTx, StoreError,
        seal::{Place, Sealed},
    },
    tenancy::Rank,
};

/// An organization's way to sign its members in; its secret is asked for on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProvider {
    /// Its id.
    pub id: IdentityProviderId,
    /// What is written on the button.
    pub terms: ProviderTerms,
    /// When it was made.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
}

/// What may be changed of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderTerms {
    /// What people call it.
    pub name: String,
    /// Who it is: a URL.
    pub issuer: String,
    /// What it calls us.
    pub client_id: String,
    /// What we ask for.
    pub scopes: Vec<String>,
    /// The domains of the addresses it may vouch for; empty is any.
    pub email_domains: Vec<String>,
    /// What somebody becomes who is no member yet; `None` turns them away.
    pub admits_as: Option<Rank>,
    /// Whether it signs anybody in.
    pub is_enabled: bool,
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

/// Takes a provider away; says whether it was there.
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
         set deleted_at = $3, is_enabled = false
         where organization_id = $1 and id = $2 and deleted_at is null",
        organization,
        id.uuid(),
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

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

/// Finds providers whose secret an earlier key seals, whoever they belong to.
///
/// # Errors
/// When Postgres does not answer.
pub async fn sealed_by_others(
    conn: &mut Conn,
    current: &str,
    batch: i32,
) -> Result<Vec<(OrganizationId, IdentityProviderId)>, StoreError> {
    let rows = sqlx::query!(
        r#"select organization_id as "organization_id!", id as "id!"
           from identity.providers_sealed_by_others($1, $2)"#,
        current,
        batch,
    )
    .fetch_all(conn)
    .await?;
    let found = rows
        .into_iter()
        .map(|row| (OrganizationId(row.organization_id), row.id.into()));
    Ok(found.collect())
}
