//! The axum sidecar.
