//! The caller's side of an exchange: watched while we wait, kept alive while a provider thinks, written to once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use pingora::protocols::http::ServerSession;
use tokio::time::{Instant, sleep_until};

use super::{
    answer,
    drain::{Drain, Phase},
    head::{self, Head},
};
use crate::{
    base::Moment,
    catalog::{Offer, Tier},
    quota::{Limit, Remark, Standing},
};

/// Why nothing more can be said to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The caller left.
    Left,
    /// This gateway is going away and the time for streams is up.
    Cut,
}

/// What the answer's head says of how it came about.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) offer: Arc<Offer>,
    pub(super) attempts: usize,
    pub(super) route: &'static str,
}

impl Story {
    fn tell(&self, head: &mut Head) {
        let tier = match self.offer.tier {
            Tier::Free => "free",
            Tier::Paid => "paid",
        };
        let attempts = u64::try_from(self.attempts).unwrap_or(u64::MAX);
        head.text(&head::PROVIDER, &self.offer.provider.name)
            .text(&head::MODEL, &self.offer.model.name)
            .word(&head::TIER, tier)
            .number(&head::ATTEMPTS, attempts)
            .word(&head::ROUTE, self.route);
    }
}

/// The caller of one exchange.
pub(super) struct Downstream<'a> {
    session: &'a mut ServerSession,
    drain: &'a Drain,
    request_id: &'a str,
    client_request_id: Option<&'a str>,
    limits: &'a [Limit],
    standings: Vec<Standing>,
    remark: Option<Remark>,
    is_stream: bool,
    /// When the call began, for a caller whose dialect tells the time.
    anthropic_at: Option<Moment>,
    comment_after: Duration,
    silent_since: Instant,
    waited: Duration,
    is_head_sent: bool,
    pub(super) story: Option<Story>,
}

/// How a caller is told that it was not simply within its limits.
const fn word_of(remark: Remark) -> &'static str {
    match remark {
        Remark::Shadowed => "shadow",
        Remark::Degraded => "degraded",
        Remark::Unenforced => "off",
    }
}

/// What is said while a provider is silent, so that no balancer cuts the line.
const COMMENT: &[u8] = b": keep-alive\n\n";

impl<'a> Downstream<'a> {
    pub(super) fn new(
        session: &'a mut ServerSession,
        drain: &'a Drain,
        ids: (&'a str, Option<&'a str>),
        (limits, standings, remark): (&'a [Limit], Vec<Standing>, Option<Remark>),
        is_stream: bool,
        anthropic_at: Option<Moment>,
        comment_after: Duration,
    ) -> Self {
        Self {
            session,
            drain,
            request_id: ids.0,
            client_request_id: ids.1,
            limits,
            standings,
            remark,
            is_stream,
            anthropic_at,
            comment_after,
            silent_since: Instant::now(),
            waited: Duration::ZERO,
            is_head_sent: false,
            story: None,
        }
    }

    /// Runs `work` until `ends` while watching the caller; a stream that is silent for long is given a comment.
    /// Nothing is returned when the time was up first.
    pub(super) async fn watched<T>(
        &mut self,
        ends: Instant,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, Gone> {
        tokio::pin!(work);
        let began = Instant::now();
        let drain = self.drain;
        loop {
            let comment_at = self
                .is_stream
                .then(|| self.silent_since + self.comment_after);
            // One alarm for both: each costs a look at the clock and a place in the timer's wheel.
            let alarm = comment_at.map_or(ends, |comment_at| comment_at.min(ends));
            tokio::select! {
                biased;
                done = &mut work => {
                    self.waited += began.elapsed();
                    return Ok(Some(done));
                }
                _ = self.session.read_body_or_idle(true) => return Err(Gone::Left),
                () = sleep_until(alarm) => {}
                () = drain.reached(Phase::Cutting) => return Err(Gone::Cut),
            }
            if alarm == ends {
                return Ok(None);
            }
            self.comment().await?;
        }
    }

    /// Returns what was left of each limit when the call was let in.
    pub(super) fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// Returns how long providers kept us waiting.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    async fn comment(&mut self) -> Result<(), Gone> {
        self.open_stream(None).await?;
        self.write(Bytes::from_static(COMMENT)).await
    }

    /// Sends the head of a stream, unless it is out already.
    pub(super) async fn open_stream(&mut self, kind: Option<&HeaderValue>) -> Result<(), Gone> {
        if self.is_head_sent {
            return Ok(());
        }
        let mut head = self.head();
        let event_stream = HeaderValue::from_static("text/event-stream; charset=utf-8");
        let kind = kind.cloned().unwrap_or(event_stream);
        head.set(&header::CONTENT_TYPE, kind)
            .word(&header::CACHE_CONTROL, "no-cache")
            .word(&head::ACCEL_BUFFERING, "no");
        answer::frame_as_stream(self.session, &mut head);
        self.is_head_sent = true;
        let head = Box::new(head.answer(StatusCode::OK));
        let sent = self.session.write_response_header(head).await;
        self.heard(sent)
    }

    /// Says whether the stream's head is out: what follows must be events.
    pub(super) fn is_open(&self) -> bool {
        self.is_head_sent
    }

    /// A write that failed may have been half done: nothing else may be said on this connection.
    fn heard<T>(&mut self, written: pingora::Result<T>) -> Result<T, Gone> {
        written.map_err(|_| {
            self.session.set_keepalive(None);
            Gone::Left
        })
    }

    /// Writes a piece of a stream; it is on the caller's socket when this returns.
    pub(super) async fn write(&mut self, piece: Bytes) -> Result<(), Gone> {
        let written = self.session.write_response_body(piece, false).await;
        self.heard(written)?;
        self.silent_since = Instant::now();
        Ok(())
    }

    /// Ends a stream.
    pub(super) async fn end(&mut self) -> Result<(), Gone> {
        let written = self.session.write_response_body(Bytes::new(), true).await;
        self.heard(written)
    }

    /// Answers with a whole reply; `finish` adds to its head.
    pub(super) async fn reply(
        &mut self,
        status: StatusCode,
        finish: impl FnOnce(&mut Head),
        body: Bytes,
    ) -> Result<(), Gone> {
        let mut head = self.head();
        finish(&mut head);
        self.is_head_sent = true;
        let written = answer::write(self.session, status, head, body).await;
        self.heard(written)
    }

    /// Begins a head with what every answer of a call carries.
    fn head(&self) -> Head {
        let mut head = answer::head(self.request_id, self.client_request_id);
        if let Some(story) = &self.story {
            story.tell(&mut head);
        }
        if self.anthropic_at.is_some() {
            head.text(&head::ANTHROPIC_REQUEST_ID, self.request_id);
        }
        let at = self.anthropic_at;
        answer::insert_limits(&mut head, self.limits, &self.standings, at);
        if let Some(remark) = self.remark {
            head.word(&head::QUOTA, word_of(remark));
        }
        head
    }
}
