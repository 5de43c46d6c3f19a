//! What was spent: entries, the spool that carries them, the books they end in.

pub mod entry;
pub mod savings;
pub mod spool;

pub mod accounts;
pub mod health;
pub mod receipt;
pub mod report;
pub mod request;
pub mod rollup;

pub mod leases;
pub mod letters;

mod booking;
mod counters;
mod dead;
mod disk;
mod flusher;
mod leftovers;
mod live;
mod log;
mod row;
mod rows;
pub mod store;

pub use counters::Counters;
pub use entry::{Alternative, AttemptRecord, Charged, Decision, Entry, Finish, Intent};
pub use flusher::{Away, Flusher};
pub use leases::{Holds, Leases, Lost, NotEnded, Sweeper};
pub use rows::{Part, Rows};
pub use spool::{Settings, Spool, SpoolError};
