//! Words every module shares. Knows nobody.

pub mod clock;
pub mod fault;
pub mod ids;
pub mod json;
pub mod money;
pub mod page;
pub mod secret;
pub mod tasks;
pub mod tokens;

pub use clock::{Clock, Moment};
pub use fault::Fault;
pub use ids::{
    AlertChannelId, AlertDeliveryId, AlertId, AllowanceId, ApiKeyId, AssignmentId, CredentialId,
    EventId, GroupId, IdentityProviderId, InvitationId, LimitId, ModelId, NodeId, OfferId,
    OrganizationId, ProviderId, RequestId, RoleId, RouteId, RunId, SessionId, SigningKeyId,
    StrategyId, UserId,
};
pub use money::NanoUsd;
pub use page::{Cursor, Order, Page, Paging};
pub use secret::Secret;
pub use tokens::{Tokens, Usage};
