//! People at the door: what they must know to be let in, and what they carry afterwards.

pub mod settings;

pub mod hasher;
pub mod lockout;
pub mod opaque;
pub mod password;
pub mod totp;

pub mod oidc;

pub mod session;
pub mod signing;
pub mod token;

pub mod mail;

pub mod store;

mod common;

pub use hasher::Hasher;
pub use mail::Mailer;
pub use settings::Settings;
pub use token::Signer;

use std::{net::IpAddr, time::Duration};

use sha2::{Digest, Sha256};

use crate::base::{OrganizationId, Secret, UserId};

/// Whether a person may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They may.
    Active,
    /// They must prove their address first.
    Pending,
    /// They may not.
    Suspended,
}

impl Standing {
    /// Reads the word of the books; what is not known may not sign in.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "active" => Self::Active,
            "pending" => Self::Pending,
            _ => Self::Suspended,
        }
    }
}

/// What a sign-in must know of a person.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their id.
    pub id: UserId,
    /// Where mail reaches them.
    pub email: String,
    /// The name people read.
    pub display_name: String,
    /// The hash of their password; `None` cannot sign in with one.
    pub password_hash: Option<Secret>,
    /// Whether they may sign in.
    pub standing: Standing,
    /// What their tokens are issued under; a raise ends them.
    pub token_version: i32,
    /// May they change the platform itself?
    pub is_platform_admin: bool,
    /// Is a second factor asked for?
    pub has_second_factor: bool,
}

/// What a person's organizations ask of their sign-in: of each thing the strictest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Which they are, by id.
    pub organizations: Vec<OrganizationId>,
    /// How long an access token lives.
    pub access_lifetime: Duration,
    /// The fewest characters of a password.
    pub password_shortest: usize,
    /// How many passwords before the present one may not come back.
    pub password_history: i32,
    /// Does one of them ask for a second factor?
    pub is_second_factor_required: bool,
}

/// The program at the other end, as far as it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// What it says of itself; empty when it says nothing.
    pub user_agent: String,
}

impl Client {
    /// Returns what guesses are counted by: an IPv4 address, or the IPv6 network one customer is given.
    #[must_use]
    pub fn source(&self) -> String {
        match self.address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let network = address.to_bits() & !(u128::MAX >> 56);
                format!("{}/56", std::net::Ipv6Addr::from_bits(network))
            }
        }
    }

    /// Returns what tells this client from another that holds the same token.
    #[must_use]
    pub fn fingerprint(&self) -> opaque::Hash {
        let hasher = Sha256::new_with_prefix(self.address.to_string());
        hasher
            .chain_update(b"\n")
            .chain_update(&self.user_agent)
            .finalize()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_counted_by_who_can_change_their_address() {
        let source = |address: &str| {
            Client {
                address: address.parse().unwrap(),
                user_agent: String::new(),
            }
            .source()
        };

        assert_eq!(source("203.0.113.7"), "203.0.113.7");
        assert_eq!(source("2001:db8:1:2ff::1"), "2001:db8:1:200::/56");
        assert_eq!(source("2001:db8:1:2ff::1"), source("2001:db8:1:2aa:5::9"));
    }
}
