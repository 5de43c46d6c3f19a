//! Keys, as the API shows them: the secret once, and never again.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::error::{ApiError, FieldFault},
    base::{ApiKeyId, GroupId, Moment, Secret, UserId},
    keys::{ApiKey, KeyState, token::PREFIX},
};

/// A key, without its secret.
#[derive(Serialize, ToSchema)]
pub struct KeyView {
    /// Its id.
    id: ApiKeyId,
    /// The 16 characters callers see.
    public_id: String,
    /// What to show instead of the key.
    display: String,
    /// What it is for.
    name: String,
    /// Whether it opens the door.
    state: KeyState,
    /// The member it counts for.
    user_id: Option<UserId>,
    /// The group it counts for; null is the member's primary one.
    group_id: Option<GroupId>,
    /// The models it may ask for; null allows all.
    allowed_models: Option<Vec<String>>,
    /// The networks it may come from; null allows all.
    allowed_cidrs: Option<Vec<String>>,
    /// What it may be used for; everything when empty.
    scopes: Vec<String>,
    /// When it stops.
    expires_at: Option<Moment>,
    /// When it was last used, to the minute.
    last_used_at: Option<Moment>,
    /// When it was taken back.
    revoked_at: Option<Moment>,
    /// By whom; null was an operator.
    revoked_by: Option<UserId>,
    /// Why.
    revoked_reason: Option<String>,
    /// The key it took over from.
    rotated_from: Option<ApiKeyId>,
    /// Who made it; null was an operator.
    created_by: Option<UserId>,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl KeyView {
    /// Shows a key as it is at `now`.
    pub(super) fn of(key: ApiKey, now: Moment) -> Self {
        Self {
            state: key.state(now),
            display: format!("{PREFIX}{}_…", key.public_id),
            id: key.id,
            public_id: key.public_id,
            name: key.name,
            user_id: key.user_id,
            group_id: key.group_id,
            allowed_models: key.allowed_models,
            allowed_cidrs: key.allowed_cidrs,
            scopes: key.scopes,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
            revoked_by: key.revoked_by,
            revoked_reason: key.revoked_reason,
            rotated_from: key.rotated_from,
            created_by: key.created_by,
            created_at: key.created_at,
            updated_at: key.updated_at,
        }
    }
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
pub struct CreatedKeyView {
    /// The key without its secret.
    #[serde(flatten)]
    key: KeyView,
    /// The key itself: kept nowhere, shown once.
    api_key: String,
}

impl CreatedKeyView {
    /// Shows a key and its secret.
    pub(super) fn of(key: ApiKey, api_key: &Secret, now: Moment) -> Self {
        Self {
            key: KeyView::of(key, now),
            api_key: api_key.expose().to_owned(),
        }
    }
}

/// Reads networks; a bare address is a network of one.
pub(super) fn networks(texts: &[String]) -> Result<Vec<IpNet>, ApiError> {
    let read = |text: &String| {
        let net = text.parse::<IpNet>().ok();
        net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    let mut nets = Vec::with_capacity(texts.len());
    let mut faults = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        match read(text) {
            Some(net) => nets.push(net),
            None => faults.push(FieldFault::new(
                format!("allowed_cidrs[{place}]"),
                "write a network such as 10.0.0.0/8",
            )),
        }
    }
    if faults.is_empty() {
        Ok(nets)
    } else {
        Err(ApiError::Invalid(faults))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_read_and_what_is_neither_is_named() {
        let texts = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };

        let nets = networks(&texts(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])).unwrap();
        let fault = networks(&texts(&["10.0.0.0/8", "10.0.0.0/33"]));

        let written: Vec<String> = nets.iter().map(ToString::to_string).collect();
        assert_eq!(written, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
        let message = "write a network such as 10.0.0.0/8";
        assert_eq!(fault, Err(ApiError::invalid("allowed_cidrs[1]", message)));
    }
}
