//! What an organization decides for all its people and keys, changed.

use serde_json::json;

use super::{
    note::note,
    refused::{TenancyRefused, expect_version},
};
use crate::{
    audit::By,
    base::Moment,
    store::OrgTx,
    tenancy::{DegradedMode, OrganizationSettings, store::settings},
};

/// What shall be other; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct SettingsChange {
    /// What is injected when a caller gives no output limit and a hard one applies.
    pub default_max_output_tokens: Option<u64>,
    /// Whether agents may change routes; the inner `None` leaves it to the platform.
    pub auto_optimization: Option<Option<bool>>,
    /// May it have providers of its own?
    pub custom_providers_allowed: Option<bool>,
    /// How many members it may have; the inner `None` is any number.
    pub max_users: Option<Option<u32>>,
    /// How many groups it may have; the inner `None` is any number.
    pub max_groups: Option<Option<u32>>,
    /// How long its audit log is kept at least, in days.
    pub audit_retention_days: Option<u32>,
    /// The bound on request bodies, in bytes; the inner `None` is the gateway's own.
    pub body_limit_bytes: Option<Option<u64>>,
    /// How long an access token of its people counts, in seconds.
    pub access_token_lifetime_s: Option<u32>,
    /// The origins browsers may read its data from.
    pub allowed_origins: Option<Vec<String>>,
    /// What happens while the counters cannot be asked.
    pub degraded_mode: Option<DegradedMode>,
    /// Do its limits refuse? Else they only count.
    pub limits_enforced: Option<bool>,
    /// May providers that train on data serve it?
    pub allows_training: Option<bool>,
}

impl SettingsChange {
    fn apply(self, settings: &mut OrganizationSettings) {
        set(
            &mut settings.default_max_output_tokens,
            self.default_max_output_tokens,
        );
        set(&mut settings.auto_optimization, self.auto_optimization);
        set(
            &mut settings.custom_providers_allowed,
            self.custom_providers_allowed,
        );
        set(&mut settings.max_users, self.max_users);
        set(&mut settings.max_groups, self.max_groups);
        set(
            &mut settings.audit_retention_days,
            self.audit_retention_days,
        );
        set(&mut settings.body_limit_bytes, self.body_limit_bytes);
        set(
            &mut settings.access_token_lifetime_s,
            self.access_token_lifetime_s,
        );
        set(&mut settings.allowed_origins, self.allowed_origins);
        set(&mut settings.degraded_mode, self.degraded_mode);
        set(&mut settings.limits_enforced, self.limits_enforced);
        set(&mut settings.allows_training, self.allows_training);
    }
}

/// Writes a new value over an old one, when there is one.
pub(super) fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Changes the settings of this transaction's organization and returns them.
///
/// # Errors
/// See [`TenancyRefused`].
pub async fn change(
    tx: &mut OrgTx,
    change: SettingsChange,
    expected: Option<Moment>,
    by: By,
) -> Result<OrganizationSettings, TenancyRefused> {
    let kept = settings::lock_settings(tx).await?;
    let before = kept.ok_or(TenancyRefused::NotFound)?;
    expect_version(expected, before.updated_at)?;
    let mut after = before.clone();
    change.apply(&mut after);
    after.updated_at = settings::update_settings(tx, &after).await?;
    let organization = tx.scope().organization().uuid();
    let details = json!({ "before": told(&before), "after": told(&after) });
    note(
        tx,
        by,
        "organization.configure",
        ("organization", organization),
        details,
    )
    .await?;
    Ok(after)
}

/// Returns the settings as the audit log tells them.
fn told(settings: &OrganizationSettings) -> serde_json::Value {
    json!({
        "default_max_output_tokens": settings.default_max_output_tokens,
        "auto_optimization": settings.auto_optimization,
        "custom_providers_allowed": settings.custom_providers_allowed,
        "max_users": settings.max_users,
        "max_groups": settings.max_groups,
        "audit_retention_days": settings.audit_retention_days,
        "body_limit_bytes": settings.body_limit_bytes,
        "access_token_lifetime_s": settings.access_token_lifetime_s,
        "allowed_origins": settings.allowed_origins,
        "degraded_mode": settings.degraded_mode,
        "limits_enforced": settings.limits_enforced,
        "allows_training": settings.allows_training,
    })
}
