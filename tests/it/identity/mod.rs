//! People at the door of the admin API: a running sidecar, real mail, real Postgres.

pub mod people;

mod account;
mod guessing;
mod issuer;
mod mail;
mod member_sign_ins;
mod oidc;
mod passwords;
mod policy;
mod register;
mod sealing;
mod second_factor;
mod sessions;
mod sign_in;
mod signing_keys;
mod tokens;
