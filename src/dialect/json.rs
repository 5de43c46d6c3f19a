//! A cursor over JSON text: checks every byte it passes, remembers where it is, allocates nothing.

use std::borrow::Cow;

/// How deep values may lie in each other.
pub(super) const DEPTH: u32 = 64;

/// Where and how the text stops being JSON we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The byte at this place cannot stand there.
    Syntax(usize),
    /// The value at this place lies deeper than [`DEPTH`].
    TooDeep(usize),
}

/// What kind of value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// A string as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    /// What stands between the quotes.
    pub(super) raw: &'a [u8],
    /// Where the opening quote stands.
    pub(super) start: usize,
    /// How many bytes it has once its escapes are read.
    pub(super) len: usize,
}

impl<'a> Text<'a> {
    /// Returns where the text goes on after the closing quote.
    pub(super) const fn end(&self) -> usize {
        self.start + self.raw.len() + 2
    }

    /// Says whether the string reads `word`, which has no characters that must be escaped.
    pub(super) fn is(&self, word: &str) -> bool {
        match self.len == self.raw.len() {
            true => self.raw == word.as_bytes(),
            false => self.len == word.len() && self.read().is_some_and(|text| text == word),
        }
    }

    /// Returns the bytes of a string without escapes, else nothing: for telling known words apart.
    pub(super) const fn plain(&self) -> &'a [u8] {
        match self.len == self.raw.len() {
            true => self.raw,
            false => b"",
        }
    }

    /// Returns the string with its escapes read; `None` when it is no text (half a surrogate pair, bad UTF-8).
    pub(super) fn read(&self) -> Option<Cow<'a, str>> {
        if self.len == self.raw.len() {
            return std::str::from_utf8(self.raw).ok().map(Cow::Borrowed);
        }
        let mut quoted = Vec::with_capacity(self.raw.len() + 2);
        quoted.push(b'"');
        quoted.extend_from_slice(self.raw);
        quoted.push(b'"');
        serde_json::from_slice(&quoted).ok().map(Cow::Owned)
    }
}

/// A place in JSON text.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Cursor<'a> {
    /// Stands before the first byte.
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// Passes white space and returns what kind of value comes.
    pub(super) fn kind(&mut self) -> Result<Kind, Broken> {
        match self.next_visible() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            _ => Err(self.broken()),
        }
    }

    /// Passes white space and returns where the next value or mark begins.
    pub(super) fn place(&mut self) -> usize {
        self.next_visible();
        self.at
    }

    /// Says whether nothing but white space is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.next_visible().is_none()
    }

    /// Returns where the cursor stands, white space not passed.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Reads an object; `member` is handed each key and must read its value.
    pub(super) fn object<E: From<Broken>>(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.enter(b'{')?;
        if self.next_visible() == Some(b'}') {
            self.leave();
            return Ok(());
        }
        loop {
            self.next_visible();
            let key = self.string()?;
            self.mark(b':')?;
            member(self, key)?;
            if !self.goes_on(b'}')? {
                return Ok(());
            }
        }
    }

    /// Reads an array; `item` is handed each position and must read what stands there.
    pub(super) fn array<E: From<Broken>>(
        &mut self,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        self.enter(b'[')?;
        if self.next_visible() == Some(b']') {
            self.leave();
            return Ok(());
        }
        for position in 0.. {
            item(self, position)?;
            if !self.goes_on(b']')? {
                break;
            }
        }
        Ok(())
    }

    /// Reads a string.
    pub(super) fn string(&mut self) -> Result<Text<'a>, Broken> {
        self.mark(b'"')?;
        let inside = self.at;
        let mut shorter = 0;
        loop {
            self.at += plain_len(self.rest());
            match self.here() {
                Some(b'"') => break,
                Some(b'\\') => shorter += self.escape()?,
                _ => return Err(self.broken()),
            }
        }
        let raw = self.text.get(inside..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text {
            raw,
            start: inside - 1,
            len: raw.len() - shorter,
        })
    }

    /// Reads a number and returns it as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str, Broken> {
        self.next_visible();
        let start = self.at;
        if self.here() == Some(b'-') {
            self.at += 1;
        }
        match self.here() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.here() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.here(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.here(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let written = self.text.get(start..self.at).unwrap_or_default();
        std::str::from_utf8(written).map_err(|_| Broken::Syntax(start))
    }

    /// Reads `true` or `false`.
    pub(super) fn bool(&mut self) -> Result<bool, Broken> {
        match self.next_visible() {
            Some(b't') => self.word(b"true").map(|()| true),
            _ => self.word(b"false").map(|()| false),
        }
    }

    /// Passes the next value, whatever it is.
    pub(super) fn skip(&mut self) -> Result<(), Broken> {
        match self.kind()? {
            Kind::Object => self.object(|cursor, _| cursor.skip()),
            Kind::Array => self.array(|cursor, _| cursor.skip()),
            Kind::String => self.string().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::Bool => self.bool().map(drop),
            Kind::Null => self.word(b"null"),
        }
    }

    /// Passes the white space after the last value; anything else breaks the text.
    pub(super) fn end(&mut self) -> Result<(), Broken> {
        match self.next_visible() {
            None => Ok(()),
            Some(_) => Err(self.broken()),
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn here(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    const fn broken(&self) -> Broken {
        Broken::Syntax(self.at)
    }

    fn next_visible(&mut self) -> Option<u8> {
        loop {
            match self.here() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    fn mark(&mut self, mark: u8) -> Result<(), Broken> {
        if self.next_visible() != Some(mark) {
            return Err(self.broken());
        }
        self.at += 1;
        Ok(())
    }

    fn enter(&mut self, open: u8) -> Result<(), Broken> {
        self.mark(open)?;
        self.depth += 1;
        if DEPTH < self.depth {
            return Err(Broken::TooDeep(self.at - 1));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    /// Passes the comma after a member, or the closing mark.
    fn goes_on(&mut self, close: u8) -> Result<bool, Broken> {
        match self.next_visible() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(mark) if mark == close => {
                self.leave();
                Ok(false)
            }
            _ => Err(self.broken()),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Broken> {
        if !self.rest().starts_with(word) {
            return Err(self.broken());
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Broken> {
        let start = self.at;
        while matches!(self.here(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match start < self.at {
            true => Ok(()),
            false => Err(self.broken()),
        }
    }

    /// Passes an escape and returns how many bytes shorter it is once read.
    fn escape(&mut self) -> Result<usize, Broken> {
        let unit = match self.rest() {
            [
                _,
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                ..,
            ] => {
                self.at += 2;
                return Ok(1);
            }
            [_, b'u', a, b, c, d, ..] => [*a, *b, *c, *d],
            _ => return Err(self.broken()),
        };
        let mut code = 0_u32;
        for digit in unit {
            let value = char::from(digit)
                .to_digit(16)
                .ok_or_else(|| self.broken())?;
            code = code << 4 | value;
        }
        self.at += 6;
        // Each half of a surrogate pair stands for two of the pair's four bytes.
        Ok(match code {
            0..=0x7f => 5,
            0x80..=0x7ff | 0xd800..=0xdfff => 4,
            _ => 3,
        })
    }
}

/// Returns how many bytes pass before one that ends or escapes a string, or may not stand in one.
#[inline]
fn plain_len(text: &[u8]) -> usize {
    let (chunks, rest) = text.as_chunks::<LANES>();
    let mut plain = 0;
    for chunk in chunks {
        let marks = marks(chunk);
        if marks != 0 {
            return plain + marks.trailing_zeros() as usize / 8;
        }
        plain += LANES;
    }
    plain
        + rest
            .iter()
            .position(|byte| is_special(*byte))
            .unwrap_or(rest.len())
}

/// How many bytes are looked at together: a register's worth on every machine.
const LANES: usize = 16;

/// Marks the special bytes: a byte of ones for each, the first in the lowest place.
///
/// Written without a branch, so that the compiler compares all lanes in one instruction.
#[inline]
fn marks(chunk: &[u8; LANES]) -> u128 {
    let mut marks = [0; LANES];
    for (mark, byte) in marks.iter_mut().zip(chunk) {
        *mark = if is_special(*byte) { 0xff } else { 0 };
    }
    u128::from_le_bytes(marks)
}

#[inline]
const fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skips(text: &[u8]) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.skip().and_then(|()| cursor.end()).is_ok()
    }

    #[test]
    fn what_is_json_and_what_is_not_is_decided_as_serde_json_does() {
        for text in [
            "{}",
            "[]",
            "null",
            "true",
            "false",
            "tru",
            "nul",
            "0",
            "-0",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1E-9",
            "-",
            "+1",
            "\"\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\x\"",
            "\"a\nb\"",
            "\"a",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":1 \"b\":2}",
            "  {\"a\" : [ 1 , {\"b\":null} ] } \n",
            "{} x",
            "NaN",
            "'a'",
            "",
            " ",
            "// c\n1",
            "\u{feff}{}",
            "[[[[]]]]",
            "[}",
            "{]",
            "\"\\ud83d\\ude00\"",
            "1 2",
            "\0",
        ] {
            let expected = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(skips(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn the_depth_of_values_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));

        assert!(skips(nested(64).as_bytes()));
        let mut cursor = Cursor::new(b"");
        let deep = nested(65);
        cursor.text = deep.as_bytes();
        assert_eq!(cursor.skip(), Err(Broken::TooDeep(64)));
    }

    proptest::proptest! {
        #[test]
        fn a_strings_length_is_what_serde_json_reads(text in "\\PC{0,200}|[\"\\\\\\n\\u{1}a]{0,80}") {
            let written = serde_json::to_string(&text).unwrap();
            let read = Cursor::new(written.as_bytes()).string().unwrap();
            proptest::prop_assert_eq!(read.len, text.len());
            proptest::prop_assert_eq!(read.end(), written.len());
            proptest::prop_assert_eq!(read.read().unwrap(), text);
        }

        #[test]
        fn no_bytes_make_the_cursor_disagree_with_serde_json(text in "[\\[\\]{}\",:0-9eE.+\\-\\\\truefalsn ]{0,40}") {
            let expected = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            proptest::prop_assert_eq!(skips(text.as_bytes()), expected, "{}", text);
        }

        #[test]
        fn any_bytes_are_passed_or_refused_without_a_panic(bytes in proptest::collection::vec(0_u8.., 0..200)) {
            skips(&bytes);
        }
    }
}
