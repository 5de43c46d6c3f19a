//! Calls over HTTP that go only where the guard lets them: the addresses it judged are the ones connected to.

use std::time::Duration;

use reqwest::{Client, Response, redirect};
use url::Url;

use super::{Guard, NoAddress};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);

/// Why a call did not come back whole.
#[derive(Debug, thiserror::Error)]
pub enum NotFetched {
    /// We do not go there, or there is nowhere to go.
    #[error(transparent)]
    NoAddress(#[from] NoAddress),
    /// It broke off, or took too long.
    #[error("the call failed")]
    Failed(#[from] reqwest::Error),
    /// The answer is longer than we read.
    #[error("the answer is too long")]
    TooLong,
}

impl Guard {
    /// Makes a client for calls to the origin of `url`: bound to addresses that were judged just now, without
    /// redirects, without a proxy, ended after `deadline`.
    ///
    /// # Errors
    /// The URL is not to be called, or leads nowhere.
    pub async fn client_for(&self, url: &Url, deadline: Duration) -> Result<Client, NotFetched> {
        let addresses = self.resolve_url(url).await?;
        let host = url.host_str().unwrap_or_default();
        let client = Client::builder()
            .resolve_to_addrs(host, &addresses)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(deadline)
            .build()?;
        Ok(client)
    }
}

/// Reads an answer of at most `most` bytes.
///
/// # Errors
/// It is longer, or breaks off.
pub async fn body_of(mut response: Response, most: usize) -> Result<Vec<u8>, NotFetched> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if most < body.len() + piece.len() {
            return Err(NotFetched::TooLong);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}
