//! Which offer answers: an ordered plan, cheapest first. No I/O and no clock of its own.

pub mod need;

pub mod health;

pub mod miser;
pub mod plan;
mod survey;

pub use health::{Availability, Cool, Failure, Health, Settings};
pub use need::{Need, Why};
pub use plan::{Candidate, Plan, Unroutable, plan, survey};
