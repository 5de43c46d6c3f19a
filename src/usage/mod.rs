//! What was spent: entries, the spool that carries them, the books they end in.

pub mod entry;

pub use entry::{AttemptRecord, Entry, Finish, Intent};
