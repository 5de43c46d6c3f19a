//! Keys: made (shown once), changed, replaced, taken back. Without `keys:all` somebody reaches their own only.

pub mod ask;
pub mod view;

use std::time::Duration;

use axum::{extract::State, response::IntoResponse};
use ipnet::IpNet;

use self::{
    ask::{ChangeKey, CreateKey, KeyQuery, RevokeKey, RotateKey},
    view::{CreatedKeyView, KeyView, networks},
};
use super::{
    Plane,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Created, Json, Member, Path, Query},
    limits::KeyTerms,
    list::{Listed, paging},
    openapi::Problems,
};
use crate::{
    base::{ApiKeyId, OrganizationId},
    control::{
        keys::{CreatedKey, KeyChange, KeyRefused, NewKey},
        own_keys::{self, Reach},
    },
    keys::store::{KeyFilter, find_keys},
    store::OrgTx,
    tenancy::Permission,
};

/// How long a replaced key still works when nobody says.
const GRACE: Duration = Duration::from_hours(24);

impl From<KeyRefused> for ApiError {
    fn from(refused: KeyRefused) -> Self {
        let message = refused.to_string();
        match refused {
            KeyRefused::NoKey
            | KeyRefused::NoGroup
            | KeyRefused::NoUser
            | KeyRefused::NoOrganization => Self::NotFound,
            KeyRefused::NotActive => Self::conflict("key_not_active", message),
            KeyRefused::BeyondOwn => Self::Forbidden,
            KeyRefused::NotExpected => Self::PreconditionFailed,
            KeyRefused::ExpiresInThePast => Self::invalid("expires_at", message),
            KeyRefused::WrongList => Self::invalid("allowed_models", message),
            KeyRefused::WrongName => Self::invalid("name", message),
            KeyRefused::Limit(refused) => refused.into(),
            KeyRefused::Store(error) => error.into(),
        }
    }
}

/// Returns whose keys a member may make and change.
pub(super) fn reach(member: &Member) -> Reach {
    if member.may(Permission::KeysAll) {
        Reach::Everybody
    } else {
        Reach::Own(member.person.id)
    }
}

/// List keys
///
/// Without `keys:all` one's own.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/keys",
    tag = "keys",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), KeyQuery),
    responses((status = 200, description = "A page of keys.", body = Listed<KeyView>), Problems)
)]
pub async fn list_keys(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<KeyQuery>,
) -> Result<Json<Listed<KeyView>>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let filter = KeyFilter {
        user: reach(&member).narrow(query.user_id)?,
        group: query.group_id,
        state: query.state,
        search: query.search.as_deref(),
    };
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = find_keys(&mut tx, filter, paging).await?;
    let now = member.person.now;
    Ok(Json(Listed::of(page, |key| KeyView::of(key, now))))
}

/// Make a key
///
/// The answer is the only place where the key itself ever stands.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/keys",
    tag = "keys",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    request_body = CreateKey,
    responses((status = 201, description = "The key, shown once.", body = CreatedKeyView), Problems)
)]
pub async fn create_key(
    State(plane): State<Plane>,
    member: Member,
    Json(body): Json<CreateKey>,
) -> Result<impl IntoResponse, ApiError> {
    let limits = body.limits.into_iter().map(KeyTerms::terms);
    let new = NewKey {
        name: body.name,
        group_id: body.group_id,
        user_id: body.user_id,
        allowed_models: body.allowed_models,
        allowed_cidrs: body
            .allowed_cidrs
            .map(|texts| networks(&texts))
            .transpose()?,
        scopes: body.scopes,
        expires_at: body.expires_at,
        limits: limits.collect::<Result<_, _>>()?,
    };
    let actor = (reach(&member), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let created = own_keys::create(&mut tx, new, actor).await?;
    shown_once(tx, member, created).await
}

/// Ends the transaction and shows a key that was just made.
async fn shown_once(
    mut tx: OrgTx,
    member: Member,
    created: CreatedKey,
) -> Result<impl IntoResponse, ApiError> {
    let key = own_keys::find(&mut tx, &created.public_id, Reach::Everybody).await?;
    tx.commit().await?;
    let organization = member.scope.organization();
    let location = format!("/api/v1/organizations/{organization}/keys/{}", key.id);
    let version = key.updated_at;
    let view = CreatedKeyView::of(key, &created.api_key, member.person.now);
    Ok(Created(location, Tagged(version, view)))
}

/// Tell about a key
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/keys/{key_id}",
    tag = "keys",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("key_id" = ApiKeyId, Path, description = "The key.")),
    responses((status = 200, description = "The key, without its secret.", body = KeyView), Problems)
)]
pub async fn show_key(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, key)): Path<(OrganizationId, ApiKeyId)>,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let key = own_keys::find(&mut tx, &key.to_string(), reach(&member)).await?;
    Ok(Tagged(key.updated_at, KeyView::of(key, member.person.now)))
}

/// Change a key
///
/// Proxies know within a second. Without `keys:all` only keys one has made oneself.
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/keys/{key_id}",
    tag = "keys",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("key_id" = ApiKeyId, Path, description = "The key."),
        IfMatch),
    request_body = ChangeKey,
    responses((status = 200, description = "The key as it is now.", body = KeyView), Problems)
)]
pub async fn change_key(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, key)): Path<(OrganizationId, ApiKeyId)>,
    IfMatch(expected): IfMatch,
    Json(body): Json<ChangeKey>,
) -> Result<impl IntoResponse, ApiError> {
    let cidrs = body.allowed_cidrs.map(|texts| {
        let nets: Result<Option<Vec<IpNet>>, ApiError> =
            texts.map(|texts| networks(&texts)).transpose();
        nets
    });
    let change = KeyChange {
        name: body.name,
        group_id: body.group_id,
        allowed_models: body.allowed_models,
        allowed_cidrs: cidrs.transpose()?,
        scopes: body.scopes,
        expires_at: body.expires_at,
    };
    let actor = (reach(&member), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let key = own_keys::change(&mut tx, &key.to_string(), change, expected, actor).await?;
    tx.commit().await?;
    Ok(Tagged(key.updated_at, KeyView::of(key, member.person.now)))
}

/// Replace a key
///
/// The new one has the same rights and goes on with the same limits; the old one stops after the grace.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/keys/{key_id}/rotate",
    tag = "keys",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("key_id" = ApiKeyId, Path, description = "The key.")),
    request_body = RotateKey,
    responses((status = 201, description = "The new key, shown once.", body = CreatedKeyView), Problems)
)]
pub async fn rotate_key(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, key)): Path<(OrganizationId, ApiKeyId)>,
    Json(body): Json<RotateKey>,
) -> Result<impl IntoResponse, ApiError> {
    let grace = body.grace_s.map_or(GRACE, Duration::from_secs);
    let actor = (reach(&member), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let created = own_keys::rotate(&mut tx, &key.to_string(), grace, actor).await?;
    shown_once(tx, member, created).await
}

/// Take a key back
///
/// For good; proxies know within a second.
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/keys/{key_id}/revoke",
    tag = "keys",
    params(
        ("organization_id" = OrganizationId, Path, description = "The organization."),
        ("key_id" = ApiKeyId, Path, description = "The key.")),
    request_body = RevokeKey,
    responses((status = 200, description = "The key as it is now.", body = KeyView), Problems)
)]
pub async fn revoke_key(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, key)): Path<(OrganizationId, ApiKeyId)>,
    Json(body): Json<RevokeKey>,
) -> Result<impl IntoResponse, ApiError> {
    let actor = (reach(&member), member.by());
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let key = own_keys::revoke(&mut tx, &key.to_string(), body.reason.as_deref(), actor).await?;
    tx.commit().await?;
    Ok(Tagged(key.updated_at, KeyView::of(key, plane.clock.now())))
}
