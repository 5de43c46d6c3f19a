//! Verifies chains as they stand in the books.

use super::{
    key::AuditKeys,
    store,
    verify::{Fault, Marks, Sound, Walk},
};
use crate::store::{Postgres, StoreError, Whose};

/// Rows read at once.
const BATCH: i64 = 2_000;

/// Verifies one chain, at one instant; `marks` is what checkpoints vouch for of it.
///
/// # Errors
/// When Postgres does not answer. What is wrong with the chain is no error but the inner result.
pub async fn inspect(
    postgres: &Postgres,
    whose: Whose,
    keys: &AuditKeys,
    marks: Marks,
) -> Result<Result<Sound, Fault>, StoreError> {
    let mut tx = postgres.look_at(whose).await?;
    let head = store::find_head(&mut tx, whose).await?;
    let mut walk = match Walk::begin(keys, whose.organization(), head, marks) {
        Ok(walk) => walk,
        Err(fault) => return Ok(Err(fault)),
    };
    let mut after = None;
    loop {
        let rows = store::rows_in_order(&mut tx, whose, after, BATCH).await?;
        let Some(last) = rows.last() else {
            return Ok(walk.end());
        };
        after = Some((last.seq, last.id));
        for row in &rows {
            if let Err(fault) = walk.step(row) {
                return Ok(Err(fault));
            }
        }
    }
}
