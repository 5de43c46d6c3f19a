//! How much is left, and holding some of it.

pub mod limit;

pub mod estimate;

mod usual;

mod calendar;
mod clock;
mod counter;
mod script;

mod account;
mod answer;
mod asking;
mod beat;
mod decision;
mod degraded;
mod desk;
mod form;
mod hold;
mod learn;
mod ledger;
mod lost;
mod reconcile;
mod refund;
mod seed;
mod slices;
mod slicing;
mod store;
mod switch;
mod turn;
mod upkeep;
mod watch;

use serde::Deserialize;

pub use decision::{Adjusted, Decision, Remark, Standing, Unavailable};
pub use degraded::WhenAway;
pub use hold::{Counters, Hold};
pub use learn::Told;
pub use ledger::Ledger;
pub use limit::{Actual, Enforcement, Limit, Meter, Mode, Subject, Window};
pub use script::Scripts;
pub use usual::{Habit, Usual};

pub use store::{Books, BooksAway, PostgresBooks, Span, now_of, window_end};

use crate::base::{Moment, OrganizationId, RequestId};

/// One call that wants to be held to its limits.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The call.
    pub id: RequestId,
    /// Whose.
    pub organization: OrganizationId,
    /// Every limit of the tenant that applies.
    pub limits: &'a [Limit],
    /// What each candidate would take, in the order they are preferred.
    pub bids: &'a [Bid],
    /// When it is asked; only chooses which days and months are offered to Redis's own clock.
    pub now: Moment,
    /// What its organization says of its limits as a whole.
    pub policy: Policy,
}

/// What an organization says of its limits as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether they refuse anything; else they only count.
    pub is_enforced: bool,
    /// Whether each proxy may permit its share of rates while Redis is away.
    pub shares_when_away: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            is_enforced: true,
            shares_when_away: false,
        }
    }
}

/// What one candidate would take.
#[derive(Clone, Debug, Default)]
pub struct Bid {
    /// How much of each of the tenant's limits, in their order; 1 of what is in flight.
    pub tenant: Vec<u64>,
    /// How much of the candidate's own allowances.
    pub own: Vec<Charge>,
}

/// An amount of one limit.
#[derive(Clone, Debug)]
pub struct Charge {
    /// Which.
    pub limit: Limit,
    /// How much.
    pub amount: u64,
}

/// How the ledger keeps its promises.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long a call counts as in flight after its proxy was last heard of, in milliseconds.
    pub lease_ms: u64,
    /// How long a Redis that lost its memory admits nothing, in milliseconds: every proxy must have told it again what
    /// is not in the books.
    pub rebuild_grace_ms: u64,
    /// How long a call waits for lost counters to be rebuilt, in milliseconds.
    pub rebuild_patience_ms: u64,
    /// How many settled calls a proxy remembers one by one while the books do not take them.
    pub most_unbooked: usize,
    /// For how many calls a proxy holds ahead at once where they come fast; 0 asks Redis for each one.
    pub most_sliced: u32,
    /// What to do with calls while Redis is away.
    pub when_away: WhenAway,
    /// Among how many proxies rates and calls in flight are shared while Redis is away.
    pub proxies: u64,
    /// How many thousandths of what is left of a budget each proxy holds ahead, to go on when Redis is away.
    pub reserve_permille: u32,
    /// How often counters of days and months are held against the books, in milliseconds.
    pub reconcile_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease_ms: 60_000,
            rebuild_grace_ms: 1_500,
            rebuild_patience_ms: 5_000,
            most_unbooked: 100_000,
            most_sliced: 4_096,
            when_away: WhenAway::Refuse,
            proxies: 1,
            reserve_permille: 0,
            reconcile_ms: 60_000,
        }
    }
}

impl Settings {
    /// How often a proxy looks whether Redis still has its memory, in milliseconds: often enough to tell it again
    /// well within the grace.
    fn beat_ms(&self) -> u64 {
        (self.rebuild_grace_ms / 4).clamp(20, 250)
    }
}
