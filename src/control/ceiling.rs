//! The most somebody may give to others: nobody grants more than they have.

use crate::tenancy::{Permissions, Rank};

/// The most somebody may give to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Their own rank.
    pub rank: Rank,
    /// All they may do themselves.
    pub permissions: Permissions,
}

impl Ceiling {
    /// Returns what operators may give: everything.
    #[must_use]
    pub fn operator() -> Self {
        Self {
            rank: Rank::Owner,
            permissions: Permissions::all(),
        }
    }

    /// Says whether permissions may be given, or taken from somebody who has them.
    #[must_use]
    pub const fn covers(self, permissions: Permissions) -> bool {
        self.permissions.covers(permissions)
    }

    /// Says whether a rank that permits `permissions` may be given, or taken from somebody who has it.
    #[must_use]
    pub const fn covers_rank(self, rank: Rank, permissions: Permissions) -> bool {
        self.rank as u8 <= rank as u8 && self.covers(permissions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::Permission;

    #[test]
    fn a_role_with_every_permission_still_makes_nobody_an_owner() {
        let mighty = Ceiling {
            rank: Rank::Member,
            permissions: Permissions::all(),
        };
        let some: Permissions = [Permission::KeysRead].into_iter().collect();

        assert!(!mighty.covers_rank(Rank::Owner, Permissions::all()));
        assert!(!mighty.covers_rank(Rank::Admin, some));
        assert!(mighty.covers_rank(Rank::Member, some));
        assert!(Ceiling::operator().covers_rank(Rank::Owner, Permissions::all()));
    }

    #[test]
    fn what_somebody_lacks_they_cannot_give() {
        let reader = Ceiling {
            rank: Rank::Admin,
            permissions: [Permission::KeysRead].into_iter().collect(),
        };

        assert!(!reader.covers([Permission::KeysWrite].into_iter().collect()));
        assert!(!reader.covers_rank(Rank::Guest, [Permission::GroupsRead].into_iter().collect()));
    }
}
