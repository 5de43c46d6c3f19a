//! Looks at every offer without cost, adds what callers saw, and tells people and routing what changed.

pub mod judge;
pub mod seen;
pub mod store;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use serde::Serialize;

use super::{
    Agent, Fault, Report, Waking,
    journal::{self, Run},
    schedule,
    tools::{health, provider},
};
use crate::{
    egress::Guard,
    snapshot,
    store::{StoreError, Vault, Whose},
    tenancy::{Permission, Permissions},
};
use seen::Seen;

/// What looks at offers.
#[derive(Clone, Debug)]
pub struct HealthMonitoring {
    /// Opens providers' keys.
    pub vault: Arc<Vault>,
    /// Says where calls may go.
    pub guard: Arc<Guard>,
}

/// What a waking came to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Tally {
    /// Offers under a key that were looked at.
    pub looked_at: usize,
    /// Calls that were made for that: one for each key.
    pub probes: usize,
    /// Offers that are well.
    pub healthy: usize,
    /// Offers that nobody should try.
    pub out: usize,
    /// Offers that are other than they were.
    pub changed: usize,
}

#[async_trait]
impl Agent for HealthMonitoring {
    fn name(&self) -> &'static str {
        "health_monitoring"
    }

    fn permissions(&self) -> Permissions {
        [
            Permission::CatalogRead,
            Permission::CatalogWrite,
            Permission::UsageRead,
            Permission::AlertsWrite,
        ]
        .into_iter()
        .collect()
    }

    async fn wake(&self, waking: &Waking) -> Result<Report, Fault> {
        let (snapshot, _) = snapshot::build(&waking.postgres, &self.vault, &waking.clock).await?;
        let doors = provider::doors(waking, &snapshot.catalog)?;
        let (lately, is_any_missing) = health::lately(waking).await?;
        let looks = health::probe_all(waking, &self.guard, &doors).await?;
        let mut tally = Tally {
            probes: looks.len(),
            ..Tally::default()
        };
        let mut owners: BTreeMap<Whose, Vec<Seen>> = BTreeMap::new();
        for (door, look) in doors.iter().zip(looks) {
            for offer in &door.offers {
                let seen = health::seen(door, *offer, &look, &lately);
                owners.entry(door.owner).or_default().push(seen);
            }
        }
        for (owner, seen) in owners {
            health::keep(waking, owner, &seen, &mut tally).await?;
        }
        if is_any_missing {
            discover(waking).await?;
        }
        Report::of(&tally)
    }
}

/// Who looks at providers' lists.
const DISCOVERY: &str = "model_discovery";

/// Asks for a look at providers' lists, unless one was just had: callers were told that a model is not there.
async fn discover(waking: &Waking) -> Result<(), Fault> {
    let mut tx = waking.postgres.begin().await?;
    let latest = journal::store::latest(&mut tx).await?;
    let is_recent = |run: &Run| run.agent == DISCOVERY && waking.now < run.at.plus(health::LATELY);
    if latest.iter().any(is_recent) {
        return Ok(());
    }
    schedule::nudge(&mut tx, DISCOVERY, waking.now).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}
