//! Who knocks, before it is known who they are.

use axum::{extract::FromRequestParts, http::request::Parts};

use super::Origin;
use crate::{
    admin::{Plane, error::ApiError},
    audit::{Source, UserAgent},
    control::identity::Visit,
    identity::Client,
};

/// The program at the other end, and when it came.
#[derive(Clone, Debug)]
pub struct Visitor(pub Visit);

impl FromRequestParts<Plane> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, plane: &Plane) -> Result<Self, ApiError> {
        let Origin {
            address,
            user_agent,
        } = Origin::from_request_parts(parts, plane).await?;
        let user_agent = user_agent.unwrap_or_default();
        let source = parts.extensions.get::<Source>().copied();
        let source = source.unwrap_or_else(|| Source {
            address: Some(address),
            request_id: None,
            user_agent: UserAgent::new(&user_agent),
        });
        Ok(Self(Visit {
            source,
            client: Client {
                address,
                user_agent,
            },
            now: plane.clock.now(),
        }))
    }
}
