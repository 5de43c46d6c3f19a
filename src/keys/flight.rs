//! Asks the books for a key: one question per key at a time, a bounded number of questions altogether.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::sync::Semaphore;

use super::{cache::Known, store};
use crate::{
    base::Clock,
    store::{Postgres, StoreError},
};

/// The books gave no answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// What the books say of a public id; `None` when they do not know it.
pub type Answer = Result<Option<Known>, NoAnswer>;

type Flight = Shared<BoxFuture<'static, Answer>>;
type Open = Mutex<HashMap<String, WeakShared<BoxFuture<'static, Answer>>>>;

/// The questions under way.
#[derive(Debug)]
pub struct Flights {
    postgres: Postgres,
    clock: Clock,
    permits: Arc<Semaphore>,
    patience: Duration,
    open: Arc<Open>,
}

impl Flights {
    /// Prepares to ask at most `at_once` questions at a time, each for at most `patience`.
    #[must_use]
    pub fn new(postgres: Postgres, clock: Clock, at_once: usize, patience: Duration) -> Self {
        Self {
            postgres,
            clock,
            permits: Arc::new(Semaphore::new(at_once)),
            patience,
            open: Arc::default(),
        }
    }

    /// Asks, or joins whoever is already asking the same.
    ///
    /// A caller that goes away does not end the question for those who joined.
    pub async fn ask(&self, public_id: &str) -> Answer {
        self.join(public_id).await
    }

    fn join(&self, public_id: &str) -> Flight {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = open.get(public_id).and_then(WeakShared::upgrade) {
            return flight;
        }
        let flight = self.question(public_id.to_owned()).boxed().shared();
        if let Some(weak) = flight.downgrade() {
            open.insert(public_id.to_owned(), weak);
        }
        flight
    }

    fn question(&self, public_id: String) -> impl Future<Output = Answer> + Send + 'static {
        let (postgres, permits) = (self.postgres.clone(), Arc::clone(&self.permits));
        let (clock, patience) = (self.clock.clone(), self.patience);
        let landing = Landing {
            open: Arc::clone(&self.open),
            public_id,
        };
        async move {
            let asking = ask_once(&postgres, &permits, &clock, &landing.public_id);
            match tokio::time::timeout(patience, asking).await {
                Ok(Ok(known)) => Ok(known),
                Ok(Err(error)) => {
                    tracing::debug!(error = %error, cause = ?error.source(), "a key could not be looked up");
                    Err(NoAnswer)
                }
                Err(_) => Err(NoAnswer),
            }
        }
    }
}

async fn ask_once(
    postgres: &Postgres,
    permits: &Semaphore,
    clock: &Clock,
    public_id: &str,
) -> Result<Option<Known>, StoreError> {
    // The semaphore is never closed, so a permit always comes or the patience ends.
    let _permit = permits.acquire().await.ok();
    let mut conn = postgres.acquire().await?;
    let read_at = clock.now();
    let grant = store::find_grant(&mut conn, public_id).await?;
    Ok(grant.map(|grant| Known {
        seq: grant.seq,
        read_at,
        grant: Arc::new(grant),
    }))
}

/// Takes a question off the list when it is answered, or when everybody who asked has gone.
struct Landing {
    open: Arc<Open>,
    public_id: String,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.public_id);
    }
}
