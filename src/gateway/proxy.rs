//! Pingora's phases, each one call to a step. No decisions.

use async_trait::async_trait;
use bytes::Bytes;
use pingora::{
    Error, ErrorSource, ErrorType, Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
    proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session},
    upstreams::peer::HttpPeer,
};

use super::{
    Gateway, answer,
    call::{self, Then},
    drain::Phase,
    exchange::{Exchange, millis_since},
    refuse::Refusal,
    upstream::Failure,
    verdict,
};

/// Slower than this a caller is not reading.
const MIN_SEND_RATE: usize = 1_024;

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::begin(&self.clock)
    }

    /// No module of Pingora's touches an answer: it is passed on untouched.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Some(connection) = &exchange.connection {
            connection.head_is_read();
        }
        exchange.under_way = Some(self.drain.enter());
        let is_serving = self.drain.phase() == Phase::Serving;
        session.set_keepalive(is_serving.then_some(self.settings.keepalive_s));
        session.set_min_send_rate(Some(MIN_SEND_RATE));
        session.set_pipelining_enabled(true);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let session = &mut session.downstream_session;
        match call::serve(self, session, exchange).await {
            Ok(then) => Ok(then == Then::Done),
            Err(refusal) => {
                call::refuse(self, session, exchange, &refusal).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        let call = exchange
            .raw
            .as_ref()
            .ok_or_else(|| Error::new(ErrorType::InternalError))?;
        Ok(Box::new(call.peer()))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        head: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let rewritten = exchange
            .raw
            .as_ref()
            .and_then(|call| call.rewrite(head, &exchange.id_text));
        rewritten.ok_or_else(|| Error::new(ErrorType::InternalError))
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _is_end: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Some(call) = &mut exchange.raw {
            let passed = call.rewrite_body(body);
            return passed.ok_or_else(|| Error::new(ErrorType::HTTPStatus(400)));
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Some(call) = &mut exchange.raw {
            call.answered(self, head, millis_since(exchange.started));
        }
        for name in ["set-cookie", "server", "openai-organization"] {
            head.remove_header(name);
        }
        head.insert_header("x-request-id", exchange.id_text.as_str())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        is_end: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<std::time::Duration>> {
        if let Some(call) = &mut exchange.raw {
            call.meter(body.as_ref(), is_end);
        }
        Ok(None)
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        if let Some(call) = &mut exchange.raw {
            call.finish(error.is_some_and(|error| *error.esource() == ErrorSource::Upstream));
        }
        self.log(session, exchange);
    }

    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Exchange,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        session.set_keepalive(None);
        let broken_off = exchange.raw.as_ref().and_then(|call| call.refusal());
        let refusal = match error.esource() {
            _ if broken_off.is_some() => broken_off.cloned().unwrap_or(Refusal::BodyCut),
            ErrorSource::Upstream => {
                let failure = failure_of(error);
                if let Some(call) = &exchange.raw {
                    call.teach(self, &failure);
                }
                verdict::refusal(&failure, "")
            }
            ErrorSource::Downstream => Refusal::CallerGone,
            ErrorSource::Internal | ErrorSource::Unset => Refusal::UpstreamFailed {
                message: "the exchange failed".to_owned(),
            },
        };
        let status = refusal.answer().status.as_u16();
        let is_answered = session.response_written().is_some();
        if !is_answered && !matches!(refusal, Refusal::CallerGone) {
            self.metrics.refused(refusal.answer().code);
            let session = &mut session.downstream_session;
            let _caller_left = answer::refuse(session, exchange, &refusal).await;
        }
        FailToProxy {
            error_code: status,
            can_reuse_downstream: false,
        }
    }
}

/// Returns what an error of Pingora's own upstream side means.
fn failure_of(error: &Error) -> Failure {
    match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::Timeout,
        ErrorType::ConnectTimedout
        | ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::TLSHandshakeFailure
        | ErrorType::TLSHandshakeTimedout => Failure::Connect,
        _ => Failure::Broken,
    }
}

impl Gateway {
    /// One line per exchange, without content or secrets.
    fn log(&self, session: &Session, exchange: &Exchange) {
        let status = session
            .response_written()
            .map_or(499, |head| head.status.as_u16());
        tracing::info!(
            exchange.id = exchange.id_text,
            status,
            ms = exchange.elapsed_ms(),
            path = session.req_header().uri.path(),
            "exchange over"
        );
    }
}
