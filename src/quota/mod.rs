//! How much is left, and holding some of it.

pub mod limit;

pub use limit::{Enforcement, Limit, Meter, Mode, Subject, Window};
