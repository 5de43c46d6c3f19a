//! Single calls: finding them, and everything that is known of one.

mod ask;
mod view;

pub use ask::RequestsQuery;
pub use view::{AttemptView, DecisionView, RequestDetailView, RequestView};

use axum::extract::State;

use self::view::Names;
use super::{
    Plane,
    error::ApiError,
    extract::{Json, Member, Path, Query},
    list::{Listed, paging},
    openapi::Problems,
    savings::ReceiptView,
};
use crate::{
    base::{OrganizationId, RequestId},
    usage::{
        receipt::{self, check, lines_of},
        request::store,
    },
};

/// List calls
///
/// A page looks through a few thousand calls at most: with filters that few calls fit it may be short, or empty, and
/// still have a `next_cursor`.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/requests",
    tag = "usage",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), RequestsQuery),
    responses((status = 200, description = "A page of calls.", body = Listed<RequestView>), Problems)
)]
pub async fn list_requests(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<RequestsQuery>,
) -> Result<Json<Listed<RequestView>>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let filters = query.filters()?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = store::list(&mut tx, &filters, &paging).await?;
    let names = Names::of(&mut tx, &page.rows).await?;
    Ok(Json(Listed::of(page, |entry| names.request(&entry))))
}

/// Show one call
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/requests/{request_id}",
    tag = "usage",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), ("request_id" = RequestId, Path, description = "The call.")),
    responses((status = 200, description = "The call.", body = RequestDetailView), Problems)
)]
pub async fn show_request(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, id)): Path<(OrganizationId, RequestId)>,
) -> Result<Json<RequestDetailView>, ApiError> {
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let entry = store::find(&mut tx, id).await?.ok_or(ApiError::NotFound)?;
    let names = Names::of(&mut tx, std::slice::from_ref(&entry)).await?;
    let lines = receipt::store::lines(&mut tx, &lines_of(&entry)).await?;
    let finding = check(&entry, &lines);
    Ok(Json(RequestDetailView {
        request: names.request(&entry),
        tags: match &entry.tags {
            serde_json::Value::Null => serde_json::json!({}),
            tags => tags.clone(),
        },
        decision: names.decision(&entry.decision),
        attempts: entry
            .attempts
            .iter()
            .map(|attempt| names.attempt(attempt))
            .collect(),
        receipt: ReceiptView::of(&entry, &finding, &lines),
    }))
}
