//! Whether agents may change somebody's routes: the first of person, group and organization that says so.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What holds when nobody says anything.
pub const PLATFORM_DEFAULT: bool = true;

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SwitchSource {
    /// The person.
    User,
    /// Their group.
    Group,
    /// The organization.
    Organization,
    /// Nobody: it is as the platform says.
    Platform,
}

/// A switch at every height; `None` leaves it to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// The person's.
    pub user: Option<bool>,
    /// Their primary group's.
    pub group: Option<bool>,
    /// The organization's.
    pub organization: Option<bool>,
}

impl Switches {
    /// Returns what holds, and who says so.
    #[must_use]
    pub fn effective(self) -> (bool, SwitchSource) {
        let said = [
            (self.user, SwitchSource::User),
            (self.group, SwitchSource::Group),
            (self.organization, SwitchSource::Organization),
        ];
        let first = said
            .into_iter()
            .find_map(|(value, source)| Some((value?, source)));
        first.unwrap_or((PLATFORM_DEFAULT, SwitchSource::Platform))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_says_so_decides_in_all_twenty_seven_cases() {
        const SAYS: [Option<bool>; 3] = [None, Some(true), Some(false)];
        let mut cases = 0;
        for user in SAYS {
            for group in SAYS {
                for organization in SAYS {
                    let switches = Switches {
                        user,
                        group,
                        organization,
                    };
                    let expected = match (user, group, organization) {
                        (Some(value), _, _) => (value, SwitchSource::User),
                        (None, Some(value), _) => (value, SwitchSource::Group),
                        (None, None, Some(value)) => (value, SwitchSource::Organization),
                        (None, None, None) => (true, SwitchSource::Platform),
                    };
                    assert_eq!(switches.effective(), expected, "{switches:?}");
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, 27);
    }
}
