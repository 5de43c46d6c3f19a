//! Evidence of who asks. Only the gate makes it; a handler that needs it cannot be reached without.

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    admin::{Plane, error::ApiError},
    audit::{Actor, By, Source},
    base::{Moment, SessionId, UserId},
    control::Ceiling,
    store::Scope,
    tenancy::{Permission, Permissions, Rank},
};

/// Somebody who signed in and is still welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub id: UserId,
    /// In which session.
    pub session: SessionId,
    /// May they change the platform itself?
    pub is_platform_admin: bool,
    /// What their token was issued under.
    pub token_version: i32,
    /// When they asked.
    pub now: Moment,
    /// From where, for the audit log.
    pub source: Source,
}

/// A member of the organization in the path who has the operation's permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub person: Person,
    /// Whose rows they may touch.
    pub scope: Scope,
    /// Their rank there.
    pub rank: Rank,
    /// All they may do there.
    pub permissions: Permissions,
}

/// Somebody who runs the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformAdmin {
    /// Who.
    pub person: Person,
}

impl Person {
    /// Returns who acts, and when.
    #[must_use]
    pub fn by(&self) -> By {
        By::new(Actor::User(self.id), self.now).from(self.source)
    }
}

impl Member {
    /// Returns who acts, and when.
    #[must_use]
    pub fn by(&self) -> By {
        self.person.by()
    }

    /// Returns the most they may give to others.
    #[must_use]
    pub const fn ceiling(&self) -> Ceiling {
        Ceiling {
            rank: self.rank,
            permissions: self.permissions,
        }
    }

    /// Says whether they also may do something else than what the operation asks for.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.holds(permission)
    }
}

impl PlatformAdmin {
    /// Returns who acts, and when.
    #[must_use]
    pub fn by(&self) -> By {
        self.person.by()
    }
}

/// Takes what the gate left. Without it the operation's access is too wide for its handler: nobody gets in.
fn evidence<T: Clone + Send + Sync + 'static>(parts: &Parts) -> Result<T, ApiError> {
    parts.extensions.get::<T>().cloned().ok_or_else(|| {
        tracing::error!(
            path = parts.uri.path(),
            "an operation asks for more evidence than its access brings"
        );
        ApiError::Internal
    })
}

impl FromRequestParts<Plane> for Person {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Plane) -> Result<Self, ApiError> {
        evidence(parts)
    }
}

impl FromRequestParts<Plane> for Member {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Plane) -> Result<Self, ApiError> {
        evidence(parts)
    }
}

impl FromRequestParts<Plane> for PlatformAdmin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Plane) -> Result<Self, ApiError> {
        evidence(parts)
    }
}
