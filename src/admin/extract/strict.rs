//! JSON that says one thing only: no key twice in an object, no value deeper than 64.

use std::{collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How deep values may lie in each other.
const DEPTH: u8 = 64;

/// Reads a whole document and keeps nothing.
///
/// # Errors
/// When it is not JSON, nests too deep, or names a key twice.
pub(super) fn check(text: &[u8]) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    Strict { depth: 0 }.deserialize(&mut reader)?;
    reader.end()
}

#[derive(Clone, Copy)]
struct Strict {
    depth: u8,
}

impl Strict {
    fn inside<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if DEPTH < depth {
            return Err(E::custom("values lie deeper than 64 in each other"));
        }
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while values.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            entries.next_value_seed(inside)?;
            if !keys.insert(key) {
                return Err(A::Error::custom("a key stands twice in one object"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_key_twice_anywhere_is_refused() {
        assert!(check(br#"{"a":1,"b":{"a":[{"a":null}]}}"#).is_ok());
        assert!(check(br#"{"a":1,"a":1}"#).is_err());
        assert!(check(br#"{"x":[{"a":1,"\u0061":2}]}"#).is_err());
    }

    #[test]
    fn values_lie_sixty_four_deep_at_most() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));

        assert!(check(nested(64).as_bytes()).is_ok());
        assert!(check(nested(65).as_bytes()).is_err());
        assert!(check(nested(100_000).as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "1 2", "{\"a\":}", "nul", "\"\\ud800\""] {
            assert!(check(text.as_bytes()).is_err(), "{text}");
        }
    }
}
