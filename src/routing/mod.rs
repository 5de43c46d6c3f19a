//! Which offer answers: an ordered plan, cheapest first. No I/O and no clock of its own.

pub mod need;

pub mod preferences;
pub mod route;
pub mod strategy;

pub mod health;

pub mod miser;
pub mod plan;
mod survey;

pub mod store;

pub use health::{Availability, Cool, Failure, Health, Refusal, Settings, share::Sharing};
pub use need::{Need, Why};
pub use plan::{Candidate, Plan, Unroutable, plan, survey};
pub use preferences::{Caller, Preferences, Subject};
pub use route::{Cause, Route, Routes};
pub use strategy::{Bounds, Kind, Strategy, Weights};
