//! The gate before every handler: nobody passes whom the operation's access does not let in.

use std::{collections::HashMap, sync::Arc};

use axum::{
    RequestExt,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
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
    base::{GroupId, OrganizationId},
    identity::{
        Standing,
        store::{
            session::{self, OpenSession},
            standing::{self, Membership},
        },
        token::{Claims, TokenRefused},
    },
    store::Scope,
    tenancy::Permission,
};

/// What a session may do that one organization's provider has opened, besides what is the organization's.
const FOR_ANY_SESSION: [&str; 2] = ["logout", "show_me"];

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
    let is_for_any_session =
        operation.is_some_and(|operation| FOR_ANY_SESSION.contains(&operation.id.as_str()));
    match access {
        // What is not on the page does not exist.
        None => return Err(ApiError::NotFound),
        Some(Access::Public) => {}
        Some(Access::SignedIn) => {
            let reach = if is_for_any_session {
                Reach::Any
            } else {
                Reach::Everywhere
            };
            let person = person_of(&plane, Card::of(&request), reach).await?;
            request.extensions_mut().insert(person);
        }
        Some(Access::Member(permission)) => {
            let member = member(&plane, &mut request, permission).await?;
            request.extensions_mut().insert(member.person);
            request.extensions_mut().insert(member);
        }
        Some(Access::Platform) => {
            let person = person_of(&plane, Card::of(&request), Reach::Everywhere).await?;
            if !person.is_platform_admin {
                return Err(ApiError::Forbidden);
            }
            request.extensions_mut().insert(person);
            request.extensions_mut().insert(PlatformAdmin { person });
        }
    }
    Ok(next.run(request).await)
}

/// What the gate reads of a request, taken out so that the request itself is not held while the books are asked.
struct Card {
    headers: HeaderMap,
    source: Source,
}

impl Card {
    fn of(request: &Request) -> Self {
        let source = request.extensions().get::<Source>();
        Self {
            headers: request.headers().clone(),
            source: source.copied().unwrap_or_default(),
        }
    }
}

/// How far a session must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// It may be bound to one organization.
    Any,
    /// To all that is the person's.
    Everywhere,
}

async fn person_of(plane: &Plane, card: Card, reach: Reach) -> Result<Person, ApiError> {
    let claims = claims(plane, &card.headers).await?;
    let stands = standing(plane, &claims, card.source, None).await?;
    // Signed in by one organization's provider: what is the person's alone, or the platform's, is not for them.
    if reach == Reach::Everywhere && stands.session.only_in.is_some() {
        return Err(bound());
    }
    Ok(stands.person)
}

async fn member(
    plane: &Plane,
    request: &mut Request,
    permission: Permission,
) -> Result<Member, ApiError> {
    let card = Card::of(request);
    let path = request
        .extract_parts::<Path<HashMap<String, String>>>()
        .await;
    let path = path.map(|Path(path)| path).unwrap_or_default();
    let organization = path.get("organization_id");
    let organization = organization.and_then(|text| text.parse::<OrganizationId>().ok());
    let group = path.get("group_id").and_then(|text| text.parse().ok());
    let claims = claims(plane, &card.headers).await?;
    let place = organization.map(|organization| (organization, group));
    let stands = standing(plane, &claims, card.source, place).await?;
    let reached = organization.filter(|organization| stands.session.reaches(*organization));
    let_in(stands, reached, permission)
}

/// Returns somebody who signed in as a member of an organization that a request names elsewhere than in its path.
///
/// # Errors
/// As at the gate: 404 for another's organization, 403 without the permission.
pub async fn member_in(
    plane: &Plane,
    person: Person,
    organization: OrganizationId,
    permission: Permission,
) -> Result<Member, ApiError> {
    let whose = Some(organization);
    let mut conn = plane.postgres.acquire().await?;
    let found = session::find_open(&mut conn, person.session, person.id, whose, person.now).await?;
    let session = found.ok_or(ApiError::Unauthenticated)?;
    let known = standing::find(&mut conn, person.id, whose, None).await?;
    let membership = known.and_then(|known| known.membership);
    let stands = Stands {
        person,
        session,
        membership,
    };
    let reached = whose.filter(|organization| stands.session.reaches(*organization));
    let_in(stands, reached, permission)
}

/// Lets a member in who may do what the operation asks for.
fn let_in(
    stands: Stands,
    organization: Option<OrganizationId>,
    permission: Permission,
) -> Result<Member, ApiError> {
    let membership = stands.membership;
    let (organization, membership) = organization.zip(membership).ok_or(ApiError::NotFound)?;
    let member = Member {
        person: stands.person,
        scope: Scope::of(organization),
        rank: membership.rank,
        permissions: membership.permissions,
    };
    if stands.session.lacks_second_factor {
        return Err(forbidden(
            "second_factor_required",
            "this organization asks for a second factor: set one up and sign in with it",
        ));
    }
    if !member.may(permission) {
        return Err(ApiError::Forbidden);
    }
    if !membership.is_active && permission != Permission::OrganizationRead {
        return Err(forbidden(
            "organization_suspended",
            "the organization is suspended",
        ));
    }
    Ok(member)
}

fn bound() -> ApiError {
    forbidden(
        "session_is_bound",
        "this session was opened by an organization's provider and reaches that organization only",
    )
}

fn forbidden(code: &'static str, message: &str) -> ApiError {
    ApiError::Refused {
        status: StatusCode::FORBIDDEN,
        code,
        message: message.to_owned(),
    }
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

/// How somebody stands now.
struct Stands {
    person: Person,
    session: OpenSession,
    membership: Option<Membership>,
}

/// Asks the books how somebody stands now: what a token once said may have been taken back. What a role permits in one
/// group counts where the path leads into that group.
async fn standing(
    plane: &Plane,
    claims: &Claims,
    source: Source,
    place: Option<(OrganizationId, Option<GroupId>)>,
) -> Result<Stands, ApiError> {
    let now = plane.clock.now();
    let (organization, group) = place.unzip();
    let mut conn = plane.postgres.acquire().await?;
    let found = session::find_open(&mut conn, claims.sid, claims.sub, organization, now).await?;
    let session = found.ok_or(ApiError::Unauthenticated)?;
    let known = standing::find(&mut conn, claims.sub, organization, group.flatten()).await?;
    let known = known
        .filter(|known| known.standing == Standing::Active && known.token_version == claims.ver)
        .ok_or(ApiError::Unauthenticated)?;
    let person = Person {
        id: claims.sub,
        session: claims.sid,
        is_platform_admin: known.is_platform_admin,
        token_version: known.token_version,
        now,
        source,
    };
    Ok(Stands {
        person,
        session,
        membership: known.membership,
    })
}
