//! Names that read like one that is not there.

/// How many names are offered.
const OFFERED: usize = 3;
/// A longer name is no slip of the pen, and comparing it would cost a caller nothing and us time.
const LONGEST: usize = 128;
/// How many names are compared at most.
const COMPARED: usize = 5_000;

/// Returns the names among `known` that read most like `wanted`, the closest first; none when none comes near.
pub(super) fn names<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted: Vec<char> = wanted
        .chars()
        .take(LONGEST)
        .flat_map(char::to_lowercase)
        .collect();
    let mut near: Vec<(usize, &str)> = known
        .take(COMPARED)
        .filter(|name| name.len() <= LONGEST)
        .filter_map(|name| Some((distance(&wanted, name)?, name)))
        .collect();
    near.sort_unstable();
    near.into_iter()
        .take(OFFERED)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// How many letters must change to make one name of the other; `None` when that is another name altogether.
fn distance(wanted: &[char], name: &str) -> Option<usize> {
    let name: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    let patience = (wanted.len().max(name.len()) / 3).max(1);
    if contains(&name, wanted) || contains(wanted, &name) {
        return Some(patience);
    }
    if wanted.len().abs_diff(name.len()) > patience {
        return None;
    }
    let edits = edits(wanted, &name);
    (edits <= patience).then_some(edits)
}

/// A part shorter than this is in half of all names.
const SHORTEST_PART: usize = 4;

fn contains(whole: &[char], part: &[char]) -> bool {
    SHORTEST_PART <= part.len() && whole.windows(part.len()).any(|window| window == part)
}

/// The Levenshtein distance, one row at a time.
fn edits(from: &[char], to: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.iter().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (above, other) in row.iter_mut().skip(1).zip(to) {
            let change = diagonal + usize::from(letter != other);
            diagonal = *above;
            left = change.min(left + 1).min(diagonal + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_name_that_was_meant() {
        let known = ["gpt-4o", "gpt-4o-mini", "llama-3.3-70b", "claude-sonnet-5"];
        let closest = |wanted| names(wanted, known.into_iter());

        assert_eq!(
            closest("gpt-4o-mni").first().map(String::as_str),
            Some("gpt-4o-mini")
        );
        assert_eq!(closest("GPT-4o"), ["gpt-4o", "gpt-4o-mini"]);
        assert_eq!(closest("llama-3.3"), ["llama-3.3-70b"]);
        assert_eq!(closest("something else"), Vec::<String>::new());
        assert_eq!(closest(""), Vec::<String>::new());
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        let count = |a: &str, b: &str| {
            edits(
                &a.chars().collect::<Vec<_>>(),
                &b.chars().collect::<Vec<_>>(),
            )
        };

        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(count(a, b), expected, "{a} {b}");
        }
    }
}
