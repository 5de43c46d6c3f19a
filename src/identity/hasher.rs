//! Hashing that cannot eat the machine: two passwords at a time, sixteen waiting, the next is sent away.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::password;
use crate::base::Secret;

/// Passwords hashed at a time: 19 MiB and some 20 ms of a core each.
const AT_ONCE: usize = 2;
/// Passwords that may wait.
const QUEUE: usize = 16;

/// Too many passwords are waiting to be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many sign-ins at once")]
pub struct Busy;

/// Where passwords are hashed and checked.
#[derive(Clone, Debug)]
pub struct Hasher {
    /// Taken by everybody who is let in to wait.
    places: Arc<Semaphore>,
    slots: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE + QUEUE)),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Hasher {
    /// Returns the hash to keep.
    ///
    /// # Errors
    /// Too many wait already, or hashing failed, which it does not.
    pub async fn hash(&self, password: Secret) -> Result<Secret, Busy> {
        let hashed = self.run(move || password::hash_unjudged(&password)).await?;
        hashed.map_err(|error| {
            tracing::error!(%error, "a password could not be hashed");
            Busy
        })
    }

    /// Says whether `password` is the one behind `kept`; without one it takes as long and says no.
    ///
    /// # Errors
    /// Too many wait already.
    pub async fn verify(&self, password: Secret, kept: Option<Secret>) -> Result<bool, Busy> {
        self.run(move || password::verify(&password, kept.as_ref()))
            .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Busy)?;
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|_| Busy)?;
        // The permits go with the work: a caller who leaves does not let another in beside it.
        let hashing = tokio::task::spawn_blocking(move || {
            let _held = (place, slot);
            work()
        });
        hashing.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_nineteenth_password_at_once_is_sent_away() {
        let hasher = Hasher::default();
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let waiting = (0..AT_ONCE + QUEUE).map(|_| {
            let (hasher, held) = (hasher.clone(), Arc::clone(&held));
            let work = move || {
                let _told = held.lock().expect("whole").recv();
            };
            async move { hasher.run(work).await }
        });
        let waiting = futures::future::join_all(waiting);
        let one_more = async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            let refused = hasher.run(|| ()).await;
            drop(hold);
            refused
        };

        let (done, refused) = tokio::join!(waiting, one_more);

        assert_eq!(refused, Err(Busy));
        assert!(done.iter().all(Result::is_ok));
        assert_eq!(hasher.run(|| 1).await, Ok(1));
    }
}
