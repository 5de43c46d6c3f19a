//! Reads an organization's routes and what went along them, moves a route, and puts it back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;

use crate::{
    agents::{
        Fault, Mode, Waking,
        cost::decide::{Choice, Mix},
        store,
    },
    base::{ModelId, Moment, OfferId, OrganizationId, Paging, RouteId},
    control::routes::{self, RouteRefused, Switch},
    routing::{
        Cause,
        store::routes::{self as kept, Change, KeptRoute},
    },
    store::{OrgTx, Scope},
    tenancy::Permission,
};

/// How long an offer that a route was put back from is not tried again.
const SHUNNED: Duration = Duration::from_secs(24 * 60 * 60);

/// What went along one route.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// The route's model.
    pub model: ModelId,
    /// The offer that answered most of it.
    pub offer: OfferId,
    /// Was any of it streamed?
    pub is_stream: bool,
    /// The most that was read and written at once.
    pub longest: u64,
    /// Calls of callers who do not let agents move routes.
    pub unwanted: u64,
    /// The calls of the others.
    pub mix: Mix,
}

/// How tries at one offer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Answered.
    pub succeeded: u64,
    /// Not, by the offer's fault.
    pub failed: u64,
}

/// One organization's routes, and what is known of them.
#[derive(Debug, Default)]
pub struct Standing {
    /// What went along each.
    pub traffic: Vec<Traffic>,
    /// The routes, by model.
    pub routes: BTreeMap<ModelId, KeptRoute>,
    /// The latest changes of each, the newest first.
    pub changes: BTreeMap<RouteId, Vec<Change>>,
    /// How well offers do, of 100.
    pub scores: BTreeMap<OfferId, u8>,
}

impl Standing {
    /// Returns the offers a route was put back from lately.
    #[must_use]
    pub fn shunned(&self, route: RouteId, now: Moment) -> BTreeSet<OfferId> {
        let changes = self.changes.get(&route).into_iter().flatten();
        changes
            .filter(|change| change.cause == Cause::PutBack && now < change.at.plus(SHUNNED))
            .filter_map(|change| change.from)
            .collect()
    }
}

/// Returns the organizations with calls since `since`.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn organizations(waking: &Waking, since: Moment) -> Result<Vec<OrganizationId>, Fault> {
    waking.permit(Permission::UsageRead)?;
    let mut tx = waking.postgres.begin().await?;
    Ok(store::organizations_in_use(&mut tx, since).await?)
}

/// Reads the routes of one organization and what went along them.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn standing(
    waking: &Waking,
    organization: OrganizationId,
    (since, until): (Moment, Moment),
) -> Result<Standing, Fault> {
    waking.permit(Permission::RoutingRead)?;
    let mut tx = waking.postgres.begin_for(Scope::of(organization)).await?;
    let traffic = store::route_traffic(&mut tx, organization, (since, until)).await?;
    let routes = all_routes(&mut tx).await?;
    let mut changes = BTreeMap::new();
    for route in routes.values() {
        let latest = kept::changes(&mut tx, Some(route.id), &Paging::default()).await?;
        changes.insert(route.id, latest.rows);
    }
    Ok(Standing {
        traffic,
        routes,
        changes,
        scores: store::scores(&mut tx).await?,
    })
}

async fn all_routes(tx: &mut OrgTx) -> Result<BTreeMap<ModelId, KeptRoute>, Fault> {
    let mut routes = BTreeMap::new();
    let mut paging = Paging {
        limit: Paging::MOST,
        ..Paging::default()
    };
    loop {
        let page = kept::list(tx, None, None, &paging).await?;
        routes.extend(page.rows.into_iter().map(|route| (route.model_id, route)));
        match page.next {
            None => return Ok(routes),
            after => paging.after = after,
        }
    }
}

/// Reads how tries at the offers of one organization ended.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn tries(
    waking: &Waking,
    organization: OrganizationId,
    (since, until): (Moment, Moment),
) -> Result<BTreeMap<OfferId, Tries>, Fault> {
    waking.permit(Permission::UsageRead)?;
    let mut tx = waking.postgres.begin().await?;
    let lines = store::tries_of_offers(&mut tx, Some(organization), (since, until)).await?;
    let tries = lines.into_iter().map(|line| {
        let tries = Tries {
            succeeded: line.succeeded,
            failed: line.failed,
        };
        (line.offer, tries)
    });
    Ok(tries.collect())
}

/// What became of a route that was to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It was; in a dry run, it would have been asked to.
    Yes,
    /// It stays, for this reason.
    No(&'static str),
}

/// Moves an organization's route to another offer. The route, its change, its audit entry and the event are one
/// transaction, and every proxy uses it within a second.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn switch(
    waking: &Waking,
    organization: OrganizationId,
    model: ModelId,
    choice: Choice,
) -> Result<Moved, Fault> {
    if waking.permit(Permission::RoutingWrite)? == Mode::Dry {
        return Ok(Moved::Yes);
    }
    let mut tx = waking.postgres.begin_for(Scope::of(organization)).await?;
    let wanted = Switch {
        model,
        to: choice.to,
        cause: choice.cause,
        saving_per_million: choice.saving_per_million,
        arithmetic: choice.arithmetic,
    };
    if let Err(refused) = routes::switch(&mut tx, wanted, waking.by()).await {
        return Ok(Moved::No(why(refused)?));
    }
    tx.commit().await?;
    Ok(Moved::Yes)
}

/// Undoes the last move of a route.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn put_back(
    waking: &Waking,
    organization: OrganizationId,
    route: &KeptRoute,
    arithmetic: Value,
) -> Result<Moved, Fault> {
    if waking.permit(Permission::RoutingWrite)? == Mode::Dry {
        return Ok(Moved::Yes);
    }
    let mut tx = waking.postgres.begin_for(Scope::of(organization)).await?;
    let by = waking.by();
    let expected = Some(route.updated_at);
    if let Err(refused) = routes::put_back(&mut tx, route.id, expected, arithmetic, by).await {
        return Ok(Moved::No(why(refused)?));
    }
    tx.commit().await?;
    Ok(Moved::Yes)
}

/// Says why a route stays, unless it is no reason but a fault.
fn why(refused: RouteRefused) -> Result<&'static str, Fault> {
    Ok(match refused {
        RouteRefused::NoRoute | RouteRefused::NoOffer => "gone",
        RouteRefused::Pinned | RouteRefused::NotPinned => "pinned",
        RouteRefused::Same => "same",
        RouteRefused::FreeToPaid => "free_to_paid",
        RouteRefused::Restless => "moved_within_the_hour",
        RouteRefused::NothingBefore => "nothing_before",
        RouteRefused::NotExpected => "changed_meanwhile",
        RouteRefused::Store(error) => return Err(error.into()),
    })
}
