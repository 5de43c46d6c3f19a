//! People at the door: what they must know to be let in.

pub mod opaque;
pub mod password;
