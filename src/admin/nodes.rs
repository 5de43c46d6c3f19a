//! The processes that serve.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Plane,
    error::ApiError,
    extract::{Json, PlatformAdmin, Query},
    list::{ListQuery, Listed},
    openapi::Problems,
};
use crate::{
    base::{Moment, NodeId},
    store::nodes::{self, Node},
};

/// A process, as the books last heard of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeView {
    /// Its id; another after each start.
    id: NodeId,
    /// `proxy` or `admin`.
    kind: String,
    /// The machine it runs on.
    host: String,
    /// Its version.
    version: String,
    /// When it began.
    started_at: Moment,
    /// When it was heard of last.
    seen_at: Moment,
    /// How long ago that was.
    silent_ms: u64,
    /// Whether it has missed more than two beats: it is gone, or cannot reach the books.
    is_silent: bool,
    /// The last change its snapshot contains; null where there is no snapshot.
    snapshot_seq: Option<i64>,
    /// When its snapshot was read.
    snapshot_taken_at: Option<Moment>,
    /// Whether the catalog had changed since, when it was heard of last.
    is_behind: bool,
}

impl From<Node> for NodeView {
    fn from(node: Node) -> Self {
        let is_silent = node.is_silent();
        Self {
            id: node.id,
            kind: node.kind,
            host: node.host,
            version: node.version,
            started_at: node.started_at,
            seen_at: node.seen_at,
            silent_ms: u64::try_from(node.silent.as_millis()).unwrap_or(u64::MAX),
            is_silent,
            snapshot_seq: node.snapshot_seq,
            snapshot_taken_at: node.snapshot_taken_at,
            is_behind: node.is_behind,
        }
    }
}

/// List the processes that serve
#[utoipa::path(
    get,
    path = "/api/v1/platform/nodes",
    tag = "platform",
    params(ListQuery),
    responses((status = 200, description = "A page of processes.", body = Listed<NodeView>), Problems)
)]
pub async fn list_nodes(
    State(plane): State<Plane>,
    _: PlatformAdmin,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<NodeView>>, ApiError> {
    let mut conn = plane.postgres.acquire().await?;
    let page = nodes::list(&mut conn, &query.paging()?).await?;
    Ok(Json(Listed::of(page, NodeView::from)))
}
