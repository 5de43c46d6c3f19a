//! The caller's side of an exchange: watched while we wait, kept alive while a provider thinks, written to once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use pingora::{http::ResponseHeader, protocols::http::ServerSession};
use tokio::time::{Instant, sleep_until};

use super::{
    answer,
    drain::{Drain, Phase},
};
use crate::{
    base::Moment,
    quota::{Limit, Standing},
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
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) tier: &'static str,
    pub(super) attempts: usize,
    pub(super) route: &'static str,
}

/// The caller of one exchange.
pub(super) struct Downstream<'a> {
    session: &'a mut ServerSession,
    drain: Arc<Drain>,
    request_id: &'a str,
    client_request_id: Option<&'a str>,
    limits: &'a [Limit],
    standings: Vec<Standing>,
    is_stream: bool,
    /// When the call began, for a caller whose dialect tells the time.
    anthropic_at: Option<Moment>,
    comment_after: Duration,
    silent_since: Instant,
    waited: Duration,
    is_head_sent: bool,
    pub(super) story: Story,
}

/// What is said while a provider is silent, so that no balancer cuts the line.
const COMMENT: &[u8] = b": keep-alive\n\n";

impl<'a> Downstream<'a> {
    pub(super) fn new(
        session: &'a mut ServerSession,
        drain: &Arc<Drain>,
        ids: (&'a str, Option<&'a str>),
        standings: (&'a [Limit], Vec<Standing>),
        is_stream: bool,
        anthropic_at: Option<Moment>,
        comment_after: Duration,
    ) -> Self {
        Self {
            session,
            drain: Arc::clone(drain),
            request_id: ids.0,
            client_request_id: ids.1,
            limits: standings.0,
            standings: standings.1,
            is_stream,
            anthropic_at,
            comment_after,
            silent_since: Instant::now(),
            waited: Duration::ZERO,
            is_head_sent: false,
            story: Story::default(),
        }
    }

    /// Runs `work` while watching the caller; a stream that is silent for long is given a comment.
    pub(super) async fn watched<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Gone> {
        tokio::pin!(work);
        let began = Instant::now();
        loop {
            let comment_at = self.silent_since + self.comment_after;
            let drain = Arc::clone(&self.drain);
            tokio::select! {
                biased;
                done = &mut work => {
                    self.waited += began.elapsed();
                    return Ok(done);
                }
                _ = self.session.read_body_or_idle(true) => return Err(Gone::Left),
                () = sleep_until(comment_at), if self.is_stream => {}
                () = drain.reached(Phase::Cutting) => return Err(Gone::Cut),
            }
            self.comment().await?;
        }
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
        let mut head = self.head(StatusCode::OK).ok_or(Gone::Left)?;
        let event_stream = HeaderValue::from_static("text/event-stream; charset=utf-8");
        let kind = kind.cloned().unwrap_or(event_stream);
        let written = head
            .insert_header(header::CONTENT_TYPE, kind)
            .and_then(|()| head.insert_header(header::CACHE_CONTROL, "no-cache"))
            .and_then(|()| head.insert_header("x-accel-buffering", "no"));
        if written.is_err() {
            return Err(Gone::Left);
        }
        answer::frame_as_stream(self.session, &mut head);
        self.is_head_sent = true;
        let sent = self.session.write_response_header(Box::new(head)).await;
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

    /// Answers with a whole reply.
    pub(super) async fn reply(
        &mut self,
        status: StatusCode,
        extra: &[(&'static str, HeaderValue)],
        body: Bytes,
    ) -> Result<(), Gone> {
        let mut head = self.head(status).ok_or(Gone::Left)?;
        for (name, value) in extra {
            head.insert_header(*name, value.clone())
                .map_err(|_| Gone::Left)?;
        }
        self.is_head_sent = true;
        let written = answer::write(self.session, head, body).await;
        self.heard(written)
    }

    /// Begins a head with what every answer of a call carries.
    fn head(&self, status: StatusCode) -> Option<ResponseHeader> {
        let mut head = answer::head(status, self.request_id, self.client_request_id)?;
        let story = &self.story;
        head.insert_header("x-synaxis-provider", story.provider.as_str())
            .ok()?;
        head.insert_header("x-synaxis-model", story.model.as_str())
            .ok()?;
        head.insert_header("x-synaxis-tier", story.tier).ok()?;
        head.insert_header("x-synaxis-attempts", story.attempts)
            .ok()?;
        head.insert_header("x-synaxis-route", story.route).ok()?;
        if self.anthropic_at.is_some() {
            head.insert_header("request-id", self.request_id).ok()?;
        }
        let at = self.anthropic_at;
        answer::insert_limits(&mut head, self.limits, &self.standings, at)?;
        Some(head)
    }
}
