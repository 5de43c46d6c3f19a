//! One difference between a file and the books.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::catalog::holdings::Held;

/// One difference between a file and the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Change {
    /// What became of it.
    pub kind: ChangeKind,
    /// What it is: `model`, `provider`, `credential`, `offer`, `price`, `alias` or `substitute`.
    pub what: &'static str,
    /// Which one.
    pub name: String,
    /// What is different, field by field; never a key.
    pub detail: String,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is different.
    Changed,
    /// It is gone.
    Removed,
    /// It looks wrong, and waits for somebody's word; what was there stays.
    Quarantined,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Added => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Removed => '-',
            ChangeKind::Quarantined => '!',
        };
        write!(f, "{sign} {} {}", self.what, self.name)?;
        match self.detail.as_str() {
            "" => Ok(()),
            detail => write!(f, ": {detail}"),
        }
    }
}

/// Compares what is held with what is wanted; `None` when they are the same.
pub(super) fn between<T: PartialEq + Serialize>(
    what: &'static str,
    name: &str,
    held: Option<&Held<T>>,
    wanted: &T,
) -> Option<Change> {
    let (kind, detail) = match held {
        None => (ChangeKind::Added, String::new()),
        Some(held) if held.entry == *wanted => return None,
        Some(held) => (ChangeKind::Changed, differences(&held.entry, wanted)),
    };
    Some(Change {
        kind,
        what,
        name: name.to_owned(),
        detail,
    })
}

/// A longer value is not spelled out: nobody would find the difference in it.
const LONGEST_VALUE: usize = 100;

fn differences<T: Serialize>(old: &T, new: &T) -> String {
    let (old, new) = (fields(old), fields(new));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let differing = names
        .iter()
        .filter(|name| old.get(**name) != new.get(**name));
    let told = differing.map(|name| {
        let text = |fields: &Map<String, Value>| {
            fields
                .get(*name)
                .map_or("unset".to_owned(), Value::to_string)
        };
        let (old, new) = (text(&old), text(&new));
        if old.len().max(new.len()) <= LONGEST_VALUE {
            format!("{name} {old} -> {new}")
        } else {
            format!("other {name}")
        }
    });
    told.collect::<Vec<_>>().join(", ")
}

fn fields<T: Serialize>(value: &T) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
