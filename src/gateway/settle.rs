//! Admission to receipt: the hold becomes the exact cost, the entry goes into the spool, once.
//!
//! A booking that is dropped before it was finished (a caller gone, a task dropped, a panic) books itself with
//! what is known: nothing that reached an upstream goes unbooked.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{
    admit,
    exchange::{Exchange, millis_since},
    meter::Tally,
    metrics::{EndedCall, Metrics},
    refuse::Refusal,
};
use crate::{
    base::{Moment, NanoUsd, Tokens, Usage},
    catalog::{Offer, Price, Tier},
    dialect::Endpoint,
    keys::Grant,
    quota::{Actual, Bid, Enforcement, Habit, Hold, Ledger, Limit, Meter, Usual},
    routing::{Candidate, Plan},
    usage::{Alternative, AttemptRecord, Charged, Decision, Entry, Finish, Intent, Spool, savings},
};
use tokio::time::Instant;

/// Where calls are written down.
pub(super) struct Books {
    pub(super) ledger: Arc<Ledger>,
    pub(super) spool: Arc<Spool>,
    pub(super) metrics: Arc<Metrics>,
    /// How long answers usually are.
    pub(super) usual: Usual,
}

/// One admitted call on its way into the books.
pub(super) struct Booking {
    books: Arc<Books>,
    /// The entry as it would stand if the process died now.
    intent: Intent,
    hold: Option<Hold>,
    /// What the call is expected to use, for as long as nobody has told us the truth.
    expected: Usage,
    /// What a saving is measured against.
    alternative: Option<Arc<Offer>>,
    price: Price,
    /// What a call comes to by the provider's own price, whoever pays.
    list: Price,
    /// The offer that is tried now, or was tried last.
    offer: Option<Arc<Offer>>,
    endpoint: Endpoint,
    /// What the last attempt used, when it failed and the ledger was not told yet.
    last_failed: Actual,
    /// Whether the tokens of the entry are all of failed attempts, which the ledger is told of one by one.
    is_told: bool,
    /// How long others kept us waiting.
    waited: Duration,
    started: Instant,
    stage: Stage,
    /// Whose answers are remembered, and how many answers this call has.
    habit: Option<(Habit, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing went upstream.
    Admitted,
    /// An attempt was begun: there will be a row.
    Begun,
    /// The row is written.
    Booked,
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) cost: NanoUsd,
    pub(super) saved: NanoUsd,
}

/// What the caller says of a call, beside the call itself.
#[derive(Debug)]
pub(super) struct Attribution {
    pub(super) client_request_id: Option<String>,
    pub(super) tags: serde_json::Value,
    pub(super) requested_model: String,
    pub(super) is_stream: bool,
}

impl Booking {
    /// Opens the booking of an admitted call.
    pub(super) fn open(
        books: &Arc<Books>,
        exchange: &Exchange,
        grant: &Grant,
        attribution: Attribution,
        hold: Hold,
        plan: &Plan,
        expected: Usage,
    ) -> Self {
        let entry = Entry {
            request_id: exchange.id,
            organization_id: grant.organization_id,
            group_id: grant.group_id,
            user_id: grant.user_id,
            api_key_id: grant.api_key_id,
            client_request_id: attribution.client_request_id,
            tags: attribution.tags,
            requested_model: attribution.requested_model,
            model_id: None,
            offer_id: None,
            provider_id: None,
            status: 0,
            finish: Finish::Abandoned,
            is_estimated: true,
            is_stream: attribution.is_stream,
            usage: expected,
            held_nano_usd: NanoUsd::ZERO,
            cost_nano_usd: NanoUsd::ZERO,
            saved_nano_usd: NanoUsd::ZERO,
            price_book: String::new(),
            alternative: None,
            decision: Decision {
                why: Cow::Borrowed(""),
                strategy: plan.strategy,
                ranked: plan.unusual(),
            },
            first_byte_ms: None,
            duration_ms: 0,
            attempts: Vec::new(),
        };
        Self {
            books: Arc::clone(books),
            intent: Intent(entry),
            hold: Some(hold),
            expected,
            alternative: plan.paid_alternative.clone(),
            price: Price::default(),
            list: Price::default(),
            offer: None,
            endpoint: exchange.endpoint,
            last_failed: Actual::default(),
            is_told: false,
            waited: Duration::ZERO,
            started: exchange.started,
            stage: Stage::Admitted,
            habit: None,
        }
    }

    /// Writes down that `candidate` is about to be tried; must return before its first byte goes upstream.
    pub(super) fn begin(&mut self, candidate: &Candidate, limits: &[Limit]) -> Result<(), Refusal> {
        let offer = &candidate.offer;
        self.offer = Some(Arc::clone(offer));
        self.price = price_of(offer);
        self.list = offer.price.unwrap_or_default();
        let entry = &mut self.intent.0;
        entry.model_id = Some(offer.model.id);
        entry.offer_id = Some(offer.id);
        entry.provider_id = Some(offer.provider.id);
        entry.price_book.clone_from(&offer.price_book);
        entry.decision.why = Cow::Borrowed(candidate.told(!entry.attempts.is_empty()));
        let failed = failed_cost(&entry.attempts);
        let expected = self.price.of(&self.expected);
        entry.cost_nano_usd = failed + expected;
        entry.held_nano_usd = failed + expected.max(held(candidate, limits));
        self.books.spool.intend(&self.intent).map_err(|error| {
            tracing::error!(error = %error, "the spool takes no more");
            Refusal::BooksFull
        })?;
        self.stage = Stage::Begun;
        Ok(())
    }

    /// Adds a failed attempt; one that may have been billed is charged what it was expected to read.
    pub(super) fn attempt_failed(&mut self, offer: &Offer, failed: FailedAttempt) {
        let read = Usage {
            input: self.expected.input,
            ..Usage::default()
        };
        let cost = if failed.may_be_billed {
            price_of(offer).of(&read)
        } else {
            NanoUsd::ZERO
        };
        self.last_failed = Actual {
            requests: 1,
            input: if failed.may_be_billed {
                read.input.0
            } else {
                0
            },
            output: 0,
            cost_nano_usd: cost.0,
            list_nano_usd: if failed.may_be_billed {
                offer.price.unwrap_or_default().of(&read).0
            } else {
                0
            },
        };
        self.intent.0.attempts.push(AttemptRecord {
            offer_id: offer.id,
            provider: offer.provider.name.clone(),
            outcome: failed.outcome.to_owned(),
            status: failed.status,
            ms: u64::from(failed.ms),
            cost_nano_usd: cost,
            charged: failed.may_be_billed.then(|| Charged {
                input_tokens: read.input,
                price_book: offer.price_book.clone(),
                in_entry: false,
            }),
        });
    }

    /// Moves the hold to the first of `bids` that fits and returns its place among them.
    pub(super) async fn move_on(
        &mut self,
        limits: &[Limit],
        bids: &[Bid],
        now: Moment,
    ) -> Result<usize, Refusal> {
        let Some(hold) = self.hold.as_mut() else {
            return Err(Refusal::QuotaUnavailable);
        };
        let ledger = &self.books.ledger;
        let place = admit::move_on(ledger, hold, limits, &self.last_failed, bids, now).await?;
        // The ledger knows what the failed attempt used; only the next one is still to be settled.
        self.last_failed = Actual::default();
        Ok(place)
    }

    /// Makes the hold as small as `bid`, which the call takes at most from now on.
    pub(super) fn refund(&self, limits: &[Limit], bid: Bid) {
        if let Some(hold) = &self.hold {
            self.books.ledger.refund(hold, limits, bid);
        }
    }

    /// Remembers how long each of `choices` answers is, for the one whose habit it is.
    pub(super) fn learns(&mut self, habit: Option<Habit>, choices: u64) {
        self.habit = habit.map(|habit| (habit, choices.max(1)));
    }

    /// Books the call with what it truly used.
    pub(super) fn finish(&mut self, finish: Finish, status: u16, tally: &Tally) -> Receipt {
        let cost = failed_cost(&self.intent.0.attempts) + self.price.of(&tally.usage);
        let alternative = self.alternative.as_deref();
        let alternative_price = alternative.and_then(|offer| offer.price.as_ref());
        let saved = savings::saved(cost, alternative_price, &tally.usage);
        let entry = &mut self.intent.0;
        entry.finish = finish;
        entry.status = status;
        entry.usage = tally.usage;
        entry.is_estimated = tally.is_estimated;
        entry.cost_nano_usd = cost;
        entry.saved_nano_usd = saved;
        entry.alternative = alternative.map(|offer| Alternative {
            offer_id: offer.id,
            price_book: offer.price_book.clone(),
        });
        entry.first_byte_ms = tally.first_byte_ms;
        entry.duration_ms = millis_since(self.started);
        if let Some((habit, choices)) = self.habit
            && finish == Finish::Complete
            && !tally.is_estimated
        {
            let each = Tokens(tally.usage.output.0 / choices);
            self.books.usual.learn(habit, each);
        }
        self.write();
        Receipt { cost, saved }
    }

    /// Adds the attempt that answered, whole or not; what it cost is the call's own.
    pub(super) fn attempt_answered(
        &mut self,
        candidate: &Candidate,
        outcome: &'static str,
        status: Option<u16>,
        ms: u32,
    ) {
        self.intent.0.attempts.push(AttemptRecord {
            offer_id: candidate.offer.id,
            provider: candidate.offer.provider.name.clone(),
            outcome: outcome.to_owned(),
            status,
            ms: u64::from(ms),
            cost_nano_usd: NanoUsd::ZERO,
            charged: None,
        });
    }

    /// Books a call no attempt of which gave an answer, or gives the hold back when none was begun.
    pub(super) fn give_up(&mut self, finish: Finish, status: u16) {
        if self.stage != Stage::Begun {
            return self.cancel();
        }
        let attempts = &mut self.intent.0.attempts;
        let is_billed = |attempt: &&mut AttemptRecord| attempt.cost_nano_usd != NanoUsd::ZERO;
        let billed = attempts.iter_mut().rfind(is_billed);
        let mut usage = Usage::default();
        if let Some(charged) = billed.and_then(|attempt| attempt.charged.as_mut()) {
            charged.in_entry = true;
            usage.input = charged.input_tokens;
        }
        // The failed attempts carry their own cost: nothing is priced a second time.
        self.price = Price::default();
        self.intent.0.price_book.clear();
        self.alternative = None;
        // The entry says what was read in all; the ledger was told of every attempt but the last.
        self.is_told = true;
        let _receipt = self.finish(
            finish,
            status,
            &Tally {
                usage,
                is_estimated: true,
                ..Tally::default()
            },
        );
    }

    fn cancel(&mut self) {
        self.stage = Stage::Booked;
        if let Some(hold) = self.hold.take() {
            self.books.ledger.cancel(hold);
        }
    }

    /// Adds time others kept us waiting, which is not our overhead.
    pub(super) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    fn count(&self) {
        let entry = &self.intent.0;
        let duration = self.started.elapsed();
        self.books.metrics.ended(&EndedCall {
            endpoint: self.endpoint,
            offer: self.offer.as_deref(),
            is_stream: entry.is_stream,
            status: entry.status,
            duration,
            first_byte: entry
                .first_byte_ms
                .map(|ms| Duration::from_millis(u64::from(ms))),
            overhead: duration.saturating_sub(self.waited),
            usage: entry.usage,
            cost: entry.cost_nano_usd,
            saved: entry.saved_nano_usd,
        });
    }

    fn write(&mut self) {
        if self.stage == Stage::Booked {
            return;
        }
        self.stage = Stage::Booked;
        let entry = &self.intent.0;
        if let Err(error) = self.books.spool.done(entry) {
            // The intent is in the spool already: the call will be booked as estimated, not lost.
            tracing::error!(error = %error, exchange.id = %entry.request_id, "the entry could not be spooled");
        }
        self.count();
        let answered = Actual {
            requests: 1,
            input: if self.is_told { 0 } else { entry.usage.input.0 },
            output: entry.usage.output.0,
            cost_nano_usd: self.price.of(&entry.usage).0,
            list_nano_usd: self.list.of(&entry.usage).0,
        };
        let actual = answered.after(self.last_failed);
        if let Some(hold) = self.hold.take() {
            self.books.ledger.settle(hold, actual);
        }
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        match self.stage {
            Stage::Admitted => self.cancel(),
            Stage::Begun => {
                let tally = Tally {
                    usage: self.expected,
                    is_estimated: true,
                    ..Tally::default()
                };
                let _receipt = self.finish(Finish::ClientGone, 499, &tally);
            }
            Stage::Booked => {}
        }
    }
}

/// How an attempt failed, as it will stand in the entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailedAttempt {
    pub(super) outcome: &'static str,
    pub(super) status: Option<u16>,
    pub(super) ms: u32,
    /// The provider may have read the request and bill it.
    pub(super) may_be_billed: bool,
}

/// Returns what an offer's tokens cost: a free offer's cost nothing, whatever its list price.
pub(super) fn price_of(offer: &Offer) -> Price {
    match offer.tier {
        Tier::Free => Price::default(),
        Tier::Paid => offer.price.unwrap_or_default(),
    }
}

/// Returns the most that a limit of money holds for a candidate.
fn held(candidate: &Candidate, limits: &[Limit]) -> NanoUsd {
    let holds = limits.iter().filter(|limit| limit.meter == Meter::NanoUsd);
    let most = holds.map(|limit| match limit.enforcement {
        Enforcement::Hard => candidate.bound_cost,
        Enforcement::Soft => candidate.expected_cost,
    });
    most.max().unwrap_or(NanoUsd::ZERO)
}

fn failed_cost(attempts: &[AttemptRecord]) -> NanoUsd {
    attempts.iter().map(|attempt| attempt.cost_nano_usd).sum()
}
