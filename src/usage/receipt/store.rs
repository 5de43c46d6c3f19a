//! The lines of the price books, and what they came to.

use std::collections::BTreeSet;

use super::{Audit, Line, LineId, Lines, Used, check, lines_of};
use crate::{
    base::{Moment, NanoUsd, Paging, Tokens, Usage},
    catalog::{Price, Tier},
    store::{OrgTx, StoreError},
    usage::{Entry, report::Period, request},
};

/// Returns lines by their names, as far as this transaction's organization may see them.
///
/// # Errors
/// When Postgres does not answer.
pub async fn lines(tx: &mut OrgTx, wanted: &BTreeSet<LineId>) -> Result<Lines, StoreError> {
    let offers: Vec<_> = wanted.iter().map(|id| id.offer_id.uuid()).collect();
    let versions: Vec<_> = wanted.iter().map(|id| id.price_book.clone()).collect();
    let rows = sqlx::query!(
        r#"select distinct on (p.offer_id, b.version) p.offer_id, b.version, o.tier, p.input, p.cached_input, p.cache_write,
            p.output, p.reasoning, p.per_request
        from unnest($1::uuid[], $2::text[]) w (offer_id, version)
        join platform.offer_prices p on p.offer_id = w.offer_id
        join platform.price_books b on b.id = p.price_book_id and b.version = w.version
        join platform.offers o on o.id = p.offer_id
        order by p.offer_id, b.version, p.valid_from desc, p.id desc"#,
        &offers,
        &versions,
    )
    .fetch_all(&mut **tx)
    .await?;
    let amount = |column: Option<i64>| column.map(NanoUsd::from_column);
    let lines = rows.into_iter().map(|row| Line {
        id: LineId {
            offer_id: row.offer_id.into(),
            price_book: row.version,
        },
        tier: if row.tier == "free" {
            Tier::Free
        } else {
            Tier::Paid
        },
        price: Price {
            input: NanoUsd::from_column(row.input),
            cached_input: amount(row.cached_input),
            cache_write: amount(row.cache_write),
            output: NanoUsd::from_column(row.output),
            reasoning: amount(row.reasoning),
            per_request: NanoUsd::from_column(row.per_request),
        },
    });
    Ok(lines.collect())
}

/// Returns what every line came to within whole days (UTC), the dearest first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn used(tx: &mut OrgTx, from: Moment, to: Moment) -> Result<Vec<Used>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query!(
        r#"select u.model_id as "model_id?", u.offer_id as "offer_id?", u.price_book as "price_book?",
            u.alternative_offer_id as "alternative_offer_id?", u.alternative_price_book as "alternative_price_book?",
            operations.add_up(u.requests) as "requests!", operations.add_up(u.input_tokens) as "input_tokens!",
            operations.add_up(u.cached_tokens) as "cached_tokens!",
            operations.add_up(u.cache_write_tokens) as "cache_write_tokens!",
            operations.add_up(u.output_tokens) as "output_tokens!",
            operations.add_up(u.reasoning_tokens) as "reasoning_tokens!",
            operations.add_up(u.cost_nano_usd) as "cost_nano_usd!", operations.add_up(u.saved_nano_usd) as "saved_nano_usd!"
        from (
            select model_id, offer_id, price_book, alternative_offer_id, alternative_price_book, requests, input_tokens,
                cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd
            from operations.usage_receipts
            where organization_id = $1 and day >= $2 and day < $3
            union all
            select model_id, offer_id, price_book, alternative_offer_id, alternative_price_book, requests, input_tokens,
                cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd
            from operations.usage_moves
            where organization_id = $1 and hour >= $2 and hour < $3
        ) u
        group by 1, 2, 3, 4, 5
        having operations.add_up(u.requests) <> 0
        order by operations.add_up(u.saved_nano_usd) desc, operations.add_up(u.cost_nano_usd) desc, 1, 2, 3, 4, 5"#,
        organization,
        from.utc(),
        to.utc(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let tokens = |column: i64| Tokens(u64::try_from(column).unwrap_or_default());
    let used = rows.into_iter().map(|row| Used {
        model_id: row.model_id.map(Into::into),
        offer_id: row.offer_id.map(Into::into),
        price_book: row.price_book,
        alternative: row
            .alternative_offer_id
            .zip(row.alternative_price_book)
            .map(|(offer, price_book)| LineId {
                offer_id: offer.into(),
                price_book,
            }),
        requests: u64::try_from(row.requests).unwrap_or_default(),
        usage: Usage {
            input: tokens(row.input_tokens),
            cached: tokens(row.cached_tokens),
            cache_write: tokens(row.cache_write_tokens),
            output: tokens(row.output_tokens),
            reasoning: tokens(row.reasoning_tokens),
        },
        cost: NanoUsd::from_column(row.cost_nano_usd),
        saved: NanoUsd::from_column(row.saved_nano_usd),
    });
    Ok(used.collect())
}

/// Computes a page of entries of a period again.
///
/// # Errors
/// When Postgres does not answer.
pub async fn audit(
    tx: &mut OrgTx,
    period: Period,
    paging: &Paging,
) -> Result<(Audit, Option<crate::base::Cursor>), StoreError> {
    let filters = request::Filters {
        from: Some(period.from),
        to: Some(period.to),
        ..request::Filters::default()
    };
    let page = request::store::list(tx, &filters, paging).await?;
    let wanted = page.rows.iter().flat_map(lines_of).collect();
    let lines = lines(tx, &wanted).await?;
    let mut audit = Audit::default();
    let findings = page
        .rows
        .iter()
        .map(|entry: &Entry| (entry, check(entry, &lines)));
    findings.for_each(|(entry, finding)| audit.add(entry, &finding));
    Ok((audit, page.next))
}
