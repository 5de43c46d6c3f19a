//! What Synaxis promises, in one binary.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod check;
mod dev;
