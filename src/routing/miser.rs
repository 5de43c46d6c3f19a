//! ULTRA MISER MODE: nothing is spent before it must be.

use crate::base::{NanoUsd, OfferId};

/// Where a candidate stands. Smaller goes first; the fields are compared in the order they are written.
///
/// The order is total, because an offer is listed once with each credential, and it does not depend on the order
/// in which offers are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// It failed lately and has not earned its place back: whoever is well goes first.
    pub is_doubtful: bool,
    /// It can cost money: nothing paid goes before anything free, whichever model of the chain that is, unless somebody
    /// insists on it.
    pub is_paid: bool,
    /// The place of its model in the chain.
    pub link: u16,
    /// The route of its model prefers another.
    pub is_elsewhere: bool,
    /// What its strategy makes of it; nothing for the miser.
    pub score: u64,
    /// What this call will probably cost.
    pub cost: NanoUsd,
    /// What its first byte takes. One that was never measured goes first, and then is.
    pub latency_ms: u32,
    /// The operator's declared preference.
    pub preference: i32,
    /// Its id, so that there are no ties.
    pub offer: OfferId,
    /// The place of the credential among those of its provider.
    pub credential: u16,
}

impl Rank {
    /// Returns where it would stand had it not failed.
    #[must_use]
    pub const fn without_doubt(self) -> Self {
        Self {
            is_doubtful: false,
            ..self
        }
    }
}
