//! How mail leaves: by SMTP, or into a folder.

use std::path::PathBuf;

use lettre::message::Mailbox;
use serde::Deserialize;

use crate::base::{Fault, Secret};

/// How a letter leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Written to a folder, one `.eml` file each: for development and tests.
    #[default]
    File,
    /// Sent to an SMTP server.
    Smtp,
}

/// The settings of mail.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How letters leave.
    pub transport: Transport,
    /// Where letters are written when they go to files.
    pub folder: PathBuf,
    /// `smtps://user:password@host`, or `smtp://…?tls=required` for STARTTLS.
    pub smtp_url: Secret,
    /// Whom letters come from.
    pub from: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            transport: Transport::default(),
            folder: PathBuf::from("mail"),
            smtp_url: Secret::default(),
            from: "Synaxis <synaxis@localhost>".to_owned(),
        }
    }
}

impl Settings {
    /// Returns every fault that can be seen in these settings alone.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let from = self.from.parse::<Mailbox>().is_err().then(|| {
            let mend = "write a name and an address: Synaxis <noreply@example.com>";
            Fault::new("from", "is no address", mend)
        });
        let smtp = (self.transport == Transport::Smtp && !self.has_server()).then(|| {
            let mend = "give smtps://user:password@host, or smtp://user:password@host?tls=required";
            Fault::new("smtp_url", "is no smtp or smtps address", mend)
        });
        from.into_iter().chain(smtp).collect()
    }

    fn has_server(&self) -> bool {
        url::Url::parse(self.smtp_url.expose())
            .is_ok_and(|url| matches!(url.scheme(), "smtp" | "smtps") && url.has_host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smtp_needs_a_server_and_every_letter_a_sender() {
        let smtp = |url: &str| Settings {
            transport: Transport::Smtp,
            smtp_url: Secret::new(url.to_owned()),
            ..Settings::default()
        };
        let nobody = Settings {
            from: "nobody".to_owned(),
            ..Settings::default()
        };

        assert_eq!(Settings::default().validate(), []);
        assert_eq!(smtp("smtps://u:p@mail.example.com").validate(), []);
        assert_eq!(smtp("mail.example.com").validate().len(), 1);
        assert_eq!(nobody.validate().len(), 1);
    }
}
