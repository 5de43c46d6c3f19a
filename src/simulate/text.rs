//! What a simulated model reads and writes: a function of the question, in pieces of one token each.

use serde_json::{Map, Value};

use super::fault::scatter;

/// Bytes of text that count as one token read.
const BYTES_PER_TOKEN: usize = 4;

/// Tokens that stand around each message.
const AROUND_A_MESSAGE: u64 = 3;

const WORDS: [&str; 64] = [
    "the",
    "river",
    "keeps",
    "its",
    "own",
    "ledger",
    "and",
    "every",
    "stone",
    "remembers",
    "a",
    "quiet",
    "morning",
    "where",
    "small",
    "boats",
    "carry",
    "light",
    "from",
    "one",
    "shore",
    "to",
    "another",
    "while",
    "children",
    "count",
    "bright",
    "coins",
    "nobody",
    "spent",
    "here",
    "an",
    "old",
    "bridge",
    "listens",
    "with",
    "patience",
    "as",
    "gentle",
    "rain",
    "writes",
    "simple",
    "answers",
    "on",
    "slate",
    "roofs",
    "until",
    "evening",
    "returns",
    "what",
    "was",
    "lent",
    "at",
    "dawn",
    "so",
    "nothing",
    "is",
    "lost",
    "of",
    "this",
    "long",
    "green",
    "valley",
    "today",
];

/// Returns how many tokens a text of so many bytes in so many messages is read as.
pub(super) fn tokens_read(bytes: usize, messages: u64) -> u64 {
    count(bytes.div_ceil(BYTES_PER_TOKEN)) + AROUND_A_MESSAGE * messages
}

/// Mixes a text into a number that is the same in every run (FNV-1a).
pub(super) fn seed(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Writes prose of `tokens` words, each with the space before it.
pub(super) fn prose(seed: u64, tokens: u64) -> Vec<String> {
    (0..tokens)
        .map(|position| {
            let word = pick(&WORDS, seed ^ position);
            if position == 0 {
                word.to_owned()
            } else {
                format!(" {word}")
            }
        })
        .collect()
}

/// Cuts a text into pieces of one token.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters
        .chunks(BYTES_PER_TOKEN)
        .map(|piece| piece.iter().collect())
        .collect()
}

/// Finds how many tokens a message asks for: `tokens=200`.
pub(super) fn tokens_asked(message: &str) -> Option<u64> {
    let (_, after) = message.split_once("tokens=")?;
    let digits = after
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(after.len());
    after.get(..digits)?.parse().ok()
}

/// Makes a value that a JSON schema accepts, as far as it is a simple one.
pub(super) fn of_schema(schema: &Value, seed: u64) -> Value {
    if let Some(first) = schema.get("enum").and_then(|list| list.get(0)) {
        return first.clone();
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(kind) => kind.as_str(),
        None => schema.get("properties").map(|_| "object"),
    };
    match kind {
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let members = properties.into_iter().flatten();
            Value::Object(
                members
                    .map(|(name, inner)| (name.clone(), of_schema(inner, seed ^ self::seed(name))))
                    .collect::<Map<_, _>>(),
            )
        }
        Some("array") => {
            let item = schema.get("items").map(|inner| of_schema(inner, seed));
            Value::Array(item.into_iter().collect())
        }
        Some("integer" | "number") => Value::from(scatter(seed) % 100),
        Some("boolean") => Value::from(scatter(seed).is_multiple_of(2)),
        Some("null") => Value::Null,
        _ => Value::from(pick(&WORDS, seed)),
    }
}

/// Returns the numbers of a vector, each between one half and one, of either sign.
pub(super) fn vector(seed: u64, dimensions: u64) -> Vec<f32> {
    (0..dimensions)
        .map(|position| {
            let mixed = scatter(seed ^ scatter(position));
            let [a, b, c, d, ..] = mixed.to_le_bytes();
            let bits = u32::from_le_bytes([a, b, c, d]);
            f32::from_bits((bits & 0x807f_ffff) | 0x3f00_0000)
        })
        .collect()
}

/// Returns a length as a count.
pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn pick(words: &[&'static str], seed: u64) -> &'static str {
    let position = scatter(seed) % count(words.len()).max(1);
    let position = usize::try_from(position).unwrap_or_default();
    words.get(position).copied().unwrap_or("word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_has_the_same_answer() {
        assert_eq!(prose(seed("hello"), 12), prose(seed("hello"), 12));
        assert_ne!(prose(seed("hello"), 12), prose(seed("hullo"), 12));
        assert_eq!(vector(1, 3), vector(1, 3));
        assert_eq!(pieces("{\"a\":1}").concat(), "{\"a\":1}");
        assert_eq!(tokens_asked("please tokens=200 now"), Some(200));
    }

    #[test]
    fn a_schema_is_filled() {
        let schema = serde_json::json!({"type": "object", "properties": {
            "city": {"type": "string"}, "unit": {"enum": ["c", "f"]}, "days": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}},
        }});

        let value = of_schema(&schema, 7);

        assert!(
            value["city"].is_string() && value["days"].is_u64() && value["tags"][0].is_string()
        );
        assert_eq!(value["unit"], "c");
    }
}
