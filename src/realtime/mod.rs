//! What people see live: events, written in the transaction of what happened and told to every socket that may know.

pub mod event;
pub mod outbox;

pub use event::Event;
