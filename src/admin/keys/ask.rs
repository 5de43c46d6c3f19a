//! What callers send about keys.

use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    admin::{limits::KeyTerms, patch::given},
    base::{GroupId, Moment, Order, UserId},
    keys::{KeyScope, KeyState},
};

/// A key to be made.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What it is for.
    #[garde(length(chars, min = 1, max = 200))]
    pub(super) name: String,
    /// The member it counts for; without `keys:all` that is oneself.
    #[garde(skip)]
    pub(super) user_id: Option<UserId>,
    /// The group it counts for; the member's primary one when absent.
    #[garde(skip)]
    pub(super) group_id: Option<GroupId>,
    /// The models it may ask for; all when absent.
    #[garde(inner(length(min = 1, max = 1000), inner(length(min = 1, max = 200))))]
    pub(super) allowed_models: Option<Vec<String>>,
    /// The networks it may come from, such as `10.0.0.0/8`; all when absent.
    #[garde(inner(length(min = 1, max = 1000)))]
    pub(super) allowed_cidrs: Option<Vec<String>>,
    /// What it may be used for; everything when empty.
    #[serde(default)]
    #[garde(length(max = 20))]
    pub(super) scopes: Vec<KeyScope>,
    /// When it stops; never when absent.
    #[garde(skip)]
    pub(super) expires_at: Option<Moment>,
    /// Limits of its own.
    #[serde(default)]
    #[garde(length(max = 50), dive)]
    pub(super) limits: Vec<KeyTerms>,
}

/// What shall be other; absent fields stay, null takes a restriction away.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeKey {
    /// What it is for.
    #[garde(length(chars, min = 1, max = 200))]
    pub(super) name: Option<String>,
    /// The group it counts for; null is the member's primary one.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<GroupId>)]
    #[garde(skip)]
    pub(super) group_id: Option<Option<GroupId>>,
    /// The models it may ask for; null allows all.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    #[garde(inner(inner(length(min = 1, max = 1000), inner(length(min = 1, max = 200)))))]
    pub(super) allowed_models: Option<Option<Vec<String>>>,
    /// The networks it may come from; null allows all.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    #[garde(inner(inner(length(min = 1, max = 1000))))]
    pub(super) allowed_cidrs: Option<Option<Vec<String>>>,
    /// What it may be used for; everything when empty.
    #[garde(inner(length(max = 20)))]
    pub(super) scopes: Option<Vec<KeyScope>>,
    /// When it stops; null is never.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Moment>)]
    #[garde(skip)]
    pub(super) expires_at: Option<Option<Moment>>,
}

/// How a key is replaced.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RotateKey {
    /// How long the old key still works, in seconds; a day when absent.
    #[garde(range(max = 2_592_000))]
    pub(super) grace_s: Option<u64>,
}

/// Why a key is taken back.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RevokeKey {
    /// Why, for the audit log.
    #[garde(length(chars, max = 500))]
    pub(super) reason: Option<String>,
}

/// Which keys are listed.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct KeyQuery {
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    pub(super) order: Option<Order>,
    /// Of one member.
    pub(super) user_id: Option<UserId>,
    /// Of one group.
    pub(super) group_id: Option<GroupId>,
    /// Only those that open the door, that stopped, or that were taken back.
    #[param(inline)]
    pub(super) state: Option<KeyState>,
    /// Part of a name, or a public id.
    pub(super) search: Option<String>,
}
