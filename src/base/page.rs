//! One page of a long list, and the cursor that leads to the next.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Moment;

/// Which end of a list comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The oldest first.
    Asc,
    /// The newest first.
    #[default]
    Desc,
}

/// The last row of a page, as the place where the next one begins. Its text is opaque to callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When that row was made.
    pub at: Moment,
    /// Which it was among those of that moment.
    pub id: Uuid,
}

/// How many bytes a cursor has: the moment's microseconds, then the id.
const CURSOR_BYTES: usize = 8 + 16;

/// The text is no cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list")]
pub struct NotCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.at.micros().to_be_bytes()[..], self.id.as_bytes()].concat();
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = NotCursor;

    fn from_str(text: &str) -> Result<Self, NotCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotCursor)?;
        let bytes: [u8; CURSOR_BYTES] = bytes.try_into().map_err(|_| NotCursor)?;
        let (at, id) = bytes.split_first_chunk::<8>().ok_or(NotCursor)?;
        let at = Moment::from_micros(i64::from_be_bytes(*at));
        // What no calendar holds would be read as 1970.
        if Moment::from(at.utc()) != at {
            return Err(NotCursor);
        }
        Ok(Self {
            at,
            id: Uuid::from_slice(id).map_err(|_| NotCursor)?,
        })
    }
}

/// Which page of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// How many rows at most.
    pub limit: u32,
    /// Behind which row it begins; `None` is the list's beginning.
    pub after: Option<Cursor>,
    /// Which end comes first.
    pub order: Order,
}

impl Paging {
    /// The most rows a page may have.
    pub const MOST: u32 = 200;
    /// How many it has when nobody says.
    pub const USUAL: u32 = 50;

    /// Returns how many rows a query asks for: one more than the page has, to know whether another follows.
    #[must_use]
    pub fn fetched(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Says whether the newest come first, as queries bind it.
    #[must_use]
    pub fn is_descending(&self) -> bool {
        self.order == Order::Desc
    }

    /// Returns the moment behind which the page begins, as queries bind it.
    #[must_use]
    pub fn after_at(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        self.after.map(|after| after.at.utc())
    }

    /// Returns the id behind which the page begins, as queries bind it.
    #[must_use]
    pub fn after_id(&self) -> Option<Uuid> {
        self.after.map(|after| after.id)
    }

    /// Makes the page out of the rows [`Paging::fetched`] asked for; `key` tells where a row stands in the list.
    pub fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> (Moment, Uuid)) -> Page<T> {
        let most = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = most < rows.len();
        rows.truncate(most);
        let last = rows.last().filter(|_| has_more).map(&key);
        Page {
            next: last.map(|(at, id)| Cursor { at, id }),
            rows,
        }
    }
}

impl Default for Paging {
    fn default() -> Self {
        Self {
            limit: Self::USUAL,
            after: None,
            order: Order::default(),
        }
    }
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Its rows, in the order asked for.
    pub rows: Vec<T>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Turns every row into something else.
    pub fn map<U>(self, row: impl FnMut(T) -> U) -> Page<U> {
        Page {
            rows: self.rows.into_iter().map(row).collect(),
            next: self.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u8) -> (Moment, Uuid) {
        (
            Moment::from_micros(1_795_000_123_456_789),
            Uuid::from_u128(u128::from(number)),
        )
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let (at, id) = row(7);
        let cursor = Cursor { at, id };

        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let far = [&i64::MAX.to_be_bytes()[..], &[0; 16]].concat();
        for text in ["", "AAAA", "not base64!", &URL_SAFE_NO_PAD.encode(far)] {
            assert_eq!(text.parse::<Cursor>(), Err(NotCursor), "{text}");
        }
    }

    #[test]
    fn a_page_knows_whether_another_follows() {
        let paging = Paging {
            limit: 2,
            ..Paging::default()
        };

        let cut = paging.page(vec![row(1), row(2), row(3)], |row| *row);
        let whole = paging.page(vec![row(1), row(2)], |row| *row);

        assert_eq!(cut.rows.len(), 2);
        assert_eq!(cut.next.map(|next| next.id), Some(row(2).1));
        assert_eq!(whole.next, None);
    }
}
