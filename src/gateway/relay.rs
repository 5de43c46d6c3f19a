//! A streamed answer: held back until its first content, then passed on as it comes, and ended so that the
//! caller can tell a whole answer from a cut one.

use std::{pin::pin, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::poll;
use tokio::time::{Instant, timeout};

use super::{
    admit::Underway,
    downstream::Gone,
    exchange::millis_since,
    forward::{Call, End, content_type},
    meter::Tally,
    pool::Pool,
    refuse::Refusal,
    upstream::{Failure, Upstream},
    verdict,
};
use crate::{
    base::{Tokens, Usage},
    dialect::{StreamError, StreamReader},
    routing::Candidate,
    usage::Finish,
};

/// How much of an answer is kept back while nothing of it is content; an honest preamble is a few lines.
const MAX_PREAMBLE: usize = 1024 * 1024;

/// How much of a stream is joined into one write when a provider is faster than we are.
const JOINED_WRITE: usize = 16 * 1024;

/// How long an answer's end is waited for after its last word, to keep the connection.
const LAST_BYTES: Duration = Duration::from_millis(50);

/// A stream on its way through.
struct Relay {
    upstream: Box<Upstream>,
    reader: StreamReader,
    /// What is ready to be passed on.
    out: Vec<Bytes>,
    first_byte_ms: Option<u32>,
    ends: Instant,
}

/// Whether a stream goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    More,
    Over,
}

impl Call<'_> {
    /// Passes a stream on; before its first content any failure is another offer's chance.
    pub(super) async fn relay(
        &mut self,
        candidate: &Candidate,
        upstream: Box<Upstream>,
        began: Instant,
    ) -> Result<(), End> {
        let provider = &candidate.offer.provider;
        let strips_usage = !self.ask.wants_usage && provider.quirks.inject_usage;
        let mut relay = Relay {
            upstream,
            reader: StreamReader::new(provider.dialect, self.endpoint, strips_usage),
            out: Vec::new(),
            first_byte_ms: None,
            ends: self.ends(provider),
        };
        let ended = loop {
            match self.step(&mut relay).await {
                Ok(Step::More) => {}
                Ok(Step::Over) => break Ok(()),
                Err(end) => break Err(end),
            }
        };
        if relay.first_byte_ms.is_none() {
            relay.upstream.abort().await;
            return ended;
        }
        self.close(candidate, relay, ended, began).await
    }

    /// Takes one piece of the stream as far as it goes.
    async fn step(&mut self, relay: &mut Relay) -> Result<Step, End> {
        let piece = self.next_piece(relay).await?;
        let is_end = piece.is_none();
        match piece {
            Some(piece) => relay.reader.feed(piece, &mut relay.out),
            None => relay.reader.finish(&mut relay.out),
        }
        if relay.first_byte_ms.is_none() {
            if !relay.has_begun(is_end).map_err(End::Failed)? {
                return Ok(Step::More);
            }
            relay.first_byte_ms = Some(millis_since(self.started));
            self.downstream
                .open_stream(content_type(&relay.upstream).as_ref())
                .await?;
            self.give_back_input(relay.reader.seen().usage);
        }
        let seen = relay.reader.seen();
        let is_over = is_end || seen.is_done || seen.error.is_some();
        if is_over || JOINED_WRITE <= relay.held() {
            self.pass_on(&mut relay.out).await?;
        }
        Ok(if is_over { Step::Over } else { Step::More })
    }

    /// Gives back what was held for more input than a provider says at its stream's start that it read.
    fn give_back_input(&self, told: Option<Usage>) {
        let told = told.filter(|told| told.input != Tokens(0));
        let place = (self.plan.candidates.get(self.at), self.bids.get(self.at));
        let (Some(told), (Some(candidate), Some(held))) = (told, place) else {
            return;
        };
        let underway = Underway {
            candidate,
            limits: self.limits,
            all: self.all_limits,
            organization: self.organization,
            standings: self.downstream.standings(),
            held,
            size: &self.size,
        };
        if let Some(needed) = underway.after_reading(&told) {
            self.booking.refund(self.limits, needed);
        }
    }

    /// Returns the next piece; what is ready is passed on before anything is waited for.
    async fn next_piece(&mut self, relay: &mut Relay) -> Result<Option<Bytes>, End> {
        let left = relay.ends.saturating_duration_since(Instant::now());
        let is_open = relay.first_byte_ms.is_some();
        let mut next = pin!(relay.upstream.next(left));
        let at_once = poll!(next.as_mut());
        if let Poll::Ready(Ok(piece)) = at_once {
            return Ok(piece);
        }
        if is_open {
            self.pass_on(&mut relay.out).await?;
        }
        let next = match at_once {
            Poll::Ready(failed) => failed,
            Poll::Pending => {
                let next = self.downstream.watched(relay.ends, next).await?;
                next.unwrap_or(Err(Failure::Timeout))
            }
        };
        next.map_err(End::Failed)
    }

    /// Writes what is ready.
    async fn pass_on(&mut self, out: &mut Vec<Bytes>) -> Result<(), Gone> {
        match joined(out) {
            Some(ready) => self.downstream.write(ready).await,
            None => Ok(()),
        }
    }

    /// Ends a stream whose first word the caller has seen, and books it.
    async fn close(
        &mut self,
        candidate: &Candidate,
        relay: Relay,
        ended: Result<(), End>,
        began: Instant,
    ) -> Result<(), End> {
        let seen = relay.reader.seen();
        let mut tally = Tally::of(seen.usage, self.size.input_expected, seen.output_bytes);
        tally.first_byte_ms = relay.first_byte_ms;
        // Some providers close after the last choice without their dialect's last word.
        self.booking.waited(self.downstream.waited());
        let is_said = seen.is_done || seen.has_finish;
        let is_whole = ended.is_ok() && is_said && seen.error.is_none();
        if is_whole {
            let first_byte_ms = relay.first_byte_ms.unwrap_or_default();
            self.answered(candidate, first_byte_ms, 200, began);
            self.booking.finish(Finish::Complete, 200, &tally);
            let _gone = self.downstream.end().await;
            relay.keep(&self.gateway.pool).await;
            return Ok(());
        }
        let (error, was_told) = (seen.error.clone(), seen.error.is_some() && seen.is_done);
        let is_mid_frame = relay.reader.is_mid_frame();
        relay.upstream.abort().await;
        let (outcome, finish, status, refusal) = match ended {
            Err(End::Gone(Gone::Left)) => ("client_gone", Finish::ClientGone, 499, None),
            Err(End::Gone(Gone::Cut)) => {
                let refusal = Some(Refusal::Draining);
                ("cut_by_drain", Finish::UpstreamCut, 200, refusal)
            }
            Ok(()) | Err(End::Failed(_) | End::Refused(_) | End::Told) => {
                let refusal = self.broke_off(candidate, error.as_ref());
                let refusal = (!was_told).then_some(refusal);
                ("broken_stream", Finish::UpstreamCut, 200, refusal)
            }
        };
        self.booking
            .attempt_answered(candidate, outcome, Some(200), millis_since(began));
        self.booking.finish(finish, status, &tally);
        if finish == Finish::ClientGone {
            return Err(End::Told);
        }
        if let Some(refusal) = refusal {
            self.tell(&refusal, is_mid_frame).await;
        }
        let _gone = self.downstream.end().await;
        Err(End::Told)
    }

    /// Notes that an answer broke off, by an error it brought or without a word; returns how the caller is told.
    fn broke_off(&self, candidate: &Candidate, error: Option<&StreamError>) -> Refusal {
        let gateway = self.gateway;
        gateway.metrics.attempted("broken_stream");
        let failure = error.map_or(Failure::Broken, Failure::from);
        verdict::teach(&gateway.health, candidate, &failure, gateway.clock.now());
        match error {
            Some(_) => verdict::refusal(&failure, &self.ask.model),
            None => Refusal::UpstreamFailed {
                message: "the stream broke off before its end".to_owned(),
            },
        }
    }

    /// Ends an open stream with an error event; the caller's parser must not take it for complete.
    async fn tell(&mut self, refusal: &Refusal, is_mid_frame: bool) {
        let mut event = refusal.event(self.endpoint, self.request_id);
        if is_mid_frame {
            // What is out of the frame that broke must not swallow the event.
            event.splice(..0, *b"\n\n");
        }
        let _gone = self.downstream.write(Bytes::from(event)).await;
    }
}

impl Relay {
    /// Says whether the caller should see the stream now; an error or an end before any content is a failure.
    fn has_begun(&self, is_end: bool) -> Result<bool, Failure> {
        let seen = self.reader.seen();
        if seen.has_content {
            return Ok(true);
        }
        if let Some(error) = &seen.error {
            return Err(Failure::from(error));
        }
        // A stream may properly end without a word: an empty answer.
        if seen.is_done || (is_end && seen.has_finish) {
            return Ok(true);
        }
        if is_end {
            return Err(Failure::Broken);
        }
        if MAX_PREAMBLE < self.held() {
            Err(Failure::Garbage)
        } else {
            Ok(false)
        }
    }

    /// Returns how many bytes are ready and not passed on.
    fn held(&self) -> usize {
        self.out.iter().map(Bytes::len).sum()
    }

    /// Reads the last bytes of a finished answer, so that its connection can serve again.
    async fn keep(mut self, pool: &Pool) {
        let rest = async { while let Ok(Some(_)) = self.upstream.next(LAST_BYTES).await {} };
        let _silent = timeout(LAST_BYTES, rest).await;
        self.upstream.release(pool).await;
    }
}

/// Joins what is ready into one write.
fn joined(out: &mut Vec<Bytes>) -> Option<Bytes> {
    match out.len() {
        0 => None,
        1 => out.pop().filter(|piece| !piece.is_empty()),
        _ => {
            let mut all = BytesMut::with_capacity(out.iter().map(Bytes::len).sum());
            out.drain(..)
                .for_each(|piece| all.extend_from_slice(&piece));
            Some(all.freeze()).filter(|all| !all.is_empty())
        }
    }
}
