//! The two ways a letter leaves.

use std::{path::PathBuf, time::Duration};

use lettre::{
    AsyncFileTransport, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, SinglePart},
};
use uuid::Uuid;

use super::{MailFault, Settings, Sheet, Transport};
use crate::store::seal::NotOpened;

/// How long the server may take for one word.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends letters.
pub(super) struct Sender {
    from: Mailbox,
    way: Way,
}

enum Way {
    File(AsyncFileTransport<Tokio1Executor>, PathBuf),
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
}

/// A letter did not leave.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSent {
    #[error("the address cannot be written to")]
    Address(#[from] lettre::address::AddressError),
    #[error("the letter cannot be written: {0}")]
    Letter(#[from] lettre::error::Error),
    #[error("the letter cannot be read")]
    Illegible,
    #[error("the letter does not open: {0}")]
    NotOpened(#[from] NotOpened),
    #[error("the folder cannot be made: {0}")]
    Folder(#[from] std::io::Error),
    #[error("the file cannot be written: {0}")]
    File(#[from] lettre::transport::file::Error),
    #[error("the mail server: {0}")]
    Smtp(#[from] lettre::transport::smtp::Error),
    #[error("the mail server took too long")]
    TookTooLong,
}

impl NotSent {
    /// Returns what went wrong, without what a server says: that may name the address.
    pub(super) fn word(&self) -> String {
        match self {
            Self::Address(_) => "wrong address".to_owned(),
            Self::Letter(_) | Self::Illegible => "illegible".to_owned(),
            Self::NotOpened(NotOpened::OtherKey(id)) => format!("sealed with {id}"),
            Self::NotOpened(NotOpened::Broken) => "changed".to_owned(),
            Self::Folder(_) | Self::File(_) => "not written".to_owned(),
            Self::Smtp(error) => match error.status() {
                Some(code) => format!("refused with {code}"),
                None if error.is_timeout() => "took too long".to_owned(),
                None => "no mail server".to_owned(),
            },
            Self::TookTooLong => "took too long".to_owned(),
        }
    }

    /// Says whether another try may end otherwise. Also where a server says never: it may be its own fault.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::Address(_)
            | Self::Letter(_)
            | Self::Illegible
            | Self::NotOpened(NotOpened::Broken) => false,
            Self::NotOpened(NotOpened::OtherKey(_))
            | Self::Folder(_)
            | Self::File(_)
            | Self::Smtp(_)
            | Self::TookTooLong => true,
        }
    }
}

impl Sender {
    pub(super) fn open(settings: &Settings) -> Result<Self, MailFault> {
        let way = match settings.transport {
            Transport::File => {
                let folder = settings.folder.clone();
                Way::File(AsyncFileTransport::new(&folder), folder)
            }
            Transport::Smtp => {
                let smtp =
                    AsyncSmtpTransport::<Tokio1Executor>::from_url(settings.smtp_url.expose())
                        .map_err(MailFault::Smtp)?;
                Way::Smtp(smtp.timeout(Some(PATIENCE)).build())
            }
        };
        Ok(Self {
            from: settings.from.parse().map_err(MailFault::From)?,
            way,
        })
    }

    pub(super) async fn send(&self, id: Uuid, sheet: &Sheet) -> Result<(), NotSent> {
        let from = self.from.clone();
        // The same at every try: a mailbox that gets the letter twice can tell that it is one.
        let message_id = format!("<{id}@{}>", from.email.domain());
        let message = Message::builder()
            .message_id(Some(message_id))
            .from(from)
            .to(Mailbox::new(None, sheet.to.parse()?))
            .subject(&sheet.subject)
            .singlepart(SinglePart::plain(sheet.text.clone()))?;
        match &self.way {
            Way::File(file, folder) => {
                // Made when the first letter is written: most processes that could write one never do.
                tokio::fs::create_dir_all(folder).await?;
                file.send(message).await?;
            }
            Way::Smtp(smtp) => {
                smtp.send(message).await?;
            }
        }
        Ok(())
    }
}
