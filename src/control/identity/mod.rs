//! What people do at the door, each with its audit row: register, sign in and out, prove who they are.

pub mod invited;
pub mod proof;
pub mod register;
pub mod sign_in;

pub mod refresh;
pub mod sessions;

pub mod passwords;
pub mod second_factor;

pub mod me;

pub mod oidc;
pub mod policy;
pub mod providers;

pub mod reseal;
pub mod signing_keys;
pub mod upkeep;

mod trail;

use std::sync::Arc;

use crate::{
    audit::{Actor, By, Source},
    base::{Clock, Moment, UserId},
    identity::{Client, Hasher, Mailer, Settings, Signer},
    store::{Postgres, Vault},
};

/// What the door uses.
#[derive(Clone, Debug)]
pub struct Door {
    /// The truth.
    pub postgres: Postgres,
    /// Issues and verifies access tokens.
    pub signer: Signer,
    /// Seals what signs, and what second factors are made of.
    pub vault: Arc<Vault>,
    /// Where passwords are hashed.
    pub hasher: Hasher,
    /// Where letters are posted.
    pub mailer: Mailer,
    /// What the door was told.
    pub settings: Arc<Settings>,
    /// The time of day.
    pub clock: Clock,
}

impl Door {
    /// Puts the door together; `vault` seals what signs, and letters.
    #[must_use]
    pub fn open(settings: Settings, vault: Vault, postgres: Postgres) -> Self {
        let (vault, clock) = (Arc::new(vault), Clock::System);
        let url = &settings.public_url;
        let signer = Signer::new(url, postgres.clone(), Arc::clone(&vault), clock.clone());
        Self {
            postgres,
            signer,
            mailer: Mailer::new(Arc::clone(&vault)),
            vault,
            hasher: Hasher::default(),
            settings: Arc::new(settings),
            clock,
        }
    }
}

/// Somebody knocks: from where, and when.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The program at the other end.
    pub client: Client,
    /// The same, as the audit log keeps it.
    pub source: Source,
    /// When.
    pub now: Moment,
}

impl Visit {
    /// Returns who acts, once it is known.
    #[must_use]
    pub fn by(&self, person: UserId) -> By {
        By::new(Actor::User(person), self.now).from(self.source)
    }
}
