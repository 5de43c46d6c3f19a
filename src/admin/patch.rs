//! Fields of a change: absent stays as it is, null takes it away.

use serde::{Deserialize, Deserializer};

/// Reads a field that was given; with `#[serde(default)]` an absent one is `None`, and null is `Some(None)`.
///
/// # Errors
/// When it is not what the field holds.
pub fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Change {
        #[serde(default, deserialize_with = "given")]
        switch: Option<Option<bool>>,
    }

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        for (text, expected) in [
            ("{}", None),
            ("{\"switch\":null}", Some(None)),
            ("{\"switch\":true}", Some(Some(true))),
        ] {
            let change: Change = serde_json::from_str(text).unwrap();
            assert_eq!(change.switch, expected, "{text}");
        }
    }
}
