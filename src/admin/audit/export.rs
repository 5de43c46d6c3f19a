//! The log as one long answer, written while it is read: a batch at a time, all of one instant.

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures::stream;

use super::views::{AuditLogView, ExportQuery};
use crate::{
    admin::{Plane, error::ApiError, list::Format},
    audit::{self, chain::Row, key::hex, query::Filter},
    base::{Order, Paging},
    store::{StoreError, Whose, postgres::Tx},
};

/// The names of the columns, in their order.
const COLUMNS: [&str; 14] = [
    "seq",
    "at",
    "actor_kind",
    "actor_id",
    "action",
    "target_kind",
    "target_id",
    "details",
    "address",
    "request_id",
    "user_agent",
    "id",
    "key_id",
    "hash",
];
/// What makes a spreadsheet take a cell for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Answers with every row that `query` lets through.
///
/// # Errors
/// When Postgres cannot be reached. Once the answer has begun, a fault ends it early, and the caller sees that it did.
pub(super) async fn export(
    plane: &Plane,
    whose: Whose,
    query: ExportQuery,
) -> Result<Response, ApiError> {
    let format = query.format.unwrap_or_default();
    let reading = Reading {
        tx: plane.postgres.look_at(whose).await?,
        whose,
        filter: query.filter(),
        paging: Paging {
            limit: Paging::MOST,
            after: None,
            order: Order::Asc,
        },
        format,
        is_first: true,
    };
    let body = Body::from_stream(stream::try_unfold(Some(reading), next));
    let (kind, name) = match format {
        Format::Json => ("application/json", "audit-logs.json"),
        Format::Csv => ("text/csv; charset=utf-8", "audit-logs.csv"),
    };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    Ok((headers, body).into_response())
}

/// How far an export has come.
struct Reading {
    tx: Tx,
    whose: Whose,
    filter: Filter,
    paging: Paging,
    format: Format,
    is_first: bool,
}

/// Reads the next batch and writes it; `None` follows the last.
async fn next(reading: Option<Reading>) -> Result<Option<(Bytes, Option<Reading>)>, ExportCut> {
    let Some(mut reading) = reading else {
        return Ok(None);
    };
    let Reading {
        tx,
        whose,
        filter,
        paging,
        ..
    } = &mut reading;
    let page = audit::query::store::page(tx, *whose, filter, paging).await;
    let page = page.inspect_err(|error| tracing::error!(%error, "an export was cut"))?;
    let is_last = page.next.is_none();
    let bytes = match reading.format {
        Format::Json => json(page.rows, reading.is_first, is_last)?,
        Format::Csv => csv(&page.rows, reading.is_first)?,
    };
    reading.is_first = false;
    reading.paging.after = page.next;
    Ok(Some((bytes.into(), (!is_last).then_some(reading))))
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
enum ExportCut {
    #[error("the books did not answer")]
    Store(#[from] StoreError),
    #[error("a row cannot be written")]
    Json(#[from] serde_json::Error),
    #[error("a row cannot be written")]
    Csv(#[from] csv::Error),
}

fn json(rows: Vec<Row>, is_first: bool, is_last: bool) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::new();
    if is_first {
        bytes.push(b'[');
    }
    for (index, row) in rows.into_iter().enumerate() {
        if !is_first || index > 0 {
            bytes.push(b',');
        }
        serde_json::to_writer(&mut bytes, &AuditLogView::from(row))?;
    }
    if is_last {
        bytes.push(b']');
    }
    Ok(bytes)
}

fn csv(rows: &[Row], is_first: bool) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if is_first {
        writer.write_record(COLUMNS)?;
    }
    for row in rows {
        writer.write_record(cells(row))?;
    }
    writer
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))
}

fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let text = |value: Option<String>| cell(value.unwrap_or_default());
    [
        row.seq.to_string(),
        row.at.to_rfc3339(),
        row.actor_kind.clone(),
        text(row.actor_id.map(|id| id.to_string())),
        row.action.clone(),
        row.target_kind.clone(),
        text(row.target_id.map(|id| id.to_string())),
        cell(row.details.clone()),
        text(row.address.map(|address| address.to_string())),
        text(row.request_id.map(|id| id.to_string())),
        text(row.user_agent.clone()),
        row.id.to_string(),
        text(row.key_id.clone()),
        text(row.hash.as_deref().map(hex)),
    ]
}

/// Keeps a spreadsheet from calculating what a caller wrote.
fn cell(text: String) -> String {
    if text.starts_with(FORMULA) {
        return format!("'{text}");
    }
    text
}
