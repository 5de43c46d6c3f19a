//! The board in Redis on which a round of reconciling is written, and what every proxy answers.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    base::Moment,
    store::redis::{Call, Redis, RedisError, Script},
};

/// How long a round may take before another proxy may open one, in milliseconds.
const ROUND_MS: &str = "30000";

/// How long an answer may be under way: they are long where many limits are.
const PATIENCE: Duration = Duration::from_secs(2);

/// What proxies do in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Begin to note what falls.
    Ready = 1,
    /// Say what all holds stand for.
    Answer = 2,
}

/// A round and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) round: u64,
    pub(super) phase: Phase,
}

/// What one proxy answers.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Redis and the proxy were of one mind about every hold.
    pub(super) is_clear: bool,
    /// Per counter and start of its window: the most that the proxy's holds that are not in the books may stand for.
    pub(super) standing: Vec<(String, i64, u64)>,
}

/// Where rounds are written.
#[derive(Debug)]
pub(super) struct Board {
    redis: Redis,
    own: Uuid,
    open: Script,
    ask: Script,
    close: Script,
    look: Script,
    say: Script,
    answers: Script,
}

impl Board {
    pub(super) fn new(redis: Redis, own: Uuid) -> Self {
        let script = |text: &str| Script::new(text.to_owned());
        Self {
            redis,
            own,
            open: script(include_str!("lua/open.lua")),
            ask: script(include_str!("lua/ask.lua")),
            close: script(include_str!("lua/close.lua")),
            look: script(include_str!("lua/look.lua")),
            say: script(include_str!("lua/say.lua")),
            answers: script(include_str!("lua/answers.lua")),
        }
    }

    /// Opens a round, when the last one was opened so long ago, and returns Redis's clock; `None` while another is
    /// under way.
    pub(super) async fn open(
        &self,
        round: u64,
        every: Duration,
    ) -> Result<Option<Moment>, RedisError> {
        let keys = ["lock", "round", "answers", "reconciled", "living"];
        let mut call = self.call(&self.open, &keys);
        call.push(&self.own.to_string()).push(&round.to_string());
        call.push(ROUND_MS).push(&every.as_millis().to_string());
        Ok(match self.run(&call).await?.as_slice() {
            [1, now] => Some(Moment::from_millis(*now)),
            _ => None,
        })
    }

    /// Asks all proxies for their answers; says whether the round is still ours.
    pub(super) async fn ask(&self, round: u64) -> Result<bool, RedisError> {
        let mut call = self.call(&self.ask, &["lock", "round"]);
        call.push(&self.own.to_string()).push(&round.to_string());
        Ok(self.run(&call).await?.first() == Some(&1))
    }

    /// Ends the round.
    pub(super) async fn close(&self) -> Result<(), RedisError> {
        let mut call = self.call(&self.close, &["lock", "round", "answers"]);
        call.push(&self.own.to_string());
        self.run(&call).await.map(|_| ())
    }

    /// Returns the round that is under way.
    pub(super) async fn look(&self) -> Result<Option<Stage>, RedisError> {
        let call = self.call(&self.look, &["round"]);
        let reply = self.run(&call).await?;
        let [round, phase] = reply.as_slice() else {
            return Err(RedisError::Garbled);
        };
        let phase = match phase {
            1 => Phase::Ready,
            2 => Phase::Answer,
            _ => return Ok(None),
        };
        let round = u64::try_from(*round).map_err(|_| RedisError::Garbled)?;
        Ok(Some(Stage { round, phase }))
    }

    /// Writes this proxy's answer; says whether it was in time.
    pub(super) async fn say(&self, stage: Stage, answer: &Answer) -> Result<bool, RedisError> {
        let text = serde_json::to_string(answer).unwrap_or_default();
        let mut call = self.call(&self.say, &["round", "answers"]);
        call.push(&self.own.to_string()).push(&stage.mark());
        call.push(&text).push(ROUND_MS);
        Ok(self.run(&call).await?.first() == Some(&1))
    }

    /// Returns what every living proxy has answered at this stage; `None` while one of them has not.
    pub(super) async fn answers(
        &self,
        stage: Stage,
    ) -> Result<Option<HashMap<String, Answer>>, RedisError> {
        let call = self.call(&self.answers, &["living", "answers"]);
        let link = self.redis.link(self.redis.deadline()).await?;
        let mut texts = self.redis.read(&link, &call, PATIENCE).await?.into_iter();
        let mark = format!("{} ", stage.mark());
        let mut answers = HashMap::new();
        while let (Some(proxy), Some(text)) = (texts.next(), texts.next()) {
            let text = String::from_utf8_lossy(&text);
            let Some(answer) = text.strip_prefix(&mark) else {
                return Ok(None);
            };
            let answer = serde_json::from_str(answer).map_err(|_| RedisError::Garbled)?;
            answers.insert(String::from_utf8_lossy(&proxy).into_owned(), answer);
        }
        Ok(Some(answers))
    }

    async fn run(&self, call: &Call<'_>) -> Result<Vec<i64>, RedisError> {
        let link = self.redis.link(self.redis.deadline()).await?;
        self.redis.run(&link, call, PATIENCE).await
    }

    fn call<'a>(&self, script: &'a Script, things: &[&str]) -> Call<'a> {
        let mut name = String::new();
        let mut call = Call::new(script, things.len(), 256);
        for thing in things {
            self.redis.names().proxies(&mut name, thing);
            call.push(&name);
        }
        call
    }
}

impl Stage {
    /// Returns how the round is written.
    fn mark(self) -> String {
        format!("{}:{}", self.round, self.phase as u8)
    }
}
