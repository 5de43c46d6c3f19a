//! Rows that go before their month does: of organizations that keep theirs for less, and of the change feed.

use super::{Keeper, Report, RoundFailed, store};
use crate::{
    audit,
    base::{Moment, OrganizationId},
    store::{StoreError, Whose},
};

/// Rows that go in one transaction.
const BATCH: i32 = 1_000;

pub(super) async fn prune(keeper: &Keeper, report: &mut Report) -> Result<(), RoundFailed> {
    let postgres = &keeper.postgres;
    for (organization, days) in store::shorter_retentions(postgres, keeper.days(), true).await? {
        report.rows_pruned += prune_audit(keeper, organization, keeper.before(days)).await?;
    }
    let tables = store::tables_of_tenants(postgres).await?;
    for (organization, days) in store::shorter_retentions(postgres, keeper.days(), false).await? {
        for table in &tables {
            let before = keeper.before(days);
            while let pruned @ 1.. =
                store::prune_rows(postgres, table, organization, before, BATCH).await?
            {
                report.rows_pruned += pruned;
            }
        }
    }
    let days = i32::try_from(keeper.settings.changes_days).unwrap_or(i32::MAX);
    report.changes_pruned = store::prune_changes(postgres, days).await?;
    Ok(())
}

/// Lets the beginning of one chain go, as far as it is due and a checkpoint vouches for it.
async fn prune_audit(
    keeper: &Keeper,
    organization: OrganizationId,
    before: Moment,
) -> Result<i64, StoreError> {
    let keys = keeper.keys()?;
    let whose = Whose::Organization(organization);
    let mut pruned = 0;
    loop {
        let mut tx = keeper.postgres.begin_as(whose).await?;
        let Some(head) = audit::store::find_head(&mut tx, whose).await? else {
            return Ok(pruned);
        };
        let rows = audit::store::rows_in_order(&mut tx, whose, None, BATCH.into()).await?;
        let is_due = |row: &&audit::chain::Row| {
            Moment::from(row.at) < before && row.seq <= head.checkpoint_seq
        };
        let Some(last) = rows.iter().take_while(is_due).last() else {
            return Ok(pruned);
        };
        let vouched = keys.vouch(whose.organization(), last.seq, last.hash.as_deref());
        pruned += store::prune_audit(&mut tx, organization, last.seq, &vouched).await?;
        tx.commit().await.map_err(StoreError::from)?;
    }
}
