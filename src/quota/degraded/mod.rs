//! What happens while Redis gives no answers: closed for money and allowances, unless something was held ahead; for
//! rates and calls in flight closed too, unless each proxy may permit its own share.

mod breaker;
mod reserve;
mod share;

use serde::Deserialize;

pub(super) use breaker::Breaker;
pub(super) use reserve::Reserves;
pub(super) use share::{Kind, LocalShare, Place};

use super::{Ask, Bid, Decision, Hold, Ledger, Mode, Unavailable, decision::Remark};

/// What to do with calls while Redis is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenAway {
    /// Refuse every call that has a limit, unless its organization says otherwise.
    #[default]
    Refuse,
    /// Let each proxy permit its share of rates and of calls in flight.
    LocalShare,
}

impl Ledger {
    /// Decides without Redis, as far as policy goes; `unavailable` says why it must.
    pub(super) fn decide_alone(
        &self,
        ask: &Ask<'_>,
        unavailable: Unavailable,
    ) -> Result<Decision, Unavailable> {
        let shares = ask.policy.shares_when_away || self.settings.when_away == WhenAway::LocalShare;
        let kinds = ask
            .limits
            .iter()
            .map(|limit| Kind::of(limit, ask.organization));
        let needs_share = kinds
            .clone()
            .any(|kind| matches!(kind, Kind::Rate | Kind::InFlight));
        if needs_share && !shares {
            return Err(unavailable);
        }
        let has_budget = kinds.clone().any(|kind| kind == Kind::Budget);
        let bids = ask.bids.iter().enumerate();
        let held = bids
            .filter(|(_, bid)| is_free_of_allowances(bid))
            .find_map(|(at, bid)| Some((at, self.hold_alone(ask, bid, has_budget)?)));
        let (bid, hold) = held.ok_or(unavailable)?;
        Ok(Decision::Held {
            hold,
            bid,
            standings: Vec::new(),
            remark: Some(Remark::Degraded),
        })
    }

    /// Holds a bid out of what this proxy holds ahead, and out of its share.
    fn hold_alone(&self, ask: &Ask<'_>, bid: &Bid, has_budget: bool) -> Option<Hold> {
        let place = self.local.take(ask, bid, self.settings.proxies)?;
        let mut hold = Hold::empty(ask.id, ask.organization);
        if has_budget {
            hold = self.reserves.spend(ask, bid)?;
        }
        hold.keep(place);
        Some(hold)
    }
}

/// A provider's allowance closes its own candidate only.
fn is_free_of_allowances(bid: &Bid) -> bool {
    bid.own
        .iter()
        .all(|charge| charge.limit.mode == Mode::Shadow)
}
