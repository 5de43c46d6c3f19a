//! What a provider lists, held against what is known of it: pure.

use uuid::Uuid;

use crate::{base::ModelId, catalog::listing::Listed};

/// An offer of a provider, as the books have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The offer.
    pub offer: Uuid,
    /// Its model.
    pub model: ModelId,
    /// The provider's name for the model.
    pub upstream_name: String,
    /// Is it used?
    pub is_enabled: bool,
    /// Was it taken out of use because the provider listed it no more?
    pub is_gone: bool,
}

/// What follows from a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Models the provider has and nobody offers.
    pub new: Vec<Listed>,
    /// Offers in use that it lists no more.
    pub missing: Vec<Known>,
    /// Offers that were taken out of use for that and that it lists again.
    pub back: Vec<Known>,
    /// It lists none of several offers: that is no list to act on.
    pub is_doubtful: bool,
}

/// Compares a list with the provider's offers.
#[must_use]
pub fn compare(listed: &[Listed], known: &[Known]) -> Difference {
    let is_listed = |one: &&Known| listed.iter().any(|listed| listed.name == one.upstream_name);
    let is_known = |one: &&Listed| known.iter().any(|known| known.upstream_name == one.name);
    let used: Vec<&Known> = known.iter().filter(|one| one.is_enabled).collect();
    let missing: Vec<Known> = used
        .iter()
        .copied()
        .filter(|one| !is_listed(one))
        .cloned()
        .collect();
    let is_doubtful = listed.is_empty() || (1 < used.len() && missing.len() == used.len());
    Difference {
        new: listed
            .iter()
            .filter(|one| !is_known(one))
            .cloned()
            .collect(),
        missing,
        back: known
            .iter()
            .filter(|one| one.is_gone && !one.is_enabled && is_listed(one))
            .cloned()
            .collect(),
        is_doubtful,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(names: &[&str]) -> Vec<Listed> {
        let one = |name: &&str| Listed {
            name: (*name).to_owned(),
            display_name: (*name).to_owned(),
            details: json!({}),
        };
        names.iter().map(one).collect()
    }

    fn known(name: &str, is_enabled: bool, is_gone: bool) -> Known {
        Known {
            offer: Uuid::nil(),
            model: ModelId(Uuid::nil()),
            upstream_name: name.to_owned(),
            is_enabled,
            is_gone,
        }
    }

    fn names(known: &[Known]) -> Vec<&str> {
        known.iter().map(|one| one.upstream_name.as_str()).collect()
    }

    #[test]
    fn what_is_new_what_is_missing_and_what_came_back_are_told_apart() {
        let known = [
            known("a", true, false),
            known("b", true, false),
            known("c", false, true),
            known("d", false, false),
        ];

        let difference = compare(&listed(&["a", "c", "d", "e"]), &known);

        assert_eq!(difference.new, listed(&["e"]));
        assert_eq!(names(&difference.missing), ["b"]);
        assert_eq!(names(&difference.back), ["c"]);
        assert!(!difference.is_doubtful);
    }

    #[test]
    fn a_list_without_any_of_several_offers_is_doubted() {
        let two = [known("a", true, false), known("b", true, false)];

        assert!(compare(&listed(&["x"]), &two).is_doubtful);
        assert!(compare(&[], &two[..1]).is_doubtful);
        assert!(!compare(&listed(&["x"]), &two[..1]).is_doubtful);
    }
}
