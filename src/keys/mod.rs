//! The keys callers send: their written form, what they grant, and how they are looked up.

pub mod api_key;
pub mod cache;
pub mod flight;
pub mod grant;
mod guesses;
pub mod lookup;
pub mod scope;
pub mod seen;
pub mod store;
pub mod token;

pub use api_key::{ApiKey, KeyState};
pub use grant::{Grant, Standing};
pub use lookup::{Keys, NoGrant, Settings};
pub use scope::KeyScope;
