//! People at the door, in the books. What belongs to one person asks for a [`crate::store::PersonTx`].

pub mod attempt;
pub mod factor;
pub mod letter;
pub mod member_sign_in;
pub mod one_time;
pub mod person;
pub mod policy;
pub mod provider;
pub mod registration;
pub mod session;
pub mod signing;
pub mod standing;
