//! What free offers saved, with the price-book lines it is computed from, and whether the books bear it out.

mod ask;
mod view;

pub use ask::{ReceiptsQuery, SavingsQuery};
pub use view::{
    CheckView, ComputedView, ModelSavingsView, PriceLineView, ReceiptView, SavingsView,
    UsedLineView, Verdict,
};

use std::collections::{BTreeSet, HashMap};

use axum::extract::State;
use uuid::Uuid;

use self::{
    ask::days,
    view::{by_model, check_view, own_line},
};
use super::{
    Plane,
    error::ApiError,
    extract::{Json, Member, Query},
    list::{Listed, paging},
    openapi::Problems,
};
use crate::{
    base::{Moment, NanoUsd, OrganizationId, Paging},
    store::OrgTx,
    usage::{
        Entry,
        receipt::{LineId, Used, check, lines_of, store},
        report::{self, Dimension},
        request,
    },
};

/// How many of the newest calls are computed again for a summary.
const CHECKED: u32 = 200;

/// Tell what was saved, by which prices
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/savings",
    tag = "usage",
    params(("organization_id" = OrganizationId, Path, description = "The organization."), SavingsQuery),
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
    params(("organization_id" = OrganizationId, Path, description = "The organization."), ReceiptsQuery),
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
