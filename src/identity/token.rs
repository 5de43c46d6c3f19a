//! The tokens of the admin API: signed with Ed25519, ten minutes long, every claim required and typed.
//!
//! Fails closed: a key that is not in our own table verifies nothing, whatever the token says of itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    signing::{Jwk, Ring},
    store,
};
use crate::{
    base::{Clock, Moment, RequestId, SessionId, SigningKeyId, UserId},
    store::{Postgres, StoreError, Vault},
};

/// Whom tokens are for.
pub const AUDIENCE: &str = "synaxis";
/// How far clocks may be apart, in seconds.
pub const LEEWAY_S: u64 = 5;
/// The longest a token may live, whatever it says; organizations may ask for less.
pub const LONGEST: Duration = Duration::from_secs(3_600);
/// How long a token lives where no organization says otherwise.
pub const USUAL: Duration = Duration::from_secs(600);
/// The longest text that can be a token.
const LONGEST_TEXT: usize = 4_096;
/// A key we do not know makes us look at the table again, at most this often.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);

/// What a token says. Nothing else may stand in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Who issued it: this installation's address.
    pub iss: String,
    /// Whom it is for: [`AUDIENCE`], as one text.
    pub aud: String,
    /// Who it speaks for.
    pub sub: UserId,
    /// In which session.
    pub sid: SessionId,
    /// The person's token version when it was issued.
    pub ver: i32,
    /// When it was issued, in seconds since 1970.
    pub iat: u64,
    /// From when on it counts.
    pub nbf: u64,
    /// Until when.
    pub exp: u64,
    /// Which token it is.
    pub jti: Uuid,
}

/// Whom to issue a token to, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub person: UserId,
    /// In which session.
    pub session: SessionId,
    /// Their token version.
    pub version: i32,
    /// How long.
    pub lifetime: Duration,
}

/// A token is not one of ours, or no longer counts. The caller is told nothing more.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefused {
    /// It is malformed, forged, too early or too late.
    #[error("the token is not valid")]
    Invalid,
    /// No key of ours has that id.
    #[error("the token is signed with a key that is not ours")]
    UnknownKey,
    /// The keys could not be read.
    #[error("the signing keys cannot be read")]
    Store(#[from] StoreError),
}

/// A token cannot be issued.
#[derive(Debug, thiserror::Error)]
pub enum NotSigned {
    /// No key signs yet, or none that this process can open.
    #[error("there is no signing key")]
    NoKey,
    /// The token could not be written.
    #[error("the token could not be signed")]
    Failed(#[source] jsonwebtoken::errors::Error),
}

/// Issues and verifies tokens with the keys of our own table.
#[derive(Clone, Debug)]
pub struct Signer {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    issuer: String,
    clock: Clock,
    postgres: Postgres,
    vault: Arc<Vault>,
    ring: ArcSwap<Ring>,
    read_at: AtomicI64,
}

impl Signer {
    /// Makes a signer without keys; [`Signer::reload`] brings them.
    #[must_use]
    pub fn new(issuer: &str, postgres: Postgres, vault: Arc<Vault>, clock: Clock) -> Self {
        let state = State {
            issuer: issuer.to_owned(),
            clock,
            postgres,
            vault,
            ring: ArcSwap::default(),
            read_at: AtomicI64::new(i64::MIN),
        };
        Self {
            state: Arc::new(state),
        }
    }

    /// Reads the keys again.
    ///
    /// # Errors
    /// When Postgres does not answer; the keys known so far stay.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let now = self.state.clock.now();
        let mut conn = self.state.postgres.acquire().await?;
        let keys = store::signing::live_keys(&mut conn, now).await?;
        self.state
            .ring
            .store(Arc::new(Ring::of(keys, &self.state.vault)));
        self.state.read_at.store(now.millis(), Ordering::Relaxed);
        Ok(())
    }

    /// Returns the id of the key that signs now.
    #[must_use]
    pub fn signing_key(&self) -> Option<SigningKeyId> {
        let ring = self.state.ring.load();
        ring.signing(self.state.clock.now()).map(|key| key.id)
    }

    /// Returns every public key that may verify a token, as it is published.
    #[must_use]
    pub fn jwks(&self) -> Vec<Jwk> {
        self.state.ring.load().published(self.state.clock.now())
    }

    /// Issues a token.
    ///
    /// # Errors
    /// When there is no key to sign with.
    pub fn sign(&self, grant: &Grant) -> Result<String, NotSigned> {
        let now = self.state.clock.now();
        let ring = self.state.ring.load();
        let key = ring.signing(now).ok_or(NotSigned::NoKey)?;
        let encoding = key.encoding.as_ref().ok_or(NotSigned::NoKey)?;
        let header = Header {
            kid: Some(key.id.to_string()),
            ..Header::new(Algorithm::EdDSA)
        };
        let claims = self.claims(grant, now);
        jsonwebtoken::encode(&header, &claims, encoding).map_err(NotSigned::Failed)
    }

    fn claims(&self, grant: &Grant, now: Moment) -> Claims {
        let seconds = seconds(now);
        Claims {
            iss: self.state.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: grant.person,
            sid: grant.session,
            ver: grant.version,
            iat: seconds,
            nbf: seconds,
            exp: seconds.saturating_add(grant.lifetime.min(LONGEST).as_secs()),
            jti: RequestId::new(now).uuid(),
        }
    }

    /// Returns what a token says, if it is ours and counts now. A key that was just made is looked up first.
    ///
    /// # Errors
    /// See [`TokenRefused`].
    pub async fn verify(&self, text: &str) -> Result<Claims, TokenRefused> {
        match self.verify_known(text) {
            Err(TokenRefused::UnknownKey) if self.may_reload() => {
                self.reload().await?;
                self.verify_known(text)
            }
            judged => judged,
        }
    }

    fn may_reload(&self) -> bool {
        let now = self.state.clock.now();
        let pause = i64::try_from(RELOAD_PAUSE.as_millis()).unwrap_or(i64::MAX);
        let last = self.state.read_at.load(Ordering::Relaxed);
        last.saturating_add(pause) <= now.millis()
            && self
                .state
                .read_at
                .compare_exchange(last, now.millis(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn verify_known(&self, text: &str) -> Result<Claims, TokenRefused> {
        if LONGEST_TEXT < text.len() {
            return Err(TokenRefused::Invalid);
        }
        let header = jsonwebtoken::decode_header(text).map_err(|_| TokenRefused::Invalid)?;
        if header.alg != Algorithm::EdDSA {
            return Err(TokenRefused::Invalid);
        }
        let id = header.kid.as_deref().and_then(|kid| kid.parse().ok());
        let id: SigningKeyId = id.ok_or(TokenRefused::Invalid)?;
        let now = self.state.clock.now();
        let ring = self.state.ring.load();
        let key = ring.verifying(id, now).ok_or(TokenRefused::UnknownKey)?;
        let token = jsonwebtoken::decode::<Claims>(text, &key.decoding, &self.validation())
            .map_err(|_| TokenRefused::Invalid)?;
        self.judge(&token.claims, now)?;
        Ok(token.claims)
    }

    fn validation(&self) -> Validation {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&self.state.issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation
    }

    /// Judges the typed claims by our own clock, also what the library takes for granted.
    fn judge(&self, claims: &Claims, now: Moment) -> Result<(), TokenRefused> {
        let now = seconds(now);
        let is_ours = claims.iss == self.state.issuer && claims.aud == AUDIENCE;
        let has_begun = claims.nbf.max(claims.iat) <= now.saturating_add(LEEWAY_S);
        let has_not_ended = now < claims.exp.saturating_add(LEEWAY_S);
        let lifetime = claims.exp.saturating_sub(claims.iat);
        let is_plausible = claims.iat <= claims.exp && lifetime <= LONGEST.as_secs();
        let counts = is_ours && has_begun && has_not_ended && is_plausible;
        counts.then_some(()).ok_or(TokenRefused::Invalid)
    }
}

fn seconds(at: Moment) -> u64 {
    u64::try_from(at.millis() / 1_000).unwrap_or_default()
}
