//! What an organization asks of its members' passwords, in the books.

use crate::{
    base::Moment,
    store::{OrgTx, StoreError},
};

/// What an organization asks of its members' sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// The fewest characters of a password; `None` is what the platform asks for.
    pub min_length: Option<i32>,
    /// How many passwords before the present one may not come back.
    pub history: i32,
    /// Is a second factor needed to reach the organization?
    pub is_second_factor_required: bool,
    /// When the organization's settings last changed.
    pub updated_at: Moment,
}

/// Returns what the organization asks for.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find(tx: &mut OrgTx) -> Result<Option<PasswordPolicy>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query!(
        "select password_min_length, password_history, mfa_required, updated_at
         from identity.organization_settings
         where organization_id = $1",
        organization,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| PasswordPolicy {
        min_length: row.password_min_length,
        history: row.password_history,
        is_second_factor_required: row.mfa_required,
        updated_at: row.updated_at.into(),
    }))
}

/// Sets what the organization asks for; says whether its settings are still the `expected` ones.
///
/// # Errors
/// `organization_settings_short_password_ck` when a short password needs no second factor.
pub async fn set(
    tx: &mut OrgTx,
    policy: &PasswordPolicy,
    expected: Option<Moment>,
) -> Result<bool, StoreError> {
    let organization = tx.scope().organization().uuid();
    let done = sqlx::query!(
        "update identity.organization_settings
         set password_min_length = $2, password_history = $3, mfa_required = $4
         where organization_id = $1 and ($5::timestamptz is null or updated_at = $5)",
        organization,
        policy.min_length,
        policy.history,
        policy.is_second_factor_required,
        expected.map(Moment::utc),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}
