//! What is left of limits, as the books say: what is in flight is not in them yet.

use crate::{
    base::{Moment, OrganizationId},
    quota::{Books, BooksAway, Limit, PostgresBooks, now_of},
    store::Postgres,
};

/// A limit and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The limit.
    pub limit: Limit,
    /// How much of it is used; `None` for calls in flight, which the books do not know.
    pub spent: Option<u64>,
    /// When all of it is there again at once; `None` for windows that slide.
    pub resets_at: Option<Moment>,
}

impl Balance {
    /// Returns how much of the limit is left.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        self.spent
            .map(|spent| self.limit.amount.saturating_sub(spent))
    }
}

/// Returns what is left of some limits of an organization now, in their order.
///
/// # Errors
/// When the books do not answer.
pub async fn balances(
    postgres: &Postgres,
    organization: OrganizationId,
    limits: Vec<Limit>,
    now: Moment,
) -> Result<Vec<Balance>, BooksAway> {
    let asked: Vec<_> = limits.iter().map(|limit| now_of(limit, now)).collect();
    let spans: Vec<_> = asked.iter().flatten().map(|(span, _)| *span).collect();
    let books = PostgresBooks::new(postgres.clone());
    let mut spent = books.spent(organization, &spans).await?.into_iter();
    let balances = limits.into_iter().zip(asked).map(|(limit, asked)| Balance {
        limit,
        spent: asked.and_then(|_| spent.next()),
        resets_at: asked.and_then(|(_, ends)| ends),
    });
    Ok(balances.collect())
}
