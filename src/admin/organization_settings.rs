//! What an organization decides for all its people and keys.

use axum::{extract::State, response::IntoResponse};
use garde::Validate;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    etag::{IfMatch, Tagged},
    extract::{Json, Member},
    openapi::Problems,
    patch::given,
};
use crate::{
    base::{Moment, OrganizationId},
    control::settings::{self, SettingsChange},
    tenancy::{DegradedMode, OrganizationSettings, store::settings as store},
};

/// What an organization decides for all its people and keys.
#[derive(Serialize, ToSchema)]
pub struct OrganizationSettingsView {
    /// Calls per minute the organization was limited to when it was made.
    seed_requests_per_minute: Option<u64>,
    /// Tokens per minute, likewise.
    seed_tokens_per_minute: Option<u64>,
    /// What is injected when a caller gives no output limit and a hard one applies.
    default_max_output_tokens: u64,
    /// Whether agents may change routes; null as the platform says.
    auto_optimization: Option<bool>,
    /// May it have providers of its own?
    custom_providers_allowed: bool,
    /// How many members it may have; the platform says. Null is any number.
    max_users: Option<u32>,
    /// How many groups it may have; the platform says. Null is any number.
    max_groups: Option<u32>,
    /// How long its audit log is kept at least, in days.
    audit_retention_days: u32,
    /// The bound on request bodies, in bytes; null is the gateway's own.
    body_limit_bytes: Option<u64>,
    /// How long an access token of its people counts, in seconds.
    access_token_lifetime_s: u32,
    /// The origins browsers may read its data from.
    allowed_origins: Vec<String>,
    /// What happens while the counters cannot be asked.
    degraded_mode: DegradedMode,
    /// Do its limits refuse? Else they only count what they would have refused.
    limits_enforced: bool,
    /// May providers that train on data serve it?
    allows_training: bool,
    /// When they were last changed.
    updated_at: Moment,
}

impl From<OrganizationSettings> for OrganizationSettingsView {
    fn from(settings: OrganizationSettings) -> Self {
        Self {
            seed_requests_per_minute: settings.seed_requests_per_minute,
            seed_tokens_per_minute: settings.seed_tokens_per_minute,
            default_max_output_tokens: settings.default_max_output_tokens,
            auto_optimization: settings.auto_optimization,
            custom_providers_allowed: settings.custom_providers_allowed,
            max_users: settings.max_users,
            max_groups: settings.max_groups,
            audit_retention_days: settings.audit_retention_days,
            body_limit_bytes: settings.body_limit_bytes,
            access_token_lifetime_s: settings.access_token_lifetime_s,
            allowed_origins: settings.allowed_origins,
            degraded_mode: settings.degraded_mode,
            limits_enforced: settings.limits_enforced,
            allows_training: settings.allows_training,
            updated_at: settings.updated_at,
        }
    }
}

/// What shall be other; absent fields stay. How many members and groups there may be is the platform's to say.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeOrganizationSettings {
    /// What is injected when a caller gives no output limit and a hard one applies.
    #[garde(range(min = 1, max = 10_000_000))]
    default_max_output_tokens: Option<u64>,
    /// Whether agents may change routes; null leaves it to the platform.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    #[garde(skip)]
    auto_optimization: Option<Option<bool>>,
    /// May it have providers of its own?
    #[garde(skip)]
    custom_providers_allowed: Option<bool>,
    /// How long its audit log is kept at least, in days.
    #[garde(range(min = 1, max = 3650))]
    audit_retention_days: Option<u32>,
    /// The bound on request bodies, in bytes; null is the gateway's own.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<u64>, minimum = 1024, maximum = 33_554_432)]
    #[garde(inner(inner(range(min = 1024, max = 33_554_432))))]
    body_limit_bytes: Option<Option<u64>>,
    /// How long an access token of its people counts, in seconds.
    #[garde(range(min = 60, max = 3600))]
    access_token_lifetime_s: Option<u32>,
    /// The origins browsers may read its data from, such as `https://console.example.com`.
    #[garde(inner(length(max = 50), inner(custom(origin))))]
    allowed_origins: Option<Vec<String>>,
    /// What happens while the counters cannot be asked.
    #[garde(skip)]
    degraded_mode: Option<DegradedMode>,
    /// Do its limits refuse? Else they only count what they would have refused. Proxies know within a second.
    #[garde(skip)]
    limits_enforced: Option<bool>,
    /// May providers that train on data serve it?
    #[garde(skip)]
    allows_training: Option<bool>,
}

/// An origin is what a browser sends: scheme, host and port.
fn origin(text: &str, _: &()) -> garde::Result {
    let is_origin = Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    });
    if is_origin {
        Ok(())
    } else {
        Err(garde::Error::new(
            "write scheme and host as a browser sends them",
        ))
    }
}

/// Tell an organization's settings
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/settings",
    tag = "organizations",
    params(("organization_id" = OrganizationId, Path, description = "The organization.")),
    responses((status = 200, description = "The settings.", body = OrganizationSettingsView), Problems)
)]
pub async fn show_organization_settings(
    State(plane): State<Plane>,
    member: Member,
) -> Result<impl IntoResponse, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let found = store::find_settings(&mut tx).await?;
    let settings = found.ok_or(ApiError::NotFound)?;
    Ok(Tagged(
        settings.updated_at,
        OrganizationSettingsView::from(settings),
    ))
}

/// Change an organization's settings
#[utoipa::path(
    patch,
    path = "/api/v1/organizations/{organization_id}/settings",
    tag = "organizations",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), IfMatch),
    request_body = ChangeOrganizationSettings,
    responses((status = 200, description = "The settings as they are now.", body = OrganizationSettingsView), Problems)
)]
pub async fn change_organization_settings(
    State(plane): State<Plane>,
    member: Member,
    IfMatch(expected): IfMatch,
    Json(body): Json<ChangeOrganizationSettings>,
) -> Result<impl IntoResponse, ApiError> {
    let change = SettingsChange {
        default_max_output_tokens: body.default_max_output_tokens,
        auto_optimization: body.auto_optimization,
        custom_providers_allowed: body.custom_providers_allowed,
        audit_retention_days: body.audit_retention_days,
        body_limit_bytes: body.body_limit_bytes,
        access_token_lifetime_s: body.access_token_lifetime_s,
        allowed_origins: body.allowed_origins,
        degraded_mode: body.degraded_mode,
        limits_enforced: body.limits_enforced,
        allows_training: body.allows_training,
        ..SettingsChange::default()
    };
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let settings = settings::change(&mut tx, change, expected, member.by()).await?;
    tx.commit().await?;
    Ok(Tagged(
        settings.updated_at,
        OrganizationSettingsView::from(settings),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for text in ["https://console.example.com", "http://127.0.0.1:5173"] {
            assert!(origin(text, &()).is_ok(), "{text}");
        }
        for text in [
            "*",
            "null",
            "console.example.com",
            "https://a.example/",
            "ftp://a.example",
            "data:,x",
        ] {
            assert!(origin(text, &()).is_err(), "{text}");
        }
    }
}
