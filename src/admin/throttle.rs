//! How often sign-in, registration and reset may be tried, per network, and there per account.
//!
//! Counted in Postgres, so that replicas agree. Fails closed: who cannot be counted is not let in.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use serde::Deserialize;

use super::{
    Plane,
    access::Operation,
    error::ApiError,
    extract::{Origin, whole},
    store,
};
use crate::base::Fault;

/// What is tried, for those who are nobody yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Throttle {
    /// Proving who one is: passwords, codes, refresh tokens.
    SignIn,
    /// Making an account, or accepting an invitation.
    Registration,
    /// Asking for mail, or using what it brought.
    Reset,
}

/// How often each may be tried.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Sign-ins per minute from one address.
    pub sign_ins_per_address_minute: u32,
    /// Sign-ins per minute at one account, from one network.
    pub sign_ins_per_account_minute: u32,
    /// Registrations per hour from one address.
    pub registrations_per_address_hour: u32,
    /// Registrations per hour of one mail address.
    pub registrations_per_account_hour: u32,
    /// Resets, and mails asked for, per hour from one address.
    pub resets_per_address_hour: u32,
    /// Resets, and mails asked for, per hour for one account.
    pub resets_per_account_hour: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            sign_ins_per_address_minute: 20,
            sign_ins_per_account_minute: 10,
            registrations_per_address_hour: 20,
            registrations_per_account_hour: 5,
            resets_per_address_hour: 20,
            resets_per_account_hour: 5,
        }
    }
}

/// The most tries per window that still are a limit.
const MOST: u32 = 100_000;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// So many in a window: all at once, then one whenever a part of the window has gone by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    most: u32,
    window: Duration,
}

impl Rates {
    /// Returns every fault that can be seen in these settings alone.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let rates = [
            (
                "sign_ins_per_address_minute",
                self.sign_ins_per_address_minute,
            ),
            (
                "sign_ins_per_account_minute",
                self.sign_ins_per_account_minute,
            ),
            (
                "registrations_per_address_hour",
                self.registrations_per_address_hour,
            ),
            (
                "registrations_per_account_hour",
                self.registrations_per_account_hour,
            ),
            ("resets_per_address_hour", self.resets_per_address_hour),
            ("resets_per_account_hour", self.resets_per_account_hour),
        ];
        rates
            .into_iter()
            .filter_map(|(path, rate)| Fault::unless_within(path, rate, 1..=MOST))
            .collect()
    }

    const fn per_address(&self, throttle: Throttle) -> Rate {
        match throttle {
            Throttle::SignIn => Rate::new(self.sign_ins_per_address_minute, MINUTE),
            Throttle::Registration => Rate::new(self.registrations_per_address_hour, HOUR),
            Throttle::Reset => Rate::new(self.resets_per_address_hour, HOUR),
        }
    }

    const fn per_account(&self, throttle: Throttle) -> Rate {
        match throttle {
            Throttle::SignIn => Rate::new(self.sign_ins_per_account_minute, MINUTE),
            Throttle::Registration => Rate::new(self.registrations_per_account_hour, HOUR),
            Throttle::Reset => Rate::new(self.resets_per_account_hour, HOUR),
        }
    }
}

impl Rate {
    const fn new(most: u32, window: Duration) -> Self {
        Self { most, window }
    }

    fn pace(self) -> Duration {
        self.window / self.most.max(1)
    }
}

impl Throttle {
    const fn word(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Registration => "registration",
            Self::Reset => "reset",
        }
    }
}

/// The one field of a body that names an account.
#[derive(Deserialize)]
struct Named {
    email: Option<String>,
}

/// Counts a try at a throttled operation, and refuses one too many.
///
/// # Errors
/// 429 with the time to wait, in `Retry-After`.
pub async fn throttle(
    State(plane): State<Plane>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let operation = request.extensions().get::<Arc<Operation>>();
    let Some(throttle) = operation.and_then(|operation| operation.throttle) else {
        return Ok(next.run(request).await);
    };
    let origin = request.extensions().get::<Origin>();
    let network = origin.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |origin| {
        network_of(origin.address)
    });
    let rates = plane.settings.throttle;
    count(
        &plane,
        throttle,
        "address",
        &network.to_string(),
        rates.per_address(throttle),
    )
    .await?;
    let (parts, body) = request.into_parts();
    let body = whole(body).await?;
    // Counted by network too: a stranger's tries must not keep an account's owner out.
    if let Some(account) = account(&body).map(|account| format!("{network} {account}")) {
        count(
            &plane,
            throttle,
            "account",
            &account,
            rates.per_account(throttle),
        )
        .await?;
    }
    let request = Request::from_parts(parts, Body::from(body));
    Ok(next.run(request).await)
}

async fn count(
    plane: &Plane,
    throttle: Throttle,
    kind: &str,
    subject: &str,
    rate: Rate,
) -> Result<(), ApiError> {
    let pieces = [throttle.word(), kind, subject].map(str::as_bytes);
    let subject = plane.vault.digest("throttle", &pieces);
    let mut conn = plane.postgres.acquire().await?;
    match store::count_try(&mut conn, &subject, rate.pace(), rate.most).await? {
        None => Ok(()),
        Some(retry_after) => {
            plane.metrics.throttled(throttle.word(), kind);
            Err(ApiError::TooManyRequests { retry_after })
        }
    }
}

/// Reads whose account a body names; one that names none, or is no JSON, is the handler's to refuse.
fn account(body: &[u8]) -> Option<String> {
    let named: Named = serde_json::from_slice(body).ok()?;
    named.email.map(|email| email.trim().to_lowercase())
}

/// The part of an address that one caller is likely to have for himself: /24, or /56.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !0xff).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 72)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_count_as_one() {
        for (address, network) in [
            ("203.0.113.77", "203.0.113.0"),
            ("2001:db8:1:23ff::5", "2001:db8:1:2300::"),
        ] {
            assert_eq!(network_of(address.parse().unwrap()).to_string(), network);
        }
    }

    #[test]
    fn an_account_is_one_however_it_is_written() {
        let account = |body: &str| account(body.as_bytes());

        assert_eq!(
            account(r#"{"email":" Ada@Example.com ","x":1}"#).as_deref(),
            Some("ada@example.com")
        );
        assert_eq!(account(r#"{"email":5}"#), None);
        assert_eq!(account("no json"), None);
    }

    #[test]
    fn no_rate_may_be_zero() {
        let rates = Rates {
            resets_per_account_hour: 0,
            ..Rates::default()
        };

        assert_eq!(Rates::default().validate(), []);
        assert_eq!(rates.validate().len(), 1);
    }
}
