//! A person's own sessions: seen, and ended.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Plane, cookie,
    error::ApiError,
    extract::{Json, NoContent, Path, Person, Query, Visitor},
    list::{ListQuery, Listed},
    openapi::Problems,
};
use crate::{
    base::{Moment, OrganizationId, SessionId},
    control::identity::sessions,
    identity::session::{EndReason, Session, SignedInBy},
};

/// A session, as its person sees it.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    id: SessionId,
    /// Is it the one that asks?
    is_current: bool,
    /// `password` or `oidc`.
    method: &'static str,
    /// The one organization it reaches, when that organization's provider opened it.
    organization_id: Option<OrganizationId>,
    /// Was the second factor shown?
    has_second_factor: bool,
    /// From where it was opened.
    address: String,
    /// By which program, in its own words.
    user_agent: String,
    /// When it began.
    created_at: Moment,
    /// When it was last carried on.
    last_used_at: Moment,
    /// When it ends at the latest.
    expires_at: Moment,
}

impl SessionView {
    fn of(session: Session, current: SessionId) -> Self {
        let (method, organization_id) = match session.by {
            SignedInBy::Password => ("password", None),
            SignedInBy::Provider(organization, _) => ("oidc", Some(organization)),
        };
        Self {
            id: session.id,
            is_current: session.id == current,
            method,
            organization_id,
            has_second_factor: session.has_second_factor,
            address: session.address,
            user_agent: session.user_agent,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
        }
    }
}

/// List one's own sessions
///
/// Those that are not over.
#[utoipa::path(
    get,
    path = "/api/v1/me/sessions",
    tag = "me",
    params(ListQuery),
    responses((status = 200, description = "A page of sessions.", body = Listed<SessionView>), Problems)
)]
pub async fn list_sessions(
    State(plane): State<Plane>,
    person: Person,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<SessionView>>, ApiError> {
    let paging = query.paging()?;
    let page = sessions::list(&plane.door, person.id, &paging, person.now).await?;
    let current = person.session;
    Ok(Json(Listed::of(page, |session| {
        SessionView::of(session, current)
    })))
}

/// End one of one's own sessions
#[utoipa::path(
    delete,
    path = "/api/v1/me/sessions/{session_id}",
    tag = "me",
    params(("session_id" = SessionId, Path, description = "The session.")),
    responses((status = 204, description = "It is over."), Problems)
)]
pub async fn end_session(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    person: Person,
    Path(session): Path<SessionId>,
) -> Result<NoContent, ApiError> {
    let (id, reason) = (person.id, EndReason::Ended);
    match sessions::end(&plane.door, id, session, reason, &visit).await? {
        true => Ok(NoContent),
        false => Err(ApiError::NotFound),
    }
}

/// Sign out everywhere
///
/// Ends every session, this one too, and every token made so far.
#[utoipa::path(
    post,
    path = "/api/v1/me/logout-everywhere",
    tag = "me",
    responses((status = 204, description = "All sessions are over."), Problems)
)]
pub async fn logout_everywhere(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    person: Person,
) -> Result<Response, ApiError> {
    sessions::end_all(&plane.door, person.id, &visit).await?;
    Ok(cookie::clearing(NoContent.into_response()))
}
