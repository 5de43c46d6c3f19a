//! What people, operators and agents may change: each change and its audit row in one transaction.
//!
//! Who may do what is decided before these functions are called; whose rows they touch is their transaction's scope.

pub mod catalog;
pub mod identity;
pub mod keys;
pub mod limits;
pub mod organizations;
pub mod retention;
pub mod store;
pub mod users;

pub use crate::audit::{Actor, By};
