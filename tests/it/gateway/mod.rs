//! The data path, as callers see it.

mod admit;
mod allowances;
mod authenticate;
mod body;
mod deaths;
mod faults;
mod forward;
mod framing;
mod health;
mod limits;
mod operations;
mod raw;
mod settle;
