//! Mail to people: handed to a queue in memory, sent by SMTP or written to a folder, tried again when it fails.
//!
//! Whoever asks for a letter does not wait for it: how long it takes tells nobody whether there was one to send.

pub mod letters;
pub mod settings;

mod transport;

pub use settings::{Settings, Transport};

use std::{sync::Arc, time::Duration};

use tokio::sync::{Semaphore, mpsc};

use self::transport::Sender;
use crate::base::tasks::Tasks;

/// Letters that may wait; when the server is away for long, the next are lost and asked for again.
const QUEUE: usize = 1_000;
/// Letters sent at a time.
const AT_ONCE: usize = 4;
/// The pauses between tries.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// A letter to one person, in plain text.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// To whom: an e-mail address.
    pub to: String,
    /// What it is about.
    pub subject: String,
    /// What it says.
    pub text: String,
}

/// Letters hold codes that let people in.
impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Letter({})", self.subject)
    }
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
    queue: mpsc::Sender<Letter>,
}

impl Mailer {
    /// Begins to send what is posted, as long as a handle lives.
    ///
    /// # Errors
    /// When the settings lead nowhere.
    pub fn start(settings: &Settings, tasks: &Tasks) -> Result<Self, MailFault> {
        let sender = Arc::new(Sender::open(settings)?);
        let (queue, letters) = mpsc::channel(QUEUE);
        tasks.spawn("mail", send_all(letters, sender));
        Ok(Self { queue })
    }

    /// Posts a letter and does not wait for it.
    pub fn post(&self, letter: Letter) {
        if let Err(lost) = self.queue.try_send(letter) {
            tracing::error!(error = %lost, "a letter is lost: too many wait");
        }
    }
}

async fn send_all(mut letters: mpsc::Receiver<Letter>, sender: Arc<Sender>) {
    let hands = Arc::new(Semaphore::new(AT_ONCE));
    let sending = Tasks::default();
    while let Some(letter) = letters.recv().await {
        let Ok(hand) = Arc::clone(&hands).acquire_owned().await else {
            return;
        };
        let sender = Arc::clone(&sender);
        sending.spawn("letter", async move {
            let _hand = hand;
            send(&letter, &sender).await;
        });
    }
}

async fn send(letter: &Letter, sender: &Sender) {
    for pause in PAUSES.into_iter().map(Some).chain([None]) {
        let Err(error) = sender.send(letter).await else {
            return;
        };
        let Some(pause) = pause else {
            tracing::error!(%error, subject = letter.subject, "a letter is lost: it could not be sent");
            return;
        };
        tracing::warn!(%error, subject = letter.subject, "a letter is sent again in {pause:?}");
        tokio::time::sleep(pause).await;
    }
}
