//! What organizations want of the order of offers.

use std::collections::HashMap;

use super::route::{Route, Routes};
use crate::base::{ModelId, OrganizationId};

/// What everybody wants, at one instant.
#[derive(Debug, Default)]
pub struct Preferences {
    routes: HashMap<OrganizationId, Routes>,
}

impl Preferences {
    /// Sets the route of an organization's model.
    pub fn set_route(&mut self, organization: OrganizationId, model: ModelId, route: Route) {
        self.routes
            .entry(organization)
            .or_default()
            .set(model, route);
    }

    /// Returns the routes of an organization; `None` when it has none.
    #[must_use]
    pub fn routes(&self, organization: OrganizationId) -> Option<&Routes> {
        self.routes.get(&organization)
    }
}
