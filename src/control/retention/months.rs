//! Months past their retention, oldest first.

use super::{Keeper, Report, RoundFailed, store};
use crate::store::StoreError;

pub(super) async fn retire(keeper: &Keeper, report: &mut Report) -> Result<(), RoundFailed> {
    for month in store::ended_months(&keeper.postgres, keeper.before(keeper.days())).await? {
        let outcome = if month.is_audit {
            retire_audit(keeper, &month.partition, report).await?
        } else {
            store::retire_month(&keeper.postgres, &month.partition, keeper.days()).await?
        };
        match outcome.as_str() {
            "dropped" => report.months_dropped += 1,
            "rewritten" => report.months_rewritten += 1,
            _ => {}
        }
    }
    Ok(())
}

/// Lets a month of the audit log go for every chain that may, once a checkpoint vouches for all of those.
async fn retire_audit(
    keeper: &Keeper,
    partition: &str,
    report: &mut Report,
) -> Result<String, StoreError> {
    let keys = keeper.keys()?;
    let ends = store::ends_of_month(&keeper.postgres, partition, keeper.days()).await?;
    let is_empty = ends.is_empty();
    let due: Vec<_> = ends.into_iter().filter(|end| end.is_due).collect();
    if due.is_empty() && !is_empty {
        return Ok("kept".to_owned());
    }
    if due.iter().any(|end| end.checkpoint_seq < end.seq) {
        report.months_unvouched += 1;
        return Ok("kept".to_owned());
    }
    let vouched: Vec<_> = due
        .iter()
        .map(|end| keys.vouch(end.organization_id, end.seq, end.hash.as_deref()))
        .collect();
    store::retire_audit_month(&keeper.postgres, partition, keeper.days(), &due, &vouched).await
}
