//! Writes flat JSON objects straight into a buffer: no value in between, nothing allocated.

use std::fmt::{self, Debug};

use uuid::Uuid;

use super::Moment;

/// An object that is being written. Its names are written as they are: they must need no escaping.
///
/// A NUL, which JSON can write and Postgres cannot keep, becomes the character for what cannot be shown.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> Object<'a> {
    /// Opens an object at the end of `out`.
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            separator: b'{',
        }
    }

    /// Adds a text.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.push(b'"');
        escape(self.out, value.as_bytes());
        self.out.push(b'"');
    }

    /// Adds a text of letters, digits and signs that need no escaping; must hold no other.
    pub fn word(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    /// Adds an id.
    pub fn id(&mut self, name: &str, value: Uuid) {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        self.word(name, value.as_hyphenated().encode_lower(&mut text));
    }

    /// Adds a whole number.
    pub fn number(&mut self, name: &str, value: impl itoa::Integer) {
        self.name(name);
        let mut digits = itoa::Buffer::new();
        self.out.extend_from_slice(digits.format(value).as_bytes());
    }

    /// Adds a fraction; what is none becomes null.
    pub fn fraction(&mut self, name: &str, value: f64) {
        self.name(name);
        if value.is_finite() {
            self.formatted(&value);
        } else {
            self.out.extend_from_slice(b"null");
        }
    }

    /// Adds a yes or no.
    pub fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.out.extend_from_slice(word);
    }

    /// Adds a moment, as RFC 3339 writes it.
    pub fn moment(&mut self, name: &str, value: Moment) {
        self.name(name);
        self.out.push(b'"');
        value.write(self.out);
        self.out.push(b'"');
    }

    /// Adds a text as `value` shows itself to those who debug.
    pub fn shown(&mut self, name: &str, value: &dyn Debug) {
        self.name(name);
        self.out.push(b'"');
        self.formatted(value);
        self.out.push(b'"');
    }

    /// Adds a value that `write` writes; it must be JSON.
    pub fn value(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        write(self.out);
    }

    /// Closes the object.
    pub fn close(self) {
        // The separator is the opening brace for as long as there is no field.
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }

    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(&[self.separator, b'"']);
        self.separator = b',';
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn formatted(&mut self, value: &dyn Debug) {
        // A buffer takes everything; a value that cannot show itself is cut short.
        let _ = fmt::write(&mut Escaping(self.out), format_args!("{value:?}"));
    }
}

/// Escapes what is formatted into it.
struct Escaping<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text.as_bytes());
        Ok(())
    }
}

fn escape(out: &mut Vec<u8>, mut text: &[u8]) {
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    // Most texts are plain; without an early end the compiler looks at many bytes at once.
    if !text
        .iter()
        .fold(false, |found, byte| found | is_special(byte))
    {
        return out.extend_from_slice(text);
    }
    while let Some(at) = text.iter().position(is_special) {
        let (plain, rest) = text.split_at(at);
        out.extend_from_slice(plain);
        let Some((special, rest)) = rest.split_first() else {
            return;
        };
        escape_one(out, *special);
        text = rest;
    }
    out.extend_from_slice(text);
}

fn escape_one(out: &mut Vec<u8>, special: u8) {
    match special {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', special]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0 => out.extend_from_slice("\u{fffd}".as_bytes()),
        _ => {
            let hex =
                |digit: u8| char::from_digit(u32::from(digit), 16).map_or(b'0', |hex| hex as u8);
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[hex(special >> 4), hex(special & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn an_object_reads_back_as_it_was_written() {
        let mut out = Vec::new();
        let id = Uuid::from_u128(7);

        let mut object = Object::open(&mut out);
        object.text("text", "naïve\n\"\\\u{1b} €");
        object.id("id", id);
        object.number("count", -3);
        object.fraction("half", 0.5);
        object.fraction("none", f64::NAN);
        object.flag("is_so", true);
        object.moment("at", Moment::from_millis(1_795_000_123_456));
        object.shown("shown", &Some("a\tb"));
        object.value("list", |out| out.extend_from_slice(b"[1,2]"));
        object.close();

        let expected = json!({"text": "naïve\n\"\\\u{1b} €", "id": id, "count": -3, "half": 0.5, "none": null,
            "is_so": true, "at": "2026-11-18T11:08:43.456Z", "shown": "Some(\"a\\tb\")", "list": [1, 2]});
        assert_eq!(read(&out), expected);
    }

    #[test]
    fn an_object_may_be_empty() {
        let mut out = b"[".to_vec();

        Object::open(&mut out).close();

        assert_eq!(out, b"[{}");
    }

    #[test]
    fn no_control_character_stands_in_a_text_and_a_nul_is_gone() {
        let mut out = Vec::new();
        let all: String = (0..=0x7f_u8).map(char::from).collect();

        let mut object = Object::open(&mut out);
        object.text("all", &all);
        object.close();

        assert!(out.iter().all(|byte| 0x20 <= *byte));
        assert_eq!(read(&out)["all"], all.replace('\0', "\u{fffd}"));
    }
}
