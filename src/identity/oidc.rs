//! Sign-in by an organization's own provider (`OpenID` Connect): authorization code, PKCE, state and nonce.
//!
//! Every call to a provider goes through the guard: an organization's administrator chooses where they lead.

use std::{pin::Pin, time::Duration};

use openidconnect::{
    AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest,
    HttpResponse, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    TokenResponse,
    core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata},
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    base::{IdentityProviderId, Moment, Secret},
    egress::{
        Guard,
        http::{NotFetched, body_of},
    },
};

/// How long one call to a provider may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of an answer that are read.
const LONGEST_ANSWER: usize = 512 * 1024;
/// How long somebody may take at their provider.
const FLOW_LIFETIME: Duration = Duration::from_secs(600);

/// What a sign-in by a provider needs to know.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its id.
    pub id: IdentityProviderId,
    /// Who it is: a URL below which its discovery document lies.
    pub issuer: String,
    /// What it calls us.
    pub client_id: String,
    /// What we prove that with.
    pub client_secret: Secret,
    /// What we ask for.
    pub scopes: Vec<String>,
    /// Where it sends people back to.
    pub redirect_uri: String,
}

/// A sign-in that is under way; kept by the browser, sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flow {
    provider: IdentityProviderId,
    state: String,
    nonce: String,
    verifier: String,
    until_ms: i64,
    /// Where the browser goes afterwards; `None` answers with the tokens themselves.
    pub return_to: Option<String>,
}

/// Whom a provider says somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// What the provider calls them; it never changes.
    pub subject: String,
    /// Their address, when the provider vouches for it.
    pub email: Option<String>,
    /// Their name.
    pub name: Option<String>,
}

/// A provider did not sign somebody in.
#[derive(Debug, thiserror::Error)]
pub enum OidcRefused {
    /// Its settings cannot be used.
    #[error("the identity provider's settings cannot be used")]
    Settings,
    /// It cannot be reached, or does not answer as it should. What it said is in the log.
    #[error("the identity provider does not answer as it should")]
    Provider(String),
    /// The sign-in was not begun here, is too old, or was begun for another provider.
    #[error("the sign-in was not begun here, or too long ago")]
    Flow,
    /// What it says of the person does not hold.
    #[error("the identity provider's token is not valid")]
    Token(String),
}

/// Begins a sign-in: returns where the browser goes, and what it must bring back.
///
/// # Errors
/// See [`OidcRefused`].
pub async fn depart(
    guard: &Guard,
    provider: &Provider,
    return_to: Option<String>,
    now: Moment,
) -> Result<(Url, Flow), OidcRefused> {
    let metadata = discover(guard, provider).await?;
    let client =
        CoreClient::from_provider_metadata(metadata, client_id(provider), secret(provider))
            .set_redirect_uri(redirect_uri(provider)?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let mut request = client
        .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
        .set_pkce_challenge(challenge);
    // `openid` is asked for anyway.
    for scope in provider.scopes.iter().filter(|scope| *scope != "openid") {
        request = request.add_scope(Scope::new(scope.clone()));
    }
    let (url, state, nonce) = request.url();
    let flow = Flow {
        provider: provider.id,
        state: state.secret().clone(),
        nonce: nonce.secret().clone(),
        verifier: verifier.secret().clone(),
        until_ms: now.plus(FLOW_LIFETIME).millis(),
        return_to,
    };
    Ok((url, flow))
}

/// Ends a sign-in with what the provider sent back by the browser.
///
/// # Errors
/// See [`OidcRefused`].
pub async fn arrive(
    guard: &Guard,
    provider: &Provider,
    flow: &Flow,
    code: String,
    now: Moment,
) -> Result<External, OidcRefused> {
    if flow.provider != provider.id || flow.until_ms <= now.millis() {
        return Err(OidcRefused::Flow);
    }
    let metadata = discover(guard, provider).await?;
    let client =
        CoreClient::from_provider_metadata(metadata, client_id(provider), secret(provider))
            .set_redirect_uri(redirect_uri(provider)?);
    let http = Http(guard);
    let tokens = client
        .exchange_code(AuthorizationCode::new(code))
        .map_err(|error| OidcRefused::Provider(error.to_string()))?
        .set_pkce_verifier(PkceCodeVerifier::new(flow.verifier.clone()))
        .request_async(&http)
        .await
        .map_err(|error| OidcRefused::Provider(error.to_string()))?;
    let missing = || OidcRefused::Token("there is no id token".to_owned());
    let token = tokens.id_token().ok_or_else(missing)?;
    let claims = token
        .claims(&client.id_token_verifier(), &Nonce::new(flow.nonce.clone()))
        .map_err(|error| OidcRefused::Token(error.to_string()))?;
    let is_vouched_for = claims.email_verified() == Some(true);
    let email = claims.email().filter(|_| is_vouched_for);
    let name = claims.name().and_then(|name| name.get(None));
    Ok(External {
        subject: claims.subject().to_string(),
        email: email.map(|email| email.to_string()),
        name: name.map(|name| name.to_string()),
    })
}

impl Flow {
    /// Says whether this is the sign-in that a provider answers.
    #[must_use]
    pub fn is_answered_by(&self, state: &str) -> bool {
        use subtle::ConstantTimeEq;
        self.state.as_bytes().ct_eq(state.as_bytes()).into()
    }

    /// Returns the provider somebody was sent to.
    #[must_use]
    pub const fn provider(&self) -> IdentityProviderId {
        self.provider
    }
}

async fn discover(guard: &Guard, provider: &Provider) -> Result<CoreProviderMetadata, OidcRefused> {
    let issuer = IssuerUrl::new(provider.issuer.clone()).map_err(|_| OidcRefused::Settings)?;
    let http = Http(guard);
    CoreProviderMetadata::discover_async(issuer, &http)
        .await
        .map_err(|error| OidcRefused::Provider(error.to_string()))
}

fn client_id(provider: &Provider) -> ClientId {
    ClientId::new(provider.client_id.clone())
}

fn secret(provider: &Provider) -> Option<ClientSecret> {
    Some(ClientSecret::new(
        provider.client_secret.expose().to_owned(),
    ))
}

fn redirect_uri(provider: &Provider) -> Result<RedirectUrl, OidcRefused> {
    RedirectUrl::new(provider.redirect_uri.clone()).map_err(|_| OidcRefused::Settings)
}

/// Makes the calls of the protocol.
struct Http<'g>(&'g Guard);

impl<'c> AsyncHttpClient<'c> for Http<'_> {
    type Error = NotAnswered;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NotAnswered>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(fetch(self.0, request))
    }
}

/// A call to a provider that did not come back.
#[derive(Debug, thiserror::Error)]
enum NotAnswered {
    #[error("the URL cannot be read")]
    Url(#[from] url::ParseError),
    #[error(transparent)]
    NotFetched(#[from] NotFetched),
    #[error("the answer cannot be read")]
    Answer(#[from] http::Error),
}

/// Makes one call where the guard lets it; never follows a redirect.
async fn fetch(guard: &Guard, request: HttpRequest) -> Result<HttpResponse, NotAnswered> {
    let url = Url::parse(&request.uri().to_string())?;
    let client = guard.client_for(&url, PATIENCE).await?;
    let request = reqwest::Request::try_from(request).map_err(NotFetched::from)?;
    let response = client.execute(request).await.map_err(NotFetched::from)?;
    let mut answer = http::Response::builder().status(response.status());
    for (name, value) in response.headers() {
        answer = answer.header(name, value);
    }
    Ok(answer.body(body_of(response, LONGEST_ANSWER).await?)?)
}
