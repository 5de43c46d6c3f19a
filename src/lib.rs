//! Synaxis: the multi-tenant gateway for LLM traffic that spends $0 first.
//!
//! The life of a request: `gateway` authenticates it (`keys`), reads its body (`dialect`), routes it to an
//! ordered plan of offers (`routing` over the `snapshot` of the `catalog`), admits it (one script over all
//! limits, `quota`), forwards it, meters what comes back, and settles: the hold becomes the exact cost and an
//! entry goes through the spool into the books (`usage`).
//!
//! The groups stand in reading order, each above those that build on it; who may name whom is the table in
//! `tests/it/architecture.rs`.

pub mod base;

pub mod egress;
pub mod store;
pub mod telemetry;

pub mod audit;
pub mod catalog;
pub mod dialect;
pub mod identity;
pub mod keys;
pub mod quota;
pub mod routing;
pub mod tenancy;
pub mod usage;

pub mod alerts;
pub mod realtime;

pub mod control;
pub mod snapshot;

pub mod agents;

pub mod admin;
pub mod gateway;
pub mod simulate;

pub mod cli;
pub mod config;
