//! How calls are asked for.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    admin::error::ApiError,
    base::{ApiKeyId, GroupId, ModelId, Moment, OfferId, Order, ProviderId, UserId},
    usage::{Finish, request::Filters},
};

/// Which calls to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RequestsQuery {
    /// Only calls that began then or later.
    pub from: Option<DateTime<Utc>>,
    /// Only calls that began before.
    pub to: Option<DateTime<Utc>>,
    /// Only calls of this group.
    pub group_id: Option<GroupId>,
    /// Only calls of this person.
    pub user_id: Option<UserId>,
    /// Only calls with this key.
    pub api_key_id: Option<ApiKeyId>,
    /// Only calls to this model.
    pub model_id: Option<ModelId>,
    /// Only calls to this provider.
    pub provider_id: Option<ProviderId>,
    /// Only calls to this offer.
    pub offer_id: Option<OfferId>,
    /// Only calls with this id of the caller's own.
    #[param(max_length = 200)]
    pub client_request_id: Option<String>,
    /// Only calls that asked for a model by this name.
    #[param(max_length = 200)]
    pub requested_model: Option<String>,
    /// Only calls with this status.
    #[param(maximum = 999)]
    pub status: Option<u16>,
    /// Only calls that ended like this.
    #[param(inline)]
    pub finish: Option<Finish>,
    /// Only calls answered with 400 or more, or not at all; `false`: only the others.
    pub is_failed: Option<bool>,
    /// Only calls with estimated tokens; `false`: only the others.
    pub is_estimated: Option<bool>,
    /// Only streamed calls; `false`: only the others.
    pub is_stream: Option<bool>,
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    pub order: Option<Order>,
}

impl RequestsQuery {
    pub(super) fn filters(&self) -> Result<Filters, ApiError> {
        // Postgres keeps no NUL: nothing has one.
        for (field, text) in [
            ("client_request_id", &self.client_request_id),
            ("requested_model", &self.requested_model),
        ] {
            if text.as_deref().is_some_and(|text| text.contains('\0')) {
                return Err(ApiError::invalid(field, "a NUL is in it"));
            }
        }
        if self.status.is_some_and(|status| 999 < status) {
            return Err(ApiError::invalid("status", "give 0 to 999"));
        }
        Ok(Filters {
            from: self.from.map(Moment::from),
            to: self.to.map(Moment::from),
            group: self.group_id,
            user: self.user_id,
            key: self.api_key_id,
            model: self.model_id,
            provider: self.provider_id,
            offer: self.offer_id,
            client_request_id: self.client_request_id.clone(),
            requested_model: self.requested_model.clone(),
            status: self.status,
            finish: self.finish,
            is_failed: self.is_failed,
            is_estimated: self.is_estimated,
            is_stream: self.is_stream,
        })
    }
}
