//! What Synaxis promises, in one binary.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]
#![expect(unreachable_pub, reason = "a test binary has nothing to export to")]

mod stack;

mod admin;
mod agents;
mod architecture;
mod audit;
mod catalog;
mod catalog_api;
mod check;
mod dev;
mod gateway;
mod identity;
mod insight;
mod isolation;
mod keys;
mod migrations;
mod quota;
mod realtime;
mod routing;
mod tenancy;
mod usage;
