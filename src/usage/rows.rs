//! Rows on their way into the books: gathered in one text, sent whole or in part.

use std::{ops::Range, str};

use super::{Entry, row};
use crate::base::RequestId;

/// How many bytes are gathered for one turn at most.
const FULL_BYTES: usize = 4 * 1024 * 1024;

/// Rows, one after the other, a comma between them.
#[derive(Debug, Default)]
pub struct Rows {
    text: String,
    places: Vec<Place>,
    /// A process that died left them.
    are_of_dead: bool,
}

/// Where one row stands in the text.
#[derive(Clone, Copy, Debug)]
struct Place {
    id: RequestId,
    from: usize,
    to: usize,
}

/// Why something is no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRow {
    #[error("it does not begin like a row")]
    NoId,
    #[error("it is no text")]
    NoText,
}

impl Rows {
    /// Makes rows of entries that went through no spool.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Self {
        let mut rows = Self::default();
        let mut json = Vec::new();
        for entry in entries {
            json.clear();
            row::write(entry, &mut json);
            let _rows_are_rows = rows.push(&json);
        }
        rows
    }

    /// Returns all of them.
    #[must_use]
    pub fn all(&self) -> Part<'_> {
        self.part(0..self.places.len())
    }

    /// Adds a row as it stands in the spool.
    pub(super) fn push(&mut self, json: &[u8]) -> Result<(), NoRow> {
        let id = row::id_of(json).ok_or(NoRow::NoId)?;
        let json = str::from_utf8(json).map_err(|_| NoRow::NoText)?;
        if !self.places.is_empty() {
            self.text.push(',');
        }
        let from = self.text.len();
        self.text.push_str(json);
        let to = self.text.len();
        self.places.push(Place { id, from, to });
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Says whether these are enough for one turn of at most `limit`.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        limit <= self.places.len() || FULL_BYTES <= self.text.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = RequestId> {
        self.places.iter().map(|place| place.id)
    }

    /// Returns each of them.
    pub(super) fn each(&self) -> impl Iterator<Item = &str> {
        let row = |place: &Place| self.text.get(place.from..place.to);
        self.places.iter().filter_map(row)
    }

    /// Returns them in parts of `size`.
    pub(super) fn parts(&self, size: usize) -> impl Iterator<Item = Part<'_>> {
        let starts = (0..self.places.len()).step_by(size.max(1));
        starts.map(move |from| self.part(from..self.places.len().min(from + size.max(1))))
    }

    /// Notes that a process left them that died.
    pub(super) fn note_dead(&mut self) {
        self.are_of_dead = true;
    }

    pub(super) fn are_of_dead(&self) -> bool {
        self.are_of_dead
    }

    /// Forgets them and keeps the room they took.
    pub(super) fn clear(&mut self) {
        self.are_of_dead = false;
        self.text.clear();
        self.places.clear();
    }

    fn part(&self, range: Range<usize>) -> Part<'_> {
        let places = self.places.get(range).unwrap_or_default();
        Part {
            text: &self.text,
            places,
        }
    }
}

/// Some rows that stand beside each other.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    text: &'a str,
    places: &'a [Place],
}

impl<'a> Part<'a> {
    /// Returns the rows, without the brackets of an array.
    pub(super) fn text(&self) -> &'a str {
        match (self.places.first(), self.places.last()) {
            (Some(first), Some(last)) => self.text.get(first.from..last.to).unwrap_or_default(),
            _ => "",
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = RequestId> + use<'a> {
        self.places.iter().map(|place| place.id)
    }

    pub(super) fn halves(&self) -> [Self; 2] {
        let (front, back) = self.places.split_at(self.places.len() / 2);
        [front, back].map(|places| Self { places, ..*self })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn row(number: u128) -> String {
        format!(
            "{{\"request_id\":\"{}\",\"n\":{number}}}",
            Uuid::from_u128(number)
        )
    }

    fn rows(count: u128) -> Rows {
        let mut rows = Rows::default();
        for number in 0..count {
            rows.push(row(number).as_bytes()).unwrap();
        }
        rows
    }

    #[test]
    fn parts_hold_every_row_once_and_in_order() {
        let rows = rows(7);

        let parts: Vec<String> = rows.parts(3).map(|part| part.text().to_owned()).collect();

        assert_eq!(rows.all().text(), parts.join(","));
        let expected: Vec<String> = [0..3, 3..6, 6..7]
            .map(|range| range.map(row).collect::<Vec<_>>().join(","))
            .to_vec();
        assert_eq!(parts, expected);
    }

    #[test]
    fn halves_come_down_to_the_one_row_at_fault() {
        let rows = rows(5);
        let mut parts = vec![rows.all()];
        let mut alone = Vec::new();

        while let Some(part) = parts.pop() {
            if part.len() < 2 {
                alone.push(part.text());
            } else {
                parts.extend(part.halves());
            }
        }

        alone.sort_unstable();
        let mut expected: Vec<String> = (0..5).map(row).collect();
        expected.sort_unstable();
        assert_eq!(alone, expected);
    }

    #[test]
    fn what_is_no_row_is_not_taken() {
        let mut rows = rows(1);

        assert_eq!(rows.push(b"{}"), Err(NoRow::NoId));
        let mut no_text = row(2).into_bytes();
        no_text.push(0xff);
        assert_eq!(rows.push(&no_text), Err(NoRow::NoText));

        assert_eq!(rows.len(), 1);
        assert_eq!(rows.all().text(), row(0));
    }
}
