//! What was spent reaches the books once, whatever dies on the way.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

mod books;
mod crash;
mod database;
mod entries;
mod flush;
mod spent;
mod spool;
