//! What may be permitted, by name, and small sets of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// One thing a person may be permitted in an organization.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
        )]
        pub enum Permission {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Permission {
            /// Every permission there is, in the order they are listed.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the name the books and the wire share, such as `keys:read`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

permissions! {
    /// See the organization and its settings.
    OrganizationRead = "organization:read",
    /// Change the organization and its settings.
    OrganizationWrite = "organization:write",
    /// Delete the organization, and bring it back.
    OrganizationDelete = "organization:delete",
    /// See members and invitations.
    MembersRead = "members:read",
    /// Invite, change and remove members.
    MembersWrite = "members:write",
    /// See groups and who is in them.
    GroupsRead = "groups:read",
    /// Make, change and delete groups, and say who is in them.
    GroupsWrite = "groups:write",
    /// See roles and who has them.
    RolesRead = "roles:read",
    /// Make, change, delete and assign roles.
    RolesWrite = "roles:write",
    /// See one's own keys and what they used.
    KeysRead = "keys:read",
    /// Make, change, rotate and revoke one's own keys.
    KeysWrite = "keys:write",
    /// Do with everybody's keys what the two above permit with one's own.
    KeysAll = "keys:all",
    /// See limits and what is left of them.
    LimitsRead = "limits:read",
    /// Set, change and take away limits.
    LimitsWrite = "limits:write",
    /// See providers, models, offers and prices.
    CatalogRead = "catalog:read",
    /// Change the organization's own providers, models, offers and prices.
    CatalogWrite = "catalog:write",
    /// Write, test and rotate credentials; nobody reads one.
    CredentialsWrite = "credentials:write",
    /// See strategies and routes.
    RoutingRead = "routing:read",
    /// Change strategies and pin routes.
    RoutingWrite = "routing:write",
    /// See what was spent and saved.
    UsageRead = "usage:read",
    /// See single calls.
    RequestsRead = "requests:read",
    /// Read, export and verify the audit log.
    AuditRead = "audit:read",
    /// See security findings and sign-in attempts.
    SecurityRead = "security:read",
    /// See agents and their runs.
    AgentsRead = "agents:read",
    /// Schedule, pause and run agents.
    AgentsWrite = "agents:write",
    /// See alerts, channels and deliveries.
    AlertsRead = "alerts:read",
    /// Change alerts and channels.
    AlertsWrite = "alerts:write",
    /// Follow events live.
    EventsRead = "events:read",
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no permission of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such permission")]
pub struct UnknownPermission;

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let mut all = Self::ALL.iter().copied();
        all.find(|permission| permission.as_str() == text)
            .ok_or(UnknownPermission)
    }
}

/// A set of permissions. Written as the sorted list of their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions(u32);

impl Permissions {
    /// Nothing is permitted.
    pub const NONE: Self = Self(0);

    /// Returns everything there is.
    #[must_use]
    pub fn all() -> Self {
        Permission::ALL.iter().copied().collect()
    }

    /// Reads names out of the books; those this build does not know permit nothing.
    #[must_use]
    pub fn of_names(names: &[String]) -> Self {
        names.iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Returns the names, in the order of [`Permission::ALL`].
    #[must_use]
    pub fn names(self) -> Vec<String> {
        self.iter().map(|one| one.as_str().to_owned()).collect()
    }

    /// Says whether `permission` is in the set.
    #[must_use]
    pub const fn holds(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u32) != 0
    }

    /// Says whether everything of `other` is in the set.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns what is in either set.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns what is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Says whether nothing is permitted.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the permissions, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        let all = Permission::ALL.iter().copied();
        all.filter(move |permission| self.holds(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        let bits = permissions.into_iter().map(|one| 1 << one as u32);
        Self(bits.fold(0, |set: u32, bit: u32| set | bit))
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Permission>::deserialize(deserializer)?
            .into_iter()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_is_read_back_from_its_name_and_has_its_own_place() {
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse(), Ok(*permission));
            let one: Permissions = [*permission].into_iter().collect();
            assert_eq!(one.iter().collect::<Vec<_>>(), [*permission]);
        }
        assert_eq!(Permissions::all().iter().count(), Permission::ALL.len());
        assert_eq!("keys:eat".parse::<Permission>(), Err(UnknownPermission));
    }

    #[test]
    fn a_set_covers_what_it_holds_and_nothing_else() {
        let read: Permissions = [Permission::KeysRead].into_iter().collect();
        let both: Permissions = [Permission::KeysRead, Permission::KeysWrite]
            .into_iter()
            .collect();

        assert!(both.covers(read) && both.covers(Permissions::NONE));
        assert!(!read.covers(both));
        assert_eq!(both.without(read).names(), ["keys:write"]);
        assert_eq!(
            serde_json::to_value(both).ok(),
            Some(serde_json::json!(["keys:read", "keys:write"]))
        );
    }

    #[test]
    fn names_a_build_does_not_know_permit_nothing() {
        let names = ["keys:read".to_owned(), "future:power".to_owned()];

        assert_eq!(Permissions::of_names(&names).names(), ["keys:read"]);
    }
}
