//! Mail to people: written down in the transaction that causes it, sent by a sidecar, tried again when that fails.
//!
//! Whoever asks for a letter does not wait for it: how long it takes tells nobody whether there was one to send.

pub mod letters;
pub mod outbox;
pub mod settings;

mod transport;

pub use outbox::{News, Outbox, Outcome};
pub use settings::{Settings, Transport};

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::store::letter;
use crate::{
    base::{Moment, RequestId, Secret},
    store::{Conn, StoreError, Vault},
};

/// A letter to one person, in plain text.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// To whom: an e-mail address.
    pub to: String,
    /// What it is about.
    pub subject: &'static str,
    /// What it says.
    pub text: String,
    /// How long it is worth sending.
    pub useful_for: Duration,
}

/// Letters hold codes that let people in.
impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Letter({})", self.subject)
    }
}

/// What is sealed of a letter.
#[derive(Serialize, Deserialize)]
struct Sheet {
    to: String,
    subject: String,
    text: String,
}

/// Mail cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MailFault {
    /// The sender's address is none.
    #[error("mail.from is no address")]
    From(#[source] lettre::address::AddressError),
    /// The server's URL is none.
    #[error("mail.smtp_url cannot be used")]
    Smtp(#[source] lettre::transport::smtp::Error),
}

/// Where letters are posted.
#[derive(Clone, Debug)]
pub struct Mailer {
    vault: Arc<Vault>,
    /// Wakes the outbox of this process.
    posted: Arc<Notify>,
}

impl Mailer {
    /// Prepares to post letters, sealed by `vault`; an [`Outbox`] sends them.
    #[must_use]
    pub fn new(vault: Arc<Vault>) -> Self {
        Self {
            vault,
            posted: Arc::default(),
        }
    }

    /// Posts a letter with the transaction that causes it: it is sent when that is committed, whoever dies then, and
    /// never when it is not.
    ///
    /// # Errors
    /// When Postgres does not answer, or the machine gives no random bytes.
    pub async fn post(
        &self,
        conn: &mut Conn,
        letter: Letter,
        now: Moment,
    ) -> Result<(), StoreError> {
        let id = RequestId::new(now).uuid();
        let sheet = Sheet {
            to: letter.to,
            subject: letter.subject.to_owned(),
            text: letter.text,
        };
        let sheet = serde_json::to_string(&sheet).map_err(StoreError::Malformed)?;
        let sealed = self.vault.seal(&Secret::new(sheet), letter::place(id))?;
        letter::insert(conn, id, letter.subject, &sealed, letter.useful_for).await
    }

    /// Has what was posted sent now instead of within a second; for after the commit.
    pub fn hurry(&self) {
        self.posted.notify_one();
    }
}
