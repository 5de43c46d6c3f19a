//! Which operation a request is for, and that it names only parameters the operation knows.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};

use super::{
    access::Operation,
    doors::Table,
    error::{ApiError, FieldFault},
};

/// Tells the layers around a handler which operation it is.
pub async fn name_operation(
    State(table): State<Table>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let operation = path.and_then(|path| table.find(request.method(), path.as_str()));
    if let Some(operation) = operation {
        request.extensions_mut().insert(operation);
    }
    next.run(request).await
}

/// Refuses parameters the operation does not know: a misspelt filter must not show everything.
///
/// # Errors
/// 400 that names them.
pub async fn refuse_unknown(request: Request, next: Next) -> Result<Response, ApiError> {
    let Some(operation) = request.extensions().get::<Arc<Operation>>() else {
        return Err(ApiError::NotFound);
    };
    let query = request.uri().query().unwrap_or_default();
    let faults: Vec<FieldFault> = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| !operation.query.iter().any(|known| known == name))
        .map(|(name, _)| FieldFault::new(name, "there is no such parameter"))
        .collect();
    if !faults.is_empty() {
        return Err(ApiError::Invalid(faults));
    }
    Ok(next.run(request).await)
}
