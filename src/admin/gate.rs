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
use crate::{
    audit::Source,
    base::OrganizationId,
    identity::{
        Standing,
        store::{person, session},
        token::{Claims, TokenRefused},
    },
    store::Scope,
    tenancy::Permission,
};

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
            let person = person_of(&plane, &request).await?;
            request.extensions_mut().insert(person);
        }
        Some(Access::Member(permission)) => {
            let member = member(&plane, &mut request, permission).await?;
            request.extensions_mut().insert(member.person);
            request.extensions_mut().insert(member);
        }
        Some(Access::Platform) => {
            let person = person_of(&plane, &request).await?;
            if !person.is_platform_admin {
                return Err(ApiError::Forbidden);
            }
            request.extensions_mut().insert(person);
            request.extensions_mut().insert(PlatformAdmin { person });
        }
    }
    Ok(next.run(request).await)
}

async fn person_of(plane: &Plane, request: &Request) -> Result<Person, ApiError> {
    let claims = claims(plane, request.headers()).await?;
    let source = source(request);
    standing(plane, &claims, source, None)
        .await
        .map(|(person, _)| person)
}

/// Returns where the request came from, as the outermost layer noted it.
fn source(request: &Request) -> Source {
    let source = request.extensions().get::<Source>();
    source.copied().unwrap_or_default()
}

async fn member(
    plane: &Plane,
    request: &mut Request,
    permission: Permission,
) -> Result<Member, ApiError> {
    let claims = claims(plane, request.headers()).await?;
    let path = request
        .extract_parts::<Path<HashMap<String, String>>>()
        .await;
    let organization = path.ok().and_then(|Path(mut path)| {
        let text = path.remove("organization_id")?;
        text.parse::<OrganizationId>().ok()
    });
    let source = source(request);
    let (_, member) = standing(plane, &claims, source, organization).await?;
    let member = member.ok_or(ApiError::NotFound)?;
    if !member.may(permission) {
        return Err(ApiError::Forbidden);
    }
    Ok(member)
}

/// Reads the bearer token and returns who it speaks for.
async fn claims(plane: &Plane, headers: &HeaderMap) -> Result<Claims, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ApiError::Unauthenticated);
    };
    let token = bearer(value.as_bytes()).ok_or(ApiError::Unauthenticated)?;
    match plane.door.signer.verify(token).await {
        Ok(claims) => Ok(claims),
        Err(TokenRefused::Store(error)) => Err(error.into()),
        Err(TokenRefused::Invalid | TokenRefused::UnknownKey) => Err(ApiError::Unauthenticated),
    }
}

fn bearer(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Asks the books how somebody stands now: what a token once said may have been taken back.
async fn standing(
    plane: &Plane,
    claims: &Claims,
    source: Source,
    organization: Option<OrganizationId>,
) -> Result<(Person, Option<Member>), ApiError> {
    let now = plane.clock.now();
    let mut conn = plane.postgres.acquire().await?;
    let session = session::find_open(&mut conn, claims.sid, claims.sub, now).await?;
    session.ok_or(ApiError::Unauthenticated)?;
    let known = person::find_by_id(&mut conn, claims.sub).await?;
    let known = known
        .filter(|known| known.standing == Standing::Active && known.token_version == claims.ver)
        .ok_or(ApiError::Unauthenticated)?;
    let person = Person {
        id: known.id,
        session: claims.sid,
        is_platform_admin: known.is_platform_admin,
        token_version: known.token_version,
        now,
        source,
    };
    let _scope = organization.map(Scope::of);
    Ok((person, None))
}
