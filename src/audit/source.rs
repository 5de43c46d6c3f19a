//! Where a change came from: stored beside who made it, never trusted for anything.

use std::{fmt, net::IpAddr};

use crate::base::RequestId;

/// Where a change came from, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The address of whoever asked.
    pub address: Option<IpAddr>,
    /// The request that asked.
    pub request_id: Option<RequestId>,
    /// The program that asked, in its own words.
    pub user_agent: Option<UserAgent>,
}

/// The most bytes of a user agent that are kept.
const LONGEST: usize = 120;

/// The beginning of a user agent, held in place so that `By` stays something to copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserAgent {
    bytes: [u8; LONGEST],
    len: usize,
}

impl UserAgent {
    /// Keeps what fits, without control characters; `None` when nothing is left.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut kept = Self {
            bytes: [0; LONGEST],
            len: 0,
        };
        for letter in text.chars().filter(|letter| !letter.is_control()) {
            let end = kept.len + letter.len_utf8();
            let Some(room) = kept.bytes.get_mut(kept.len..end) else {
                break;
            };
            letter.encode_utf8(room);
            kept.len = end;
        }
        (kept.len > 0).then_some(kept)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Debug for UserAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, UserAgent};

    #[test]
    fn a_user_agent_is_cut_between_letters_and_holds_no_control_character() {
        let kept = |text: &str| UserAgent::new(text).map(|agent| agent.as_str().to_owned());

        assert_eq!(kept("curl/8.1\r\nx: y").as_deref(), Some("curl/8.1x: y"));
        assert_eq!(kept(""), None);
        assert_eq!(kept("\n"), None);
        let long = format!("{}é", "a".repeat(LONGEST - 1));
        assert_eq!(kept(&long), Some("a".repeat(LONGEST - 1)));
    }
}
