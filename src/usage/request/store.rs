//! Single calls out of the books.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Postgres, QueryBuilder, types::Json};
use uuid::Uuid;

use super::Filters;
use crate::{
    base::{
        Cursor, Moment, NanoUsd, Order, OrganizationId, Page, Paging, RequestId, Tokens, Usage,
    },
    store::{Conn, OrgTx, StoreError},
    usage::{Alternative, AttemptRecord, Decision, Entry, Finish},
};

/// How many calls one page may look through: a filter that few calls fit must not cost a minute.
const LOOKED_THROUGH: i64 = 500;

/// A row of the books.
#[derive(FromRow)]
struct Row {
    request_id: Uuid,
    organization_id: Uuid,
    group_id: Option<Uuid>,
    user_id: Option<Uuid>,
    api_key_id: Uuid,
    client_request_id: Option<String>,
    tags: Option<serde_json::Value>,
    requested_model: String,
    model_id: Option<Uuid>,
    offer_id: Option<Uuid>,
    provider_id: Option<Uuid>,
    status: i16,
    finish: String,
    is_estimated: bool,
    is_stream: bool,
    input_tokens: i64,
    cached_tokens: i64,
    cache_write_tokens: i64,
    output_tokens: i64,
    reasoning_tokens: i64,
    held_nano_usd: Option<i64>,
    cost_nano_usd: i64,
    saved_nano_usd: i64,
    price_book: String,
    alternative_offer_id: Option<Uuid>,
    alternative_price_book: Option<String>,
    routed_by: Option<String>,
    strategy_id: Option<Uuid>,
    ranked_offer_ids: Option<Vec<Uuid>>,
    first_byte_ms: Option<i32>,
    duration_ms: i32,
    attempts: Json<Vec<AttemptRecord>>,
}

impl TryFrom<Row> for Entry {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let tokens = |column: i64| Tokens(u64::try_from(column).unwrap_or_default());
        let millis = |column: i32| u32::try_from(column).unwrap_or_default();
        let finish = serde_json::from_value(serde_json::Value::String(row.finish));
        let alternative = row.alternative_offer_id.zip(row.alternative_price_book);
        Ok(Self {
            request_id: row.request_id.into(),
            organization_id: row.organization_id.into(),
            group_id: row.group_id.map(Into::into),
            user_id: row.user_id.map(Into::into),
            api_key_id: row.api_key_id.into(),
            client_request_id: row.client_request_id,
            tags: row.tags.unwrap_or_default(),
            requested_model: row.requested_model,
            model_id: row.model_id.map(Into::into),
            offer_id: row.offer_id.map(Into::into),
            provider_id: row.provider_id.map(Into::into),
            status: u16::try_from(row.status).unwrap_or_default(),
            finish: finish.map_err(StoreError::Malformed)?,
            is_estimated: row.is_estimated,
            is_stream: row.is_stream,
            usage: Usage {
                input: tokens(row.input_tokens),
                cached: tokens(row.cached_tokens),
                cache_write: tokens(row.cache_write_tokens),
                output: tokens(row.output_tokens),
                reasoning: tokens(row.reasoning_tokens),
            },
            // Entries from before this was told: as if it had been known.
            held_nano_usd: NanoUsd::from_column(row.held_nano_usd.unwrap_or(row.cost_nano_usd)),
            cost_nano_usd: NanoUsd::from_column(row.cost_nano_usd),
            saved_nano_usd: NanoUsd::from_column(row.saved_nano_usd),
            price_book: row.price_book,
            alternative: alternative.map(|(offer, price_book)| Alternative {
                offer_id: offer.into(),
                price_book,
            }),
            decision: Decision {
                why: Cow::Owned(row.routed_by.unwrap_or_default()),
                strategy: row.strategy_id.map(Into::into),
                ranked: row
                    .ranked_offer_ids
                    .unwrap_or_default()
                    .into_iter()
                    .map(Into::into)
                    .collect(),
            },
            first_byte_ms: row.first_byte_ms.map(millis),
            duration_ms: millis(row.duration_ms),
            attempts: row.attempts.0,
        })
    }
}

/// Returns one call of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find(tx: &mut OrgTx, id: RequestId) -> Result<Option<Entry>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query_as!(
        Row,
        r#"select request_id, organization_id, group_id, user_id, api_key_id, client_request_id, tags, requested_model,
            model_id, offer_id, provider_id, status, finish, is_estimated, is_stream, input_tokens, cached_tokens,
            cache_write_tokens, output_tokens, reasoning_tokens, held_nano_usd, cost_nano_usd, saved_nano_usd, price_book,
            alternative_offer_id, alternative_price_book, routed_by, strategy_id, ranked_offer_ids, first_byte_ms,
            duration_ms,
            attempts as "attempts: Json<Vec<AttemptRecord>>"
        from operations.usage_entries
        where organization_id = $1 and request_id = $2 and at = $3"#,
        organization,
        id.uuid(),
        id.at().utc(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(Entry::try_from).transpose()
}

/// Returns a page of calls of this transaction's organization.
///
/// One page looks through five hundred calls at most: it may be short, or empty, and still lead to another.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list(
    tx: &mut OrgTx,
    filters: &Filters,
    paging: &Paging,
) -> Result<Page<Entry>, StoreError> {
    let organization = tx.scope().organization();
    let mut search = Search::of(organization, filters, paging);
    let rows = search.rows(tx).await?;
    let entries = rows.into_iter().map(Entry::try_from);
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let mut page = paging.page(entries, |entry| {
        (entry.request_id.at(), entry.request_id.uuid())
    });
    if page.next.is_none() && search.is_sifting {
        page.next = search.last_looked_at(tx).await?;
    }
    Ok(page)
}

/// A question about calls: which index leads to them, and what is sifted out after.
struct Search<'a> {
    organization: OrganizationId,
    filters: &'a Filters,
    paging: &'a Paging,
    lead: Lead,
    is_sifting: bool,
}

/// The filter whose index leads to the calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    ClientRequest,
    Key,
    User,
    Group,
    Offer,
    Model,
    Trouble,
    Organization,
}

impl<'a> Search<'a> {
    fn of(organization: OrganizationId, filters: &'a Filters, paging: &'a Paging) -> Self {
        Self {
            organization,
            filters,
            paging,
            lead: lead(filters),
            is_sifting: false,
        }
    }

    async fn rows(&mut self, conn: &mut Conn) -> Result<Vec<Row>, StoreError> {
        let mut query = QueryBuilder::new("select looked_at.* from (");
        self.look(&mut query, COLUMNS);
        query.push(") looked_at where true");
        self.sift(&mut query);
        query.push(self.order());
        query.push(" limit ").push_bind(self.paging.fetched());
        Ok(query.build_query_as().fetch_all(conn).await?)
    }

    /// Returns the last call that was looked at, when there may be more behind it.
    async fn last_looked_at(&self, conn: &mut Conn) -> Result<Option<Cursor>, StoreError> {
        let mut query = QueryBuilder::new("select looked_at.* from (");
        self.look(&mut query, "at, request_id");
        query.push(") looked_at").push(self.order());
        query.push(" offset ").push_bind(LOOKED_THROUGH - 1);
        let last: Option<(DateTime<Utc>, Uuid)> =
            query.build_query_as().fetch_optional(conn).await?;
        Ok(last.map(|(at, id)| Cursor {
            at: Moment::from(at),
            id,
        }))
    }

    /// Asks for the next calls that one index leads to.
    fn look(&self, query: &mut QueryBuilder<Postgres>, columns: &str) {
        let filters = self.filters;
        query
            .push("select ")
            .push(columns)
            .push(" from operations.usage_entries where organization_id = ")
            .push_bind(self.organization.uuid());
        match self.lead {
            Lead::ClientRequest => {
                let id = filters.client_request_id.clone();
                query.push(" and client_request_id = ").push_bind(id);
            }
            Lead::Key => {
                let id = filters.key.map(|id| id.uuid());
                query.push(" and api_key_id = ").push_bind(id);
            }
            Lead::User => {
                let id = filters.user.map(|id| id.uuid());
                query.push(" and user_id = ").push_bind(id);
            }
            Lead::Group => {
                let id = filters.group.map(|id| id.uuid());
                query.push(" and group_id = ").push_bind(id);
            }
            // No index knows one organization's calls to an offer, but those to its model.
            Lead::Offer => {
                let id = filters.offer.map(|id| id.uuid());
                query.push(
                    " and model_id = (select o.model_id from platform.offers o where o.id = ",
                );
                query.push_bind(id).push(")");
            }
            Lead::Model => {
                let id = filters.model.map(|id| id.uuid());
                query.push(" and model_id = ").push_bind(id);
            }
            // As the index says it.
            Lead::Trouble => {
                query.push(
                    " and (status >= 400 or status = 0 or is_estimated or finish <> 'complete')",
                );
            }
            Lead::Organization => {}
        }
        self.bound(query);
        query.push(self.order());
        query.push(" limit ").push_bind(LOOKED_THROUGH);
    }

    /// Keeps to the period, and behind the page before.
    fn bound(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(from) = self.filters.from {
            query.push(" and at >= ").push_bind(from.utc());
        }
        if let Some(to) = self.filters.to {
            query.push(" and at < ").push_bind(to.utc());
        }
        if let Some(after) = self.paging.after {
            let (wide, strict) = match self.paging.order {
                Order::Asc => (" and at >= ", " and (at, request_id) > ("),
                Order::Desc => (" and at <= ", " and (at, request_id) < ("),
            };
            query.push(wide).push_bind(after.at.utc());
            query.push(strict).push_bind(after.at.utc());
            query.push(", ").push_bind(after.id).push(")");
        }
    }

    /// Leaves out what does not fit the other filters.
    fn sift(&mut self, query: &mut QueryBuilder<Postgres>) {
        let filters = self.filters;
        let ids = [
            (Lead::Key, "api_key_id", filters.key.map(|id| id.uuid())),
            (Lead::User, "user_id", filters.user.map(|id| id.uuid())),
            (Lead::Group, "group_id", filters.group.map(|id| id.uuid())),
            (Lead::Offer, "offer_id", filters.offer.map(|id| id.uuid())),
            (Lead::Model, "model_id", filters.model.map(|id| id.uuid())),
            (
                Lead::Organization,
                "provider_id",
                filters.provider.map(|id| id.uuid()),
            ),
        ];
        for (lead, column, id) in ids {
            let is_sifted = lead != self.lead || matches!(lead, Lead::Organization | Lead::Offer);
            if let Some(id) = id
                && is_sifted
            {
                self.only(query, column).push_bind(id);
            }
        }
        if let Some(id) = &filters.client_request_id
            && self.lead != Lead::ClientRequest
        {
            self.only(query, "client_request_id").push_bind(id.clone());
        }
        if let Some(model) = &filters.requested_model {
            self.only(query, "requested_model").push_bind(model.clone());
        }
        if let Some(status) = filters.status {
            self.only(query, "status").push_bind(i32::from(status));
        }
        if let Some(finish) = filters.finish {
            self.only(query, "finish").push_bind(finish.as_str());
        }
        if let Some(is_failed) = filters.is_failed {
            self.only(query, "(status >= 400 or status = 0)")
                .push_bind(is_failed);
        }
        if let Some(is_estimated) = filters.is_estimated {
            self.only(query, "is_estimated").push_bind(is_estimated);
        }
        if let Some(is_stream) = filters.is_stream {
            self.only(query, "is_stream").push_bind(is_stream);
        }
    }

    fn only<'q>(
        &mut self,
        query: &'q mut QueryBuilder<Postgres>,
        what: &str,
    ) -> &'q mut QueryBuilder<Postgres> {
        self.is_sifting = true;
        query.push(" and ").push(what).push(" = ")
    }

    fn order(&self) -> &'static str {
        match self.paging.order {
            Order::Asc => " order by at, request_id",
            Order::Desc => " order by at desc, request_id desc",
        }
    }
}

/// Chooses the index that leads to the fewest calls.
fn lead(filters: &Filters) -> Lead {
    let is_troubled = filters.is_failed == Some(true)
        || filters.is_estimated == Some(true)
        || filters
            .status
            .is_some_and(|status| status == 0 || 400 <= status)
        || filters
            .finish
            .is_some_and(|finish| finish != Finish::Complete);
    let leads = [
        (filters.client_request_id.is_some(), Lead::ClientRequest),
        (is_troubled, Lead::Trouble),
        (filters.key.is_some(), Lead::Key),
        (filters.user.is_some(), Lead::User),
        (filters.group.is_some(), Lead::Group),
        (filters.offer.is_some(), Lead::Offer),
        (filters.model.is_some(), Lead::Model),
    ];
    leads
        .into_iter()
        .find_map(|(is_given, lead)| is_given.then_some(lead))
        .unwrap_or(Lead::Organization)
}

/// What a row is made of.
const COLUMNS: &str = "request_id, at, organization_id, group_id, user_id, api_key_id, client_request_id, tags, \
    requested_model, model_id, offer_id, provider_id, status, finish, is_estimated, is_stream, input_tokens, \
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, held_nano_usd, cost_nano_usd, saved_nano_usd, price_book, \
    alternative_offer_id, alternative_price_book, routed_by, strategy_id, ranked_offer_ids, first_byte_ms, duration_ms, attempts";
