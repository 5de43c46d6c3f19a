//! Single calls, as people look them up.

pub mod store;

use crate::{
    base::{ApiKeyId, GroupId, ModelId, Moment, OfferId, ProviderId, UserId},
    usage::Finish,
};

/// Which calls are looked for; those that fit every filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Those that began then or later.
    pub from: Option<Moment>,
    /// Those that began before.
    pub to: Option<Moment>,
    /// Of one team.
    pub group: Option<GroupId>,
    /// Of one person.
    pub user: Option<UserId>,
    /// Of one key.
    pub key: Option<ApiKeyId>,
    /// To one model.
    pub model: Option<ModelId>,
    /// To one provider.
    pub provider: Option<ProviderId>,
    /// To one offer.
    pub offer: Option<OfferId>,
    /// With the caller's own id.
    pub client_request_id: Option<String>,
    /// For the model as the caller wrote it.
    pub requested_model: Option<String>,
    /// With this status.
    pub status: Option<u16>,
    /// That ended like this.
    pub finish: Option<Finish>,
    /// Answered with 400 or more, or not at all; or the others.
    pub is_failed: Option<bool>,
    /// With estimated tokens; or the others.
    pub is_estimated: Option<bool>,
    /// Streamed; or the others.
    pub is_stream: Option<bool>,
}
