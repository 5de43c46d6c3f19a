//! People at the door of the admin API: a running sidecar, real mail in a folder, real Postgres.

pub mod people;

mod register;
mod sessions;
mod sign_in;
