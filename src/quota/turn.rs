//! One proxy at a time asks the books for an organization: a storm after a loss of Redis costs them one question.

use rand::RngExt as _;
use uuid::Uuid;

use super::Ledger;
use crate::{
    base::OrganizationId,
    store::redis::{Call, RedisError},
};

/// How long a turn lasts whose proxy died, in milliseconds.
const LASTS_MS: &str = "3000";

/// An organization's turn, while it is ours.
pub(super) struct Turn {
    organization: OrganizationId,
    own: String,
}

impl Ledger {
    /// Takes the turn of an organization; `None` while another proxy has it. A Redis that does not say lets everybody
    /// ask.
    pub(super) async fn take_turn(&self, organization: OrganizationId) -> Option<Turn> {
        let own: u64 = rand::rng().random();
        let turn = Turn {
            organization,
            own: own.to_string(),
        };
        let is_ours = self.tell_turn(&turn, LASTS_MS).await;
        is_ours.unwrap_or(true).then_some(turn)
    }

    /// Lets the next proxy ask.
    pub(super) async fn give_turn(&self, turn: Turn) {
        if let Err(error) = self.tell_turn(&turn, "0").await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a turn was not given back"
            );
        }
    }

    async fn tell_turn(&self, turn: &Turn, lasts_ms: &str) -> Result<bool, RedisError> {
        let mut name = String::new();
        let names = self.redis.names();
        names.counter(&mut name, turn.organization.uuid(), Uuid::nil(), None);
        name.push_str("turn");
        let mut call = Call::new(&self.scripts.turn, 1, 128);
        call.push(&name).push(&turn.own).push(lasts_ms);
        let link = self.redis.link(self.redis.deadline()).await?;
        let reply = self.redis.run(&link, &call, self.redis.deadline()).await?;
        Ok(reply.first() == Some(&1))
    }
}
