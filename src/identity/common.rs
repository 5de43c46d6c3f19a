//! Passwords that guessers try first: a short list, and whatever is made of it by repeating and decorating.

/// One to a line, in lower case; the longer come first where one holds another.
const WORDS: &str = include_str!("common_passwords.txt");
/// So few letters beside a known word add nothing.
const FEWEST_OF_ITS_OWN: usize = 4;
/// Fewer different characters are a pattern.
const FEWEST_DIFFERENT: usize = 5;

/// Says whether `password` is common, or common with little of its own, or made of the person's own address.
#[must_use]
pub(super) fn is_common(password: &str, email: &str) -> bool {
    let lower = password.to_lowercase();
    is_pattern(&lower) || is_run(&lower) || own_part(&lower, email) < FEWEST_OF_ITS_OWN
}

/// Undoes what people do to make a word look like a password.
fn plain(text: &str) -> String {
    let letter = |letter: char| match letter {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    };
    text.chars().map(letter).collect()
}

fn is_pattern(lower: &str) -> bool {
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    different.len() < FEWEST_DIFFERENT
}

/// Says whether each character follows the one before in the alphabet or on the keyboard, nearly always.
fn is_run(lower: &str) -> bool {
    let rows = [
        "abcdefghijklmnopqrstuvwxyz",
        "qwertyuiop",
        "asdfghjkl",
        "zxcvbnm",
        "01234567890",
    ];
    let letters: Vec<char> = lower.chars().collect();
    let follows = |pair: &[char]| {
        let text: String = pair.iter().collect();
        let back: String = pair.iter().rev().collect();
        let is_row = rows
            .iter()
            .any(|row| row.contains(&text) || row.contains(&back));
        is_row || pair.first() == pair.last()
    };
    let runs = letters.windows(2).filter(|pair| follows(pair)).count();
    letters.len() <= runs + 3
}

/// Counts the letters and digits that are in no known word, and not in the person's address.
fn own_part(lower: &str, email: &str) -> usize {
    let core = lower.trim_matches(|letter: char| !letter.is_alphabetic());
    // What decorates a word at its ends is no part of it; a password without letters has no ends.
    let (mut rest, spell): (String, fn(&str) -> String) = match core {
        "" => (lower.to_owned(), str::to_owned),
        core => (plain(core), plain),
    };
    let address = email.to_lowercase();
    let parts = address.split(|letter: char| !letter.is_alphanumeric());
    let own = parts.filter(|part| 4 <= part.chars().count());
    for known in WORDS.lines().chain(own).filter(|word| !word.is_empty()) {
        rest = rest.replace(&spell(known), " ");
    }
    rest.chars()
        .filter(|letter| letter.is_alphanumeric())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_guessers_try_first_is_common() {
        for password in [
            "password",
            "P@ssw0rd2024!!!",
            "PasswordPassword1",
            "qwertyuiopasdfgh",
            "123456789012345",
            "aaaaaaaaaaaaaaaa",
            "abababababababab",
            "iloveyouiloveyou",
            "letmein-letmein-letmein",
            "adalovelace-adalovelace",
        ] {
            assert!(is_common(password, "adalovelace@example.com"), "{password}");
        }
    }

    #[test]
    fn a_phrase_of_ones_own_is_not() {
        for password in [
            "correct horse battery",
            "xK9#mQ2$vL7&pR4",
            "the kettle sings at dawn",
            "dragon eats my homework",
            "k2V9bq0yGdRr8mXn",
        ] {
            assert!(!is_common(password, "ada@example.com"), "{password}");
        }
    }
}
