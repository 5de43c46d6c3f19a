//! Giving back what a call was charged: a posting in the ledger, with its row in the audit log.

use serde_json::json;

use super::note::note;
use crate::{
    audit::By,
    base::{NanoUsd, RequestId},
    store::{OrgTx, StoreError},
    usage::accounts::store::{self, Refund},
};

/// Why nothing was given back.
#[derive(Debug, thiserror::Error)]
pub enum NotRefunded {
    /// The organization has no such call.
    #[error("there is no such call")]
    NotFound,
    /// More was asked for than is left, or nothing is left.
    #[error("no more than {remaining} dollars of it are left")]
    TooMuch {
        /// What is left.
        remaining: NanoUsd,
    },
    /// Postgres did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Gives back a part of what a call of this transaction's organization was charged, or all that is left of it.
///
/// # Errors
/// See [`NotRefunded`].
pub async fn refund(
    tx: &mut OrgTx,
    call: RequestId,
    amount: Option<NanoUsd>,
    reason: &str,
    by: By,
) -> Result<Refund, NotRefunded> {
    let organization = tx.scope().organization();
    let refund = store::refund(tx, organization, call, amount).await?;
    let refund = refund.ok_or(NotRefunded::NotFound)?;
    let Some(given) = refund.given else {
        let remaining = refund.remaining;
        return Err(NotRefunded::TooMuch { remaining });
    };
    let details = json!({ "amount_nano_usd": given.0, "reason": reason });
    note(tx, by, "request.refund", ("request", call.uuid()), details).await?;
    Ok(refund)
}
