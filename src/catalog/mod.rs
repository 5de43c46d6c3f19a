//! Providers, models, offers, prices, allowances, credentials: what can be bought, and what is free.

pub mod ability;
pub mod price;
pub mod quote;

pub mod offer;
pub mod provider;
pub mod wishes;

pub mod index;
pub mod listing;

pub mod vault;

pub mod file;
pub mod holdings;
pub mod probe;
pub mod row;
pub mod store;
pub mod told;
mod word;

#[cfg(test)]
pub(crate) mod sample;

pub use ability::{Abilities, Ability};
pub use file::CatalogFile;
pub use holdings::Holdings;
pub use index::{Alias, Catalog, Chain, Link, ListedModel, NameKind, Resolved, UnknownModel};
pub use offer::{Allowance, AllowanceMeter, AllowanceWindow, Model, Offer, Tier};
pub use price::Price;
pub use provider::{Credential, Deadlines, Dialect, Provider, Quirks};
pub use quote::{PriceEntry, Quote, Suspicion};
pub use row::{Row, Sought};
pub use vault::Vault;
pub use wishes::Wishes;
