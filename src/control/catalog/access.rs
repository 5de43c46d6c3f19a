//! What an organization lets its members use of what the platform shares.

use serde_json::json;
use uuid::Uuid;

use super::{models, providers, refused::CatalogRefused, trail::record};
use crate::{
    audit::By,
    base::{ModelId, OrganizationId},
    catalog::store,
    store::OwnerTx,
};

/// Allows or hides a model; without one, all models that are not named.
///
/// # Errors
/// `Missing` when there is no such model.
pub async fn set_model(
    tx: &mut OwnerTx,
    organization: OrganizationId,
    model: Option<Uuid>,
    is_allowed: bool,
    by: By,
) -> Result<(), CatalogRefused> {
    if let Some(model) = model {
        models::one(tx, model).await?;
    }
    let id = ModelId::new(by.now).uuid();
    store::access::put_model(tx, organization, id, model, is_allowed).await?;
    let details = json!({ "model": model, "is_allowed": is_allowed });
    let target = model.unwrap_or(organization.uuid());
    Ok(record(tx, by, ("model_access.set", "model", target), details).await?)
}

/// Lets the platform's word count again.
///
/// # Errors
/// `Missing` when nothing was said of it.
pub async fn forget_model(
    tx: &mut OwnerTx,
    organization: OrganizationId,
    model: Option<Uuid>,
    by: By,
) -> Result<(), CatalogRefused> {
    if !store::access::forget_model(tx, organization, model).await? {
        return Err(CatalogRefused::Missing);
    }
    let target = model.unwrap_or(organization.uuid());
    let details = json!({ "model": model });
    Ok(record(tx, by, ("model_access.forget", "model", target), details).await?)
}

/// Allows a provider or does without it.
///
/// # Errors
/// `Missing` when there is no such provider.
pub async fn set_provider(
    tx: &mut OwnerTx,
    organization: OrganizationId,
    provider: Uuid,
    is_allowed: bool,
    by: By,
) -> Result<(), CatalogRefused> {
    providers::one(tx, provider).await?;
    let id = ModelId::new(by.now).uuid();
    store::access::put_provider(tx, organization, id, provider, is_allowed).await?;
    let details = json!({ "is_allowed": is_allowed });
    let target = ("provider_access.set", "provider", provider);
    Ok(record(tx, by, target, details).await?)
}

/// Lets the platform's word count again.
///
/// # Errors
/// `Missing` when nothing was said of it.
pub async fn forget_provider(
    tx: &mut OwnerTx,
    organization: OrganizationId,
    provider: Uuid,
    by: By,
) -> Result<(), CatalogRefused> {
    if !store::access::forget_provider(tx, organization, provider).await? {
        return Err(CatalogRefused::Missing);
    }
    let target = ("provider_access.forget", "provider", provider);
    Ok(record(tx, by, target, json!({})).await?)
}
