//! The admin API, as its callers see it.

mod connections;
mod journey;
mod layers;
mod shell;
mod sweep;
