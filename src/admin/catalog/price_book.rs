//! The price book over the API: brought in from a file, compared with one, written out as one.

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{owner::Owner, refusal::field_faults};
use crate::{
    admin::{
        Plane,
        error::ApiError,
        extract::{Json, Query},
        list::{ListQuery, Listed},
        openapi::Problems,
    },
    base::{Moment, OrganizationId},
    catalog::{
        CatalogFile, Holdings, file,
        store::{self, price_books::PriceBook},
    },
    control::catalog::{Change, Import, import, providers::Reachable},
};

/// A version of the prices.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceBookView {
    /// Its id.
    id: Uuid,
    /// Its name: what it says, hashed. Entries name the one that priced them.
    version: String,
    /// Where it came from.
    source: String,
    /// How many prices stand in it.
    prices: i64,
    /// When it was first seen.
    created_at: Moment,
}

impl PriceBookView {
    fn of(book: PriceBook) -> Self {
        Self {
            id: book.id,
            version: book.version,
            source: book.source,
            prices: book.prices,
            created_at: book.created_at,
        }
    }
}

/// A catalog file.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CatalogText {
    /// The file: TOML, as conf/catalog/README.md describes it. `credential_env` is not known here.
    #[garde(skip)]
    catalog: String,
    /// Where it came from.
    #[serde(default)]
    #[garde(length(chars, max = 200), pattern("^[^\\x00]*$"))]
    source: String,
    /// Whether what the file does not name is taken out.
    #[serde(default)]
    #[garde(skip)]
    is_pruning: bool,
}

/// What a file changed, or would change.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangesView {
    /// Whether the changes were made.
    is_kept: bool,
    /// What is different.
    changes: Vec<Change>,
}

/// The catalog as a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogExport {
    /// The file: TOML, without providers' keys.
    catalog: String,
}

fn parsed(text: &str) -> Result<CatalogFile, ApiError> {
    // Whoever asks from afar does not read our environment.
    file::parse(text, &|_| None).map_err(|faults| ApiError::Invalid(field_faults(&faults)))
}

/// List the versions of the organization's prices
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/price-books",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path), ListQuery),
    responses((status = 200, description = "A page.", body = Listed<PriceBookView>), Problems)
)]
pub async fn list_price_books(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<PriceBookView>>, ApiError> {
    let paging = query.paging()?;
    let mut tx = owner.begin(&plane).await?;
    let books = store::price_books::list(&mut tx, owner.id, &paging).await?;
    let page = paging.page(books, |book| (book.created_at, book.id));
    Ok(Json(Listed::of(page, PriceBookView::of)))
}

/// List the versions of the platform's prices
#[utoipa::path(
    get,
    path = "/api/v1/platform/price-books",
    tag = "catalog",
    params(ListQuery),
    responses((status = 200, description = "A page.", body = Listed<PriceBookView>), Problems)
)]
pub async fn list_platform_price_books(
    State(plane): State<Plane>,
    owner: Owner,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<PriceBookView>>, ApiError> {
    list_price_books(State(plane), owner, Query(query)).await
}

/// Write the organization's own catalog out as a file
#[utoipa::path(
    get,
    path = "/api/v1/organizations/{organization_id}/price-book",
    tag = "catalog",
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 200, description = "The file.", body = CatalogExport), Problems)
)]
pub async fn export_price_book(
    State(plane): State<Plane>,
    owner: Owner,
) -> Result<Json<CatalogExport>, ApiError> {
    let mut tx = owner.begin(&plane).await?;
    let held = Holdings::read(&mut tx, owner.id).await?;
    let catalog = held
        .to_file()
        .to_toml()
        .map_err(|error| ApiError::internal("the catalog cannot be written out", &error))?;
    Ok(Json(CatalogExport { catalog }))
}

/// Write the platform's catalog out as a file
#[utoipa::path(
    get,
    path = "/api/v1/platform/price-book",
    tag = "catalog",
    responses((status = 200, description = "The file.", body = CatalogExport), Problems)
)]
pub async fn export_platform_price_book(
    State(plane): State<Plane>,
    owner: Owner,
) -> Result<Json<CatalogExport>, ApiError> {
    export_price_book(State(plane), owner).await
}

/// Make the organization's own catalog say what a file says; twice in a row, the second changes nothing
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/price-book/import",
    tag = "catalog",
    request_body = CatalogText,
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 200, description = "What changed.", body = ChangesView), Problems)
)]
pub async fn import_price_book(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CatalogText>,
) -> Result<Json<ChangesView>, ApiError> {
    bring_in(&plane, &owner, &request, true).await
}

/// Make the platform's catalog say what a file says; twice in a row, the second changes nothing
#[utoipa::path(
    post,
    path = "/api/v1/platform/price-book/import",
    tag = "catalog",
    request_body = CatalogText,
    responses((status = 200, description = "What changed.", body = ChangesView), Problems)
)]
pub async fn import_platform_price_book(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CatalogText>,
) -> Result<Json<ChangesView>, ApiError> {
    import_price_book(State(plane), owner, Json(request)).await
}

/// Tell what importing a file would change, and change nothing
#[utoipa::path(
    post,
    path = "/api/v1/organizations/{organization_id}/price-book/diff",
    tag = "catalog",
    request_body = CatalogText,
    params(("organization_id" = OrganizationId, Path)),
    responses((status = 200, description = "What would change.", body = ChangesView), Problems)
)]
pub async fn diff_price_book(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CatalogText>,
) -> Result<Json<ChangesView>, ApiError> {
    bring_in(&plane, &owner, &request, false).await
}

/// Tell what importing a file into the platform's catalog would change, and change nothing
#[utoipa::path(
    post,
    path = "/api/v1/platform/price-book/diff",
    tag = "catalog",
    request_body = CatalogText,
    responses((status = 200, description = "What would change.", body = ChangesView), Problems)
)]
pub async fn diff_platform_price_book(
    State(plane): State<Plane>,
    owner: Owner,
    Json(request): Json<CatalogText>,
) -> Result<Json<ChangesView>, ApiError> {
    diff_price_book(State(plane), owner, Json(request)).await
}

async fn bring_in(
    plane: &Plane,
    owner: &Owner,
    request: &CatalogText,
    is_kept: bool,
) -> Result<Json<ChangesView>, ApiError> {
    let file = parsed(&request.catalog)?;
    for provider in &file.providers {
        Reachable::judge(&plane.egress, &provider.base_url).await?;
    }
    let order = Import {
        file: &file,
        source: &request.source,
        vault: Some(&plane.vault),
        guard: &plane.egress,
        is_pruning: request.is_pruning,
    };
    let mut tx = owner.begin(plane).await?;
    let changes = import(&mut tx, &order, owner.by).await?;
    if is_kept {
        tx.commit().await?;
    }
    Ok(Json(ChangesView { is_kept, changes }))
}
