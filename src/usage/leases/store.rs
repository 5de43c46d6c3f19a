//! The leases in Redis: one hash for each proxy, a call's row under its id.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    base::RequestId,
    store::redis::{Call, Redis, RedisError, Script},
};

/// How many leases one call to Redis writes.
const BATCH: usize = 64;

/// How long a lease's row may be: nobody's tags may fill Redis.
pub(super) const LONGEST: usize = 32 * 1024;

/// The leases of all proxies.
#[derive(Clone, Debug)]
pub struct Leases {
    redis: Redis,
    scripts: std::sync::Arc<Scripts>,
}

#[derive(Debug)]
struct Scripts {
    keep: Script,
    some: Script,
}

impl Leases {
    /// Opens them; nothing is connected before they are used.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        let script = |text: &str| Script::new(text.to_owned());
        let scripts = Scripts {
            keep: script(include_str!("lua/keep.lua")),
            some: script(include_str!("lua/some.lua")),
        };
        Self {
            redis,
            scripts: scripts.into(),
        }
    }

    /// Keeps the rows of calls of `proxy`, drops those of others, and returns how many there are then. `is_anew` lets
    /// go all that was there before.
    ///
    /// # Errors
    /// When Redis does not answer; some of it may have been done.
    pub(super) async fn keep(
        &self,
        proxy: Uuid,
        is_anew: bool,
        kept: &[(RequestId, String)],
        dropped: &[String],
    ) -> Result<usize, RedisError> {
        let rows = kept.chunks(BATCH).map(|rows| (rows, [].as_slice()));
        let ids = dropped.chunks(BATCH).map(|ids| ([].as_slice(), ids));
        let nothing = is_anew && kept.is_empty() && dropped.is_empty();
        let parts = rows.chain(ids).chain(nothing.then(Default::default));
        let mut there = 0;
        for (number, (rows, ids)) in parts.enumerate() {
            there = self.tell(proxy, is_anew && number == 0, rows, ids).await?;
        }
        Ok(there)
    }

    async fn tell(
        &self,
        proxy: Uuid,
        is_anew: bool,
        kept: &[(RequestId, String)],
        dropped: &[String],
    ) -> Result<usize, RedisError> {
        let bytes: usize = kept.iter().map(|(_, row)| row.len() + 64).sum();
        let mut call = self.call(&self.scripts.keep, proxy, bytes + dropped.len() * 48);
        call.push(if is_anew { "1" } else { "0" });
        call.push(&kept.len().to_string());
        for (id, row) in kept {
            call.push(&id.to_string());
            call.push(row);
        }
        for id in dropped {
            call.push(id);
        }
        let link = self.redis.link(self.redis.deadline()).await?;
        let reply = self.redis.run(&link, &call, self.redis.deadline()).await?;
        let there = reply.first().and_then(|there| usize::try_from(*there).ok());
        there.ok_or(RedisError::Garbled)
    }

    /// Returns some leases of `proxy`, at most `most`: each id as it is written, and its row.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub(super) async fn some(
        &self,
        proxy: Uuid,
        most: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, RedisError> {
        // More comes back than a call in flight may wait for.
        const PATIENCE: Duration = Duration::from_secs(5);
        let mut call = self.call(&self.scripts.some, proxy, 64);
        call.push(&most.to_string());
        let link = self.redis.link(self.redis.deadline()).await?;
        let mut texts = self.redis.read(&link, &call, PATIENCE).await?.into_iter();
        let mut leases = Vec::new();
        while let (Some(id), Some(row)) = (texts.next(), texts.next()) {
            leases.push((String::from_utf8_lossy(&id).into_owned(), row));
        }
        Ok(leases)
    }

    fn call<'a>(&self, script: &'a Script, proxy: Uuid, bytes: usize) -> Call<'a> {
        let mut name = String::new();
        self.redis.names().leases(&mut name, proxy);
        let mut call = Call::new(script, 1, bytes + name.len());
        call.push(&name);
        call
    }
}
