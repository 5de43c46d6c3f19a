//! Which build answers.

use serde::Serialize;
use utoipa::ToSchema;

use super::{extract::Json, openapi::Problems};

/// Which build answers.
#[derive(Serialize, ToSchema)]
pub struct VersionView {
    /// Always `synaxis`.
    name: &'static str,
    /// Its version.
    version: &'static str,
}

/// Tell which build answers
#[utoipa::path(
    get,
    path = "/api/v1/version",
    tag = "system",
    responses((status = 200, description = "The build.", body = VersionView), Problems)
)]
pub async fn show_version() -> Json<VersionView> {
    Json(VersionView {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
    })
}
