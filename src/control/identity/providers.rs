//! An organization's own ways to sign its members in: made, changed, taken away.

use serde_json::json;
use url::Url;

use super::Door;
use crate::{
    audit::{self, By, Event},
    base::{IdentityProviderId, Moment, Secret},
    egress::{Forbidden, Guard},
    identity::store::provider::{self, IdentityProvider, ProviderTerms, place},
    store::{OrgTx, StoreError, seal::NotSealed},
};

/// Why a provider is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ProviderRefused {
    /// There is no such provider.
    #[error("there is no such identity provider")]
    NoProvider,
    /// Somebody changed it meanwhile.
    #[error("it was changed since it was read")]
    NotExpected,
    /// The organization has one of that name.
    #[error("another identity provider has that name")]
    NameTaken,
    /// The issuer is no URL.
    #[error("the issuer is no URL")]
    WrongIssuer,
    /// We do not call the issuer.
    #[error("the issuer cannot be called: {0}")]
    Forbidden(#[from] Forbidden),
    /// The issuer changed and its secret did not.
    #[error("another issuer needs its own client_secret")]
    SecretMissing,
    /// The secret cannot be sealed.
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
    /// The books did not take it.
    #[error("the identity provider could not be written")]
    Store(#[source] StoreError),
}

impl From<StoreError> for ProviderRefused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Constraint { name, .. } if name == "identity_providers_name_uq" => {
                Self::NameTaken
            }
            other => Self::Store(other),
        }
    }
}

/// Makes a provider of this transaction's organization.
///
/// # Errors
/// See [`ProviderRefused`].
pub async fn create(
    door: &Door,
    guard: &Guard,
    tx: &mut OrgTx,
    (terms, secret): (&ProviderTerms, &Secret),
    by: By,
) -> Result<IdentityProvider, ProviderRefused> {
    judge(guard, terms)?;
    let id = IdentityProviderId::new(by.now);
    let place = place(tx.scope().organization(), id, &terms.issuer);
    let sealed = door.vault.seal(secret, place)?;
    provider::insert(tx, id, terms, &sealed, by.now).await?;
    record(tx, "identity_provider.create", id, Some(terms), by).await?;
    provider::find(tx, id)
        .await?
        .ok_or(ProviderRefused::NoProvider)
}

/// Changes a provider of this transaction's organization.
///
/// # Errors
/// See [`ProviderRefused`].
pub async fn change(
    door: &Door,
    guard: &Guard,
    tx: &mut OrgTx,
    id: IdentityProviderId,
    change: (&ProviderTerms, Option<&Secret>, Option<Moment>),
    by: By,
) -> Result<IdentityProvider, ProviderRefused> {
    let (terms, secret, expected) = change;
    judge(guard, terms)?;
    let before = provider::find(tx, id).await?;
    let before = before.ok_or(ProviderRefused::NoProvider)?;
    // The secret was given for one issuer: whoever changes that must not have it sent to another.
    if before.terms.issuer != terms.issuer && secret.is_none() {
        return Err(ProviderRefused::SecretMissing);
    }
    if !provider::update(tx, id, terms, expected).await? {
        return Err(ProviderRefused::NotExpected);
    }
    if let Some(secret) = secret {
        let place = place(tx.scope().organization(), id, &terms.issuer);
        provider::reseal(tx, id, &door.vault.seal(secret, place)?).await?;
    }
    record(tx, "identity_provider.change", id, Some(terms), by).await?;
    provider::find(tx, id)
        .await?
        .ok_or(ProviderRefused::NoProvider)
}

/// Takes a provider of this transaction's organization away.
///
/// # Errors
/// See [`ProviderRefused`].
pub async fn delete(tx: &mut OrgTx, id: IdentityProviderId, by: By) -> Result<(), ProviderRefused> {
    if !provider::delete(tx, id, by.now).await? {
        return Err(ProviderRefused::NoProvider);
    }
    record(tx, "identity_provider.delete", id, None, by).await?;
    Ok(())
}

/// Judges where the provider says it is, as far as can be told without asking it.
fn judge(guard: &Guard, terms: &ProviderTerms) -> Result<(), ProviderRefused> {
    let issuer = Url::parse(&terms.issuer).map_err(|_| ProviderRefused::WrongIssuer)?;
    if issuer.query().is_some() || issuer.fragment().is_some() {
        return Err(ProviderRefused::WrongIssuer);
    }
    Ok(guard.judge_url(&issuer)?)
}

async fn record(
    tx: &mut OrgTx,
    action: &'static str,
    id: IdentityProviderId,
    terms: Option<&ProviderTerms>,
    by: By,
) -> Result<(), StoreError> {
    let details = terms.map_or(json!({}), |terms| {
        json!({
            "name": terms.name,
            "issuer": terms.issuer,
            "client_id": terms.client_id,
            "email_domains": terms.email_domains,
            "admits_as": terms.admits_as,
            "is_enabled": terms.is_enabled,
        })
    });
    let event = Event {
        action,
        target_kind: "identity_provider",
        target_id: Some(id.uuid()),
        details,
    };
    audit::store::record(tx, by, &event).await
}
