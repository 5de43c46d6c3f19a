//! An identity provider: discovery, keys, codes bound to PKCE, tokens it signs; and ways to cheat.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use synaxis::base::{Clock, tasks::Tasks};
use tokio::net::TcpListener;

/// A running provider; clones are the same one.
#[derive(Clone)]
pub struct Issuer {
    pub url: String,
    state: Arc<Mutex<Known>>,
}

struct Known {
    url: String,
    key: SigningKey,
    /// Whom it vouches for.
    claims: Value,
    /// What its tokens say instead of the truth.
    lies: Value,
    /// What signs instead of the published key.
    signer: Option<SigningKey>,
    codes: HashMap<String, HashMap<String, String>>,
}

/// What the provider calls us, and what we prove it with.
pub const CLIENT: (&str, &str) = ("synaxis-test", "a secret of the client");

impl Issuer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(Known {
            url: url.clone(),
            key: SigningKey::from_bytes(&[3; 32]),
            claims: json!({}),
            lies: json!({}),
            signer: None,
            codes: HashMap::new(),
        }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .with_state(Arc::clone(&state));
        let serving = async move { axum::serve(listener, router).await };
        Tasks::default().spawn("issuer", serving);
        Self { url, state }
    }

    /// Vouches for somebody from now on.
    pub fn vouch(&self, subject: &str, email: &str) {
        let mut state = self.state.lock().expect("whole");
        state.claims =
            json!({"sub": subject, "email": email, "email_verified": true, "name": "Ada"});
        state.lies = json!({});
        state.signer = None;
    }

    /// Lies about something in the tokens to come.
    pub fn lie(&self, lies: Value) {
        self.state.lock().expect("whole").lies = lies;
    }

    /// Signs the tokens to come with a key it does not publish.
    pub fn sign_with_another_key(&self) {
        self.state.lock().expect("whole").signer = Some(SigningKey::from_bytes(&[9; 32]));
    }
}

type Shared = State<Arc<Mutex<Known>>>;

async fn discovery(State(state): Shared) -> Json<Value> {
    let url = state.lock().expect("whole").url.clone();
    Json(json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    }))
}

async fn keys(State(state): Shared) -> Json<Value> {
    let state = state.lock().expect("whole");
    let x = URL_SAFE_NO_PAD.encode(state.key.verifying_key().to_bytes());
    Json(
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "one", "x": x}]}),
    )
}

async fn authorize(State(state): Shared, Query(asked): Query<HashMap<String, String>>) -> Response {
    let code = format!("code-{}", rand::random::<u64>());
    let back = format!(
        "{}?code={code}&state={}&iss=x&session_state=y",
        asked["redirect_uri"], asked["state"]
    );
    state.lock().expect("whole").codes.insert(code, asked);
    Redirect::to(&back).into_response()
}

async fn token(State(state): Shared, headers: HeaderMap, body: String) -> Response {
    let given: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let mut state = state.lock().expect("whole");
    let basic = STANDARD.encode(format!("{}:{}", CLIENT.0, CLIENT.1.replace(' ', "+")));
    let said = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let asked = state.codes.remove(&given["code"]);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&given["code_verifier"]));
    let is_right = |asked: &HashMap<String, String>| {
        said == Some(&format!("Basic {basic}"))
            && asked["code_challenge"] == challenge
            && asked["code_challenge_method"] == "S256"
            && asked["redirect_uri"] == given["redirect_uri"]
            && asked["client_id"] == CLIENT.0
    };
    let Some(asked) = asked.filter(is_right) else {
        let refused = Json(json!({"error": "invalid_grant"}));
        return (StatusCode::BAD_REQUEST, refused).into_response();
    };
    let token = id_token(&state, &asked["nonce"]);
    Json(json!({"access_token": "x", "token_type": "Bearer", "id_token": token})).into_response()
}

fn id_token(state: &Known, nonce: &str) -> String {
    let now = Clock::System.now().millis() / 1_000;
    let mut claims =
        json!({"iss": state.url, "aud": CLIENT.0, "iat": now, "exp": now + 300, "nonce": nonce});
    for said in [&state.claims, &state.lies] {
        for (name, value) in said.as_object().expect("an object") {
            claims[name] = value.clone();
        }
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!(
        "{}.{}",
        part(&json!({"alg": "EdDSA", "kid": "one"})),
        part(&claims)
    );
    let key = state.signer.as_ref().unwrap_or(&state.key);
    format!(
        "{text}.{}",
        URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()).to_bytes())
    )
}
