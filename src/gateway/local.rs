//! Answers that need no provider: the models a key may use, and what is left of its limits.

use http::StatusCode;
use pingora::protocols::http::ServerSession;
use serde::Serialize;

use super::{
    Gateway, answer, authenticate::Caller, call::Then, exchange::Exchange, refuse::Refusal,
};
use crate::{
    catalog::{Ability, ListedModel},
    quota::{Enforcement, Limit, Meter, Standing, Subject, Window},
};

/// One model, as OpenAI lists it, with what it can do.
#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'a str,
    abilities: Vec<Ability>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_window: Option<u64>,
}

#[derive(Serialize)]
struct Models<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

/// A key's own view of itself.
#[derive(Serialize)]
struct Key<'a> {
    object: &'static str,
    id: &'a str,
    expires_at_ms: Option<i64>,
    allowed_models: Option<&'a [String]>,
    limits: Vec<KeyLimit>,
}

/// One limit that holds for the key, whoever's it is.
#[derive(Serialize)]
struct KeyLimit {
    of: &'static str,
    meter: Meter,
    window: Window,
    enforcement: Enforcement,
    limit: u64,
    remaining: u64,
    resets_in_ms: u64,
}

/// `GET /v1/models`.
pub(super) async fn models(
    gateway: &Gateway,
    session: &mut ServerSession,
    exchange: &Exchange,
    caller: &Caller,
) -> Result<Then, Refusal> {
    let listed = listed(gateway, caller);
    let data = listed.iter().map(model_of).collect();
    json(
        session,
        exchange,
        &Models {
            object: "list",
            data,
        },
    )
    .await
}

/// `GET /v1/models/{id}`.
pub(super) async fn model(
    gateway: &Gateway,
    session: &mut ServerSession,
    exchange: &Exchange,
    caller: &Caller,
    id: &str,
) -> Result<Then, Refusal> {
    let listed = listed(gateway, caller);
    match listed.iter().find(|model| model.id == id) {
        Some(model) => json(session, exchange, &model_of(model)).await,
        None => Err(Refusal::UnknownModel {
            model: id.to_owned(),
            closest: Vec::new(),
        }),
    }
}

/// `GET /v1/key`.
pub(super) async fn key(
    gateway: &Gateway,
    session: &mut ServerSession,
    exchange: &Exchange,
    caller: &Caller,
) -> Result<Then, Refusal> {
    let grant = &caller.grant;
    let standings = gateway
        .books
        .ledger
        .peek(grant.organization_id, &grant.limits, exchange.began)
        .await
        .map_err(|_| Refusal::QuotaUnavailable)?;
    let limits = grant
        .limits
        .iter()
        .zip(&standings)
        .map(|(limit, left)| line(limit, left))
        .collect();
    let key = Key {
        object: "key",
        id: &grant.public_id,
        expires_at_ms: grant.expires_at_ms,
        allowed_models: grant.allowed_models.as_deref(),
        limits,
    };
    json(session, exchange, &key).await
}

fn listed(gateway: &Gateway, caller: &Caller) -> Vec<ListedModel> {
    let grant = &caller.grant;
    let view = gateway.view.load();
    view.catalog
        .models_for(grant.organization_id, grant.allowed_models.as_deref())
}

fn model_of(listed: &ListedModel) -> Model<'_> {
    Model {
        id: &listed.id,
        object: "model",
        created: listed.created.millis() / 1_000,
        owned_by: &listed.owned_by,
        abilities: Ability::ALL
            .into_iter()
            .filter(|ability| listed.abilities.has(*ability))
            .collect(),
        context_window: listed.context_window.map(|tokens| tokens.0),
    }
}

fn line(limit: &Limit, left: &Standing) -> KeyLimit {
    KeyLimit {
        of: match limit.subject {
            Subject::Organization(_) => "organization",
            Subject::Group(_) => "group",
            Subject::User(_) => "user",
            Subject::Key(_) => "key",
            Subject::KeyModel(..) => "key_model",
            Subject::Credential(_) | Subject::CredentialOffer(..) | Subject::Share(..) => {
                "provider"
            }
        },
        meter: limit.meter,
        window: limit.window,
        enforcement: limit.enforcement,
        limit: limit.amount,
        remaining: left.remaining,
        resets_in_ms: u64::try_from(left.reset.as_millis()).unwrap_or(u64::MAX),
    }
}

async fn json(
    session: &mut ServerSession,
    exchange: &Exchange,
    answer: &impl Serialize,
) -> Result<Then, Refusal> {
    let body = serde_json::to_vec(answer).unwrap_or_default();
    let head = answer::head(&exchange.id_text, None);
    answer::write_json(session, StatusCode::OK, head, body)
        .await
        .map_err(|_| Refusal::CallerGone)?;
    Ok(Then::Done)
}
