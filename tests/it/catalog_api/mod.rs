//! The catalog as people change it over the API, and as callers meet it at a running proxy.

mod files;
mod keys;
mod own;
mod prices;
mod sealing;
pub mod stand;
mod wishes;
