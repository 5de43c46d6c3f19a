//! The doors to Postgres and Redis. No business inside.

pub mod redis;
