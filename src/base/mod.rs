//! Words every module shares. Knows nobody.

pub mod clock;
pub mod fault;
pub mod ids;
pub mod json;
pub mod money;
pub mod secret;
pub mod tasks;
pub mod tokens;

pub use clock::{Clock, Moment};
pub use fault::Fault;
pub use ids::{
    AllowanceId, ApiKeyId, CredentialId, GroupId, LimitId, ModelId, OfferId, OrganizationId,
    ProviderId, RequestId, UserId,
};
pub use money::NanoUsd;
pub use secret::Secret;
pub use tokens::{Tokens, Usage};
