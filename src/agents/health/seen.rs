//! What was seen of an offer under one key: a free look, and callers' experience.

use chrono::{DateTime, Utc};

use super::judge::{self, Look};
use crate::base::{CredentialId, OfferId, ProviderId};

/// What was seen of an offer under one key.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The offer.
    pub offer: OfferId,
    /// Who sells it.
    pub provider: ProviderId,
    /// The provider's name.
    pub provider_name: String,
    /// The key; `None` where the provider wants none.
    pub credential: Option<CredentialId>,
    /// What the look found.
    pub look: Look,
    /// The status of its answer.
    pub status: Option<u16>,
    /// What went wrong, in words.
    pub fault: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// What callers saw.
    pub lately: Lately,
}

/// What callers saw of an offer lately.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lately {
    /// How their tries ended.
    pub tries: judge::Lately,
    /// Half of the answers began within this.
    pub p50_ms: Option<i32>,
    /// 95 of 100 answers began within this.
    pub p95_ms: Option<i32>,
    /// When a try was answered last.
    pub last_success: Option<DateTime<Utc>>,
    /// When a try failed last.
    pub last_failure: Option<DateTime<Utc>>,
}

impl Seen {
    /// Returns how long it takes to answer: as callers saw it, else as the look did.
    #[must_use]
    pub fn latency_ms(&self) -> Option<i32> {
        let looked = (self.look == Look::Succeeded).then(|| i32::try_from(self.took_ms).ok());
        self.lately.p50_ms.or(looked.flatten())
    }
}
