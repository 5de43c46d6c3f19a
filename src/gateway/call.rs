//! The life of one request, step by step: framing, caller, body, plan, admission, answer, books.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use pingora::protocols::http::ServerSession;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::{
    Gateway,
    admit::{Admission, admit},
    answer,
    authenticate::{Caller, authenticate, true_address},
    body::{self, BodyBounds},
    downstream::Downstream,
    drain::Phase,
    exchange::Exchange,
    forward::Call,
    framing, head, local,
    metrics::EndedCall,
    once,
    path::{self, Target},
    raw,
    refuse::Refusal,
    route::route,
    settle::{Attribution, Booking},
    upstream,
};
use crate::{
    base::{NanoUsd, Usage},
    catalog::Dialect,
    dialect::{self, Ask},
    quota::{Habit, Limit},
    routing::Plan,
    snapshot::{Demand, Size},
};

/// What the phases do after the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing: the caller has its answer.
    Done,
    /// Pingora carries the exchange on: a WebSocket, or a body that streams through.
    PassThrough,
}

/// How much of a refused body is read away, and for how long.
const SWALLOWED: usize = 64 * 1024 * 1024;
const SWALLOW_TIME: Duration = Duration::from_secs(2);

/// How much of what a caller attaches for attribution is kept.
const MAX_ATTRIBUTION: usize = 2_048;

/// Answers a request, or refuses it.
pub(super) async fn serve(
    gateway: &Gateway,
    session: &mut ServerSession,
    exchange: &mut Exchange,
) -> Result<Then, Refusal> {
    framing::check(session)?;
    if gateway.drain.phase() == Phase::Cutting {
        return Err(Refusal::Draining);
    }
    let head = session.req_header();
    let target = Target::of(&head.method, head.uri.path(), &head.headers);
    exchange.endpoint = target.endpoint();
    exchange.client_request_id = client_request_id(&head.headers);
    let address = true_address(
        exchange.peer(),
        &head.headers,
        &gateway.settings.trusted_proxies,
    );
    let caller = authenticate(&head.headers, address, &gateway.keys, exchange.began).await?;
    if target.reaches_a_provider() && !caller.grant.is_scoped_for(exchange.endpoint.name()) {
        return Err(Refusal::ScopeDenied);
    }
    exchange.once = once::of(&head.headers, caller.grant.api_key_id);
    // Boxed, but for the usual one: a future is as large as its largest path, and each call moves it.
    match target {
        Target::Call(_) => model_call(gateway, session, exchange, &caller).await,
        Target::Raw => Box::pin(raw::open_body(gateway, session, exchange, &caller)).await,
        Target::Realtime => Box::pin(raw::open_socket(gateway, session, exchange, &caller)).await,
        Target::Models => Box::pin(local::models(gateway, session, exchange, &caller)).await,
        Target::Model(id) => Box::pin(local::model(gateway, session, exchange, &caller, &id)).await,
        Target::Key => Box::pin(local::key(gateway, session, exchange, &caller)).await,
        Target::Stored | Target::Unknown => Err(Refusal::UnknownPath),
    }
}

/// A model call that was read, planned and admitted.
struct Admitted<'a> {
    ask: Ask,
    body: Bytes,
    size: Size,
    plan: Plan,
    admission: Admission<'a>,
    /// Whose answers are remembered.
    habit: Option<Habit>,
}

async fn model_call(
    gateway: &Gateway,
    session: &mut ServerSession,
    exchange: &mut Exchange,
    caller: &Caller,
) -> Result<Then, Refusal> {
    let admitted = let_in(gateway, session, exchange, caller).await?;
    let Admitted {
        ask,
        body,
        size,
        plan,
        admission,
        habit,
    } = admitted;
    let head = session.req_header();
    let path = path_and_query(head.uri.path(), head.uri.query());
    let forwarded = upstream::forwarded(&head.headers);
    let attribution = attribution(&head.headers, &ask);
    let client_request_id = attribution.client_request_id.clone();
    let grant = &caller.grant;
    let expected = size.expected();
    let mut booking = Booking::open(
        &gateway.books,
        exchange,
        grant,
        attribution,
        admission.hold,
        &plan,
        expected,
    );
    booking.learns(habit, ask.choices);
    exchange.call = Some(gateway.metrics.enter());
    let is_anthropic = exchange.endpoint.dialect() == Dialect::Anthropic;
    let downstream = Downstream::new(
        session,
        &gateway.drain,
        (&exchange.id_text, client_request_id.as_deref()),
        (&admission.limits, admission.standings, admission.remark),
        ask.is_stream,
        is_anthropic.then_some(exchange.began),
        Duration::from_secs(gateway.settings.keepalive_comment_s),
    );
    let call = Call {
        gateway,
        downstream,
        booking,
        plan,
        bids: admission.bids,
        at: admission.candidate,
        limits: &admission.limits,
        all_limits: &grant.limits,
        organization: grant.organization_id,
        endpoint: exchange.endpoint,
        path: &path,
        forwarded: &forwarded,
        request_id: &exchange.id_text,
        ask,
        body,
        size,
        started: exchange.started,
        default_output: grant.default_max_output_tokens,
    };
    call.run(admission.candidate).await.map(|()| Then::Done)
}

/// Reads, plans and admits a model call.
async fn let_in<'a>(
    gateway: &Gateway,
    session: &mut ServerSession,
    exchange: &mut Exchange,
    caller: &'a Caller,
) -> Result<Admitted<'a>, Refusal> {
    let body = body::read(session, body_bounds(gateway, caller)).await?;
    let ask = dialect::read(exchange.endpoint, &body).map_err(Refusal::Fault)?;
    let now = exchange.began;
    let habit = habit(gateway, caller, &ask);
    let seen = habit.and_then(|habit| gateway.books.usual.output(habit));
    let size = Size::of(&ask, exchange.endpoint, &caller.grant, seen);
    let demand = Demand::of(&ask, exchange.endpoint);
    let view = gateway.view.load_full();
    let plan = route(
        &view,
        caller,
        &demand,
        &size,
        &gateway.health,
        (exchange.id, now),
    )?;
    let ledger = &gateway.books.ledger;
    let admission = admit(ledger, exchange, caller, &plan, &size).await;
    let admission = admission.map_err(|denied| exchange.denied(denied))?;
    Ok(Admitted {
        ask,
        body,
        size,
        plan,
        admission,
        habit,
    })
}

/// Returns whose answers are remembered, where a soft limit depends on how long they usually are.
fn habit(gateway: &Gateway, caller: &Caller, ask: &Ask) -> Option<Habit> {
    let grant = &caller.grant;
    let is_wanted = grant.limits.iter().any(Limit::expects_output);
    is_wanted.then(|| gateway.books.usual.habit(grant.api_key_id, &ask.model))
}

pub(super) fn body_bounds(gateway: &Gateway, caller: &Caller) -> BodyBounds {
    let settings = &gateway.settings;
    let own = caller.grant.body_limit_bytes.unwrap_or(u64::MAX);
    BodyBounds {
        bytes: own.min(settings.body_limit_bytes),
        time: Duration::from_secs(settings.body_deadline_s),
        bytes_per_second: settings.body_min_bytes_per_s,
    }
}

/// Returns what stands behind `/v1/`, query included.
pub(super) fn path_and_query(path: &str, query: Option<&str>) -> String {
    let path = path::bare(path).unwrap_or_default();
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// Returns the caller's own id for the call.
fn client_request_id(headers: &HeaderMap) -> Option<String> {
    text(headers, &head::CLIENT_REQUEST_ID).or_else(|| text(headers, &head::REQUEST_ID))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= MAX_ATTRIBUTION).then(|| value.to_owned())
}

/// Collects what the caller attached for attribution, within bounds.
pub(super) fn attribution(headers: &HeaderMap, ask: &Ask) -> Attribution {
    let mut tags = Map::new();
    if let Some(user) = ask
        .user
        .as_ref()
        .filter(|user| user.len() <= MAX_ATTRIBUTION)
    {
        tags.insert("user".to_owned(), Value::String(user.clone()));
    }
    let metadata = ask
        .metadata
        .as_ref()
        .filter(|raw| raw.get().len() <= MAX_ATTRIBUTION);
    if let Some(metadata) = metadata.and_then(|raw| serde_json::from_str(raw.get()).ok()) {
        tags.insert("metadata".to_owned(), metadata);
    }
    if let Some(written) = text(headers, &head::TAGS) {
        let list = written
            .split(',')
            .map(|tag| Value::String(tag.trim().to_owned()))
            .collect();
        tags.insert("tags".to_owned(), Value::Array(list));
    }
    Attribution {
        client_request_id: client_request_id(headers),
        tags: Value::Object(tags),
        requested_model: ask.model.clone(),
        is_stream: ask.is_stream,
    }
}

/// Tells the caller no; a caller that left is not told.
pub(super) async fn refuse(
    gateway: &Gateway,
    session: &mut ServerSession,
    exchange: &Exchange,
    refusal: &Refusal,
) -> pingora::Result<()> {
    count(gateway, exchange, refusal);
    if matches!(refusal, Refusal::CallerGone) {
        session.set_keepalive(None);
        return Ok(());
    }
    if session.get_header(header::EXPECT).is_some() || !session.is_body_done() {
        // A body nobody will read must not be taken for the next request.
        session.set_keepalive(None);
    }
    answer::refuse(session, exchange, refusal).await?;
    if session.get_header(header::EXPECT).is_none() {
        swallow(session).await;
    }
    Ok(())
}

/// Reads what a refused caller still sends, for a moment: closed on unread bytes, the connection would be reset and
/// the answer lost on its way.
async fn swallow(session: &mut ServerSession) {
    let mut left = SWALLOWED;
    let rest = async {
        while !session.is_body_done() {
            let Ok(Some(piece)) = session.read_request_body().await else {
                return;
            };
            let Some(after) = left.checked_sub(piece.len()) else {
                return;
            };
            left = after;
        }
    };
    let _enough = timeout(SWALLOW_TIME, rest).await;
}

/// Counts a refusal; a call that was admitted is counted when it is booked.
fn count(gateway: &Gateway, exchange: &Exchange, refusal: &Refusal) {
    let answer = refusal.answer();
    gateway.metrics.refused(answer.code);
    if exchange.call.is_some() {
        return;
    }
    let elapsed = exchange.started.elapsed();
    gateway.metrics.ended(&EndedCall {
        endpoint: exchange.endpoint,
        offer: None,
        is_stream: false,
        status: answer.status.as_u16(),
        duration: elapsed,
        first_byte: None,
        overhead: elapsed,
        usage: Usage::default(),
        cost: NanoUsd::ZERO,
        saved: NanoUsd::ZERO,
    });
}
