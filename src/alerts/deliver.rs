//! Tells alerts to their channels, until they are told or past hope.
//!
//! A delivery is taken for a while before it is tried, so that of several sidecars one tries it; whoever dies with it
//! in hand leaves it to the others when that while has passed. What a webhook got but could not be noted is told
//! again under the same id.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    channel::{self, ChannelKind},
    store::deliveries::{self, Taken},
    webhook::{self, About, Notice, Tried},
};
use crate::{
    base::{Clock, Moment, tasks::Tasks},
    egress::Guard,
    store::{Conn, Postgres, StoreError, Vault},
};

/// Deliveries tried at a time.
const AT_ONCE: usize = 8;
/// How often the books are asked.
const BEAT: Duration = Duration::from_secs(1);
/// How long a delivery is out of others' reach once it was taken: well more than a try and its note.
const LEASE: Duration = Duration::from_secs(60);
/// How long the books are asked to take what came of a try.
const NOTE_WITHIN: Duration = Duration::from_secs(30);
/// The pauses after the first tries; the last one also after all later ones.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(2),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(1_800),
    Duration::from_secs(3_600),
];
/// After so many tries, a day or so, nobody waits for it any more.
const MOST_TRIES: i16 = 28;

/// A letter about an alert, to be sent by whoever sends letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertLetter {
    /// To which address.
    pub to: String,
    /// What it is about.
    pub subject: &'static str,
    /// What it says.
    pub text: String,
}

/// A future that borrows a connection.
pub type Posting<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

/// Posts letters with the transaction they are handed.
pub trait Postman: Send + Sync {
    /// Posts `letter` in this transaction: it is sent when that is committed.
    fn post<'a>(&'a self, conn: &'a mut Conn, letter: AlertLetter, now: Moment) -> Posting<'a>;
}

/// What became of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was told.
    Delivered,
    /// It waits for another try.
    PutBack,
    /// It was given up.
    GivenUp,
}

impl Outcome {
    /// Returns the word metrics use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::PutBack => "put_back",
            Self::GivenUp => "given_up",
        }
    }
}

/// Tells alerts.
#[derive(Clone)]
pub struct Courier {
    /// The books.
    pub postgres: Postgres,
    /// Opens the secrets of webhooks.
    pub vault: Arc<Vault>,
    /// Says where webhooks may be.
    pub guard: Arc<Guard>,
    /// Posts letters.
    pub postman: Arc<dyn Postman>,
    /// The time of day.
    pub clock: Clock,
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").finish_non_exhaustive()
    }
}

impl Courier {
    /// Delivers until `stopped`, then lets what is under way end.
    pub async fn keep(
        self,
        tell: impl Fn(Outcome) + Clone + Send + 'static,
        stopped: impl Future<Output = ()>,
    ) {
        let under_way = Tasks::default();
        let hands = Arc::new(Semaphore::new(AT_ONCE));
        tokio::pin!(stopped);
        loop {
            let is_more = self.round(&hands, &under_way, &tell).await;
            let is_more = is_more.unwrap_or_else(|error| {
                tracing::debug!(%error, "deliveries cannot be read now");
                false
            });
            let pause = if is_more { Duration::ZERO } else { BEAT };
            tokio::select! {
                biased;
                () = &mut stopped => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        under_way.wait(webhook::DEADLINE).await;
    }

    /// Takes as many deliveries as there are hands; says whether more may wait.
    async fn round(
        &self,
        hands: &Arc<Semaphore>,
        under_way: &Tasks,
        tell: &(impl Fn(Outcome) + Clone + Send + 'static),
    ) -> Result<bool, StoreError> {
        let hands = free(hands).await;
        let batch = i32::try_from(hands.len()).unwrap_or(1);
        let mut conn = self.postgres.acquire().await?;
        let taken = deliveries::take(&mut conn, batch, LEASE).await?;
        drop(conn);
        let is_more = taken.len() == hands.len();
        for (delivery, hand) in taken.into_iter().zip(hands) {
            let (courier, tell) = (self.clone(), tell.clone());
            under_way.spawn("delivery", async move {
                let _hand = hand;
                if let Some(outcome) = courier.deliver(&delivery).await {
                    tell(outcome);
                }
            });
        }
        Ok(is_more)
    }

    /// Tries a delivery and notes what came of it; `None` when that could not be noted in time.
    async fn deliver(&self, taken: &Taken) -> Option<Outcome> {
        let tried = if taken.is_wanted {
            self.attempt(taken).await
        } else {
            Tried::hopeless(None, "the channel is off or gone")
        };
        let noting = async {
            loop {
                match self.note(taken, &tried).await {
                    Ok(outcome) => return outcome,
                    Err(error) if !error.is_unreachable() => {
                        tracing::error!(delivery.id = %taken.notice.id, %error, "a delivery's end cannot be noted");
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(BEAT).await;
            }
        };
        let outcome = tokio::time::timeout(NOTE_WITHIN, noting).await.ok()?;
        if let Some(fault) = &tried.fault {
            tracing::warn!(
                delivery.id = %taken.notice.id, channel.id = %taken.channel, outcome = outcome.word(), fault,
                "an alert was not told"
            );
        }
        Some(outcome)
    }

    /// Letters are posted with the note, so that there is one of each however often this is tried.
    async fn attempt(&self, taken: &Taken) -> Tried {
        match (taken.kind, &taken.sealed) {
            (ChannelKind::Email, _) => Tried::told(None),
            (ChannelKind::Webhook, None) => Tried::hopeless(None, "the channel has no secret"),
            (ChannelKind::Webhook, Some(sealed)) => {
                let origin = channel::origin_of(&taken.target);
                let place = channel::place(taken.channel, taken.notice.organization_id, &origin);
                match self.vault.open(sealed, place) {
                    Ok(secret) => {
                        let now = self.clock.now();
                        webhook::tell(&self.guard, &taken.target, &secret, &taken.notice, now).await
                    }
                    Err(error) => {
                        Tried::failed(None, &format!("the secret does not open: {error}"))
                    }
                }
            }
        }
    }

    async fn note(&self, taken: &Taken, tried: &Tried) -> Result<Outcome, StoreError> {
        let pause = pause_after(taken.attempts).filter(|_| tried.may_pass);
        let mut tx = self.postgres.begin().await?;
        let is_ours = deliveries::note(&mut tx, taken, tried, pause).await?;
        let is_letter = taken.kind == ChannelKind::Email && tried.fault.is_none();
        if is_ours && is_letter {
            let letter = letter_of(&taken.target, &taken.notice);
            self.postman.post(&mut tx, letter, self.clock.now()).await?;
        }
        tx.commit().await?;
        Ok(match (&tried.fault, pause) {
            (None, _) => Outcome::Delivered,
            (Some(_), Some(_)) => Outcome::PutBack,
            (Some(_), None) => Outcome::GivenUp,
        })
    }
}

/// Waits for a free hand and takes all that are.
async fn free(hands: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let first = Arc::clone(hands).acquire_owned().await.ok();
    let others = std::iter::from_fn(|| Arc::clone(hands).try_acquire_owned().ok());
    first.into_iter().chain(others).collect()
}

/// Returns how long a delivery rests after so many tries; `None` when there were enough.
fn pause_after(tries: i16) -> Option<Duration> {
    if MOST_TRIES <= tries {
        return None;
    }
    let place = usize::try_from(tries.saturating_sub(1)).unwrap_or_default();
    PAUSES.get(place).or(PAUSES.last()).copied()
}

/// Writes the letter about an alert.
#[must_use]
pub fn letter_of(to: &str, notice: &Notice) -> AlertLetter {
    let Some(alert) = &notice.alert else {
        return AlertLetter {
            to: to.to_owned(),
            subject: "A try of an alert channel",
            text: "somebody tries whether alerts of Synaxis reach this address: they do."
                .to_owned(),
        };
    };
    let subject = match (notice.about, alert.severity.as_str()) {
        (About::Resolved, _) => "An alert is over",
        (_, "critical") => "A critical alert",
        (_, "info") => "A notice",
        _ => "A warning",
    };
    let whose = notice.organization_id.map_or_else(
        || "the platform".to_owned(),
        |id| format!("organization {id}"),
    );
    let over = match alert.resolved_at {
        Some(at) => format!("Over since: {}\n", at.utc().to_rfc3339()),
        None => String::new(),
    };
    // What a message quotes must not look like lines of ours.
    let message: String = alert
        .message
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    AlertLetter {
        to: to.to_owned(),
        subject,
        text: format!(
            "{message}\n\nKind: {}\nSeverity: {}\nSeen: {} times since {}\n{over}Of: {whose}\nAlert: {}",
            alert.kind,
            alert.severity,
            alert.occurrences,
            alert.raised_at.utc().to_rfc3339(),
            alert.id,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_took_a_delivery_is_done_with_it_before_anybody_else_may() {
        assert!(webhook::DEADLINE + NOTE_WITHIN < LEASE);
    }

    #[test]
    fn a_delivery_is_tried_ever_more_rarely_for_about_a_day() {
        let pauses: Vec<_> = (1..).map_while(pause_after).collect();

        assert!(pauses.is_sorted());
        let hours = pauses.iter().sum::<Duration>().as_secs() / 3_600;
        assert!((20..30).contains(&hours), "{hours}");
    }
}
