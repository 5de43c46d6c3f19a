//! Whether limits are enforced at all: for one organization, or for everybody.
//!
//! What is not enforced is still counted, as limits in shadow mode are.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::timeout;

use super::{Ask, Bid, Decision, Ledger, Limit, Mode, Unavailable, decision::Remark, store};
use crate::store::{
    Postgres,
    feed::{Kind, News, Reader},
};

/// How long the books may take to say how the switch stands.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is enforced for a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// Every limit.
    #[default]
    All,
    /// Providers' allowances: the organization's own limits are switched off.
    Allowances,
    /// Nothing.
    Nothing,
}

impl Reach {
    /// Returns the tenant's limits as far as they are enforced.
    pub(super) fn limits(self, limits: &[Limit]) -> Cow<'_, [Limit]> {
        match self {
            Self::All => Cow::Borrowed(limits),
            Self::Allowances | Self::Nothing => limits.iter().map(unenforced).collect(),
        }
    }

    /// Returns the bids with their own allowances as far as they are enforced.
    pub(super) fn bids(self, bids: &[Bid]) -> Cow<'_, [Bid]> {
        if self != Self::Nothing {
            return Cow::Borrowed(bids);
        }
        let mut bids = bids.to_vec();
        for charge in bids.iter_mut().flat_map(|bid| &mut bid.own) {
            charge.limit.mode = Mode::Shadow;
        }
        Cow::Owned(bids)
    }
}

/// What a caller asked for itself is no limit that could be wrong.
fn unenforced(limit: &Limit) -> Limit {
    if limit.is_asked_for() {
        return limit.clone();
    }
    Limit {
        mode: Mode::Shadow,
        ..limit.clone()
    }
}

impl Ledger {
    /// Says whether limits are enforced; the organizations' own switches aside.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.is_enforced.load(Ordering::Relaxed)
    }

    /// Enforces limits, or only counts what they would have refused.
    pub fn enforce(&self, is_enforced: bool) {
        if self.is_enforced.swap(is_enforced, Ordering::Relaxed) != is_enforced {
            tracing::warn!(is_enforced, "the switch of all limits was turned");
        }
    }

    /// Returns how far limits reach for a call.
    pub(super) fn reach(&self, ask: &Ask<'_>) -> Reach {
        if !self.is_enforced() {
            Reach::Nothing
        } else if ask.policy.is_enforced {
            Reach::All
        } else {
            Reach::Allowances
        }
    }

    /// Counts a call whose limits are not enforced.
    pub(super) async fn admit_unenforced(
        &self,
        ask: Ask<'_>,
        reach: Reach,
    ) -> Result<Decision, Unavailable> {
        let (limits, bids) = (reach.limits(ask.limits), reach.bids(ask.bids));
        let ask = Ask {
            limits: &limits,
            bids: &bids,
            ..ask
        };
        let mut decision = self.admit_exactly(ask).await?;
        if let Decision::Held { hold, remark, .. } = &mut decision {
            hold.reaches(reach);
            *remark = Some(Remark::Unenforced);
        }
        Ok(decision)
    }

    /// Keeps the switch as the books have it, until the feed ends. While they are away it stays as it was.
    pub async fn follow_switch(self: Arc<Self>, postgres: Postgres, mut reader: Reader) {
        let mut is_known = false;
        loop {
            if !is_known {
                is_known = self.read_switch(&postgres).await;
            }
            match reader.next().await {
                None => return,
                Some(News::Silence) => {}
                Some(News::Gap { .. }) => is_known = false,
                Some(News::Changes { changes, .. }) => {
                    is_known &= changes.iter().all(|change| change.kind != Kind::Switch);
                }
            }
        }
    }

    async fn read_switch(&self, postgres: &Postgres) -> bool {
        match timeout(PATIENCE, store::is_enforced(postgres)).await {
            Ok(Ok(is_enforced)) => {
                self.enforce(is_enforced);
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }
}
