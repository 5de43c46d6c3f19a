//! What free offers saved, with the price-book lines it is computed from, and whether the books bear it out.

use std::collections::{BTreeSet, HashMap};

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Plane,
    error::ApiError,
    extract::{Json, Member, Query},
    list::{Listed, paging},
    openapi::Problems,
    usage::NamedView,
};
use crate::{
    base::{Moment, NanoUsd, OfferId, Order, OrganizationId, Paging, RequestId},
    catalog::Tier,
    store::OrgTx,
    usage::{
        Entry,
        receipt::{Audit, Finding, Line, LineId, Lines, Receipt, Used, check, lines_of, store},
        report::{self, Dimension, Period},
        request,
    },
};

/// The longest period of a receipt.
const LONGEST_DAYS: i64 = 400;
/// The period when nobody says.
const USUAL_DAYS: i64 = 30;
/// Milliseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1_000;
/// How many of the newest calls are computed again for a summary.
const CHECKED: u32 = 200;

/// The period of a receipt, in whole days (UTC).
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SavingsQuery {
    /// The first day, by any moment of it; 30 days before `to` when absent.
    pub from: Option<DateTime<Utc>>,
    /// The moment behind the last day; today is included when absent.
    pub to: Option<DateTime<Utc>>,
}

/// Which receipts to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReceiptsQuery {
    /// Only of calls that began then or later.
    pub from: Option<DateTime<Utc>>,
    /// Only of calls that began before.
    pub to: Option<DateTime<Utc>>,
    /// How many at most; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Which end comes first: the newest (`desc`) when absent.
    #[param(inline)]
    pub order: Option<Order>,
}

/// Whether the price books bear an entry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// To the nano-dollar.
    Agrees,
    /// They say something else.
    Differs,
    /// They cannot say.
    Unknown,
}

/// A line of a price book: billionths of a dollar per million tokens.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PriceLineView {
    /// The offer.
    offer_id: OfferId,
    /// The version its price stands in.
    price_book: String,
    /// Calls to a free offer cost nothing, whatever its list price.
    #[schema(inline)]
    tier: Tier,
    /// Tokens read.
    input: u64,
    /// Tokens read from the provider's cache; as `input` when null.
    cached_input: Option<u64>,
    /// Tokens written to the provider's cache; as `input` when null.
    cache_write: Option<u64>,
    /// Tokens written.
    output: u64,
    /// Tokens spent on reasoning; as `output` when null.
    reasoning: Option<u64>,
    /// One call, whatever it reads and writes.
    per_request: u64,
}

impl From<&Line> for PriceLineView {
    fn from(line: &Line) -> Self {
        let price = &line.price;
        Self {
            offer_id: line.id.offer_id,
            price_book: line.id.price_book.clone(),
            tier: line.tier,
            input: price.input.0,
            cached_input: price.cached_input.map(|amount| amount.0),
            cache_write: price.cache_write.map(|amount| amount.0),
            output: price.output.0,
            reasoning: price.reasoning.map(|amount| amount.0),
            per_request: price.per_request.0,
        }
    }
}

/// What a call cost and saved, by the books.
#[derive(Debug, Serialize, ToSchema)]
pub struct ComputedView {
    /// What the tokens of the answer cost.
    answer_nano_usd: u64,
    /// What each attempt was charged, in their order.
    attempts_nano_usd: Vec<u64>,
    /// All of it.
    cost_nano_usd: u64,
    /// What the same tokens would have cost at the alternative; null without one.
    alternative_nano_usd: Option<u64>,
    /// How much more that is.
    saved_nano_usd: u64,
}

/// One call's cost and saving, as booked and as computed again.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiptView {
    /// The call.
    request_id: RequestId,
    /// Whether the books bear it out.
    #[schema(inline)]
    verdict: Verdict,
    /// What it cost, as booked.
    cost_nano_usd: u64,
    /// What it saved, as booked.
    saved_nano_usd: u64,
    /// Both as the books have it; null when they cannot say.
    computed: Option<ComputedView>,
    /// The offer the call was measured against, and the version of its price.
    alternative_offer_id: Option<OfferId>,
    /// The version of the alternative's price.
    alternative_price_book: Option<String>,
    /// The lines it is computed from: of the answer, of charged attempts, of the alternative.
    lines: Vec<PriceLineView>,
}

impl ReceiptView {
    pub(super) fn of(entry: &Entry, finding: &Finding, lines: &Lines) -> Self {
        let (verdict, receipt) = match finding {
            Finding::Agrees(receipt) => (Verdict::Agrees, Some(receipt)),
            Finding::Differs(receipt) => (Verdict::Differs, Some(receipt)),
            Finding::Unknown(_) => (Verdict::Unknown, None),
        };
        let alternative = entry.alternative.as_ref();
        Self {
            request_id: entry.request_id,
            verdict,
            cost_nano_usd: entry.cost_nano_usd.0,
            saved_nano_usd: entry.saved_nano_usd.0,
            computed: receipt.map(ComputedView::from),
            alternative_offer_id: alternative.map(|alternative| alternative.offer_id),
            alternative_price_book: alternative.map(|alternative| alternative.price_book.clone()),
            lines: lines_of(entry)
                .iter()
                .filter_map(|id| lines.get(id))
                .map(PriceLineView::from)
                .collect(),
        }
    }
}

impl From<&Receipt> for ComputedView {
    fn from(receipt: &Receipt) -> Self {
        Self {
            answer_nano_usd: receipt.answer.0,
            attempts_nano_usd: receipt.attempts.iter().map(|amount| amount.0).collect(),
            cost_nano_usd: receipt.cost.0,
            alternative_nano_usd: receipt.alternative.map(|amount| amount.0),
            saved_nano_usd: receipt.saved.0,
        }
    }
}

/// What one line of the price books came to.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsedLineView {
    /// The offer that answered, or was tried last.
    offer: NamedView,
    /// The line; null when its calls were booked before lines were rolled up, or no attempt answered.
    line: Option<PriceLineView>,
    /// The offer the calls were measured against; null when there was none.
    alternative: Option<NamedView>,
    /// Its line.
    alternative_line: Option<PriceLineView>,
    /// How many calls.
    requests: u64,
    /// Tokens read.
    input_tokens: u64,
    /// Of these, read from the provider's cache.
    cached_tokens: u64,
    /// Of these, written to the provider's cache.
    cache_write_tokens: u64,
    /// Tokens written.
    output_tokens: u64,
    /// Of these, spent on reasoning.
    reasoning_tokens: u64,
    /// What was paid.
    paid_nano_usd: u64,
    /// What was saved.
    saved_nano_usd: u64,
}

/// What the calls to one model came to.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelSavingsView {
    /// The model that answered, or was tried last.
    model: NamedView,
    /// What was paid.
    paid_nano_usd: u64,
    /// What the calls would have cost at their cheapest paid alternatives; where one was no dearer, what they cost.
    alternative_nano_usd: u64,
    /// What was saved.
    saved_nano_usd: u64,
    /// The price-book lines it comes from.
    lines: Vec<UsedLineView>,
}

/// How many of the newest calls of the period were computed again, and what came out.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckView {
    /// Whether every call that could be computed came out as booked, to the nano-dollar.
    agrees: bool,
    /// How many calls were looked at.
    checked: u64,
    /// Of these, how many the books cannot compute.
    unknown: u64,
    /// The calls the books say something else of.
    differing: Vec<RequestId>,
    /// What the computed calls cost by the books.
    cost_nano_usd: u64,
    /// What they saved by the books.
    saved_nano_usd: u64,
    /// Where the receipts of the other calls begin, as a `cursor` of `…/savings/receipts` with the same period.
    next_cursor: Option<String>,
}

/// What was saved over a while.
#[derive(Debug, Serialize, ToSchema)]
pub struct SavingsView {
    /// The first moment.
    from: Moment,
    /// The moment behind the last one.
    to: Moment,
    /// What was paid.
    paid_nano_usd: u64,
    /// What the calls would have cost at their cheapest paid alternatives; where one was no dearer, what they cost.
    alternative_nano_usd: u64,
    /// What was saved.
    saved_nano_usd: u64,
    /// Each model with its price-book lines, the one that saved most first.
    models: Vec<ModelSavingsView>,
    /// Whether the books bear the newest calls out.
    check: CheckView,
}

/// Tell what was saved, by which prices
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/savings",
    tag = "usage",
    params(("organization_id" = OrganizationId, Path), SavingsQuery),
    responses((status = 200, description = "The receipt.", body = SavingsView), Problems)
)]
pub async fn show_savings(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<SavingsQuery>,
) -> Result<Json<SavingsView>, ApiError> {
    let period = days(&query, plane.clock.now())?;
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let used = store::used(&mut tx, period.from, period.to).await?;
    let lines = store::lines(&mut tx, &lines_used(&used)).await?;
    let names = names(&mut tx, &used).await?;
    let paging = Paging {
        limit: CHECKED,
        ..Paging::default()
    };
    let (audit, next) = store::audit(&mut tx, period, &paging).await?;
    let next = next.map(|cursor| cursor.to_string());
    let sum = |amount: fn(&Used) -> NanoUsd| used.iter().map(amount).sum::<NanoUsd>();
    let (paid, saved) = (sum(|used| used.cost), sum(|used| used.saved));
    Ok(Json(SavingsView {
        from: period.from,
        to: period.to,
        paid_nano_usd: paid.0,
        alternative_nano_usd: (paid + saved).0,
        saved_nano_usd: saved.0,
        models: by_model(&used, &lines, &names),
        check: check_view(audit, next),
    }))
}

/// List receipts of single calls
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/savings/receipts",
    tag = "usage",
    params(("organization_id" = OrganizationId, Path), ReceiptsQuery),
    responses((status = 200, description = "A page of receipts.", body = Listed<ReceiptView>), Problems)
)]
pub async fn list_receipts(
    State(plane): State<Plane>,
    member: Member,
    Query(query): Query<ReceiptsQuery>,
) -> Result<Json<Listed<ReceiptView>>, ApiError> {
    let paging = paging(query.limit, query.cursor.as_deref(), query.order)?;
    let filters = request::Filters {
        from: query.from.map(Moment::from),
        to: query.to.map(Moment::from),
        ..request::Filters::default()
    };
    let mut tx = plane.postgres.begin_for(member.scope).await?;
    let page = request::store::list(&mut tx, &filters, &paging).await?;
    let wanted = page.rows.iter().flat_map(lines_of).collect();
    let lines = store::lines(&mut tx, &wanted).await?;
    let view = |entry: Entry| ReceiptView::of(&entry, &check(&entry, &lines), &lines);
    Ok(Json(Listed::of(page, view)))
}

/// Widens what was asked for to whole days.
fn days(query: &SavingsQuery, now: Moment) -> Result<Period, ApiError> {
    let floor = |at: Moment| at.millis().div_euclid(DAY).saturating_mul(DAY);
    let to = query.to.map_or(now, Moment::from);
    // The day of `to` counts, unless that is its first moment.
    let end = floor(Moment::from_millis(to.millis().saturating_add(DAY - 1)));
    let from = query.from.map(Moment::from);
    let begin = from.map_or_else(|| end.saturating_sub(USUAL_DAYS * DAY), floor);
    if end <= begin {
        return Err(ApiError::invalid("to", "ends before it begins"));
    }
    if LONGEST_DAYS * DAY < end.saturating_sub(begin) {
        let message = format!("at most {LONGEST_DAYS} days at once");
        return Err(ApiError::invalid("from", message));
    }
    Ok(Period {
        from: Moment::from_millis(begin),
        to: Moment::from_millis(end),
    })
}

fn own_line(used: &Used) -> Option<LineId> {
    let (offer_id, price_book) = used.offer_id.zip(used.price_book.clone())?;
    Some(LineId {
        offer_id,
        price_book,
    })
}

fn lines_used(used: &[Used]) -> BTreeSet<LineId> {
    let own = used.iter().filter_map(own_line);
    own.chain(used.iter().filter_map(|used| used.alternative.clone()))
        .collect()
}

async fn names(tx: &mut OrgTx, used: &[Used]) -> Result<HashMap<Uuid, String>, ApiError> {
    let wanted = used.iter().flat_map(|used| {
        let alternative = used.alternative.as_ref().map(|line| line.offer_id);
        [
            used.model_id.map(|id| (Dimension::Model, id.uuid())),
            used.offer_id.map(|id| (Dimension::Offer, id.uuid())),
            alternative.map(|id| (Dimension::Offer, id.uuid())),
        ]
    });
    let wanted = wanted.flatten().collect();
    Ok(report::store::all_names(tx, &wanted).await?)
}

fn by_model(
    used: &[Used],
    lines: &Lines,
    names: &HashMap<Uuid, String>,
) -> Vec<ModelSavingsView> {
    let named = |id: Option<Uuid>| NamedView {
        id,
        name: id.and_then(|id| names.get(&id).cloned()),
    };
    let mut models: Vec<ModelSavingsView> = Vec::new();
    for one in used {
        let model = one.model_id.map(|id| id.uuid());
        let place = models.iter().position(|view| view.model.id == model);
        let place = place.unwrap_or_else(|| {
            models.push(ModelSavingsView {
                model: named(model),
                paid_nano_usd: 0,
                alternative_nano_usd: 0,
                saved_nano_usd: 0,
                lines: Vec::new(),
            });
            models.len() - 1
        });
        let Some(view) = models.get_mut(place) else {
            continue;
        };
        view.paid_nano_usd += one.cost.0;
        view.saved_nano_usd += one.saved.0;
        view.alternative_nano_usd += (one.cost + one.saved).0;
        view.lines.push(line_view(one, lines, &named));
    }
    models.sort_by_key(|view| std::cmp::Reverse((view.saved_nano_usd, view.paid_nano_usd)));
    models
}

fn line_view(
    used: &Used,
    lines: &Lines,
    named: &impl Fn(Option<Uuid>) -> NamedView,
) -> UsedLineView {
    let line = |id: &LineId| lines.get(id).map(PriceLineView::from);
    let alternative = used.alternative.as_ref();
    UsedLineView {
        offer: named(used.offer_id.map(|id| id.uuid())),
        line: own_line(used).as_ref().and_then(line),
        alternative: alternative.map(|id| named(Some(id.offer_id.uuid()))),
        alternative_line: alternative.and_then(line),
        requests: used.requests,
        input_tokens: used.usage.input.0,
        cached_tokens: used.usage.cached.0,
        cache_write_tokens: used.usage.cache_write.0,
        output_tokens: used.usage.output.0,
        reasoning_tokens: used.usage.reasoning.0,
        paid_nano_usd: used.cost.0,
        saved_nano_usd: used.saved.0,
    }
}

fn check_view(audit: Audit, next_cursor: Option<String>) -> CheckView {
    CheckView {
        agrees: audit.differing.is_empty(),
        checked: audit.checked,
        unknown: audit.unknown,
        differing: audit.differing,
        cost_nano_usd: audit.cost.0,
        saved_nano_usd: audit.saved.0,
        next_cursor,
    }
}
