//! What people, operators and agents may change: each change and its audit row in one transaction.
//!
//! Who may do what is decided before these functions are called; whose rows they touch is their transaction's scope.

pub mod ceiling;
mod note;
pub mod refused;

pub mod identity;

pub mod organizations;
pub mod settings;
pub mod tenants;

pub mod groups;
pub mod invitations;
pub mod members;
pub mod roles;
pub mod users;

pub mod keys;
pub mod own_keys;

pub mod balance;
pub mod enforcement;
pub mod limits;
pub mod refunds;
pub mod store;

pub mod catalog;
pub mod routes;
pub mod strategies;

pub mod retention;

pub use ceiling::Ceiling;
pub use refused::TenancyRefused;

pub use crate::audit::{Actor, By};
