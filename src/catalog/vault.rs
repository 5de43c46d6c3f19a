//! Where providers' keys are sealed: bound to their row, their owner and the host they may be shown to.

use url::Url;

pub use crate::store::seal::{
    FEWEST_BYTES, KeyTooShort, NotOpened, NotSealed, Place, Sealed, Vault,
};

use crate::base::{CredentialId, OrganizationId};

impl<'a> Place<'a> {
    /// Returns where a provider's key lives that may be sent to `origin`, see [`origin_of`].
    #[must_use]
    pub fn of_credential(
        id: CredentialId,
        organization: Option<OrganizationId>,
        origin: &'a str,
    ) -> Self {
        Self {
            table: "platform.provider_credentials",
            row: id.uuid(),
            organization,
            column: "sealed_secret",
            audience: origin,
        }
    }
}

/// Returns scheme, host and port of `url`: all a key is bound to.
#[must_use]
pub fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}
