//! The door and the stage: takes calls, decides what becomes of them, plays the answer.

use std::{future::Future, io, net, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Path, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures::{Stream, stream};
use tokio::{net::TcpListener, sync::watch};

use super::{
    Faults, Provider, Settings,
    answer::{self, Question, Refusal, Stamp},
    fault::{Effect, Shape},
    line::{Breaker, Door},
    log::{End, Record},
    script::{self, Head, Pace, Script, Step},
};
use crate::dialect::Endpoint;

/// The largest body read.
const BODY_BYTES: usize = 256 << 20;

/// Serves a provider made of `settings` until `shutdown`, then ends every connection.
///
/// # Errors
/// When the log cannot be opened or the listener not used.
pub async fn serve(
    listener: net::TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    serve_provider(listener, Arc::new(Provider::new(settings)?), shutdown).await
}

/// Serves a provider that others hold too: to look at its stats, to change its faults.
///
/// # Errors
/// When the listener cannot be used.
pub async fn serve_provider(
    listener: net::TcpListener,
    provider: Arc<Provider>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (stop, stopping) = watch::channel(false);
    let router = router(Arc::clone(&provider)).into_make_service_with_connect_info::<Breaker>();
    let door = Door {
        listener,
        provider,
        stopping: stopping.clone(),
    };
    let serving = axum::serve(door, router).with_graceful_shutdown(async move {
        let mut stopping = stopping;
        let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
    });
    let stopped = async {
        shutdown.await;
        stop.send_replace(true);
    };
    let (served, ()) = tokio::join!(serving, stopped);
    served
}

fn router(provider: Arc<Provider>) -> Router {
    let api = Router::new()
        .route("/models", get(models))
        .route("/models/{*model}", get(model))
        .fallback(call);
    Router::new()
        .route("/__fault", get(fault).put(put_fault).delete(clear_fault))
        .route("/__stats", get(stats))
        .nest("/v1", api.clone())
        .nest("/openai/v1", api)
        .with_state(provider)
}

async fn stats(State(provider): State<Arc<Provider>>) -> impl IntoResponse {
    Json(provider.stats())
}

async fn fault(State(provider): State<Arc<Provider>>) -> String {
    provider.faults().to_string()
}

async fn clear_fault(State(provider): State<Arc<Provider>>) -> StatusCode {
    provider.set_faults(Faults::default());
    StatusCode::NO_CONTENT
}

async fn put_fault(
    State(provider): State<Arc<Provider>>,
    spec: String,
) -> Result<String, (StatusCode, String)> {
    let faults: Faults = spec
        .parse()
        .map_err(|bad: super::BadSpec| (StatusCode::BAD_REQUEST, bad.to_string()))?;
    provider.set_faults(faults.clone());
    Ok(faults.to_string())
}

async fn models(State(provider): State<Arc<Provider>>, headers: HeaderMap) -> Response {
    match provider.takes(credential(&headers)) {
        true => Json(answer::list(&provider.models(), &provider.settings.name)).into_response(),
        false => plain(&Refusal::of_status(401, None)),
    }
}

async fn model(
    State(provider): State<Arc<Provider>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !provider.takes(credential(&headers)) {
        return plain(&Refusal::of_status(401, None));
    }
    match provider.models().contains(&name) {
        true => Json(answer::one(&name, &provider.settings.name)).into_response(),
        false => plain(&Refusal::of_status(404, None)),
    }
}

fn plain(refusal: &Refusal) -> Response {
    let (body, content_type) = answer::body_of_shape(refusal, Shape::Openai, "simulated");
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// Takes one call: everything but the list of models.
async fn call(
    State(provider): State<Arc<Provider>>,
    ConnectInfo(breaker): ConnectInfo<Breaker>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().trim_start_matches('/').to_owned();
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let entry = Record::entry(
        &provider.settings.name,
        header("x-request-id"),
        credential(&parts.headers),
        &path,
        provider.clock.now(),
    );
    let mut record = Record::open(Arc::clone(&provider), entry);
    let Ok(body) = to_bytes(body, BODY_BYTES).await else {
        // The caller left while it was still asking.
        return StatusCode::BAD_REQUEST.into_response();
    };
    let script = match parts.method {
        Method::POST => decide(&provider, &parts.headers, &path, &body, &mut record),
        _ => refused(
            &mut record,
            &Refusal::new(404, "unknown_path", "Nothing is here."),
            Shape::Openai,
        ),
    };
    play(script, record, breaker).await
}

/// Decides what becomes of a call.
fn decide(
    provider: &Arc<Provider>,
    headers: &HeaderMap,
    path: &str,
    body: &Bytes,
    record: &mut Record,
) -> Script {
    let endpoint = Endpoint::of(path);
    let shape = if endpoint == Endpoint::Messages {
        Shape::Anthropic
    } else {
        Shape::Openai
    };
    let credential = credential(headers);
    if !provider.takes(credential) {
        return refused(record, &Refusal::of_status(401, None), shape);
    }
    let question = match Question::read(endpoint, body, provider.settings.output_tokens) {
        Ok(question) => question,
        Err(refusal) => return refused(record, &refusal, shape),
    };
    record.entry.model.clone_from(&question.model);
    record.entry.is_stream = question.is_stream;
    record.entry.input_tokens = question.input_tokens;
    let effect = provider.strike(&question.model);
    let latency = Duration::from_millis(provider.settings.latency_ms);
    if let Some(instead) = &effect.instead {
        return script::instead(instead, &effect, endpoint, question.is_stream, latency);
    }
    if !provider.has_model(&question.model) {
        let message = format!(
            "The model `{}` does not exist or you do not have access to it.",
            question.model
        );
        return refused(
            record,
            &Refusal::new(404, "model_not_found", message),
            shape,
        );
    }
    if let Some(refusal) = path.ends_with("count_tokens").then(|| count_of(&question)) {
        return refusal;
    }
    let standings =
        match provider.admit(credential, question.input_tokens + question.output_tokens()) {
            Ok(standings) => standings,
            Err((refusal, standings)) => {
                return with_headers(refused(record, &refusal, shape), standings);
            }
        };
    with_headers(answered(provider, &question, &effect, latency), standings)
}

fn answered(
    provider: &Provider,
    question: &Question,
    effect: &Effect,
    latency: Duration,
) -> Script {
    let stamp = Stamp {
        serial: provider.next_serial(),
        created: provider.clock.now().millis() / 1_000,
        lie: effect.lie,
    };
    let pace = Pace {
        latency,
        tokens_per_second: provider.settings.tokens_per_second,
    };
    script::answer(
        question.endpoint,
        answer::answer(question, &stamp),
        effect,
        pace,
    )
}

/// Answers Anthropic's question how many tokens a call would be.
fn count_of(question: &Question) -> Script {
    let body = serde_json::json!({"input_tokens": question.input_tokens}).to_string();
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("content-length", body.len().to_string()),
    ];
    Script {
        before_head: Duration::ZERO,
        head: Head::Answer {
            status: 200,
            headers,
        },
        steps: vec![Step::Send {
            bytes: body.into(),
            tokens: 0,
        }],
    }
}

fn refused(record: &mut Record, refusal: &Refusal, shape: Shape) -> Script {
    script::refusal(refusal, shape, &record.entry.request_id, Duration::ZERO)
}

fn with_headers(mut script: Script, more: Vec<(&'static str, String)>) -> Script {
    if let Head::Answer { headers, .. } = &mut script.head {
        headers.extend(more);
    }
    script
}

/// Plays a script to the caller.
async fn play(script: Script, mut record: Record, breaker: Breaker) -> Response {
    tokio::time::sleep(script.before_head).await;
    let (status, headers) = match script.head {
        Head::Answer { status, headers } => (status, headers),
        Head::Hang => {
            record.entry.end = End::Hung;
            return std::future::pending().await;
        }
        Head::Cut => {
            record.entry.end = End::Cut;
            breaker.close();
            return StatusCode::OK.into_response();
        }
        Head::Reset => {
            record.entry.end = End::Reset;
            breaker.reset();
            return StatusCode::OK.into_response();
        }
    };
    record.entry.status = status;
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response = response.header("x-request-id", format!("sim_{}", record.entry.request_id));
    let stage = Stage {
        steps: script.steps.into_iter(),
        record,
        breaker,
    };
    let body = Body::from_stream(stage.act());
    response
        .body(body)
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Plays the steps after the head; dropped with its record when the caller leaves.
struct Stage {
    steps: std::vec::IntoIter<Step>,
    record: Record,
    breaker: Breaker,
}

impl Stage {
    fn act(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        let mut stage = self;
        // An empty body is never asked for its end.
        if stage.steps.as_slice().is_empty() {
            stage.ended();
        }
        stream::unfold(stage, |mut stage| async move {
            let sent = stage.next().await?;
            Some((sent, stage))
        })
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            match self.steps.next()? {
                Step::Send { bytes, tokens } => {
                    self.record.entry.output_tokens += tokens;
                    // A body of known length is not asked for more once it has come.
                    if self.steps.as_slice().is_empty() {
                        self.ended();
                    }
                    return Some(Ok(bytes));
                }
                Step::Pause(time) => tokio::time::sleep(time).await,
                Step::Stall => {
                    self.record.entry.end = End::Hung;
                    return std::future::pending().await;
                }
                Step::Cut => {
                    self.record.entry.end = End::Cut;
                    return Some(Err(io::ErrorKind::BrokenPipe.into()));
                }
                Step::Reset => {
                    self.record.entry.end = End::Reset;
                    self.breaker.reset();
                    return Some(Err(io::ErrorKind::ConnectionReset.into()));
                }
            }
        }
    }

    fn ended(&mut self) {
        let is_refused = 400 <= self.record.entry.status;
        self.record.entry.end = if is_refused {
            End::Refused
        } else {
            End::Complete
        };
    }
}

/// Finds the key in any of the headers providers take it from.
fn credential(headers: &HeaderMap) -> &str {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
    bearer
        .or_else(|| text("x-api-key"))
        .or_else(|| text("api-key"))
        .unwrap_or_default()
}
