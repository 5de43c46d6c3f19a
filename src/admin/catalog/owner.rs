//! Whose catalog a request is about, and which of its rows.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    admin::{
        Plane,
        error::ApiError,
        extract::{Member, PlatformAdmin},
        list::paging,
    },
    audit::By,
    base::{Order, OrganizationId},
    catalog::{Sought, store::quarantine::Fate},
    store::{OwnerTx, StoreError},
};

/// Whose catalog a request is about: a member's organization, or the platform.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// Whose; `None` is the platform's.
    pub id: Option<OrganizationId>,
    /// Who asks.
    pub by: By,
}

impl FromRequestParts<Plane> for Owner {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, plane: &Plane) -> Result<Self, ApiError> {
        if let Some(member) = parts.extensions.get::<Member>() {
            return Ok(Self {
                id: Some(member.scope.organization()),
                by: member.by(),
            });
        }
        let admin = PlatformAdmin::from_request_parts(parts, plane).await?;
        Ok(Self {
            id: None,
            by: admin.by(),
        })
    }
}

impl Owner {
    /// Begins a transaction on the owner's catalog.
    ///
    /// # Errors
    /// When the books are away.
    pub async fn begin(&self, plane: &Plane) -> Result<OwnerTx, StoreError> {
        plane.postgres.begin_for_owner(self.id).await
    }

    /// Returns where a row of the owner's catalog is.
    #[must_use]
    pub fn location(&self, resource: &str, id: Uuid) -> String {
        match self.id {
            Some(organization) => format!("/api/v1/organizations/{organization}/{resource}/{id}"),
            None => format!("/api/v1/platform/{resource}/{id}"),
        }
    }
}

/// Whose a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OwnerWord {
    /// An organization's own.
    Organization,
    /// The platform's, for everybody.
    Platform,
}

impl OwnerWord {
    /// Says whose a row of this owner is.
    #[must_use]
    pub const fn of(owner: Option<OrganizationId>) -> Self {
        match owner {
            Some(_) => Self::Organization,
            None => Self::Platform,
        }
    }
}

/// The parameters of a list of the catalog. A filter that a list has no use for changes nothing.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CatalogQuery {
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    pub order: Option<Order>,
    /// Only those of the organization, or of the platform; both when absent.
    #[param(inline)]
    pub owner: Option<OwnerWord>,
    /// Only those of this provider.
    pub provider_id: Option<Uuid>,
    /// Only those of this model.
    pub model_id: Option<Uuid>,
    /// Only those of this offer.
    pub offer_id: Option<Uuid>,
}

impl CatalogQuery {
    /// Returns what is sought by `owner`.
    ///
    /// # Errors
    /// When the limit is out of range or the cursor is none.
    pub fn sought(&self, owner: &Owner) -> Result<Sought, ApiError> {
        let is_organization = owner.id.is_some();
        Ok(Sought {
            id: None,
            is_own: self
                .owner
                .map(|word| (word == OwnerWord::Organization) == is_organization),
            provider: self.provider_id,
            model: self.model_id,
            offer: self.offer_id,
            paging: paging(self.limit, self.cursor.as_deref(), self.order)?,
        })
    }
}

/// The parameters of a list of prices in quarantine.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct QuarantineQuery {
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    pub order: Option<Order>,
    /// Only those of this offer.
    pub offer_id: Option<Uuid>,
    /// Only those of which this became.
    #[param(inline)]
    pub status: Option<Fate>,
}

impl QuarantineQuery {
    /// Returns what is sought.
    ///
    /// # Errors
    /// When the limit is out of range or the cursor is none.
    pub fn sought(&self) -> Result<Sought, ApiError> {
        let paging = paging(self.limit, self.cursor.as_deref(), self.order)?;
        Ok(Sought {
            offer: self.offer_id,
            ..Sought::page(paging)
        })
    }
}
