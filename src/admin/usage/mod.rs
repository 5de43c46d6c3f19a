//! What was used: by whom, with what, when; as JSON or CSV.

mod ask;
mod csv;
mod view;

pub use ask::{KeyUsageQuery, MyUsageQuery, PlatformUsageQuery, UsageQuery};
pub use view::{AmountsView, NamedView, UsageRowView, UsageView};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};

use self::ask::Asked;
use super::{
    Plane,
    error::ApiError,
    extract::{Json, Member, Path, Person, PlatformAdmin, Query},
    keys::reach,
    openapi::Problems,
};
use crate::{
    base::{ApiKeyId, OrganizationId},
    control::own_keys,
    store::Scope,
    usage::report::{Filters, Question, Report, Whose, store},
};

/// Tell what an organization used
///
/// Rows come in the order of time, in each step the dearest first. `totals` is everything, whatever page is asked
/// for. `from` and `to` are widened to whole hours. As `text/csv` (by `Accept` or `format=csv`) all rows come at once.
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/usage",
    tag = "usage",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), UsageQuery),
    responses(
        (status = 200, description = "The report.", content((UsageView = "application/json"), (String = "text/csv"))),
        Problems
    )
)]
pub async fn show_usage(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<UsageQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = query.asked(&headers)?;
    answer(&plane, member.scope, &asked, query.filters()).await
}

/// Tell what one key used
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/keys/{key_id}/usage",
    tag = "usage",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), ("key_id" = ApiKeyId, Path, description = "The key."), KeyUsageQuery),
    responses(
        (status = 200, description = "The report.", content((UsageView = "application/json"), (String = "text/csv"))),
        Problems
    )
)]
pub async fn show_key_usage(
    State(plane): State<Plane>,
    member: Member,
    Path((_organization, key)): Path<(OrganizationId, ApiKeyId)>,
    Query(query): Query<KeyUsageQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = query.asked(&headers)?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    own_keys::find(&mut tx, &key.to_string(), reach(&member)).await?;
    drop(tx);
    let filters = Filters {
        key: Some(key),
        ..Filters::default()
    };
    answer(&plane, member.scope, &asked, filters).await
}

/// Tell what I used in an organization
#[utoipa::path(
    get,
    path = "/api/v1/me/usage",
    tag = "usage",
    params(MyUsageQuery),
    responses(
        (status = 200, description = "The report.", content((UsageView = "application/json"), (String = "text/csv"))),
        Problems
    )
)]
pub async fn show_my_usage(
    State(plane): State<Plane>,
    person: Person,
    Query(query): Query<MyUsageQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = query.asked(&headers)?;
    let scope = Scope::of(query.organization_id);
    let mut tx = plane.postgres.begin_for(scope).await?;
    if !store::is_member(&mut tx, person.id).await? {
        return Err(ApiError::NotFound);
    }
    drop(tx);
    let filters = Filters {
        user: Some(person.id),
        ..Filters::default()
    };
    answer(&plane, scope, &asked, filters).await
}

/// Tell what everybody used
///
/// Across organizations one thing can be asked at once; with an `organization_id` everything can.
#[utoipa::path(
    get,
    path = "/api/v1/platform/usage",
    tag = "platform",
    params(PlatformUsageQuery),
    responses(
        (status = 200, description = "The report.", content((UsageView = "application/json"), (String = "text/csv"))),
        Problems
    )
)]
pub async fn show_platform_usage(
    State(plane): State<Plane>,
    _: PlatformAdmin,
    Query(query): Query<PlatformUsageQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = query.asked(&headers)?;
    let whose = query
        .organization_id
        .map_or(Whose::Everybody, Whose::Organization);
    let question = asked.question(whose, query.filters(), plane.clock.now())?;
    let mut conn = plane.postgres.acquire().await?;
    let report = store::platform_report(&mut conn, &question, asked.cut).await?;
    show(&asked, &question, report)
}

async fn answer(
    plane: &Plane,
    scope: Scope,
    asked: &Asked,
    filters: Filters,
) -> Result<Response, ApiError> {
    let whose = Whose::Organization(scope.organization());
    let question = asked.question(whose, filters, plane.clock.now())?;
    let mut tx = plane.postgres.begin_for(scope).await?;
    let report = store::report(&mut tx, &question, asked.cut).await?;
    show(asked, &question, report)
}

fn show(asked: &Asked, question: &Question, report: Report) -> Result<Response, ApiError> {
    if !asked.is_csv {
        let next = report.next.map(ask::cursor);
        return Ok(Json(UsageView::of(question, report, next)).into_response());
    }
    if report.next.is_some() {
        return Err(ApiError::unprocessable(
            "too_many_rows",
            "the report has too many rows for one file; ask for a shorter period",
        ));
    }
    Ok(csv::answer(question.by, report.rows))
}
