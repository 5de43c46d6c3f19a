//! What organizations want of the order of offers: their routes, and the strategy that holds for a call.

use std::{collections::HashMap, sync::Arc};

use super::{
    route::{Route, Routes},
    strategy::{MISER, Strategy},
};
use crate::base::{ApiKeyId, GroupId, ModelId, OrganizationId};

/// What everybody wants, at one instant.
#[derive(Debug, Default)]
pub struct Preferences {
    platform: Option<Arc<Strategy>>,
    own: HashMap<OrganizationId, Own>,
}

/// What one organization wants.
#[derive(Debug, Default)]
struct Own {
    routes: Option<Routes>,
    strategy: Option<Arc<Strategy>>,
    groups: HashMap<GroupId, Arc<Strategy>>,
    aliases: HashMap<String, Arc<Strategy>>,
    keys: HashMap<ApiKeyId, Arc<Strategy>>,
}

/// What a strategy is attached to, within an organization.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// All of it.
    Organization,
    /// A group.
    Group(GroupId),
    /// The name callers use.
    Alias(String),
    /// Keys: one, and those that took over from it.
    Keys(Vec<ApiKeyId>),
}

/// Whose call it is.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The organization.
    pub organization: OrganizationId,
    /// The group it counts for.
    pub group: Option<GroupId>,
    /// The key it comes with.
    pub key: Option<ApiKeyId>,
    /// The alias it asks for.
    pub alias: Option<&'a str>,
}

impl Preferences {
    /// Sets the route of an organization's model.
    pub fn set_route(&mut self, organization: OrganizationId, model: ModelId, route: Route) {
        let own = self.own.entry(organization).or_default();
        own.routes.get_or_insert_default().set(model, route);
    }

    /// Sets the strategy of everybody who has none.
    pub fn set_platform_strategy(&mut self, strategy: Strategy) {
        self.platform = Some(Arc::new(strategy));
    }

    /// Sets a strategy of an organization's.
    pub fn set_strategy(
        &mut self,
        organization: OrganizationId,
        subject: Subject,
        strategy: Strategy,
    ) {
        let strategy = Arc::new(strategy);
        let own = self.own.entry(organization).or_default();
        match subject {
            Subject::Organization => own.strategy = Some(strategy),
            Subject::Group(id) => {
                own.groups.insert(id, strategy);
            }
            Subject::Alias(name) => {
                own.aliases.insert(name, strategy);
            }
            Subject::Keys(ids) => {
                let all = ids.into_iter().map(|id| (id, Arc::clone(&strategy)));
                own.keys.extend(all);
            }
        }
    }

    /// Returns the routes of an organization; `None` when it has none.
    #[must_use]
    pub fn routes(&self, organization: OrganizationId) -> Option<&Routes> {
        self.own.get(&organization)?.routes.as_ref()
    }

    /// Returns the strategy that holds for a call: the first there is of its key's, its alias's, its group's, its
    /// organization's and the platform's.
    #[must_use]
    pub fn strategy(&self, caller: &Caller<'_>) -> &Strategy {
        let own = self.own.get(&caller.organization);
        let own = own.and_then(|own| own.strategy(caller));
        own.or(self.platform.as_ref())
            .map_or(&MISER, |strategy| strategy)
    }
}

impl Own {
    fn strategy(&self, caller: &Caller<'_>) -> Option<&Arc<Strategy>> {
        let of_key = || self.keys.get(&caller.key?);
        let of_alias = || self.aliases.get(caller.alias?);
        let of_group = || self.groups.get(&caller.group?);
        of_key()
            .or_else(of_alias)
            .or_else(of_group)
            .or(self.strategy.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        base::StrategyId,
        catalog::sample::organization,
        routing::strategy::{Bounds, Kind, Weights},
    };

    fn strategy(number: u128) -> Strategy {
        Strategy {
            id: Some(StrategyId(Uuid::from_u128(number))),
            kind: Kind::Priority,
            weights: Weights::new(),
            bounds: Bounds::NONE,
        }
    }

    #[test]
    fn the_most_specific_strategy_holds_in_all_thirty_two_cases() {
        let us = organization(1);
        let (key, group) = (ApiKeyId(Uuid::from_u128(7)), GroupId(Uuid::from_u128(8)));
        let caller = Caller {
            organization: us,
            group: Some(group),
            key: Some(key),
            alias: Some("fast"),
        };
        for set in 0_u32..32 {
            let has = |place: u32| set & (1 << place) != 0;
            let mut all = Preferences::default();
            let own = [
                Subject::Keys(vec![key]),
                Subject::Alias("fast".to_owned()),
                Subject::Group(group),
                Subject::Organization,
            ];
            for (place, subject) in (0..).zip(own) {
                if has(place) {
                    all.set_strategy(us, subject, strategy(place.into()));
                }
            }
            if has(4) {
                all.set_platform_strategy(strategy(4));
            }

            let found = all.strategy(&caller).id;

            let expected = (0..5).find(|place| has(*place));
            let expected = expected.map(|place| StrategyId(Uuid::from_u128(place.into())));
            assert_eq!(found, expected, "{set:05b}");
        }
    }

    #[test]
    fn nobodys_strategy_holds_for_another_organization_key_group_or_alias() {
        let (us, them) = (organization(1), organization(2));
        let mut all = Preferences::default();
        let (key, group) = (ApiKeyId(Uuid::from_u128(7)), GroupId(Uuid::from_u128(8)));
        all.set_strategy(us, Subject::Keys(vec![key]), strategy(1));
        all.set_strategy(us, Subject::Group(group), strategy(2));
        all.set_strategy(us, Subject::Alias("fast".to_owned()), strategy(3));
        let of = |organization, key, group, alias| {
            let caller = Caller {
                organization,
                group,
                key,
                alias,
            };
            all.strategy(&caller).id
        };

        assert_eq!(of(them, Some(key), Some(group), Some("fast")), None);
        assert_eq!(of(us, None, None, Some("slow")), None);
        assert_eq!(of(us, None, None, None), None);
    }
}
