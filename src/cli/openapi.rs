//! `synaxis openapi`: the admin API's document.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;

use crate::admin::router;

/// Prints the OpenAPI document of the admin API.
#[must_use]
pub fn run() -> ExitCode {
    print().map_or_else(|error| super::failed(&error), |()| ExitCode::SUCCESS)
}

fn print() -> anyhow::Result<()> {
    let document = serde_json::to_string_pretty(&router::document())?;
    writeln!(io::stdout(), "{document}").context("the document cannot be printed")
}
