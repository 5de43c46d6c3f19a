//! Signing in by an organization's own provider: the session reaches that organization and nothing else.
//!
//! An organization's owner decides whom its provider vouches for, so what it says must not open what is not theirs.

use url::Url;

use super::{
    Door, Visit,
    sign_in::{self, SignInRefused, Tokens},
};
use crate::{
    base::{IdentityProviderId, OrganizationId, UserId},
    control::organizations::{self, OrganizationRefused},
    egress::Guard,
    identity::{
        Person, Standing,
        oidc::{self, External, Flow, OidcRefused, Provider},
        session::{Session, SignedInBy},
        store::{
            person,
            provider::{self, IdentityProvider, Membership, ProviderTerms, place},
        },
    },
    store::{OrgTx, Scope, StoreError, seal::NotOpened},
    tenancy::{self, NewUser},
};

/// Why a provider let nobody in.
#[derive(Debug, thiserror::Error)]
pub enum ArrivalRefused {
    /// The organization is not there, or has no provider.
    #[error("there is no such identity provider")]
    NoProvider,
    /// The provider does not vouch for an address, or not for one of its domains.
    #[error("the identity provider does not vouch for the address")]
    NotVouched,
    /// The person is no member, and the provider admits none.
    #[error("the person is no member of the organization")]
    NotMember,
    /// The provider failed, or was not asked.
    #[error(transparent)]
    Oidc(#[from] OidcRefused),
    /// The provider's secret cannot be opened.
    #[error("the identity provider's secret cannot be opened")]
    NotOpened(#[from] NotOpened),
    /// The person could not become a member.
    #[error("the person could not join")]
    NotJoined(#[source] OrganizationRefused),
    /// The person may not sign in.
    #[error(transparent)]
    Refused(#[from] SignInRefused),
}

impl From<StoreError> for ArrivalRefused {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// Begins a sign-in at the organization with this short name.
///
/// # Errors
/// See [`ArrivalRefused`].
pub async fn depart(
    door: &Door,
    guard: &Guard,
    slug: &str,
    wanted: Option<IdentityProviderId>,
    return_to: Option<String>,
) -> Result<(Url, Flow), ArrivalRefused> {
    let (_, _, provider) = open(door, slug, wanted).await?;
    Ok(oidc::depart(guard, &provider, return_to, door.clock.now()).await?)
}

/// Ends a sign-in: whoever the provider vouches for is in.
///
/// # Errors
/// See [`ArrivalRefused`].
pub async fn arrive(
    door: &Door,
    guard: &Guard,
    slug: &str,
    (flow, code): (&Flow, String),
    visit: &Visit,
) -> Result<Tokens, ArrivalRefused> {
    let (organization, known, provider) = open(door, slug, Some(flow.provider())).await?;
    let external = oidc::arrive(guard, &provider, flow, code, visit.now).await?;
    let mut tx = door.postgres.begin_for(Scope::of(organization)).await?;
    let linked = provider::find_login(&mut tx, known.id, &external.subject).await?;
    let person = match linked {
        Some(person) => person,
        None => find_or_make(&mut tx, &known.terms, &external, visit).await?,
    };
    admit(&mut tx, person, &known.terms, visit).await?;
    let mut tx = tx.go_on_as(person).await?;
    if linked.is_none() {
        let subject = &external.subject;
        provider::insert_login(&mut tx, organization, known.id, subject, visit.now).await?;
    }
    let person = person::find_by_id(&mut tx, person).await?;
    let person: Person = person.ok_or(SignInRefused::Wrong)?;
    if person.standing == Standing::Suspended {
        return Err(SignInRefused::Suspended.into());
    }
    let by = SignedInBy::Provider(organization, known.id);
    let opened = Session::begin(by, &visit.client, &door.settings, visit.now);
    Ok(sign_in::open(door, tx, &person, opened, visit).await?)
}

/// Finds an organization's provider and opens its secret.
async fn open(
    door: &Door,
    slug: &str,
    wanted: Option<IdentityProviderId>,
) -> Result<(OrganizationId, IdentityProvider, Provider), ArrivalRefused> {
    let mut conn = door.postgres.acquire().await?;
    let found = provider::find_for_sign_in(&mut conn, slug, wanted).await?;
    drop(conn);
    let (organization, id) = found.ok_or(ArrivalRefused::NoProvider)?;
    let mut tx = door.postgres.begin_for(Scope::of(organization)).await?;
    let known = provider::find(&mut tx, id).await?;
    let sealed = provider::sealed_secret(&mut tx, id).await?;
    let (known, sealed) = known.zip(sealed).ok_or(ArrivalRefused::NoProvider)?;
    let place = place(organization, id, &known.terms.issuer);
    let provider = Provider {
        id,
        issuer: known.terms.issuer.clone(),
        client_id: known.terms.client_id.clone(),
        client_secret: door.vault.open(&sealed, place)?,
        scopes: known.terms.scopes.clone(),
        redirect_uri: format!(
            "{}/api/v1/auth/oidc/{slug}/callback",
            door.settings.public_url
        ),
    };
    Ok((organization, known, provider))
}

/// Finds whom the provider means by their address, or makes them.
async fn find_or_make(
    tx: &mut OrgTx,
    terms: &ProviderTerms,
    external: &External,
    visit: &Visit,
) -> Result<UserId, ArrivalRefused> {
    let email = external
        .email
        .as_deref()
        .filter(|email| is_within(email, terms));
    let email = email.ok_or(ArrivalRefused::NotVouched)?;
    if let Some(person) = person::find_by_email(tx, email).await? {
        return Ok(person.id);
    }
    if terms.admits_as.is_none() {
        return Err(ArrivalRefused::NotMember);
    }
    let id = UserId::new(visit.now);
    let new = NewUser {
        email: email.to_owned(),
        display_name: external
            .name
            .clone()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect(),
        password_hash: None,
    };
    tenancy::store::insert_user(tx, id, &new).await?;
    Ok(id)
}

fn is_within(email: &str, terms: &ProviderTerms) -> bool {
    let domain = email
        .rsplit_once('@')
        .map(|(_, domain)| domain.to_lowercase());
    let mut domains = terms.email_domains.iter();
    terms.email_domains.is_empty()
        || domain.is_some_and(|domain| domains.any(|known| known.to_lowercase() == domain))
}

/// Sees to it that the person is a member. Who was put out comes back by an invitation only.
async fn admit(
    tx: &mut OrgTx,
    person: UserId,
    terms: &ProviderTerms,
    visit: &Visit,
) -> Result<(), ArrivalRefused> {
    match (provider::membership(tx, person).await?, terms.admits_as) {
        (Membership::Live, _) => Ok(()),
        (Membership::Never, Some(rank)) => {
            let joined = organizations::join(tx, person, rank, visit.by(person)).await;
            joined.map_err(ArrivalRefused::NotJoined)
        }
        (Membership::Never | Membership::Ended, _) => Err(ArrivalRefused::NotMember),
    }
}
