//! A report as a file that spreadsheets open without harm.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures::stream;

use crate::usage::report::{Dimension, Row};

/// How many rows are written at once.
const CHUNK: usize = 1_000;

const COLUMNS: [&str; 15] = [
    "at",
    "id",
    "name",
    "requests",
    "failed_requests",
    "estimated_requests",
    "streamed_requests",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nano_usd",
    "saved_nano_usd",
    "duration_ms",
];

/// Streams rows as `text/csv`; the column `name` is the dimension's.
pub(super) fn answer(by: Dimension, rows: Vec<Row>) -> Response {
    let head = Bytes::from(text(&[COLUMNS.map(str::to_owned)]));
    let mut rows = rows.into_iter();
    let chunks = std::iter::from_fn(move || {
        let chunk: Vec<_> = rows
            .by_ref()
            .take(CHUNK)
            .map(|row| cells(by, row))
            .collect();
        (!chunk.is_empty()).then(|| Bytes::from(text(&chunk)))
    });
    let all = std::iter::once(head).chain(chunks).map(Ok::<_, Infallible>);
    let headers = [
        (
            header::CONTENT_TYPE,
            "text/csv; charset=utf-8; header=present",
        ),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"usage.csv\"",
        ),
    ];
    (headers, Body::from_stream(stream::iter(all))).into_response()
}

fn cells(by: Dimension, row: Row) -> [String; 15] {
    let amounts = row.amounts;
    let id = row.value.map(|id| id.to_string());
    let nobody = if by == Dimension::None { "" } else { "-" };
    [
        row.at.map(|at| at.utc().to_rfc3339()).unwrap_or_default(),
        id.unwrap_or_default(),
        harmless(row.name.unwrap_or_else(|| nobody.to_owned())),
        amounts.requests.to_string(),
        amounts.failed_requests.to_string(),
        amounts.estimated_requests.to_string(),
        amounts.streamed_requests.to_string(),
        amounts.input_tokens.to_string(),
        amounts.cached_tokens.to_string(),
        amounts.cache_write_tokens.to_string(),
        amounts.output_tokens.to_string(),
        amounts.reasoning_tokens.to_string(),
        amounts.cost.0.to_string(),
        amounts.saved.0.to_string(),
        amounts.duration_ms.to_string(),
    ]
}

/// Keeps a spreadsheet from taking a name for a formula.
fn harmless(name: String) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{name}")
    } else {
        name
    }
}

fn text<const N: usize>(rows: &[[String; N]]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for row in rows {
        // A vector takes whatever is written to it.
        let _written = writer.write_record(row);
    }
    writer.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_formula() {
        for name in ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "\n=1"] {
            assert_eq!(harmless(name.to_owned()), format!("'{name}"));
        }
        assert_eq!(harmless("Search & Co".to_owned()), "Search & Co");
    }

    #[test]
    fn names_with_commas_quotes_and_lines_stay_one_cell() {
        let rows = [["a,b".to_owned(), "say \"x\"\r\ny".to_owned()]];

        assert_eq!(text(&rows), b"\"a,b\",\"say \"\"x\"\"\r\ny\"\r\n");
    }
}
