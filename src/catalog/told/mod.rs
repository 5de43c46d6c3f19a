//! What providers' answers say of their allowances, on its way from the proxies that heard it to the books.

use std::{future::Future, time::Duration};

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    offer::{AllowanceMeter, AllowanceWindow},
    store::allowances,
    word::{of_word, word},
};
use crate::{
    base::{AllowanceId, Clock, OfferId},
    store::{
        Postgres, StoreError,
        redis::{Call, Redis, RedisError, Script},
    },
};

/// How often what lies there is written into the books.
const EVERY: Duration = Duration::from_secs(10);

/// Of which allowance something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    /// One the catalog has.
    Known(AllowanceId),
    /// One of an offer that the catalog does not have.
    New(OfferId, AllowanceMeter, AllowanceWindow),
}

/// How much an allowance is, as a provider's answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Which.
    pub of: Of,
    /// How much.
    pub amount: u64,
}

/// Where proxies lay down what they heard: in Redis, since none of them writes to the books in a call's path.
#[derive(Debug)]
pub struct Outbox {
    redis: Redis,
    put: Script,
    take: Script,
}

impl Outbox {
    /// Opens the outbox; nothing is connected before it is used.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self {
            redis,
            put: Script::new(include_str!("put.lua").to_owned()),
            take: Script::new(include_str!("take.lua").to_owned()),
        }
    }

    /// Lays words down.
    ///
    /// # Errors
    /// When Redis does not answer; the provider will say it again.
    pub async fn put(&self, words: &[Word]) -> Result<(), RedisError> {
        if words.is_empty() {
            return Ok(());
        }
        let mut call = self.call(&self.put);
        for one in words {
            call.push(&subject(&one.of)).push(&one.amount.to_string());
        }
        let link = self.redis.link(self.redis.deadline()).await?;
        self.redis.run(&link, &call, self.redis.deadline()).await?;
        Ok(())
    }

    /// Takes all words that lie there.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn take(&self) -> Result<Vec<Word>, RedisError> {
        let link = self.redis.link(self.redis.deadline()).await?;
        let call = self.call(&self.take);
        let texts = self.redis.read(&link, &call, self.redis.deadline()).await?;
        Ok(texts.chunks_exact(2).filter_map(read_word).collect())
    }

    fn call<'a>(&self, script: &'a Script) -> Call<'a> {
        let mut name = String::new();
        self.redis.names().proxies(&mut name, "told");
        let mut call = Call::new(script, 1, 256);
        call.push(&name);
        call
    }
}

/// Writes down, again and again until `stop` comes true, what lies in the outbox.
pub async fn keep(
    outbox: Outbox,
    postgres: Postgres,
    clock: Clock,
    stop: impl Future<Output = ()> + Send,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            _ = ticks.tick() => {}
        }
        let words = match outbox.take().await {
            Ok(words) if words.is_empty() => continue,
            Ok(words) => words,
            Err(error) => {
                tracing::debug!(error = %error, "what providers say cannot be taken");
                continue;
            }
        };
        match write(&postgres, &clock, &words).await {
            Ok(news) => {
                tracing::info!(words = words.len(), news, "providers told their allowances")
            }
            Err(error) => tracing::warn!(error = %error, "what providers say was not written down"),
        }
    }
}

async fn write(postgres: &Postgres, clock: &Clock, words: &[Word]) -> Result<i64, StoreError> {
    let rows = words.iter().map(|one| {
        let id = AllowanceId::new(clock.now()).uuid();
        Ok(match one.of {
            Of::Known(allowance) => {
                json!({ "id": id, "allowance": allowance, "amount": one.amount })
            }
            Of::New(offer, meter, window) => json!({
                "id": id, "offer": offer, "meter": word(&meter)?, "window": word(&window)?, "amount": one.amount,
            }),
        })
    });
    let rows = rows.collect::<Result<Vec<Value>, StoreError>>()?;
    allowances::learn(postgres, Value::Array(rows)).await
}

fn subject(of: &Of) -> String {
    match of {
        Of::Known(allowance) => format!("a {}", allowance.uuid()),
        Of::New(offer, meter, window) => {
            let (meter, window) = (
                word(meter).unwrap_or_default(),
                word(window).unwrap_or_default(),
            );
            format!("o {} {meter} {window}", offer.uuid())
        }
    }
}

fn read_word(pair: &[Vec<u8>]) -> Option<Word> {
    let [subject, amount] = pair else {
        return None;
    };
    let subject = str::from_utf8(subject).ok()?;
    let mut parts = subject.split(' ');
    let of = match (parts.next()?, parts.next()?.parse().ok()?) {
        ("a", id) => Of::Known(AllowanceId(id)),
        (_, id) => Of::New(
            OfferId(id),
            of_word(parts.next()?.to_owned()).ok()?,
            of_word(parts.next()?.to_owned()).ok()?,
        ),
    };
    let amount = str::from_utf8(amount).ok()?.parse().ok()?;
    Some(Word { of, amount })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_word_is_read_as_it_was_written() {
        let id = Uuid::from_u128(7);
        for of in [
            Of::Known(AllowanceId(id)),
            Of::New(OfferId(id), AllowanceMeter::Tokens, AllowanceWindow::Month),
        ] {
            let pair = [subject(&of).into_bytes(), b"12".to_vec()];
            assert_eq!(read_word(&pair), Some(Word { of, amount: 12 }));
        }
        assert_eq!(read_word(&[b"a nothing".to_vec(), b"12".to_vec()]), None);
    }
}
