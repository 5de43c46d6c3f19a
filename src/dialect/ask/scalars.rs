//! Fields that hold one number, one word, or nothing.

use crate::dialect::{
    fault,
    json::{Cursor, Kind},
    pieces::Stop,
};

/// Reads a boolean, or `null`.
pub(super) fn optional_bool(cursor: &mut Cursor<'_>, param: &str) -> Result<Option<bool>, Stop> {
    match cursor.kind()? {
        Kind::Bool => Ok(Some(cursor.bool()?)),
        Kind::Null => {
            cursor.skip()?;
            Ok(None)
        }
        Kind::Object | Kind::Array | Kind::String | Kind::Number => {
            Err(fault::wrong_type(param, "a boolean").into())
        }
    }
}

/// Reads a whole number; one too large for 64 bits is as large as they go.
pub(super) fn whole_number(cursor: &mut Cursor<'_>, param: &str) -> Result<Option<u64>, Stop> {
    match cursor.kind()? {
        Kind::Number => {}
        Kind::Null => {
            cursor.skip()?;
            return Ok(None);
        }
        Kind::Object | Kind::Array | Kind::String | Kind::Bool => {
            return Err(fault::wrong_type(param, "a whole number").into());
        }
    }
    let written = cursor.number()?;
    if written.starts_with('-') {
        return Err(fault::invalid(param, "it must not be negative").into());
    }
    if !written.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault::wrong_type(param, "a whole number").into());
    }
    Ok(Some(written.parse().unwrap_or(u64::MAX)))
}

/// Reads a number between 0 and `most`, or `null`.
pub(super) fn within(cursor: &mut Cursor<'_>, param: &'static str, most: f64) -> Result<(), Stop> {
    match cursor.kind()? {
        Kind::Number => {}
        Kind::Null => return Ok(cursor.skip()?),
        Kind::Object | Kind::Array | Kind::String | Kind::Bool => {
            return Err(fault::wrong_type(param, "a number").into());
        }
    }
    let number: f64 = cursor.number()?.parse().unwrap_or(f64::INFINITY);
    match (0.0..=most).contains(&number) {
        true => Ok(()),
        false => Err(fault::invalid(param, &format!("it must be between 0 and {most}")).into()),
    }
}

/// Reads a word or an object, or `null`.
pub(super) fn tool_choice(cursor: &mut Cursor<'_>) -> Result<(), Stop> {
    match cursor.kind()? {
        Kind::String | Kind::Object | Kind::Null => Ok(cursor.skip()?),
        Kind::Array | Kind::Number | Kind::Bool => {
            Err(fault::wrong_type("tool_choice", "a string or an object").into())
        }
    }
}
