//! Moves each organization's routes to what is free, else to what is clearly cheaper, and back when that does no good.

pub mod decide;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Agent, Fault, Report, Waking,
    tools::routing::{self, Moved, Standing, Traffic, Tries},
};
use crate::{
    base::{Moment, OfferId, OrganizationId, Tokens},
    catalog::{Abilities, Ability, Catalog, NameKind, Offer, Tier},
    routing::{Cause, Need, store::routes::KeptRoute, strategy::MISER},
    snapshot::{self, Snapshot},
    store::Vault,
    tenancy::{Permission, Permissions},
};
use decide::{Choice, Place, Question, choose};

/// How much of a route's past counts.
const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// A route that was moved is watched for so long.
const WATCHED: Duration = Duration::from_secs(24 * 60 * 60);
/// Fewer failures say nothing about where a route was moved; as many in a row open a breaker.
const FEWEST_FAILURES: u64 = 5;
/// A route is put back when so many more of 100 tries fail than before, and twice as many.
const WORSE_BY_PERCENT: u64 = 5;

/// What moves routes.
#[derive(Clone, Debug)]
pub struct CostOptimization {
    /// Opens providers' keys: an offer whose key does not open is none.
    pub vault: Arc<Vault>,
}

#[derive(Debug, Default, Serialize)]
struct Seen {
    organizations: usize,
    routes: usize,
    moved: usize,
    put_back: usize,
    /// Why routes that should be moved stay.
    kept: BTreeMap<&'static str, usize>,
    /// What the moves save on the traffic of one window.
    saving_nano_usd: u64,
}

#[async_trait]
impl Agent for CostOptimization {
    fn name(&self) -> &'static str {
        "cost_optimization"
    }

    fn permissions(&self) -> Permissions {
        [
            Permission::UsageRead,
            Permission::RoutingRead,
            Permission::RoutingWrite,
        ]
        .into_iter()
        .collect()
    }

    async fn wake(&self, waking: &Waking) -> Result<Report, Fault> {
        let (snapshot, _) = snapshot::build(&waking.postgres, &self.vault, &waking.clock).await?;
        let mut seen = Seen::default();
        let since = waking.now.minus(WINDOW);
        for organization in routing::organizations(waking, since).await? {
            seen.organizations += 1;
            let window = (since, waking.now);
            let standing = routing::standing(waking, organization, window).await?;
            let look = Look {
                waking,
                snapshot: &snapshot,
                organization,
                standing: &standing,
                window,
            };
            look.over(&mut seen).await?;
        }
        Report::of(&seen)
    }
}

/// One organization, looked at.
struct Look<'a> {
    waking: &'a Waking,
    snapshot: &'a Snapshot,
    organization: OrganizationId,
    standing: &'a Standing,
    window: (Moment, Moment),
}

impl Look<'_> {
    async fn over(&self, seen: &mut Seen) -> Result<(), Fault> {
        seen.routes += self.standing.traffic.len();
        for traffic in &self.standing.traffic {
            let route = self.standing.routes.get(&traffic.model);
            if let Some(route) = route
                && self.put_back(route, seen).await?
            {
                continue;
            }
            if traffic.mix.requests <= traffic.unwanted {
                note(seen, "not_wanted");
                continue;
            }
            let question = self.question(traffic, route);
            if let Some(choice) = question.as_ref().and_then(choose) {
                self.switch(traffic, choice, seen).await?;
            }
        }
        Ok(())
    }

    async fn switch(
        &self,
        traffic: &Traffic,
        choice: Choice,
        seen: &mut Seen,
    ) -> Result<(), Fault> {
        let saving = choice.arithmetic.get("saving_nano_usd");
        let saving = saving.and_then(Value::as_u64);
        let (organization, model) = (self.organization, traffic.model);
        match routing::switch(self.waking, organization, model, choice).await? {
            Moved::Yes => {
                seen.moved += 1;
                seen.saving_nano_usd += saving.unwrap_or_default();
            }
            Moved::No(why) => note(seen, why),
        }
        Ok(())
    }

    /// Puts a route back that an agent moved and that fails more often since; says whether it was to be.
    async fn put_back(&self, route: &KeptRoute, seen: &mut Seen) -> Result<bool, Fault> {
        let changes = self.standing.changes.get(&route.id);
        let last = changes.and_then(|changes| changes.first());
        let Some(last) = last.filter(|last| {
            let is_ours = last.actor_kind == "agent" && last.cause != Cause::PutBack;
            is_ours && last.to == route.offer_id && self.waking.now < last.at.plus(WATCHED)
        }) else {
            return Ok(false);
        };
        let Some(from) = last.from else {
            return Ok(false);
        };
        let tries = async |window| routing::tries(self.waking, self.organization, window).await;
        let before = tries((last.at.minus(WINDOW), last.at)).await?;
        let since = tries((last.at, self.waking.now)).await?;
        let before = before.get(&from).copied().unwrap_or_default();
        let since = since.get(&last.to).copied().unwrap_or_default();
        if !is_worse(before, since) {
            return Ok(false);
        }
        // A free offer that fails is left for a free one, if at all: calls find their way meanwhile.
        if route.tier == Tier::Free && !self.is_free(from) {
            note(seen, "free_to_paid");
            return Ok(false);
        }
        let arithmetic = json!({
            "before": { "offer_id": from, "succeeded": before.succeeded, "failed": before.failed },
            "since": { "offer_id": last.to, "succeeded": since.succeeded, "failed": since.failed },
        });
        match routing::put_back(self.waking, self.organization, route, arithmetic).await? {
            Moved::Yes => seen.put_back += 1,
            Moved::No(why) => note(seen, why),
        }
        Ok(true)
    }

    /// Puts together what the choice is made from; `None` when the catalog does not know the route's offer.
    fn question(&self, traffic: &Traffic, route: Option<&KeptRoute>) -> Option<Question> {
        let offer = route.map_or(traffic.offer, |route| route.offer_id);
        let catalog = &self.snapshot.catalog;
        let present = catalog.offers.iter().find(|one| one.id == offer)?;
        let need = self.need(traffic, present);
        let places = self.places(catalog, traffic, present, &need);
        let shunned = route.map(|route| self.standing.shunned(route.id, self.waking.now));
        Some(Question {
            now: self.place(present, 0, true),
            others: places,
            shunned: shunned.unwrap_or_default(),
            mix: traffic.mix,
            window: self.window,
        })
    }

    /// Every offer the organization may use for the route's model, of that model or of those that stand in for it.
    fn places(
        &self,
        catalog: &Catalog,
        traffic: &Traffic,
        present: &Offer,
        need: &Need<'_>,
    ) -> Vec<Place> {
        let models = catalog.offers.iter().map(|offer| &offer.model);
        let model = models.into_iter().find(|model| model.id == traffic.model);
        let name = model.map_or(&present.model.name, |model| &model.name);
        let Ok(resolved) = catalog.resolve(self.organization, name) else {
            return Vec::new();
        };
        // A name that means something else to this organization says nothing about the model.
        let links = &resolved.chain.links;
        let is_of_model = resolved.chain.kind == NameKind::Model
            && links.first().is_some_and(|link| link.model.name == *name);
        if !is_of_model {
            return Vec::new();
        }
        let offers = (0_u16..).zip(links).flat_map(|(distance, link)| {
            let offers = link.offers.iter();
            offers.map(move |offer| (distance, offer))
        });
        offers
            .map(|(distance, offer)| self.place(offer, distance, need.judge(offer).is_ok()))
            .collect()
    }

    fn place(&self, offer: &Offer, distance: u16, is_able: bool) -> Place {
        Place {
            offer: offer.id,
            provider: offer.provider.name.clone(),
            tier: offer.tier,
            price: offer.price,
            price_book: offer.price_book.clone(),
            distance,
            is_able,
            score: self.score(offer.id),
        }
    }

    fn is_free(&self, offer: OfferId) -> bool {
        let mut offers = self.snapshot.catalog.offers.iter();
        offers.any(|one| one.id == offer && one.tier == Tier::Free)
    }

    fn score(&self, offer: OfferId) -> Option<u8> {
        self.standing.scores.get(&offer).copied()
    }

    /// What another offer must be able to do: what the present one says it can, with room for the longest call seen.
    fn need(&self, traffic: &Traffic, present: &Offer) -> Need<'static> {
        let abilities = match present.abilities {
            Abilities::UNSTATED => Abilities::NONE.with(Ability::Chat),
            stated => stated,
        };
        Need {
            organization: self.organization,
            dialect: present.provider.dialect,
            abilities,
            is_stream: traffic.is_stream,
            input_expected: Tokens(traffic.longest),
            input_bound: Tokens(traffic.longest),
            output_expected: Tokens(0),
            output_bound: Tokens(0),
            requested_output: None,
            allows_training: present.provider.trains_on_data,
            allowed_models: None,
            is_free_only: false,
            routes: None,
            strategy: &MISER,
            seed: 0,
            is_rehearsal: true,
        }
    }
}

/// Says whether tries fail clearly more often than they did.
fn is_worse(before: Tries, since: Tries) -> bool {
    let all = |tries: Tries| u128::from(tries.succeeded) + u128::from(tries.failed);
    let of_hundred = |tries: Tries| match all(tries) {
        0 => 0,
        all => u128::from(tries.failed) * 100 / all,
    };
    let (then, now) = (of_hundred(before), of_hundred(since));
    FEWEST_FAILURES <= since.failed && then + u128::from(WORSE_BY_PERCENT) <= now && then * 2 <= now
}

fn note(seen: &mut Seen, why: &'static str) {
    *seen.kept.entry(why).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_worse_when_clearly_more_tries_fail() {
        let tries = |succeeded, failed| Tries { succeeded, failed };

        for (before, since, worse) in [
            (tries(100, 0), tries(19, 0), false),
            (tries(100, 0), tries(0, 4), false),
            (tries(100, 0), tries(0, 5), true),
            (tries(100, 0), tries(96, 5), false),
            (tries(100, 0), tries(95, 5), true),
            (tries(80, 20), tries(65, 35), false),
            (tries(80, 20), tries(60, 40), true),
            (tries(0, 0), tries(10, 10), true),
        ] {
            assert_eq!(is_worse(before, since), worse, "{before:?} {since:?}");
        }
    }
}
