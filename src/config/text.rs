//! Settings given as text: in variables and flags.

use toml::{Table, Value};

use super::shape::Shape;

/// Reads `text` as what `shape` wants.
pub(super) fn value_of(text: &str, shape: &Shape) -> Result<Value, String> {
    match shape {
        Shape::Secret | Shape::Text | Shape::Choice(_) => Ok(Value::String(text.to_owned())),
        Shape::Whole => {
            let digits = text.trim().replace('_', "");
            digits
                .parse()
                .map(Value::Integer)
                .map_err(|_| format!("`{text}` is no whole number"))
        }
        Shape::Number => text
            .trim()
            .parse()
            .map(Value::Float)
            .map_err(|_| format!("`{text}` is no number")),
        Shape::Bool => text
            .trim()
            .parse()
            .map(Value::Boolean)
            .map_err(|_| format!("`{text}` is neither true nor false")),
        Shape::List(_) if text.trim_start().starts_with('[') => {
            written_value(text).ok_or_else(|| format!("`{text}` is no list"))
        }
        Shape::List(inner) => {
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            parts
                .map(|part| value_of(part, inner))
                .collect::<Result<_, _>>()
                .map(Value::Array)
        }
        Shape::Free => Ok(written_value(text).unwrap_or_else(|| Value::String(text.to_owned()))),
        Shape::Table(_) => Err("is a section, not a value".to_owned()),
    }
}

/// Reads a value as it would be written in the file.
fn written_value(text: &str) -> Option<Value> {
    format!("value = {text}")
        .parse::<Table>()
        .ok()?
        .remove("value")
}

/// Says how a value of `shape` is written.
#[must_use]
pub(super) fn mend_of(shape: &Shape) -> String {
    match shape {
        Shape::Secret => "give the secret as text, or name its file in …_file".to_owned(),
        Shape::Text => "give it as text".to_owned(),
        Shape::Whole => "give a whole number within its range".to_owned(),
        Shape::Number => "give a number".to_owned(),
        Shape::Bool => "give true or false".to_owned(),
        Shape::Choice(words) => format!("give one of {}", words.join(", ")),
        Shape::List(_) => "give a list: [\"a\", \"b\"], or a,b in the environment".to_owned(),
        Shape::Table(_) | Shape::Free => {
            "see the commented defaults in conf/synaxis.toml".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Shape, value_of};

    #[test]
    fn a_text_is_read_as_what_the_setting_wants() {
        let list = Shape::List(Box::new(Shape::Text));
        let ports = Shape::List(Box::new(Shape::Whole));
        let written =
            |text: &str, shape: &Shape| value_of(text, shape).map(|value| value.to_string());

        assert_eq!(written("10_000", &Shape::Whole).as_deref(), Ok("10000"));
        assert_eq!(written("007", &Shape::Text).as_deref(), Ok("\"007\""));
        assert_eq!(written("true", &Shape::Bool).as_deref(), Ok("true"));
        assert_eq!(written("a, b,", &list).as_deref(), Ok("[\"a\", \"b\"]"));
        assert_eq!(written("[\"a,b\"]", &list).as_deref(), Ok("[\"a,b\"]"));
        assert_eq!(written("443,8443", &ports).as_deref(), Ok("[443, 8443]"));
        for (text, shape) in [
            ("many", &Shape::Whole),
            ("yes", &Shape::Bool),
            ("[", &list),
            ("a", &ports),
        ] {
            assert!(value_of(text, shape).is_err(), "{text}");
        }
    }
}
