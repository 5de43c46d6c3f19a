//! One checkpoint: read where the chains end, keep it outside, then note what it vouches for.

use super::{Keeper, RoundFailed, store};
use crate::audit::{self, folder::Folder};

pub(super) async fn keep(keeper: &Keeper, folder: &Folder) -> Result<usize, RoundFailed> {
    let keys = keeper.keys()?;
    let mut tx = keeper.postgres.begin().await?;
    // Two sidecars may share the folder, and each line names the one before it.
    store::lock_folder(&mut tx).await?;
    let mut ends = audit::store::ends(&mut tx).await?;
    ends.retain(|end| 0 < end.seq);
    folder.keep(&ends, keeper.clock.now(), keys)?;
    store::note_checkpoint(&mut tx, &ends).await?;
    tx.commit().await.map_err(crate::store::StoreError::from)?;
    Ok(ends.len())
}
