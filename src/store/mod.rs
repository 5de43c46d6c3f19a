//! The doors to Postgres and Redis. No business inside.

pub mod feed;
pub mod lease;
pub mod migrate;
pub mod nodes;
pub mod outcomes;
pub mod owner;
pub mod postgres;
pub mod proxies;
pub mod redis;
pub mod scope;
pub mod seal;

pub use lease::Lease;
pub use owner::OwnerTx;
pub use postgres::{Conn, OnConstraint, Postgres, StoreError, Tx};
pub use scope::{OrgTx, PersonTx, Scope, Whose};
pub use seal::Vault;
