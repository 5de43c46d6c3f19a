//! Wire languages, spoken on both sides: what a caller asks, what a model answers, how either says no. No I/O.

pub mod allowance_headers;
pub mod ask;
pub mod endpoint;
pub mod fault;
mod json;
mod pieces;
mod reply;
pub mod splice;
mod sse;
pub mod stream;
mod tokens_of_media;
pub mod usage;
mod whole;

pub use crate::catalog::Dialect;
pub use ask::{Ask, read};
pub use endpoint::Endpoint;
pub use fault::Fault;
pub use splice::{Changes, splice};
pub use stream::{Seen, StreamError, StreamReader};
pub use usage::usage_of;
pub use whole::{Whole, whole};
