//! Books rows in one statement, and finds the ones that can never be booked.

use super::{
    dead,
    rows::Part,
    store::{self, NotBooked},
};
use crate::{
    base::RequestId,
    store::{Postgres, StoreError},
};

/// A row that can never be booked, and why.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) id: RequestId,
    pub(super) row: String,
    pub(super) reason: String,
}

/// Books rows; halves what the books refuse until the row at fault stands alone. Returns those.
///
/// # Errors
/// When the books are away. Some rows may be booked then: sending them again changes nothing.
pub(super) async fn book(postgres: &Postgres, rows: Part<'_>) -> Result<Vec<Refused>, StoreError> {
    let mut conn = postgres.acquire().await?;
    let mut refused = Vec::new();
    let mut parts = vec![rows];
    while let Some(part) = parts.pop() {
        match store::ingest(&mut conn, part).await {
            Ok(_) => {}
            Err(NotBooked::Away(error)) => return Err(error),
            Err(NotBooked::TooSlow(error)) if part.len() < 2 => return Err(error),
            Err(NotBooked::Refused(error)) if part.len() < 2 => {
                refused.extend(part.ids().map(|id| Refused {
                    id,
                    row: part.text().to_owned(),
                    reason: dead::chain(&error),
                }));
            }
            Err(NotBooked::Refused(_) | NotBooked::TooSlow(_)) => {
                let [front, back] = part.halves();
                parts.extend([back, front]);
            }
        }
    }
    Ok(refused)
}
