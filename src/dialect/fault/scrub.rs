//! What an upstream says about a fault, made fit for a caller: short, one line, no secret, no address.

/// The longest message passed on, in characters.
const LONGEST: usize = 500;

/// Beginnings of words that are keys or account names.
const SECRET_BEGINNINGS: [&str; 12] = [
    "sk-", "sk_", "pk-", "gsk_", "xai-", "nvapi-", "hf_", "aiza", "org-", "proj_", "user-",
    "synaxis_",
];

/// Endings of names that only mean something inside somebody's network.
const INSIDE: [&str; 7] = [
    ".internal",
    ".local",
    ".svc",
    ".lan",
    ".corp",
    ".cluster",
    ".intranet",
];

/// Returns the message fit for a caller.
pub(super) fn scrub(message: &str) -> String {
    let mut clean = String::new();
    for word in message.split(|letter: char| letter.is_whitespace() || letter.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(&fit(word));
        if LONGEST <= clean.chars().count() {
            break;
        }
    }
    clean.chars().take(LONGEST).collect()
}

fn fit(word: &str) -> String {
    let bare = word.trim_matches(|letter: char| !letter.is_alphanumeric());
    match hidden(bare) {
        Some(instead) => word.replacen(bare, instead, 1),
        None => word.to_owned(),
    }
}

fn hidden(bare: &str) -> Option<&'static str> {
    let lower = bare.to_ascii_lowercase();
    if lower.contains("://") || is_address(&lower) {
        return Some("[address]");
    }
    let begins_like_a_secret = 8 < lower.len()
        && SECRET_BEGINNINGS
            .iter()
            .any(|beginning| lower.contains(beginning));
    (begins_like_a_secret || looks_random(bare)).then_some("[hidden]")
}

fn is_address(word: &str) -> bool {
    let host = word
        .split(['/', '@', ':'])
        .find(|part| part.contains('.'))
        .unwrap_or(word);
    let is_inside = INSIDE
        .iter()
        .any(|ending| host.ends_with(ending) || host.contains(&format!("{ending}.")));
    let digits = host
        .split('.')
        .filter(|part| part.parse::<u8>().is_ok())
        .count();
    let has_port = word
        .rsplit_once(':')
        .is_some_and(|(name, port)| port.parse::<u16>().is_ok() && name.contains(['.', ':', 'l']));
    is_inside
        || digits == 4
        || word.parse::<std::net::IpAddr>().is_ok()
        || (has_port && word.starts_with("localhost"))
}

/// A long word of mixed letters and digits with nothing a person would write between them.
fn looks_random(word: &str) -> bool {
    let is_plain = word
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'='));
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
    let longest_run = word
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .map(str::len)
        .max()
        .unwrap_or_default();
    is_plain && 24 <= longest_run && 3 <= digits && 3 <= letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_addresses_do_not_reach_a_caller() {
        for (said, expected) in [
            (
                "Incorrect API key provided: sk-proj-abcdef123456.",
                "Incorrect API key provided: [hidden].",
            ),
            ("key \"gsk_Ab12Cd34Ef\" is bad", "key \"[hidden]\" is bad"),
            (
                "connect to http://10.2.3.4:8000/v1 failed",
                "connect to [address] failed",
            ),
            ("dial 10.2.3.4:8000 refused", "dial [address] refused"),
            (
                "vllm-0.models.svc.cluster.local:80 timed out",
                "[address] timed out",
            ),
            (
                "token A1b2C3d4E5f6G7h8I9j0K1l2M3 expired",
                "token [hidden] expired",
            ),
            (
                "in organization org-Abc123def on tokens",
                "in organization [hidden] on tokens",
            ),
        ] {
            assert_eq!(scrub(said), expected);
        }
    }

    #[test]
    fn what_helps_the_caller_stays() {
        for said in [
            "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "The model `meta-llama/Llama-3.3-70B-Instruct-Turbo` does not exist",
            "claude-3-5-sonnet-20241022: temperature must be 0..1, see docs.anthropic.com",
            "Rate limit reached. Please try again in 1.5s.",
        ] {
            assert_eq!(scrub(said), said);
        }
    }

    #[test]
    fn a_message_is_one_short_line() {
        assert_eq!(scrub("a\r\nb\u{0}c\td"), "a b c d");
        assert_eq!(scrub(&"x ".repeat(5_000)).chars().count(), 500);
        assert_eq!(scrub(&"é".repeat(5_000)).chars().count(), 500);
    }
}
