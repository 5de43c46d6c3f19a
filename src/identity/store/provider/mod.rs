//! Organizations' identity providers in the books: what they are, how their secrets are sealed, whom they sign in.

mod login;
mod secret;
mod terms;

pub use login::{Membership, find_for_sign_in, find_login, insert_login, membership};
pub use secret::{Unwrapped, place, put_rewrapped, reseal, sealed_secret, to_rewrap};
pub use terms::{delete, find, insert, list, update};

use crate::{
    base::{IdentityProviderId, Moment},
    tenancy::Rank,
};

/// An organization's way to sign its members in; its secret is asked for on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProvider {
    /// Its id.
    pub id: IdentityProviderId,
    /// What is written on the button.
    pub terms: ProviderTerms,
    /// When it was made.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
}

/// What may be changed of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderTerms {
    /// What people call it.
    pub name: String,
    /// Who it is: a URL.
    pub issuer: String,
    /// What it calls us.
    pub client_id: String,
    /// What we ask for.
    pub scopes: Vec<String>,
    /// The domains of the addresses it may vouch for; empty is any.
    pub email_domains: Vec<String>,
    /// What somebody becomes who is no member yet; `None` turns them away.
    pub admits_as: Option<Rank>,
    /// Whether it signs anybody in.
    pub is_enabled: bool,
}
