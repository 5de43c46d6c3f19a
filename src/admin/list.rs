//! Lists: how a page is asked for, and how it is answered.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use crate::base::{Order, Page, Paging};

/// The parameters of a list without filters. A list with filters repeats the three and calls [`paging`].
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    pub order: Option<Order>,
}

impl ListQuery {
    /// Returns the page that is asked for.
    ///
    /// # Errors
    /// When the limit is out of range or the cursor is none.
    pub fn paging(&self) -> Result<Paging, ApiError> {
        paging(self.limit, self.cursor.as_deref(), self.order)
    }
}

/// Returns the page that three parameters ask for.
///
/// # Errors
/// When the limit is out of range or the cursor is none.
pub fn paging(
    limit: Option<u32>,
    cursor: Option<&str>,
    order: Option<Order>,
) -> Result<Paging, ApiError> {
    let limit = limit.unwrap_or(Paging::USUAL);
    if !(1..=Paging::MOST).contains(&limit) {
        let message = format!("give 1 to {}", Paging::MOST);
        return Err(ApiError::invalid("limit", message));
    }
    let after = cursor.map(str::parse).transpose();
    let after = after.map_err(|error: crate::base::page::NotCursor| {
        ApiError::invalid("cursor", error.to_string())
    })?;
    Ok(Paging {
        limit,
        after,
        order: order.unwrap_or_default(),
    })
}

/// A page, as the caller reads it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listed<T> {
    /// The rows of the page.
    pub data: Vec<T>,
    /// What leads to the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> Listed<T> {
    /// Turns a page of nouns into what the caller reads.
    pub fn of<N>(page: Page<N>, view: impl FnMut(N) -> T) -> Self {
        let page = page.map(view);
        Self {
            data: page.rows,
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

/// How many rows are written at once: as a page or a document of JSON, or as one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// A line per row, the names first.
    Csv,
}
