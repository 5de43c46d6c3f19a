//! `Doors`: every operation with its access, as router, as table and as OpenAPI document at once.

use std::{collections::HashMap, sync::Arc};

use axum::{Router, http::Method};
use utoipa::openapi::{
    OpenApi, PathItem, RefOr,
    extensions::ExtensionsBuilder,
    path::{self, ParameterIn},
    security::SecurityRequirement,
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{
    Plane,
    access::{Access, Operation},
    openapi,
    throttle::Throttle,
};

/// The operations of the API while they are listed.
pub struct Doors {
    router: OpenApiRouter<Plane>,
    table: Table,
}

/// Every operation, found by method and path.
#[derive(Clone, Debug, Default)]
pub struct Table(HashMap<(Method, String), Arc<Operation>>);

impl Doors {
    /// Begins with none.
    #[must_use]
    pub fn new() -> Self {
        Self {
            router: OpenApiRouter::with_openapi(openapi::frame()),
            table: Table::default(),
        }
    }

    /// Adds what `routes!` made, for those whom `access` lets in.
    #[must_use]
    pub fn at(self, access: Access, routes: UtoipaMethodRouter<Plane>) -> Self {
        self.add(access, None, routes)
    }

    /// Adds what `routes!` made, for anybody, but not too often.
    #[must_use]
    pub fn throttled(self, throttle: Throttle, routes: UtoipaMethodRouter<Plane>) -> Self {
        self.add(Access::Public, Some(throttle), routes)
    }

    fn add(
        mut self,
        access: Access,
        throttle: Option<Throttle>,
        routes: UtoipaMethodRouter<Plane>,
    ) -> Self {
        let (schemas, mut paths, handlers) = routes;
        for (path, item) in &mut paths.paths {
            for (method, operation) in operations_of(item) {
                secure(operation, access);
                openapi::complete(operation, &method);
                let known = known(&method, path, operation, access, throttle);
                self.table.0.insert((method, path.clone()), Arc::new(known));
            }
        }
        self.router = self.router.routes((schemas, paths, handlers));
        self
    }

    /// Returns the handlers, the table of them, and the document that describes them.
    pub fn open(self) -> (Router<Plane>, Table, OpenApi) {
        let (router, document) = self.router.split_for_parts();
        (router, self.table, document)
    }
}

impl Default for Doors {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// Returns the operation behind a method and a path of the router; HEAD is what GET is.
    #[must_use]
    pub fn find(&self, method: &Method, path: &str) -> Option<Arc<Operation>> {
        let method = if method == Method::HEAD {
            Method::GET
        } else {
            method.clone()
        };
        self.0.get(&(method, path.to_owned())).cloned()
    }

    /// Returns every operation, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.0.values().map(AsRef::as_ref)
    }
}

/// The operations of one path that a document can hold and we serve.
fn operations_of(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut path::Operation)> {
    let slots = [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ];
    slots
        .into_iter()
        .filter_map(|(method, slot)| slot.as_mut().map(|operation| (method, operation)))
}

/// What the layers must know of an operation.
fn known(
    method: &Method,
    path: &str,
    operation: &path::Operation,
    access: Access,
    throttle: Option<Throttle>,
) -> Operation {
    let parameters = operation.parameters.iter().flatten();
    let query = parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => {
            Some(parameter.name.clone())
        }
        RefOr::T(_) | RefOr::Ref(_) => None,
    });
    Operation {
        method: method.clone(),
        path: path.to_owned(),
        id: operation.operation_id.clone().unwrap_or_default(),
        access,
        query: query.collect(),
        throttle,
    }
}

/// Writes into the document who may use an operation.
fn secure(operation: &mut path::Operation, access: Access) {
    let bearer = SecurityRequirement::new(openapi::BEARER, [] as [&str; 0]);
    operation.security = Some(match access {
        Access::Public => Vec::new(),
        Access::SignedIn | Access::Member(_) | Access::Platform => vec![bearer],
    });
    let permission = ExtensionsBuilder::new()
        .add("x-permission", access.word())
        .build();
    operation
        .extensions
        .get_or_insert_default()
        .merge(permission);
}
