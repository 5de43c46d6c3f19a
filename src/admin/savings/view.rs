//! How receipts look to their reader.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    admin::usage::NamedView,
    base::{Moment, OfferId, RequestId},
    catalog::Tier,
    usage::{
        Entry,
        receipt::{Audit, Finding, Line, LineId, Lines, Receipt, Used, lines_of},
    },
};

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
    pub(in crate::admin) fn of(entry: &Entry, finding: &Finding, lines: &Lines) -> Self {
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
    pub(super) from: Moment,
    /// The moment behind the last one.
    pub(super) to: Moment,
    /// What was paid.
    pub(super) paid_nano_usd: u64,
    /// What the calls would have cost at their cheapest paid alternatives; where one was no dearer, what they cost.
    pub(super) alternative_nano_usd: u64,
    /// What was saved.
    pub(super) saved_nano_usd: u64,
    /// Each model with its price-book lines, the one that saved most first.
    pub(super) models: Vec<ModelSavingsView>,
    /// Whether the books bear the newest calls out.
    pub(super) check: CheckView,
}

pub(super) fn own_line(used: &Used) -> Option<LineId> {
    let (offer_id, price_book) = used.offer_id.zip(used.price_book.clone())?;
    Some(LineId {
        offer_id,
        price_book,
    })
}

pub(super) fn by_model(
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

pub(super) fn check_view(audit: Audit, next_cursor: Option<String>) -> CheckView {
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
