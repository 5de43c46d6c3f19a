//! The keys callers send: their written form, what they grant, and how they are looked up.

pub mod grant;

pub use grant::{Grant, Standing};
