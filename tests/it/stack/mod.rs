//! What tests stand on.

pub mod database;
pub mod relay;

use std::time::{Duration, Instant};

/// Waits until `holds`, at most `limit`; returns how long it took.
pub async fn within(limit: Duration, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < limit, "not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}
