//! Routes: the offer an organization prefers for a model it uses.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::{ModelId, OfferId, RouteId};

/// The offer that goes first among equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its id.
    pub id: RouteId,
    /// The offer: of the model, or of one that stands in for it.
    pub offer: OfferId,
    /// Somebody insists on it: it goes before everything else of its model, free offers too.
    pub is_pinned: bool,
}

/// The routes of one organization.
#[derive(Clone, Debug, Default)]
pub struct Routes(HashMap<ModelId, Route>);

impl Routes {
    /// Sets the route of a model.
    pub fn set(&mut self, model: ModelId, route: Route) {
        self.0.insert(model, route);
    }

    /// Returns the route of a model, if it has one.
    #[must_use]
    pub fn of(&self, model: ModelId) -> Option<&Route> {
        self.0.get(&model)
    }
}

/// Why a route was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It is new.
    Made,
    /// A free offer can do it.
    Free,
    /// Another paid offer does it for clearly less.
    Cheaper,
    /// The offer it named does badly.
    Unhealthy,
    /// The last change did not do it good.
    PutBack,
    /// Somebody insists on an offer.
    Pinned,
    /// Nobody insists any more.
    Unpinned,
}

impl Cause {
    /// Returns the word the books use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Free => "free",
            Self::Cheaper => "cheaper",
            Self::Unhealthy => "unhealthy",
            Self::PutBack => "put_back",
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
        }
    }
}
