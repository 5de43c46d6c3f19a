//! What a script's numbers mean.

use std::time::Duration;

use super::{
    decision::Standing,
    form::Form,
    script::{self, Reply},
};
use crate::base::Moment;

/// A script's answer to an admission or an adjustment.
pub(super) enum Answer {
    Held {
        bid: usize,
        at: Moment,
        epoch: u64,
        shadowed: u64,
        standings: Vec<Standing>,
    },
    Denied {
        limit: Option<usize>,
        wait: Duration,
        standings: Vec<Standing>,
    },
    Full {
        wait: Duration,
    },
    TooLarge {
        limit: usize,
    },
    Unknown,
}

/// Why a script did not answer the question.
pub(super) enum Obstacle {
    Epoch,
    Closed(Duration),
    Unseeded(Moment, Vec<usize>),
    Clock(Moment),
}

/// Reads what an admission's script answered; nothing when it makes no sense.
pub(super) fn read_answer(
    reply: &Reply,
    epoch: u64,
    form: &Form<'_>,
) -> Option<Result<Answer, Obstacle>> {
    let tenant_limit = |number: i64| usize::try_from(number - 1).ok();
    Some(match reply.numbers.as_slice() {
        [script::HELD, bid, shadowed, standings @ ..] => Ok(Answer::Held {
            shadowed: u64::try_from(*shadowed).unwrap_or_default(),
            bid: usize::try_from(bid - 1)
                .ok()
                .filter(|bid| *bid < form.bids.len())?,
            at: reply.at,
            epoch,
            standings: read_standings(standings),
        }),
        [script::DENIED, limit, wait, standings @ ..] => Ok(Answer::Denied {
            limit: tenant_limit(*limit),
            wait: millis(*wait),
            standings: read_standings(standings),
        }),
        [script::FULL, _, wait, ..] => Ok(Answer::Full {
            wait: millis(*wait),
        }),
        [script::TOO_LARGE, limit, ..] => Ok(Answer::TooLarge {
            limit: tenant_limit(*limit)?,
        }),
        [script::OTHER_EPOCH] => Err(Obstacle::Epoch),
        [script::CLOSED, wait] => Err(Obstacle::Closed(millis(*wait))),
        [script::UNSEEDED, lines @ ..] => {
            let lines = lines
                .iter()
                .filter_map(|line| tenant_limit(*line))
                .collect();
            Err(Obstacle::Unseeded(reply.at, lines))
        }
        [script::CLOCK] => Err(Obstacle::Clock(reply.at)),
        [script::ENDED] | [script::UNKNOWN_HOLD] => Ok(Answer::Unknown),
        _ => return None,
    })
}

fn read_standings(numbers: &[i64]) -> Vec<Standing> {
    let (pairs, _) = numbers.as_chunks::<2>();
    let standing = |[remaining, reset]: &[i64; 2]| Standing {
        remaining: u64::try_from(*remaining).unwrap_or_default(),
        reset: millis(*reset),
    };
    pairs.iter().map(standing).collect()
}

fn millis(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or_default())
}
