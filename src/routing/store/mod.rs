//! What organizations want of the order of offers, in the books.

pub mod health;
pub mod routes;
pub mod strategies;
