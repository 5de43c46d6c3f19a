//! What a handler takes from a request: evidence of who asks, and parsed input. Each refuses in our own words.

mod body;
mod created;
mod origin;
mod parameters;
mod person;
mod strict;
mod visitor;

pub use body::{BODY_LIMIT, Json, whole};
pub use created::{Created, NoContent};
pub use origin::Origin;
pub use parameters::{Path, Query};
pub use person::{Member, Person, PlatformAdmin};
pub use visitor::Visitor;
