//! What this proxy answers in a round.

use std::time::Duration;

use tokio::time::sleep;

use super::board::{Answer, Board, Phase, Stage};
use crate::{quota::Ledger, store::redis::RedisError};

/// How often is looked whether a round is under way.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often during one.
const LOOK_SOON: Duration = Duration::from_millis(10);

impl Ledger {
    /// Answers every round.
    pub(super) async fn stand_by(&self, board: &Board) {
        let mut answered = None;
        loop {
            match self.answer(board, &mut answered).await {
                Ok(()) => {}
                Err(error) => {
                    answered = None;
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "no answer was given"
                    );
                }
            }
            let is_underway = matches!(
                answered,
                Some(Stage {
                    phase: Phase::Ready,
                    ..
                })
            );
            sleep(if is_underway { LOOK_SOON } else { LOOK_EVERY }).await;
        }
    }

    /// Does what the round that is under way asks for, once.
    async fn answer(&self, board: &Board, answered: &mut Option<Stage>) -> Result<(), RedisError> {
        let asked = board.look().await?;
        if asked == *answered {
            return Ok(());
        }
        let Some(stage) = asked else {
            self.desk.watch.end();
            *answered = None;
            return Ok(());
        };
        let was_ready = Stage {
            phase: Phase::Ready,
            ..stage
        };
        match stage.phase {
            Phase::Ready => {
                self.desk.watch.begin();
                board.say(stage, &Answer::default()).await?;
            }
            // Who was not there when it began cannot say what fell since.
            Phase::Answer if *answered != Some(was_ready) => return Ok(()),
            Phase::Answer => {
                let answer = self.take_stock().await;
                self.desk.watch.end();
                board.say(stage, &answer).await?;
            }
        }
        *answered = Some(stage);
        Ok(())
    }

    /// Returns what this proxy's holds may have stood for in Redis at any moment since the watch began.
    async fn take_stock(&self) -> Answer {
        self.desk.watch.let_pass().await;
        let mut standing = self.desk.standing(&self.calendar);
        for (place, fell) in self.desk.watch.fallen() {
            let sum = standing.entry(place).or_default();
            *sum = sum.saturating_add(fell);
        }
        let named = standing.into_iter().map(|((counter, start), amount)| {
            let mut name = String::new();
            counter.name(self.redis.names(), self.settings.lease_ms, &mut name);
            (name, start, amount)
        });
        Answer {
            standing: named.collect(),
            is_clear: self.desk.watch.is_clear(),
        }
    }
}
