//! What becomes of a call: held, denied, moved, or nobody can say.

use std::time::Duration;

use super::Hold;
use crate::store::redis::RedisError;

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Calls, tokens or nano-dollars.
    pub remaining: u64,
    /// Until all of it is back; zero for what is in flight.
    pub reset: Duration,
}

/// What becomes of a call.
#[derive(Debug)]
pub enum Decision {
    /// It is held.
    Held {
        /// What must be settled or cancelled.
        hold: Hold,
        /// Which bid fits, from 0.
        bid: usize,
        /// What is left of each of the tenant's limits; empty when none was asked.
        standings: Vec<Standing>,
        /// What the caller should know of how it was let in.
        remark: Option<Remark>,
    },
    /// A limit of the tenant has no room.
    Denied {
        /// Which, from 0.
        limit: usize,
        /// How long until the same call fits, if nobody else comes.
        wait: Duration,
        /// What is left of each of the tenant's limits.
        standings: Vec<Standing>,
    },
    /// The tenant has room, but every candidate's allowance is used up.
    Full {
        /// How long until the first candidate has room.
        wait: Duration,
    },
    /// The call is larger than a limit ever permits.
    TooLarge {
        /// Which limit of the tenant, from 0.
        limit: usize,
    },
}

/// How a call was let in that was not simply within its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark {
    /// A limit in shadow mode would have refused it.
    Shadowed,
    /// Redis was not asked: this proxy decided alone.
    Degraded,
    /// Limits are not enforced at the moment.
    Unenforced,
}

/// What becomes of a hold whose candidate failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Adjusted {
    /// It is moved.
    Held {
        /// Which bid fits, from 0.
        bid: usize,
    },
    /// A limit of the tenant has no room; the hold is as it was.
    Denied {
        /// Which, from 0.
        limit: usize,
        /// How long until the same call fits.
        wait: Duration,
    },
    /// Every candidate's allowance is used up; the hold is as it was.
    Full {
        /// How long until the first candidate has room.
        wait: Duration,
    },
}

/// Why nothing can be decided. Never the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// Redis did not answer.
    #[error("the limits' store cannot be asked")]
    Redis(#[from] RedisError),
    /// Redis did not answer others a moment ago and was not asked.
    #[error("the limits' store does not answer")]
    Shut,
    /// Redis may forget counters when its memory is short.
    #[error("the limits' store may evict keys")]
    Evicts,
    /// Redis lost its memory and is not rebuilt yet.
    #[error("the limits are being rebuilt")]
    Rebuilding,
    /// What was spent is unknown, and the books cannot be read.
    #[error("what was spent is unknown")]
    Books,
    /// The hold, or a call of the same id, had ended before.
    #[error("the call had ended before")]
    Ended,
}
