//! Admission and plan to bytes: attempt after attempt until one speaks, and never a switch after its first word.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use tokio::time::Instant;

use super::{
    Gateway,
    downstream::{Downstream, Gone, Story},
    exchange::millis_since,
    head::{self, Head},
    learn::{Lesson, Lessons},
    meter::{self, Reply, Tally},
    refuse::Refusal,
    settle::{Booking, FailedAttempt, Receipt},
    upstream::{Failure, Outgoing, Upstream},
    verdict,
};
use crate::{
    base::{Moment, OrganizationId},
    catalog::{AllowanceMeter, Offer, Provider},
    dialect::{self, Ask, Changes, Endpoint, allowance_headers::Learned},
    quota::{Bid, Limit},
    routing::{Candidate, Plan},
    snapshot::Size,
    usage::Finish,
};

/// One admitted call, ready to go.
pub(super) struct Call<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) downstream: Downstream<'a>,
    pub(super) booking: Booking,
    pub(super) plan: Plan,
    pub(super) bids: Vec<Bid>,
    /// Which candidate is tried, and so whose bid is held.
    pub(super) at: usize,
    pub(super) limits: &'a [Limit],
    /// The limits of the grant, those of providers' keys among them.
    pub(super) all_limits: &'a [Limit],
    pub(super) organization: OrganizationId,
    pub(super) endpoint: Endpoint,
    /// What stands behind `/v1/`, query included.
    pub(super) path: &'a str,
    /// What of the caller's headers is a provider's business.
    pub(super) forwarded: &'a HeaderMap,
    pub(super) request_id: &'a str,
    pub(super) ask: Ask,
    pub(super) body: Bytes,
    pub(super) size: Size,
    pub(super) started: Instant,
    pub(super) default_output: u64,
}

/// How an attempt ended that did not deliver an answer.
pub(super) enum End {
    /// Nothing was said to the caller yet: another offer may try.
    Failed(Failure),
    /// The caller left, or we must.
    Gone(Gone),
    /// The answer broke off after its first word: the caller was told, the call is booked.
    Told,
    /// We refuse ourselves.
    Refused(Refusal),
}

impl From<Gone> for End {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

impl Call<'_> {
    /// Brings the call to its end; what is returned as a refusal was not said to the caller yet.
    pub(super) async fn run(mut self, first: usize) -> Result<(), Refusal> {
        let mut at = first;
        let mut tried = 0;
        loop {
            tried += 1;
            let Some(candidate) = self.plan.candidates.get(at).cloned() else {
                return Err(Refusal::QuotaUnavailable);
            };
            self.at = at;
            let began = Instant::now();
            let failure = match self.attempt(&candidate, tried).await {
                Ok(()) => return Ok(()),
                Err(End::Failed(failure)) => failure,
                Err(End::Gone(gone)) => return self.leave(&candidate, gone, began),
                Err(End::Told) => return Ok(()),
                Err(End::Refused(refusal)) => return self.refused(refusal),
            };
            self.note(&candidate, &failure, millis_since(began));
            // Boxed: seldom needed, and large.
            let Some(next) = Box::pin(self.next(at, tried, &failure)).await else {
                return self.spent(&failure);
            };
            at = next;
        }
    }

    /// Tries one offer.
    async fn attempt(&mut self, candidate: &Candidate, tried: usize) -> Result<(), End> {
        self.downstream.story = Some(story(candidate, tried));
        self.booking
            .begin(candidate, self.limits)
            .map_err(End::Refused)?;
        let offer = &candidate.offer;
        let changes = Changes {
            model: &offer.upstream_name,
            include_usage: self.ask.is_stream && offer.provider.quirks.inject_usage,
            output_limit: self.output_limit(offer),
            quirks: &offer.provider.quirks,
        };
        let pieces = dialect::splice(&self.body, &self.ask, &changes);
        let outgoing = Outgoing {
            method: Method::POST,
            path: self.path,
            forwarded: self.forwarded,
            request_id: self.request_id,
            is_stream: self.ask.is_stream,
            pieces: &pieces,
            now: self.gateway.clock.now(),
        };
        let gateway = self.gateway;
        let credential = candidate.credential.as_deref();
        let began = Instant::now();
        let call = Upstream::call(
            &gateway.pool,
            &gateway.egress,
            &offer.provider,
            credential,
            &outgoing,
        );
        let ends = self.ends(&offer.provider);
        let upstream = self
            .downstream
            .watched(ends, Box::pin(call))
            .await?
            .unwrap_or(Err(Failure::Timeout))
            .map_err(End::Failed)?;
        self.hear(candidate, &upstream, outgoing.now);
        if self.ask.is_stream && is_event_stream(upstream.headers()) {
            // Streams live long: what a whole reply needs room for is not kept beside them.
            Box::pin(self.relay(candidate, upstream, began)).await
        } else {
            Box::pin(self.deliver(candidate, upstream, began)).await
        }
    }

    /// Leaves what a good answer's headers say of allowances to whom it concerns.
    fn hear(&self, candidate: &Candidate, upstream: &Upstream, at: Moment) {
        let offer = &candidate.offer;
        if Lessons::want(offer) {
            self.gateway.lessons.leave(Lesson {
                offer: Arc::clone(offer),
                credential: candidate.credential.as_ref().map(|key| key.id),
                told: upstream.told(&offer.provider.quirks.header_family, at),
                fault: None,
                at,
            });
        }
    }

    /// A whole reply: read to its end, judged, answered with what it cost.
    async fn deliver(
        &mut self,
        candidate: &Candidate,
        mut upstream: Box<Upstream>,
        began: Instant,
    ) -> Result<(), End> {
        let ends = self.ends(&candidate.offer.provider);
        let body = self
            .downstream
            .watched(ends, upstream.whole())
            .await?
            .unwrap_or(Err(Failure::Timeout))
            .map_err(End::Failed)?;
        let first_byte_ms = millis_since(self.started);
        let kind = content_type(&upstream);
        let status = upstream.status();
        upstream.release(&self.gateway.pool).await;
        let is_json = kind
            .as_ref()
            .is_none_or(|kind| kind.as_bytes().starts_with(b"application/json"));
        let spoken = candidate.offer.provider.dialect;
        let expected = self.size.input_expected;
        let (reply, mut tally) = meter::read(spoken, self.endpoint, is_json, &body, expected);
        match reply {
            // An open stream takes events, and this is none.
            Reply::Answer if self.downstream.is_open() => {
                return Err(End::Failed(Failure::Garbage));
            }
            Reply::Answer => {}
            Reply::Error(error) => return Err(End::Failed(Failure::from(&error))),
            Reply::Garbage => return Err(End::Failed(Failure::Garbage)),
        }
        tally.first_byte_ms = Some(first_byte_ms);
        self.answered(candidate, first_byte_ms, status.as_u16(), began);
        self.booking.waited(self.downstream.waited());
        let receipt = self
            .booking
            .finish(Finish::Complete, status.as_u16(), &tally);
        let kind = kind.unwrap_or(HeaderValue::from_static("application/json"));
        // A caller who leaves now has an answer booked that it did not wait for: the provider has done its work.
        let _gone = self
            .downstream
            .reply(status, |head| tell_price(head, kind, receipt), body)
            .await;
        Ok(())
    }

    /// Notes that `candidate` spoke.
    pub(super) fn answered(
        &mut self,
        candidate: &Candidate,
        first_byte_ms: u32,
        status: u16,
        began: Instant,
    ) {
        let gateway = self.gateway;
        let credential = candidate
            .credential
            .as_ref()
            .map(|credential| credential.id);
        let offer = &candidate.offer;
        gateway
            .health
            .succeeded(offer.id, credential, first_byte_ms, gateway.clock.now());
        gateway.metrics.attempted("ok");
        self.booking
            .attempt_answered(candidate, "ok", Some(status), millis_since(began));
    }

    /// Notes why an attempt failed: for the entry, for the metrics, for everybody who would try next.
    fn note(&mut self, candidate: &Candidate, failure: &Failure, ms: u32) {
        let outcome = failure.outcome();
        self.gateway.metrics.attempted(outcome);
        verdict::teach(
            &self.gateway.health,
            candidate,
            failure,
            self.gateway.clock.now(),
        );
        if let Failure::Status {
            status: 429,
            fault,
            told,
        } = failure
        {
            self.gateway.lessons.leave(Lesson {
                offer: Arc::clone(&candidate.offer),
                credential: candidate.credential.as_ref().map(|key| key.id),
                told: Learned::clone(told),
                fault: Some(fault.clone()),
                at: self.gateway.clock.now(),
            });
        }
        let failed = FailedAttempt {
            outcome,
            status: failure.status(),
            ms,
            may_be_billed: failure.may_be_billed(),
        };
        self.booking.attempt_failed(&candidate.offer, failed);
        tracing::info!(
            exchange.id = self.request_id,
            provider = candidate.offer.provider.name,
            outcome,
            "an attempt failed"
        );
    }

    /// Returns the candidate to try next, with the hold moved to it.
    async fn next(&mut self, at: usize, tried: usize, failure: &Failure) -> Option<usize> {
        if self.plan.max_attempts <= tried || !verdict::may_move_on(failure, self.ask.is_stream) {
            return None;
        }
        let failed = self.plan.candidates.get(at)?;
        let now = Instant::now();
        let places: Vec<usize> = (at + 1..self.plan.candidates.len())
            .filter(|place| {
                self.plan.candidates.get(*place).is_some_and(|other| {
                    verdict::may_follow(failed, failure, other)
                        && now < self.ends(&other.offer.provider)
                })
            })
            .collect();
        let bids: Vec<Bid> = places
            .iter()
            .filter_map(|place| self.bids.get(*place).cloned())
            .collect();
        if bids.is_empty() {
            return None;
        }
        match self
            .booking
            .move_on(self.limits, &bids, self.gateway.clock.now())
            .await
        {
            Ok(bid) => {
                self.gateway.metrics.fell_back(failure.outcome());
                places.get(bid).copied()
            }
            Err(refusal) => {
                tracing::debug!(error = %refusal, "no further attempt fits the limits");
                None
            }
        }
    }

    /// Returns when the whole call must be over, whoever answers it.
    pub(super) fn ends(&self, provider: &Provider) -> Instant {
        self.started + Duration::from_millis(provider.deadlines.total_ms)
    }

    /// Ends a call whose plan is spent.
    fn spent(&mut self, failure: &Failure) -> Result<(), Refusal> {
        let refusal = verdict::refusal(failure, &self.ask.model);
        let finish = match refusal {
            Refusal::RefusedUpstream { .. } => Finish::RefusedUpstream,
            _ => Finish::Failed,
        };
        self.booking
            .give_up(finish, refusal.answer().status.as_u16());
        Err(refusal)
    }

    fn refused(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        self.booking
            .give_up(Finish::Failed, refusal.answer().status.as_u16());
        Err(refusal)
    }

    /// Ends a call whose caller left before the first word, or that a drain cuts before one.
    fn leave(&mut self, candidate: &Candidate, gone: Gone, began: Instant) -> Result<(), Refusal> {
        let (refusal, outcome) = match gone {
            Gone::Left => (Refusal::CallerGone, "client_gone"),
            Gone::Cut => (Refusal::Draining, "cut_by_drain"),
        };
        self.booking
            .attempt_answered(candidate, outcome, None, millis_since(began));
        let usage = Tally::of(None, self.size.input_expected, 0);
        self.booking
            .finish(Finish::ClientGone, refusal.answer().status.as_u16(), &usage);
        Err(refusal)
    }

    /// Returns the output limit that must stand in the body so that what was held is enough.
    fn output_limit(&self, offer: &Offer) -> Option<u64> {
        let counts_tokens = offer
            .allowances
            .iter()
            .any(|allowance| allowance.meter != AllowanceMeter::Requests);
        let is_unsaid = self.ask.requested_output.is_none() && self.endpoint.writes();
        self.size
            .injected_output
            .or_else(|| (counts_tokens && is_unsaid).then_some(self.default_output))
    }
}

fn story(candidate: &Candidate, tried: usize) -> Story {
    Story {
        offer: Arc::clone(&candidate.offer),
        attempts: tried,
        route: candidate.told(1 < tried),
    }
}

fn is_event_stream(headers: Option<&HeaderMap>) -> bool {
    let kind = headers.and_then(|headers| headers.get(header::CONTENT_TYPE));
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

pub(super) fn content_type(upstream: &Upstream) -> Option<HeaderValue> {
    upstream
        .headers()
        .and_then(|headers| headers.get(header::CONTENT_TYPE))
        .cloned()
}

/// What a whole reply says of its price.
fn tell_price(head: &mut Head, kind: HeaderValue, receipt: Receipt) {
    head.set(&header::CONTENT_TYPE, kind)
        .text(&head::COST, &receipt.cost.to_string())
        .text(&head::SAVED, &receipt.saved.to_string());
}
