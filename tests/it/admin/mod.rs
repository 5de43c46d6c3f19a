//! The admin API, as its callers see it.

mod layers;
mod shell;
