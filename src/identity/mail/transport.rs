//! The two ways a letter leaves.

use std::{path::PathBuf, time::Duration};

use lettre::{
    AsyncFileTransport, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, SinglePart},
};

use super::{Letter, MailFault, Settings, Transport};

/// How long one try may take.
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
    #[error("the folder cannot be made: {0}")]
    Folder(#[from] std::io::Error),
    #[error("the file cannot be written: {0}")]
    File(#[from] lettre::transport::file::Error),
    #[error("the mail server: {0}")]
    Smtp(#[from] lettre::transport::smtp::Error),
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

    pub(super) async fn send(&self, letter: &Letter) -> Result<(), NotSent> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, letter.to.parse()?))
            .subject(&letter.subject)
            .singlepart(SinglePart::plain(letter.text.clone()))?;
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
