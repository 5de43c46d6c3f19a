//! Tokens that are not ours, or not quite: each is refused by the running sidecar.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use super::people::{Visitor, newcomer};
use crate::stack::admin::TestAdmin;

/// The sidecar's own key, taken out of its books, and a token it issued.
struct Forge {
    key: SigningKey,
    kid: String,
    header: Value,
    claims: Value,
}

impl Forge {
    async fn open(admin: &TestAdmin, ada: &Visitor) -> Self {
        let mut parts = ada.access_token.split('.').map(|part| {
            let bytes = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
            serde_json::from_slice::<Value>(&bytes).unwrap_or_default()
        });
        let (header, claims) = (parts.next().expect("one"), parts.next().expect("two"));
        let key = own_key(admin).await;
        Self {
            key,
            kid: header["kid"].as_str().expect("an id").to_owned(),
            header,
            claims,
        }
    }

    /// Signs claims as the sidecar would.
    fn sign(&self, claims: &str) -> String {
        self.sign_under(&self.header.to_string(), claims)
    }

    fn sign_under(&self, header: &str, claims: &str) -> String {
        let text = unsigned(header, claims);
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The claims with one changed.
    fn with(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[name] = value;
        claims.to_string()
    }

    fn without(&self, name: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().expect("an object").remove(name);
        claims.to_string()
    }

    fn now(&self) -> u64 {
        self.claims["iat"].as_u64().expect("a number")
    }
}

fn unsigned(header: &str, claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}", part(header), part(claims))
}

/// Opens the one signing key with the sealing key that tests use.
async fn own_key(admin: &TestAdmin) -> SigningKey {
    use synaxis::{
        base::Secret,
        store::{
            Vault,
            seal::{Place, Sealed},
        },
    };
    let mut books = admin.database.connect().await;
    let (id, sealing_key_id, sealed_key, sealed_secret): (uuid::Uuid, String, Vec<u8>, Vec<u8>) =
        sqlx::query_as(
            "select id, sealing_key_id, sealed_key, sealed_secret from platform.signing_keys",
        )
        .fetch_one(&mut books)
        .await
        .expect("a key");
    let sealed = Sealed {
        sealing_key_id,
        sealed_key,
        sealed_secret,
    };
    let place = Place {
        table: "platform.signing_keys",
        row: id,
        organization: None,
        column: "sealed_secret",
        audience: "",
    };
    let vault = Vault::new(&Secret::new(crate::stack::SEALING_KEY.to_owned())).expect("a key");
    let seed = vault.open(&sealed, place).expect("it opens");
    let seed = URL_SAFE_NO_PAD.decode(seed.expose()).expect("base 64");
    SigningKey::from_bytes(&seed.try_into().expect("32 bytes"))
}

async fn status(admin: &TestAdmin, token: &str) -> u16 {
    let request = admin.request(Method::GET, "/api/v1/me").token(token);
    request.send().await.status
}

#[tokio::test]
async fn a_token_made_with_our_own_key_counts_so_that_the_others_fail_for_their_own_reason() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let forge = Forge::open(&admin, &ada).await;

    assert_eq!(
        status(&admin, &forge.sign(&forge.claims.to_string())).await,
        200
    );
    assert_eq!(status(&admin, &ada.access_token).await, 200);
}

#[tokio::test]
async fn a_forged_signature_is_refused_whatever_the_header_says() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let forge = Forge::open(&admin, &ada).await;
    let claims = forge.claims.to_string();
    let public = forge.key.verifying_key().to_bytes();
    let keyed = |secret: &[u8], algorithm: &str| {
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": forge.kid}).to_string();
        let text = unsigned(&header, &claims);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
        mac.update(text.as_bytes());
        format!(
            "{text}.{}",
            URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
        )
    };
    let jwk = admin.get("/.well-known/jwks.json").await.json()["keys"][0].to_string();
    let stranger = Forge {
        key: SigningKey::from_bytes(&[7; 32]),
        kid: forge.kid.clone(),
        header: forge.header.clone(),
        claims: forge.claims.clone(),
    };
    let under = |kid: &Value| {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": kid}).to_string();
        stranger.sign_under(&header, &claims)
    };
    let none = |algorithm: &str| {
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": forge.kid}).to_string();
        format!("{}.", unsigned(&header, &claims))
    };
    let embedded = json!({"alg": "EdDSA", "kid": forge.kid, "jwk": {"kty": "OKP", "crv": "Ed25519",
        "x": URL_SAFE_NO_PAD.encode(stranger.key.verifying_key().to_bytes())}});
    let fetched = json!({"alg": "EdDSA", "kid": forge.kid, "jku": "https://thief.example/keys"});

    let abuses = [
        none("none"),
        none("None"),
        none("EdDSA"),
        keyed(&public, "HS256"),
        keyed(jwk.as_bytes(), "HS256"),
        keyed(&public, "EdDSA"),
        stranger.sign(&claims),
        under(&json!("00000000-0000-7000-8000-000000000000")),
        under(&json!("../../etc/passwd")),
        under(&json!(["a"])),
        under(&Value::Null),
        stranger.sign_under(&embedded.to_string(), &claims),
        stranger.sign_under(&fetched.to_string(), &claims),
        forge.sign_under(
            &format!("{{\"alg\":\"none\",{}", &forge.header.to_string()[1..]),
            &claims,
        ),
        ada.access_token.clone() + ".x",
        ada.access_token[..ada.access_token.len() - 2].to_owned(),
        String::new(),
        "x".repeat(10_000),
    ];
    for (number, token) in abuses.iter().enumerate() {
        assert_eq!(status(&admin, token).await, 401, "{number}: {token}");
    }
}

#[tokio::test]
async fn a_token_signed_by_us_is_refused_when_its_claims_are_not_ours() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let forge = Forge::open(&admin, &ada).await;
    let now = forge.now();
    let plain = forge.claims.to_string();
    let twice = |claim: &str| format!("{{{claim},{}", &plain[1..]);

    let abuses = [
        forge.with("aud", json!("another")),
        forge.with("aud", json!(["synaxis"])),
        forge.with("aud", json!(["synaxis", "another"])),
        forge.with("iss", json!("https://thief.example")),
        forge.with("iss", json!(["http://127.0.0.1:8081"])),
        forge.with("exp", json!(now - 10)),
        forge.with("exp", json!([now + 600])),
        forge.with("exp", json!((now + 600).to_string())),
        forge.with("exp", json!(u64::MAX)),
        forge.with("exp", json!(now + 86_400 * 365)),
        forge.with("exp", json!(1e300)),
        forge.with("exp", json!(-1)),
        forge.with("exp", Value::Null),
        forge.with("nbf", json!(now + 600)),
        forge.with("nbf", json!("soon")),
        forge.with("iat", json!(now + 600)),
        forge.with("sub", json!(["a"])),
        forge.with("sub", json!("")),
        forge.with("sid", json!("00000000-0000-7000-8000-000000000000")),
        forge.with("ver", json!(7)),
        forge.with("ver", json!(u64::MAX)),
        forge.with("is_platform_admin", json!(true)),
        twice(&format!("\"exp\":{}", now - 10)),
        twice("\"sub\":\"00000000-0000-7000-8000-000000000000\""),
        twice("\"aud\":\"another\""),
        format!("[{plain}]"),
        "[]".to_owned(),
        "\"synaxis\"".to_owned(),
        "{}".to_owned(),
    ];
    let required = [
        "exp", "iat", "nbf", "iss", "aud", "sub", "jti", "sid", "ver",
    ];
    let missing = required.map(|name| forge.without(name));
    for claims in abuses.iter().chain(&missing) {
        assert_eq!(status(&admin, &forge.sign(claims)).await, 401, "{claims}");
    }
}

#[tokio::test]
async fn a_token_counts_only_as_a_single_bearer() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let said = [
        vec![format!("Basic {}", ada.access_token)],
        vec![ada.access_token.clone()],
        vec![
            format!("Bearer {}", ada.access_token),
            "Bearer x".to_owned(),
        ],
        vec![],
    ];

    for values in said {
        let mut request = admin.request(Method::GET, "/api/v1/me");
        for value in &values {
            request = request.header("authorization", value);
        }
        let reply = request.send().await.expect(401);
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"synaxis\"");
        assert_eq!(reply.code(), "unauthenticated");
    }
}
