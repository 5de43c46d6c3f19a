//! An organization's own ways to sign its members in; only its owners change them.

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Created, Json, Member, NoContent, Path, Query},
    list::{ListQuery, Listed},
    openapi::Problems,
};
use crate::{
    base::{IdentityProviderId, Moment, OrganizationId, Secret},
    control::identity::providers::{self, ProviderRefused},
    identity::store::provider::{self, IdentityProvider, ProviderTerms},
    tenancy::Rank,
};

/// What somebody becomes who is no member yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// A member.
    Member,
    /// A guest.
    Guest,
}

/// An identity provider: everything but its secret.
#[derive(Serialize, ToSchema)]
pub struct IdentityProviderView {
    /// Its id.
    id: IdentityProviderId,
    /// What people call it.
    name: String,
    /// Who it is: the URL below which its discovery document lies.
    issuer: String,
    /// What it calls us.
    client_id: String,
    /// What we ask for.
    scopes: Vec<String>,
    /// The domains of the addresses it may vouch for; empty is any.
    email_domains: Vec<String>,
    /// What somebody becomes who is no member yet; null turns them away.
    admits_as: Option<Admission>,
    /// Whether it signs anybody in.
    is_enabled: bool,
    /// When it was made.
    created_at: Moment,
    /// When it last changed.
    updated_at: Moment,
}

/// An identity provider to be made, or as it is to be.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutIdentityProvider {
    /// What people call it.
    #[garde(length(chars, min = 1, max = 100))]
    name: String,
    /// The URL below which `/.well-known/openid-configuration` lies, exactly as the provider writes it.
    #[garde(url, length(max = 500))]
    issuer: String,
    /// What it calls us.
    #[garde(length(chars, min = 1, max = 300))]
    client_id: String,
    /// What we prove that with. Sealed, never shown. May be absent when the issuer stays.
    #[garde(skip)]
    client_secret: Option<Secret>,
    /// What we ask for; `openid email profile` when absent.
    #[serde(default = "usual_scopes")]
    #[garde(length(min = 1, max = 20), inner(length(chars, min = 1, max = 100)))]
    scopes: Vec<String>,
    /// The domains of the addresses it may vouch for; empty is any.
    #[serde(default)]
    #[garde(length(max = 100), inner(length(chars, min = 1, max = 253)))]
    email_domains: Vec<String>,
    /// What somebody becomes who is no member yet; null turns them away.
    #[garde(skip)]
    admits_as: Option<Admission>,
    /// Whether it signs anybody in.
    #[serde(default = "yes")]
    #[garde(skip)]
    is_enabled: bool,
}

fn usual_scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(str::to_owned).to_vec()
}

const fn yes() -> bool {
    true
}

impl PutIdentityProvider {
    fn terms(&self) -> ProviderTerms {
        ProviderTerms {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            scopes: self.scopes.clone(),
            email_domains: self.email_domains.clone(),
            admits_as: self.admits_as.map(|admission| match admission {
                Admission::Member => Rank::Member,
                Admission::Guest => Rank::Guest,
            }),
            is_enabled: self.is_enabled,
        }
    }
}

impl IdentityProviderView {
    fn of(provider: IdentityProvider) -> Self {
        let terms = provider.terms;
        Self {
            id: provider.id,
            name: terms.name,
            issuer: terms.issuer,
            client_id: terms.client_id,
            scopes: terms.scopes,
            email_domains: terms.email_domains,
            admits_as: terms.admits_as.map(|rank| match rank {
                Rank::Guest => Admission::Guest,
                Rank::Owner | Rank::Admin | Rank::Member => Admission::Member,
            }),
            is_enabled: terms.is_enabled,
            created_at: provider.created_at,
            updated_at: provider.updated_at,
        }
    }

    fn tagged(provider: IdentityProvider) -> Tagged<Self> {
        Tagged(provider.updated_at, Self::of(provider))
    }
}

/// Who signs members in may sign in as any of them: that is the owners' to decide.
fn owners_only(member: &Member) -> Result<(), ApiError> {
    let is_owner = member.rank == Rank::Owner;
    is_owner.then_some(()).ok_or(ApiError::Forbidden)
}

/// List the identity providers
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/identity-providers",
    tag = "sign-in",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), ListQuery),
    responses((status = 200, description = "A page of providers.", body = Listed<IdentityProviderView>), Problems)
)]
pub async fn list_identity_providers(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<IdentityProviderView>>, ApiError> {
    let paging = query.paging()?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = provider::list(&mut tx, &paging).await?;
    Ok(Json(Listed::of(page, IdentityProviderView::of)))
}

/// Make an identity provider
///
/// Its members sign in at `/api/v1/auth/oidc/{slug}/start`. Owners only.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/identity-providers",
    tag = "sign-in",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    request_body = PutIdentityProvider,
    responses((status = 201, description = "The provider.", body = IdentityProviderView), Problems)
)]
pub async fn create_identity_provider(
    State(plane): State<Plane>,
    member: Member,
    Json(body): Json<PutIdentityProvider>,
) -> Result<Created<Tagged<IdentityProviderView>>, ApiError> {
    owners_only(&member)?;
    let secret = body.client_secret.as_ref();
    let secret = secret.ok_or_else(|| ApiError::invalid("client_secret", "is missing"))?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let (door, guard) = (&plane.door, &plane.egress);
    let new = (&body.terms(), secret);
    let provider = providers::create(door, guard, &mut tx, new, member.by()).await?;
    tx.commit().await?;
    let organization = member.scope.organization();
    let location = format!(
        "/api/v1/organizations/{organization}/identity-providers/{}",
        provider.id
    );
    Ok(Created(location, IdentityProviderView::tagged(provider)))
}

/// Show an identity provider
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/identity-providers/{identity_provider_id}",
    tag = "sign-in",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("identity_provider_id" = IdentityProviderId, Path, description = "The provider.")
    ),
    responses((status = 200, description = "The provider.", body = IdentityProviderView), Problems)
)]
pub async fn show_identity_provider(
    State(plane): State<Plane>,
    member: Member,
    Path(ids): Path<(OrganizationId, IdentityProviderId)>,
) -> Result<Tagged<IdentityProviderView>, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let provider = provider::find(&mut tx, ids.1).await?;
    provider
        .map(IdentityProviderView::tagged)
        .ok_or(ApiError::NotFound)
}

/// Change an identity provider
///
/// As a whole. Owners only.
#[utoipa::path(
    put,
    path = "/api/v1/organizations/{organization_id}/identity-providers/{identity_provider_id}",
    tag = "sign-in",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("identity_provider_id" = IdentityProviderId, Path, description = "The provider."),
        IfMatch
    ),
    request_body = PutIdentityProvider,
    responses((status = 200, description = "The provider.", body = IdentityProviderView), Problems)
)]
pub async fn change_identity_provider(
    State(plane): State<Plane>,
    member: Member,
    Path(ids): Path<(OrganizationId, IdentityProviderId)>,
    IfMatch(expected): IfMatch,
    Json(body): Json<PutIdentityProvider>,
) -> Result<Tagged<IdentityProviderView>, ApiError> {
    owners_only(&member)?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let (door, guard) = (&plane.door, &plane.egress);
    let change = (&body.terms(), body.client_secret.as_ref(), expected);
    let provider = providers::change(door, guard, &mut tx, ids.1, change, member.by()).await?;
    tx.commit().await?;
    Ok(IdentityProviderView::tagged(provider))
}

/// Take an identity provider away
///
/// Owners only. Sessions it opened go on until they end.
#[utoipa::path(
    delete,
    path = "/api/v1/organizations/{organization_id}/identity-providers/{identity_provider_id}",
    tag = "sign-in",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("identity_provider_id" = IdentityProviderId, Path, description = "The provider.")
    ),
    responses((status = 204, description = "It is gone."), Problems)
)]
pub async fn delete_identity_provider(
    State(plane): State<Plane>,
    member: Member,
    Path(ids): Path<(OrganizationId, IdentityProviderId)>,
) -> Result<NoContent, ApiError> {
    owners_only(&member)?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    providers::delete(&mut tx, ids.1, member.by()).await?;
    tx.commit().await?;
    Ok(NoContent)
}

impl From<ProviderRefused> for ApiError {
    fn from(error: ProviderRefused) -> Self {
        match error {
            ProviderRefused::NoProvider => Self::NotFound,
            ProviderRefused::NotExpected => Self::PreconditionFailed,
            ProviderRefused::NameTaken => Self::conflict("name_taken", error.to_string()),
            ProviderRefused::WrongIssuer | ProviderRefused::Forbidden(_) => {
                Self::invalid("issuer", error.to_string())
            }
            ProviderRefused::SecretMissing => Self::invalid("client_secret", error.to_string()),
            ProviderRefused::NotSealed(_) => {
                Self::internal("an identity provider's secret cannot be sealed", &error)
            }
            ProviderRefused::Store(error) => error.into(),
        }
    }
}
