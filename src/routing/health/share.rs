//! Health that all proxies share: what one finds out the others hear within a second, and they try the sick in turn.
//!
//! Everything is decided here, by what is known here; while Redis is away each proxy goes by its own experience.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;
use uuid::Uuid;

use super::{
    Cool, Health,
    news::{News, State, Turns},
};
use crate::{
    base::Moment,
    store::{
        outcomes::Outcomes,
        redis::{Call, Redis, RedisError, Script},
    },
};

/// How often a proxy tells and hears.
const BEAT: Duration = Duration::from_millis(250);

/// How soon after a beat the next may follow when there is news.
const SOON: Duration = Duration::from_millis(25);

/// How often outcomes are told.
const OUTCOMES: Duration = Duration::from_secs(1);

/// How long Redis may be silent before a proxy goes by itself.
const SILENCE: Duration = Duration::from_secs(2);

/// Shares one proxy's health with the others.
#[derive(Debug)]
pub struct Sharing {
    health: Arc<Health>,
    redis: Redis,
    outcomes: Outcomes,
    script: Script,
    proxy: Uuid,
    /// The last change that was heard.
    seen: u64,
    heard: Instant,
    told: Instant,
}

impl Sharing {
    /// Shares the health of `proxy`; nothing is connected before it runs.
    #[must_use]
    pub fn new(health: Arc<Health>, redis: Redis, proxy: Uuid) -> Self {
        let now = Instant::now();
        Self {
            health,
            outcomes: Outcomes::new(redis.clone()),
            redis,
            script: Script::new(include_str!("share.lua").to_owned()),
            proxy,
            seen: 0,
            heard: now,
            told: now,
        }
    }

    /// Tells and hears until `stop` comes true.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        loop {
            self.beat().await;
            if OUTCOMES <= self.told.elapsed() {
                self.told = Instant::now();
                self.tell_outcomes().await;
            }
            let news = async {
                tokio::time::sleep(SOON).await;
                self.health.news.comes().await;
            };
            tokio::select! {
                () = &mut stop => return,
                _ = timeout(BEAT, news) => {}
            }
        }
    }

    /// Tells what is new and hears what others found out; says nothing when Redis is away: it is tried again.
    pub async fn beat(&mut self) {
        let news = self.health.news.take();
        match self.exchange(&news).await {
            Ok(reply) => self.hear(&reply),
            Err(error) => {
                tracing::debug!(error = %error, "health is not shared");
                self.health.news.put_back(news);
                if SILENCE <= self.heard.elapsed() {
                    self.health.take_turns(Turns::Alone);
                }
            }
        }
    }

    async fn exchange(&self, news: &[News]) -> Result<Vec<Vec<u8>>, RedisError> {
        let names = self.redis.names();
        let (mut board, mut proxies) = (String::new(), String::new());
        names.proxies(&mut board, "health");
        names.proxies(&mut proxies, "trials");
        let mut call = Call::new(&self.script, 2, 256 + news.len() * 128);
        call.push(&board).push(&proxies);
        call.push(&self.proxy.to_string());
        call.push(&self.seen.to_string());
        call.push(if self.health.asks_for_trials() {
            "1"
        } else {
            "0"
        });
        for one in news {
            for text in one.write() {
                call.push(&text);
            }
        }
        let link = self.redis.link(self.redis.deadline()).await?;
        self.redis.read(&link, &call, self.redis.deadline()).await
    }

    fn hear(&mut self, reply: &[Vec<u8>]) {
        let number =
            |place: usize| -> Option<u64> { str::from_utf8(reply.get(place)?).ok()?.parse().ok() };
        let (Some(last), Some(living), Some(asking), Some(place)) =
            (number(0), number(1), number(2), number(3))
        else {
            return;
        };
        self.seen = last;
        self.heard = Instant::now();
        self.health.take_turns(Turns::of(living, asking, place));
        let changes = reply.get(4..).unwrap_or_default();
        for news in changes.chunks_exact(5).filter_map(News::read) {
            self.health.follow(&news);
        }
    }

    /// Tells how calls went since this was last told; what Redis does not hear is told with the next.
    pub async fn tell_outcomes(&self) {
        for (pair, tally) in self.health.take_tallies() {
            if self.outcomes.add(pair, &tally).await.is_err() {
                self.health.count_again(pair, &tally);
            }
        }
    }
}

impl Health {
    /// Goes by what another proxy found out.
    fn follow(&self, news: &News) {
        match news {
            News::Breaker(offer, credential, state) => {
                let pair = self.pairs.cell((*offer, *credential));
                pair.adopt(state);
            }
            News::Cool(what, until) => {
                self.extend(*what, *until);
            }
        }
    }
}

impl News {
    /// Writes the five texts of the board: subject, until, openings, successes, when.
    fn write(&self) -> [String; 5] {
        let id = |id: Option<Uuid>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let (subject, until, counts, at) = match self {
            Self::Breaker(offer, credential, state) => {
                let key = id(credential.map(|key| key.uuid()));
                let until = state.open_until.map_or(0, Moment::millis);
                let subject = format!("b {} {key}", offer.uuid());
                let counts = [state.openings, state.successes];
                (subject, until, counts, state.at.millis())
            }
            Self::Cool(what, until) => {
                let subject = match what {
                    Cool::Offer(offer) => format!("o {} -", offer.uuid()),
                    Cool::OfferCredential(offer, key) => {
                        format!("p {} {}", offer.uuid(), id(key.map(|key| key.uuid())))
                    }
                    Cool::Credential(key) => format!("c {} -", key.uuid()),
                    Cool::CredentialLimit(key) => format!("l {} -", key.uuid()),
                };
                (subject, until.millis(), [0, 0], 0)
            }
        };
        let [openings, successes] = counts.map(|count| count.to_string());
        [
            subject,
            until.to_string(),
            openings,
            successes,
            at.to_string(),
        ]
    }

    fn read(texts: &[Vec<u8>]) -> Option<Self> {
        let [subject, until, openings, successes, at] = texts else {
            return None;
        };
        let number = |text: &[u8]| str::from_utf8(text).ok()?.parse::<i64>().ok();
        let mut parts = str::from_utf8(subject).ok()?.split(' ');
        let kind = parts.next()?;
        let first: Uuid = parts.next()?.parse().ok()?;
        let second = match parts.next()? {
            "-" => None,
            id => Some(id.parse::<Uuid>().ok()?),
        };
        let until = number(until)?;
        let moment = Moment::from_millis(until);
        Some(match kind {
            "b" => Self::Breaker(
                first.into(),
                second.map(Into::into),
                State {
                    open_until: (until != 0).then_some(moment),
                    openings: u32::try_from(number(openings)?).ok()?,
                    successes: u32::try_from(number(successes)?).ok()?,
                    at: Moment::from_millis(number(at)?),
                },
            ),
            "o" => Self::Cool(Cool::Offer(first.into()), moment),
            "p" => Self::Cool(
                Cool::OfferCredential(first.into(), second.map(Into::into)),
                moment,
            ),
            "c" => Self::Cool(Cool::Credential(first.into()), moment),
            "l" => Self::Cool(Cool::CredentialLimit(first.into()), moment),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_read_as_they_were_written() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let until = Moment::from_millis(1_795_000_000_000);
        let state = State {
            open_until: Some(until),
            openings: 3,
            successes: 1,
            at: Moment::from_millis(1_794_999_970_000),
        };
        let closed = State {
            open_until: None,
            ..state
        };
        for news in [
            News::Breaker(one.into(), Some(other.into()), state),
            News::Breaker(one.into(), None, closed),
            News::Cool(Cool::Offer(one.into()), until),
            News::Cool(Cool::OfferCredential(one.into(), None), until),
            News::Cool(Cool::OfferCredential(one.into(), Some(other.into())), until),
            News::Cool(Cool::Credential(one.into()), until),
            News::Cool(Cool::CredentialLimit(one.into()), until),
        ] {
            let written = news.write().map(String::into_bytes);
            assert_eq!(News::read(&written), Some(news));
        }
        assert_eq!(
            News::read(&[b"x".to_vec(), vec![], vec![], vec![], vec![]]),
            None
        );
    }
}
