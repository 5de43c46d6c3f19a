//! One proxy at a time asks the books for an organization: a storm after a loss of Redis costs them one question.

use rand::RngExt as _;
use uuid::Uuid;

use super::{Ledger, counter::Counter};
use crate::{
    base::OrganizationId,
    store::redis::{Call, RedisError},
};

/// How long a turn lasts whose proxy died, in milliseconds.
const LASTS_MS: &str = "3000";

/// An organization's turn.
pub(super) enum Turn {
    /// It is ours, by this name.
    Ours(String),
    /// Another proxy has it.
    Others,
    /// Another proxy had it: the counters are known.
    Over,
}

impl Ledger {
    /// Takes the turn of an organization to make some counters known. A Redis that does not say lets everybody ask.
    pub(super) async fn take_turn<'a>(
        &self,
        organization: OrganizationId,
        counters: impl Iterator<Item = &'a Counter>,
    ) -> Turn {
        let own: u64 = rand::rng().random();
        let own = own.to_string();
        let mut counters: Vec<&Counter> = counters.collect();
        // Of counters that lie elsewhere this script cannot tell.
        if counters.iter().any(|one| one.home() != organization.uuid()) {
            counters.clear();
        }
        match self
            .tell_turn(organization, &own, LASTS_MS, &counters)
            .await
        {
            Ok(0) => Turn::Others,
            Ok(2) => Turn::Over,
            Ok(_) | Err(_) => Turn::Ours(own),
        }
    }

    /// Lets the next proxy ask.
    pub(super) async fn give_turn(&self, organization: OrganizationId, own: &str) {
        if let Err(error) = self.tell_turn(organization, own, "0", &[]).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a turn was not given back"
            );
        }
    }

    async fn tell_turn(
        &self,
        organization: OrganizationId,
        own: &str,
        lasts_ms: &str,
        counters: &[&Counter],
    ) -> Result<i64, RedisError> {
        let mut name = String::new();
        let names = self.redis.names();
        names.counter(&mut name, organization.uuid(), Uuid::nil(), None);
        name.push_str("turn");
        let keys = counters.len() + 1;
        let mut call = Call::new(&self.scripts.turn, keys, keys * 96 + 64);
        call.push(&name);
        for counter in counters {
            counter.name(names, self.settings.lease_ms, &mut name);
            call.push(&name);
        }
        call.push(own).push(lasts_ms);
        call.push(itoa::Buffer::new().format(self.epoch.load().id));
        let link = self.redis.link(self.redis.deadline()).await?;
        let reply = self.redis.run(&link, &call, self.redis.deadline()).await?;
        reply.first().copied().ok_or(RedisError::Garbled)
    }
}
