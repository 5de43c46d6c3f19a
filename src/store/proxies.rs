//! Which proxies live, as Redis knows: each is heard every second, and forgotten once nothing of it is left.

use std::{fmt::Write as _, time::Duration};

use uuid::Uuid;

use super::redis::{Call, Redis, RedisError, Script};

/// How long a proxy that was given up can find that out.
const MARKED_MS: &str = "604800000";

/// The registry of proxies.
#[derive(Debug)]
pub struct Proxies {
    redis: Redis,
    beat: Script,
    silent: Script,
    forget: Script,
}

/// What a proxy learns about itself when it says that it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing new.
    Known,
    /// The others had given it up: what Redis held for it is not its own any more.
    GivenUp,
}

impl Proxies {
    /// Opens the registry; nothing is connected before it is used.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        let script = |text: &str| Script::new(text.to_owned());
        Self {
            redis,
            beat: script(include_str!("lua/beat.lua")),
            silent: script(include_str!("lua/silent.lua")),
            forget: script(include_str!("lua/forget.lua")),
        }
    }

    /// Tells that `proxy` lives.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn beat(&self, proxy: Uuid) -> Result<Standing, RedisError> {
        let mut call = self.call(&self.beat, &[&self.registry(), &self.mark(proxy)]);
        call.push(&proxy.to_string());
        Ok(match self.ask(&call).await?.first() {
            Some(1) => Standing::GivenUp,
            _ => Standing::Known,
        })
    }

    /// Returns the proxies that were not heard for so long.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn silent(&self, silence: Duration) -> Result<Vec<Uuid>, RedisError> {
        let mut call = self.call(&self.silent, &[&self.registry()]);
        call.push(&silence.as_millis().to_string());
        let link = self.redis.link(self.redis.deadline()).await?;
        let names = self.redis.read(&link, &call, self.redis.deadline()).await?;
        let ids = names
            .iter()
            .filter_map(|name| Uuid::try_parse_ascii(name).ok());
        Ok(ids.collect())
    }

    /// Forgets a proxy, unless it was heard within `silence`; says whether it did. Zero: whenever it was heard.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn forget(&self, proxy: Uuid, silence: Duration) -> Result<bool, RedisError> {
        let mut call = self.call(&self.forget, &[&self.registry(), &self.mark(proxy)]);
        call.push(&proxy.to_string());
        call.push(&silence.as_millis().to_string());
        call.push(MARKED_MS);
        Ok(self.ask(&call).await?.first() == Some(&1))
    }

    async fn ask(&self, call: &Call<'_>) -> Result<Vec<i64>, RedisError> {
        let link = self.redis.link(self.redis.deadline()).await?;
        self.redis.run(&link, call, self.redis.deadline()).await
    }

    fn call<'a>(&self, script: &'a Script, keys: &[&str]) -> Call<'a> {
        let mut call = Call::new(script, keys.len(), 256);
        for key in keys {
            call.push(key);
        }
        call
    }

    fn registry(&self) -> String {
        let mut name = String::new();
        self.redis.names().proxies(&mut name, "living");
        name
    }

    fn mark(&self, proxy: Uuid) -> String {
        let mut name = String::new();
        self.redis.names().proxies(&mut name, "given-up:");
        let _ = write!(name, "{proxy}");
        name
    }
}
