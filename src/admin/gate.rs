//! The gate before every handler: nobody passes whom the operation's access does not let in.

use std::{collections::HashMap, sync::Arc};

use axum::{
    RequestExt,
    extract::{Path, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};

use super::{
    Plane,
    access::{Access, Operation},
    error::ApiError,
    extract::{Member, Person, PlatformAdmin},
};
use crate::{base::OrganizationId, store::Scope, tenancy::Permission};

/// Who a token speaks for.
#[derive(Clone, Copy, Debug)]
struct Claims;

/// Lets a request through to its handler, with evidence of who asks, or refuses it.
///
/// # Errors
/// 401 without a valid token, 404 for another's organization, 403 without the permission.
pub async fn gate(
    State(plane): State<Plane>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let operation = request.extensions().get::<Arc<Operation>>();
    let access = operation.map(|operation| operation.access);
    match access {
        // What is not on the page does not exist.
        None => return Err(ApiError::NotFound),
        Some(Access::Public) => {}
        Some(Access::SignedIn) => {
            let person = person(&plane, request.headers()).await?;
            request.extensions_mut().insert(person);
        }
        Some(Access::Member(permission)) => {
            let member = member(&plane, &mut request, permission).await?;
            request.extensions_mut().insert(member.person);
            request.extensions_mut().insert(member);
        }
        Some(Access::Platform) => {
            let person = person(&plane, request.headers()).await?;
            if !person.is_platform_admin {
                return Err(ApiError::Forbidden);
            }
            request.extensions_mut().insert(person);
            request.extensions_mut().insert(PlatformAdmin { person });
        }
    }
    Ok(next.run(request).await)
}

async fn person(plane: &Plane, headers: &HeaderMap) -> Result<Person, ApiError> {
    let claims = claims(plane, headers)?;
    standing(plane, claims, None)
        .await
        .map(|(person, _)| person)
}

async fn member(
    plane: &Plane,
    request: &mut Request,
    permission: Permission,
) -> Result<Member, ApiError> {
    let claims = claims(plane, request.headers())?;
    let path = request
        .extract_parts::<Path<HashMap<String, String>>>()
        .await;
    let organization = path.ok().and_then(|Path(mut path)| {
        let text = path.remove("organization_id")?;
        text.parse::<OrganizationId>().ok()
    });
    let (_, member) = standing(plane, claims, organization).await?;
    let member = member.ok_or(ApiError::NotFound)?;
    if !member.may(permission) {
        return Err(ApiError::Forbidden);
    }
    Ok(member)
}

/// Reads the bearer token and returns who it speaks for.
fn claims(_plane: &Plane, headers: &HeaderMap) -> Result<Claims, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ApiError::Unauthenticated);
    };
    let _token = bearer(value.as_bytes()).ok_or(ApiError::Unauthenticated)?;
    Err(ApiError::Unauthenticated)
}

fn bearer(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Asks the books how somebody stands now: what a token once said may have been taken back.
async fn standing(
    plane: &Plane,
    _claims: Claims,
    organization: Option<OrganizationId>,
) -> Result<(Person, Option<Member>), ApiError> {
    let _conn = plane.postgres.acquire().await?;
    let _scope = organization.map(Scope::of);
    Err(ApiError::Unauthenticated)
}
