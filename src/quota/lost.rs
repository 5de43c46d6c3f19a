//! Ends what dead processes held, with what the books say of their calls.

use super::{
    Actual, Ledger, Unavailable,
    hold::{End, Ending},
};
use crate::{
    base::{OrganizationId, RequestId},
    store::redis::RedisError,
};

/// How many holds one call ends.
const BATCH: usize = 64;

impl Ledger {
    /// Ends the holds of calls whose process died: whose, which, and what each used. Those that have ended, or that
    /// nobody holds, stay as they are.
    ///
    /// # Errors
    /// When Redis does not answer; again changes nothing.
    pub async fn end_lost(
        &self,
        calls: impl Iterator<Item = (OrganizationId, RequestId, Actual)>,
    ) -> Result<(), Unavailable> {
        let ending = |(organization, id, used)| Ending {
            organization,
            id,
            end: End::Used(used),
            failed: Actual::default(),
        };
        let endings: Vec<Ending> = calls.map(ending).collect();
        for batch in endings.chunks(BATCH) {
            let link = self.redis.link(self.redis.deadline()).await;
            let link = link.map_err(|error| self.failed(error))?;
            let call = self.write_endings(batch);
            if self.run_script(&link, &call).await?.numbers.len() != batch.len() {
                return Err(RedisError::Garbled.into());
            }
        }
        Ok(())
    }
}
