//! The settings of organizations.

use chrono::{DateTime, Utc};

use super::{count, large, narrow, noun, small, word};
use crate::{
    base::Moment,
    store::{OrgTx, StoreError},
    tenancy::OrganizationSettings,
};

struct SettingsRow {
    seed_requests_per_minute: Option<i64>,
    seed_tokens_per_minute: Option<i64>,
    default_max_output_tokens: i64,
    auto_optimization: Option<bool>,
    custom_providers_allowed: bool,
    max_users: Option<i32>,
    max_groups: Option<i32>,
    audit_retention_days: i32,
    body_limit_bytes: Option<i64>,
    access_token_lifetime_s: i32,
    allowed_origins: Vec<String>,
    degraded_mode: String,
    limits_enforced: bool,
    allows_training: bool,
    updated_at: DateTime<Utc>,
}

impl TryFrom<SettingsRow> for OrganizationSettings {
    type Error = StoreError;

    fn try_from(row: SettingsRow) -> Result<Self, StoreError> {
        Ok(Self {
            seed_requests_per_minute: row.seed_requests_per_minute.map(count),
            seed_tokens_per_minute: row.seed_tokens_per_minute.map(count),
            default_max_output_tokens: count(row.default_max_output_tokens),
            auto_optimization: row.auto_optimization,
            custom_providers_allowed: row.custom_providers_allowed,
            max_users: row.max_users.map(small),
            max_groups: row.max_groups.map(small),
            audit_retention_days: small(row.audit_retention_days),
            body_limit_bytes: row.body_limit_bytes.map(count),
            access_token_lifetime_s: small(row.access_token_lifetime_s),
            allowed_origins: row.allowed_origins,
            degraded_mode: noun(row.degraded_mode)?,
            limits_enforced: row.limits_enforced,
            allows_training: row.allows_training,
            updated_at: row.updated_at.into(),
        })
    }
}

/// Returns the settings of this transaction's organization, and keeps others from changing them until it ends.
///
/// # Errors
/// When Postgres does not answer.
pub async fn lock_settings(tx: &mut OrgTx) -> Result<Option<OrganizationSettings>, StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "select organization_id from identity.organization_settings where organization_id = $1 for no key update",
        organization
    )
    .fetch_optional(&mut **tx)
    .await?;
    find_settings(tx).await
}

/// Returns the settings of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_settings(tx: &mut OrgTx) -> Result<Option<OrganizationSettings>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query_as!(
        SettingsRow,
        "select seed_requests_per_minute, seed_tokens_per_minute, default_max_output_tokens, auto_optimization,
             custom_providers_allowed, max_users, max_groups, audit_retention_days, body_limit_bytes,
             access_token_lifetime_s, allowed_origins, degraded_mode, limits_enforced,
             allows_training, updated_at
         from identity.organization_settings
         where organization_id = $1",
        organization,
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(OrganizationSettings::try_from).transpose()
}

/// Writes the settings of this transaction's organization.
///
/// # Errors
/// A constraint's name (`organization_settings_…`) when a value is out of range.
pub async fn update_settings(
    tx: &mut OrgTx,
    settings: &OrganizationSettings,
) -> Result<Moment, StoreError> {
    let updated_at = sqlx::query_scalar!(
        "update identity.organization_settings
         set seed_requests_per_minute = $2, seed_tokens_per_minute = $3, default_max_output_tokens = $4,
             auto_optimization = $5, custom_providers_allowed = $6, max_users = $7, max_groups = $8,
             audit_retention_days = $9, body_limit_bytes = $10, access_token_lifetime_s = $11, allowed_origins = $12,
             degraded_mode = $13, allows_training = $14, limits_enforced = $15
         where organization_id = $1
         returning updated_at",
        tx.scope().organization().uuid(),
        settings.seed_requests_per_minute.map(large),
        settings.seed_tokens_per_minute.map(large),
        large(settings.default_max_output_tokens),
        settings.auto_optimization,
        settings.custom_providers_allowed,
        settings.max_users.map(narrow),
        settings.max_groups.map(narrow),
        narrow(settings.audit_retention_days),
        settings.body_limit_bytes.map(large),
        narrow(settings.access_token_lifetime_s),
        &settings.allowed_origins,
        word(settings.degraded_mode)?,
        settings.allows_training,
        settings.limits_enforced,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(updated_at.into())
}
