//! Who may use an operation.

use axum::http::Method;

use super::throttle::Throttle;
use crate::tenancy::permission::Permission;

/// Who may use an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Anybody who signed in: their own things.
    SignedIn,
    /// A member of the path's organization with this permission.
    Member(Permission),
    /// Who runs the platform.
    Platform,
}

impl Access {
    /// Returns the word the OpenAPI document says it with, as `x-permission`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::SignedIn => "signed-in",
            Self::Member(permission) => permission.as_str(),
            Self::Platform => "platform",
        }
    }
}

/// One operation of the API: a line of the router's page, known to the layers around its handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The method it answers to.
    pub method: Method,
    /// Its path, with parameters in braces.
    pub path: String,
    /// The name of its handler.
    pub id: String,
    /// Who may use it.
    pub access: Access,
    /// The query parameters it knows; others are refused.
    pub query: Vec<String>,
    /// How it may not be tried too often.
    pub throttle: Option<Throttle>,
}
