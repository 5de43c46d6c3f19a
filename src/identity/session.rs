//! A stay: begun by a sign-in, carried on by refresh tokens that are spent once, ended by its person or by a thief.

use std::time::Duration;

use super::{Client, Settings, opaque::Hash, store::session::RefreshToken};
use crate::base::{IdentityProviderId, Moment, OrganizationId, SessionId};

/// How long the client that spent a token may send it again: its answer was lost on the way.
const GRACE: Duration = Duration::from_secs(10);

/// A signed-in person's stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// How it was opened.
    pub by: SignedInBy,
    /// Was the second factor shown?
    pub has_second_factor: bool,
    /// From where it was opened.
    pub address: String,
    /// By which program, in its own words.
    pub user_agent: String,
    /// When it began.
    pub created_at: Moment,
    /// When it was last carried on.
    pub last_used_at: Moment,
    /// When it ends at the latest.
    pub expires_at: Moment,
}

/// How a session was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedInBy {
    /// With a password.
    Password,
    /// By an organization's own provider: the session reaches that organization only.
    Provider(OrganizationId, IdentityProviderId),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its person signed out of it.
    SignedOut,
    /// Its person ended it from another.
    Ended,
    /// Its person signed out everywhere.
    SignedOutEverywhere,
    /// The password was changed.
    PasswordChanged,
    /// A spent refresh token came back: one of two holders is a thief.
    TokenReused,
}

impl EndReason {
    /// Returns the word the books keep.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Ended => "ended",
            Self::SignedOutEverywhere => "signed_out_everywhere",
            Self::PasswordChanged => "password_changed",
            Self::TokenReused => "token_reused",
        }
    }
}

/// What is to be done about a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Spend it, and give the next.
    CarryOn,
    /// Refuse it: it, or its session, is over.
    Refuse,
    /// Refuse it and end the session: it was spent before.
    EndFamily,
}

/// Judges a refresh token that `client` sent at `now`.
#[must_use]
pub fn judge(token: &RefreshToken, client: &Client, now: Moment) -> Verdict {
    if token.is_over || token.session_expires_at <= now || token.expires_at <= now {
        return Verdict::Refuse;
    }
    let Some((used_at, used_by)) = token.used else {
        return Verdict::CarryOn;
    };
    let is_same: bool = used_by.is_some_and(|hash: Hash| hash == client.fingerprint());
    if is_same && now.since(used_at) <= GRACE {
        Verdict::CarryOn
    } else {
        Verdict::EndFamily
    }
}

impl Session {
    /// Begins a stay.
    #[must_use]
    pub fn begin(by: SignedInBy, client: &Client, settings: &Settings, now: Moment) -> Self {
        Self {
            id: SessionId::new(now),
            by,
            has_second_factor: false,
            address: client.address.to_string(),
            user_agent: client.user_agent.clone(),
            created_at: now,
            last_used_at: now,
            expires_at: now.plus(Duration::from_secs(settings.session_lifetime_s)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    fn client(user_agent: &str) -> Client {
        Client {
            address: [203, 0, 113, 7].into(),
            user_agent: user_agent.to_owned(),
        }
    }

    fn token() -> RefreshToken {
        RefreshToken {
            id: uuid::Uuid::from_u128(1),
            session: SessionId::from(uuid::Uuid::from_u128(2)),
            expires_at: at(1_000),
            used: None,
            session_expires_at: at(2_000),
            is_over: false,
            by: SignedInBy::Password,
        }
    }

    #[test]
    fn a_token_is_spent_once() {
        let used = RefreshToken {
            used: Some((at(100), Some(client("curl").fingerprint()))),
            ..token()
        };

        assert_eq!(judge(&token(), &client("curl"), at(100)), Verdict::CarryOn);
        assert_eq!(judge(&used, &client("curl"), at(111)), Verdict::EndFamily);
        assert_eq!(judge(&used, &client("thief"), at(101)), Verdict::EndFamily);
    }

    #[test]
    fn the_same_client_may_ask_again_for_a_lost_answer() {
        let used = RefreshToken {
            used: Some((at(100), Some(client("curl").fingerprint()))),
            ..token()
        };

        assert_eq!(judge(&used, &client("curl"), at(110)), Verdict::CarryOn);
    }

    #[test]
    fn what_has_run_out_is_refused_and_ends_nothing() {
        let over = RefreshToken {
            is_over: true,
            used: Some((at(1), None)),
            ..token()
        };

        assert_eq!(judge(&token(), &client("curl"), at(1_000)), Verdict::Refuse);
        assert_eq!(judge(&over, &client("curl"), at(10)), Verdict::Refuse);
    }
}
