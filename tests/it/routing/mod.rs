//! Who goes first: routes and strategies over the API, as callers meet them at running proxies.

mod day;
mod explain;
mod health;
mod market;
mod routes;
mod strategies;
