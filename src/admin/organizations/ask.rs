//! What callers send about organizations.

use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{admin::patch::given, base::Order};

/// An organization to be made; its owner is who asks.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOrganization {
    /// The name people read.
    #[garde(length(chars, min = 1, max = 200))]
    pub(super) display_name: String,
    /// The short name in addresses; made from the name when absent.
    #[garde(length(min = 1, max = 63))]
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    pub(super) slug: Option<String>,
    /// The name on contracts; the other name when absent.
    #[garde(length(chars, min = 1, max = 200))]
    pub(super) legal_name: Option<String>,
    /// Whom to ask.
    #[garde(email, length(max = 320))]
    pub(super) contact_email: Option<String>,
    /// Where invoices go.
    #[garde(email, length(max = 320))]
    pub(super) billing_email: Option<String>,
    /// What tax offices know it by.
    #[garde(length(chars, max = 64))]
    pub(super) tax_id: Option<String>,
}

/// What shall be other; absent fields stay, null takes a value away.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeOrganization {
    /// The short name in addresses.
    #[garde(length(min = 1, max = 63))]
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    pub(super) slug: Option<String>,
    /// The name on contracts.
    #[garde(length(chars, min = 1, max = 200))]
    pub(super) legal_name: Option<String>,
    /// The name people read.
    #[garde(length(chars, min = 1, max = 200))]
    pub(super) display_name: Option<String>,
    /// Whom to ask.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[garde(inner(inner(email, length(max = 320))))]
    pub(super) contact_email: Option<Option<String>>,
    /// Where invoices go.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[garde(inner(inner(email, length(max = 320))))]
    pub(super) billing_email: Option<Option<String>>,
    /// What tax offices know it by.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[garde(inner(inner(length(chars, max = 64))))]
    pub(super) tax_id: Option<Option<String>>,
}

/// Which of one's organizations are listed.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OwnQuery {
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    pub(super) order: Option<Order>,
    /// Those one owned that are deleted, instead of those one is in.
    pub(super) deleted: bool,
}
