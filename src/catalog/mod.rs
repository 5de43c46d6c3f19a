//! Providers, models, offers, prices, allowances, credentials: what can be bought, and what is free.

pub mod ability;
pub mod offer;
pub mod price;
pub mod provider;

pub use ability::{Abilities, Ability};
pub use offer::{Allowance, AllowanceMeter, AllowanceWindow, Model, Offer, Tier};
pub use price::Price;
pub use provider::{Credential, Deadlines, Dialect, Provider, Quirks};
