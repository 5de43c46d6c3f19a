//! What browsers bring when they leave for an organization's provider, and when they come back.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::base::IdentityProviderId;

/// Whose provider.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct AtSlug {
    /// The organization's short name.
    pub(super) slug: String,
}

/// Which provider, and where the browser goes afterwards.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Departure {
    /// One of the organization's providers; its oldest when absent.
    pub(super) provider: Option<IdentityProviderId>,
    /// A path of the console, such as `/`. The refresh token comes as a cookie then; without it, in the answer.
    pub(super) return_to: Option<String>,
}

/// What providers send back with the browser.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Arrival {
    /// What the tokens are fetched with.
    pub(super) code: Option<String>,
    /// What we sent with the browser.
    pub(super) state: Option<String>,
    /// Why the provider refused.
    pub(super) error: Option<String>,
    /// The same in words; not read.
    error_description: Option<String>,
    /// Where the same is explained; not read.
    error_uri: Option<String>,
    /// Who the provider is; not read, since the token says it signed.
    iss: Option<String>,
    /// Of the provider's own session; not read.
    session_state: Option<String>,
    /// What was granted; not read.
    scope: Option<String>,
    /// Of a provider's own; not read.
    authuser: Option<String>,
    /// Of a provider's own; not read.
    prompt: Option<String>,
    /// Of a provider's own; not read.
    hd: Option<String>,
}
