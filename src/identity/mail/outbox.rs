//! Sends the letters that wait in the books, until they are gone or no longer count.
//!
//! A letter is taken for a while before it is sent, so that of several sidecars one sends it; whoever dies with it in
//! hand leaves it to the others when that while has passed. A sidecar that dies between the server's word and its own
//! note of it has a letter sent again: with the same `Message-ID`, so that a mailbox can tell.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::{
    MailFault, Mailer, Settings, Sheet,
    transport::{NotSent, Sender},
};
use crate::{
    base::tasks::Tasks,
    identity::store::letter::{self, Standing, Taken},
    store::{Postgres, StoreError, Vault},
};

/// Letters sent at a time.
const AT_ONCE: usize = 4;
/// How often the books are asked when nobody posted anything here.
const BEAT: Duration = Duration::from_secs(1);
/// How long a letter is out of others' reach once it was taken.
const LEASE: Duration = Duration::from_secs(120);
/// How long one try may take: well within the lease.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the books are asked to take what became of a letter: still within the lease.
const NOTE_WITHIN: Duration = Duration::from_secs(60);
/// The pauses after the first tries; the last one also after all later ones.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
];
/// How often it is told how the letters stand.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What became of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The letter left.
    Sent,
    /// It waits for another try.
    PutBack,
    /// It is lost.
    GivenUp,
}

impl Outcome {
    /// Returns the word metrics use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::PutBack => "put_back",
            Self::GivenUp => "given_up",
        }
    }
}

/// What there is to tell of the letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// One was tried.
    Tried(Outcome),
    /// How they all stand.
    Standing(Standing),
}

/// Sends what waits.
#[derive(Clone)]
pub struct Outbox {
    postgres: Postgres,
    vault: Arc<Vault>,
    posted: Arc<Notify>,
    sender: Arc<Sender>,
}

impl Outbox {
    /// Prepares to send what is posted with `mailer` and its like.
    ///
    /// # Errors
    /// When the settings lead nowhere.
    pub fn open(
        settings: &Settings,
        mailer: &Mailer,
        postgres: Postgres,
    ) -> Result<Self, MailFault> {
        Ok(Self {
            postgres,
            vault: Arc::clone(&mailer.vault),
            posted: Arc::clone(&mailer.posted),
            sender: Arc::new(Sender::open(settings)?),
        })
    }

    /// Sends letters until `stopped`, then lets those under way end.
    pub async fn keep(
        self,
        tell: impl Fn(News) + Clone + Send + 'static,
        stopped: impl Future<Output = ()>,
    ) {
        let sending = Tasks::default();
        let hands = Arc::new(Semaphore::new(AT_ONCE));
        tokio::pin!(stopped);
        let mut told_at: Option<Instant> = None;
        loop {
            let is_more = match self.round(&hands, &sending, &tell).await {
                Ok(is_more) => is_more,
                Err(error) => {
                    tracing::debug!(%error, "letters cannot be read now");
                    false
                }
            };
            if told_at.is_none_or(|at| TELL_EVERY <= at.elapsed()) {
                told_at = Some(Instant::now());
                self.tell_standing(&tell).await;
            }
            let pause = async {
                if !is_more {
                    let _woken = tokio::time::timeout(BEAT, self.posted.notified()).await;
                }
            };
            tokio::select! {
                biased;
                () = &mut stopped => break,
                () = pause => {}
            }
        }
        sending.wait(PATIENCE).await;
    }

    /// Takes as many letters as there are hands; says whether more may wait.
    async fn round(
        &self,
        hands: &Arc<Semaphore>,
        sending: &Tasks,
        tell: &(impl Fn(News) + Clone + Send + 'static),
    ) -> Result<bool, StoreError> {
        let Some(hands) = free(hands).await else {
            return Ok(false);
        };
        let batch = i32::try_from(hands.len()).unwrap_or(1);
        let mut conn = self.postgres.acquire().await?;
        let taken = letter::take(&mut conn, batch, LEASE).await?;
        drop(conn);
        let is_more = taken.len() == hands.len();
        for (letter, hand) in taken.into_iter().zip(hands) {
            let (outbox, tell) = (self.clone(), tell.clone());
            sending.spawn("letter", async move {
                let _hand = hand;
                if let Some(outcome) = outbox.deliver(&letter).await {
                    tell(News::Tried(outcome));
                }
            });
        }
        Ok(is_more)
    }

    /// Tries a letter and notes what became of it; `None` when that could not be noted in time.
    async fn deliver(&self, letter: &Taken) -> Option<Outcome> {
        let tried = tokio::time::timeout(PATIENCE, self.send(letter)).await;
        let tried = tried.unwrap_or(Err(NotSent::TookTooLong));
        let noting = async {
            loop {
                match self.note(letter, tried.as_ref().err()).await {
                    Ok(outcome) => return outcome,
                    Err(error) if !error.is_unreachable() => {
                        tracing::error!(letter.id = %letter.id, %error, "a letter's end cannot be noted");
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(BEAT).await;
            }
        };
        tokio::time::timeout(NOTE_WITHIN, noting).await.ok()
    }

    async fn send(&self, letter: &Taken) -> Result<(), NotSent> {
        let sheet = self.vault.open(&letter.sealed, letter::place(letter.id))?;
        let sheet: Sheet = serde_json::from_str(sheet.expose()).map_err(|_| NotSent::Illegible)?;
        self.sender.send(letter.id, &sheet).await
    }

    async fn note(&self, letter: &Taken, fault: Option<&NotSent>) -> Result<Outcome, StoreError> {
        let mut conn = self.postgres.acquire().await?;
        let Some(fault) = fault else {
            letter::forget(&mut conn, letter).await?;
            return Ok(Outcome::Sent);
        };
        let (id, word) = (letter.id, fault.word());
        let pause = fault.may_pass().then(|| pause_after(letter.tries));
        if letter::put_back(&mut conn, letter, &word, pause).await? {
            tracing::error!(letter.id = %id, fault = word, "a letter is lost: it could not be sent in time");
            return Ok(Outcome::GivenUp);
        }
        let pause = pause.unwrap_or_default();
        tracing::warn!(letter.id = %id, fault = word, "a letter is sent again in {pause:?}");
        Ok(Outcome::PutBack)
    }

    async fn tell_standing(&self, tell: &impl Fn(News)) {
        let standing = async {
            let mut conn = self.postgres.acquire().await?;
            letter::standing(&mut conn).await
        };
        if let Ok(standing) = standing.await {
            tell(News::Standing(standing));
        }
    }
}

/// Waits for a free hand and takes all that are; `None` when there will be none.
async fn free(hands: &Arc<Semaphore>) -> Option<Vec<OwnedSemaphorePermit>> {
    let first = Arc::clone(hands).acquire_owned().await.ok()?;
    let others = std::iter::from_fn(|| Arc::clone(hands).try_acquire_owned().ok());
    Some(std::iter::once(first).chain(others).collect())
}

fn pause_after(tries: i32) -> Duration {
    let place = usize::try_from(tries.saturating_sub(1)).unwrap_or_default();
    let last = PAUSES.last().copied().unwrap_or(BEAT);
    PAUSES.get(place).copied().unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_took_a_letter_is_done_with_it_before_anybody_else_may() {
        assert!(PATIENCE + NOTE_WITHIN < LEASE);
    }

    #[test]
    fn a_letter_is_tried_soon_and_then_ever_more_rarely() {
        let pauses: Vec<u64> = (1..=7).map(|tries| pause_after(tries).as_secs()).collect();

        assert_eq!(pauses, [1, 10, 60, 300, 900, 900, 900]);
    }
}
