//! Asks providers which models they have: new ones are noted, missing ones go out of use, prices are read again.

pub mod compare;
pub mod store;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Agent, Fault, Report, Waking,
    tools::{models, provider},
};
use crate::{
    base,
    catalog::listing::list,
    egress::Guard,
    snapshot,
    store::Vault,
    tenancy::{Permission, Permissions},
};

/// What agents are told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A catalog file whose prices are read every day, such as `https://example.com/prices.toml`; none when absent.
    pub price_book_url: Option<Url>,
}

impl Settings {
    /// Returns what of them cannot stand.
    #[must_use]
    pub fn validate(&self) -> Vec<base::Fault> {
        let url = self.price_book_url.as_ref();
        let wrong = url.filter(|url| !matches!(url.scheme(), "http" | "https"));
        let wrong = wrong.map(|url| {
            let what = format!("`{url}` cannot be fetched");
            base::Fault::new("price_book_url", what, "give an https address")
        });
        wrong.into_iter().collect()
    }
}

/// What asks providers for their models.
#[derive(Clone, Debug)]
pub struct ModelDiscovery {
    /// Opens providers' keys.
    pub vault: Arc<Vault>,
    /// Says where calls may go.
    pub guard: Arc<Guard>,
    /// What it was told.
    pub settings: Settings,
}

/// What a waking came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// Providers that listed their models.
    pub listed: usize,
    /// Providers that did not.
    pub silent: Vec<String>,
    /// Providers whose list names none of several offers: nothing was done with it.
    pub doubted: Vec<String>,
    /// Models nobody had seen before.
    pub new: usize,
    /// Offers taken out of use: their provider lists them no more.
    pub taken_out: usize,
    /// Offers taken back in.
    pub taken_in: usize,
    /// What became of the price book's prices; absent when none is configured.
    pub prices: Option<models::Prices>,
}

#[async_trait]
impl Agent for ModelDiscovery {
    fn name(&self) -> &'static str {
        "model_discovery"
    }

    fn permissions(&self) -> Permissions {
        [
            Permission::CatalogRead,
            Permission::CatalogWrite,
            Permission::AlertsWrite,
        ]
        .into_iter()
        .collect()
    }

    async fn wake(&self, waking: &Waking) -> Result<Report, Fault> {
        let (snapshot, _) = snapshot::build(&waking.postgres, &self.vault, &waking.clock).await?;
        let mut tally = Tally::default();
        let mut done = BTreeSet::new();
        for door in provider::all_doors(waking, &snapshot)? {
            // One key that works is enough.
            if done.contains(&door.provider) {
                continue;
            }
            match list(&self.guard, door.trial()).await {
                Ok(listed) => {
                    done.insert(door.provider);
                    tally.listed += 1;
                    models::take(waking, &door, &listed, &mut tally).await?;
                }
                Err(error) => {
                    tracing::debug!(provider = door.provider_name, %error, "no list of models");
                    tally.silent.push(door.provider_name.clone());
                }
            }
        }
        if let Some(url) = &self.settings.price_book_url {
            tally.prices = Some(models::refresh_prices(waking, &self.guard, url).await?);
        }
        Report::of(&tally)
    }
}
