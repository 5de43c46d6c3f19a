//! Fields of a change: absent stays, null clears, a value counts.

use serde::{Deserialize, Deserializer};

/// Reads a field that is there, null or not.
///
/// # Errors
/// When the value is none of its type.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Puts a value in the place of another, if there is one.
pub(super) fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
