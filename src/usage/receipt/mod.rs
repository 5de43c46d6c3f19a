//! Receipts: what a call cost and saved, computed again from its tokens and the price books.

pub mod store;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use crate::{
    base::{ModelId, NanoUsd, OfferId, Usage},
    catalog::{Price, Tier},
    usage::{AttemptRecord, Entry, savings},
};

/// What names a line of the price books: an offer, and the version its price stands in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId {
    /// The offer.
    pub offer_id: OfferId,
    /// The version.
    pub price_book: String,
}

/// A line of a price book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which.
    pub id: LineId,
    /// Whether calls to the offer cost money at all.
    pub tier: Tier,
    /// What they cost then; of a free offer, its list price.
    pub price: Price,
}

impl Line {
    /// Returns what `usage` costs by this line.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> NanoUsd {
        match self.tier {
            Tier::Free => NanoUsd::ZERO,
            Tier::Paid => self.price.of(usage),
        }
    }
}

/// The lines that some calls were priced by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(HashMap<LineId, Line>);

impl Lines {
    /// Returns one.
    #[must_use]
    pub fn get(&self, id: &LineId) -> Option<&Line> {
        self.0.get(id)
    }
}

impl FromIterator<Line> for Lines {
    fn from_iter<I: IntoIterator<Item = Line>>(lines: I) -> Self {
        Self(
            lines
                .into_iter()
                .map(|line| (line.id.clone(), line))
                .collect(),
        )
    }
}

/// What a call cost and saved, by the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What the tokens of the answer cost.
    pub answer: NanoUsd,
    /// What each attempt was charged, in their order.
    pub attempts: Vec<NanoUsd>,
    /// All of it.
    pub cost: NanoUsd,
    /// What the tokens would have cost at the alternative; `None` without one.
    pub alternative: Option<NanoUsd>,
    /// How much more that is.
    pub saved: NanoUsd,
}

/// Whether the books bear an entry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// They say the same, to the nano-dollar.
    Agrees(Receipt),
    /// They say something else.
    Differs(Receipt),
    /// They cannot say: this line is missing, or the entry is older than what it would have to tell.
    Unknown(Option<LineId>),
}

/// Returns the lines that an entry's receipt is computed from.
#[must_use]
pub fn lines_of(entry: &Entry) -> BTreeSet<LineId> {
    let charged = entry.attempts.iter().filter_map(charged_by);
    let alternative = entry.alternative.as_ref().map(|alternative| LineId {
        offer_id: alternative.offer_id,
        price_book: alternative.price_book.clone(),
    });
    charged
        .chain(answered_by(entry))
        .chain(alternative)
        .collect()
}

fn charged_by(attempt: &AttemptRecord) -> Option<LineId> {
    let charged = attempt.charged.as_ref()?;
    Some(LineId {
        offer_id: attempt.offer_id,
        price_book: charged.price_book.clone(),
    })
}

/// The line that priced the answer's tokens; without an answer there is none.
fn answered_by(entry: &Entry) -> Option<LineId> {
    let offer_id = entry.offer_id.filter(|_| !entry.price_book.is_empty())?;
    Some(LineId {
        offer_id,
        price_book: entry.price_book.clone(),
    })
}

/// Computes an entry's cost and saving again.
#[must_use]
pub fn check(entry: &Entry, lines: &Lines) -> Finding {
    let missing = lines_of(entry)
        .into_iter()
        .find(|id| lines.get(id).is_none());
    if missing.is_some() || is_too_old(entry) {
        return Finding::Unknown(missing);
    }
    let receipt = compute(entry, lines);
    if receipt.cost == entry.cost_nano_usd && receipt.saved == entry.saved_nano_usd {
        Finding::Agrees(receipt)
    } else {
        Finding::Differs(receipt)
    }
}

/// Entries did not always tell what their attempts were charged for, or what they were measured against.
fn is_too_old(entry: &Entry) -> bool {
    let is_untold = |attempt: &AttemptRecord| {
        attempt.charged.is_none() && attempt.cost_nano_usd != NanoUsd::ZERO
    };
    entry.attempts.iter().any(is_untold)
        || entry.alternative.is_none() && entry.saved_nano_usd != NanoUsd::ZERO
}

fn compute(entry: &Entry, lines: &Lines) -> Receipt {
    let attempts: Vec<NanoUsd> = entry
        .attempts
        .iter()
        .map(|attempt| charge(attempt, lines))
        .collect();
    let answer = answered_by(entry)
        .and_then(|id| lines.get(&id))
        .map_or(NanoUsd::ZERO, |line| line.cost(&entry.usage));
    let cost = attempts.iter().copied().sum::<NanoUsd>() + answer;
    let alternative = entry.alternative.as_ref().and_then(|alternative| {
        lines.get(&LineId {
            offer_id: alternative.offer_id,
            price_book: alternative.price_book.clone(),
        })
    });
    let price = alternative.map(|line| &line.price);
    Receipt {
        answer,
        attempts,
        cost,
        alternative: price.map(|price| price.of(&entry.usage)),
        saved: savings::saved(cost, price, &entry.usage),
    }
}

fn charge(attempt: &AttemptRecord, lines: &Lines) -> NanoUsd {
    let line = charged_by(attempt).and_then(|id| lines.get(&id).cloned());
    let read = attempt.charged.as_ref().map(|charged| Usage {
        input: charged.input_tokens,
        ..Usage::default()
    });
    line.zip(read)
        .map_or(NanoUsd::ZERO, |(line, read)| line.cost(&read))
}

/// What one line of the price books came to over a while, and what it was measured against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The model that answered.
    pub model_id: Option<ModelId>,
    /// The offer that answered, or was tried last.
    pub offer_id: Option<OfferId>,
    /// The version that priced it; `None` for calls booked before versions were rolled up.
    pub price_book: Option<String>,
    /// What the calls were measured against.
    pub alternative: Option<LineId>,
    /// How many calls.
    pub requests: u64,
    /// Their tokens.
    pub usage: Usage,
    /// What they cost.
    pub cost: NanoUsd,
    /// What they saved.
    pub saved: NanoUsd,
}

/// How many entries of a while were computed again, and what came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// How many.
    pub checked: u64,
    /// Of these, how many the books cannot tell.
    pub unknown: u64,
    /// Those the books say something else of.
    pub differing: Vec<crate::base::RequestId>,
    /// What those that were computed cost by the books.
    pub cost: NanoUsd,
    /// What they saved by the books.
    pub saved: NanoUsd,
}

impl Audit {
    /// Adds one entry.
    pub fn add(&mut self, entry: &Entry, finding: &Finding) {
        self.checked += 1;
        let receipt = match finding {
            Finding::Agrees(receipt) => receipt,
            Finding::Differs(receipt) => {
                self.differing.push(entry.request_id);
                receipt
            }
            Finding::Unknown(_) => {
                self.unknown += 1;
                return;
            }
        };
        self.cost = self.cost + receipt.cost;
        self.saved = self.saved + receipt.saved;
    }
}
