//! What people ask of the books: a running sidecar, real entries, and the entries themselves as the oracle.

mod books;

mod health;
mod journey;
mod receipts;
mod reports;
mod requests;
mod rollups;
