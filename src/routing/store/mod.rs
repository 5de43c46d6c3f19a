//! What organizations want of the order of offers, in the books.

pub mod routes;
