//! One type per kind of id, all from one macro: an organization's id cannot be passed as a user's.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};
use uuid::Uuid;

use super::clock::Moment;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Makes a fresh id (UUIDv7) whose time part is `at`.
            #[must_use]
            pub fn new(at: Moment) -> Self {
                Self(uuid_at(at))
            }

            /// Returns the bare UUID, as the store binds it.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.as_hyphenated())
            }
        }
    )*
        /// Returns the schema of every kind of id, by its name.
        #[must_use]
        pub fn schemas() -> Vec<(String, RefOr<Schema>)> {
            vec![$((stringify!($name).to_owned(), $name::schema())),*]
        }
    };
}

ids! {
    /// A tenant.
    OrganizationId,
    /// A person.
    UserId,
    /// A team inside one organization.
    GroupId,
    /// Somebody who was asked to join.
    InvitationId,
    /// A named set of permissions.
    RoleId,
    /// A role that somebody was given.
    AssignmentId,
    /// A key callers send.
    ApiKeyId,
    /// Somebody who serves models.
    ProviderId,
    /// A canonical model, free of providers.
    ModelId,
    /// A model as one provider sells it.
    OfferId,
    /// A provider's secret, sealed in the books.
    CredentialId,
    /// What somebody is permitted.
    LimitId,
    /// What a provider gives.
    AllowanceId,
    /// A process of ours, from its start to its end.
    NodeId,
    /// One waking of an agent.
    RunId,
    /// One call through the gateway; its time part is when the call began.
    RequestId,
    /// A signed-in person's stay.
    SessionId,
    /// An organization's own way to sign its members in.
    IdentityProviderId,
    /// A key that signs tokens.
    SigningKeyId,
    /// The offer an organization prefers for a model.
    RouteId,
    /// How somebody's offers are put in order.
    StrategyId,
    /// Something that happened, as it is told live.
    EventId,
    /// Something somebody should look at.
    AlertId,
    /// Where alerts are told.
    AlertChannelId,
    /// One telling of one alert.
    AlertDeliveryId,
}

impl RequestId {
    /// Returns the moment in the id, to the millisecond: the `at` of the entry booked under it.
    #[must_use]
    pub fn at(self) -> Moment {
        let millis = self.0.as_u128() >> 80;
        Moment::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

fn uuid_at(at: Moment) -> Uuid {
    let millis = u64::try_from(at.millis()).unwrap_or_default();
    // Ids need chance, not a system call each: the thread's generator is seeded by the system.
    uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_remembers_when_it_was_made() {
        let at = Moment::from_millis(1_795_000_123_456);

        assert_eq!(RequestId::new(at).at(), at);
    }
}
