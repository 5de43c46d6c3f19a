//! `synaxis migrate`: brings the database to the schema this binary knows.

use std::process::ExitCode;

use super::{block_on, operator, settings::ConfigArgs};
use crate::store::migrate;

/// What `synaxis migrate` is asked.
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    /// Name the migrations that would be applied, and apply none
    #[arg(long)]
    pub dry_run: bool,
}

/// Applies what is missing.
#[must_use]
pub fn run(args: &MigrateArgs, config: &ConfigArgs) -> ExitCode {
    let settings = match operator::settings(config) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    block_on(async {
        let (names, done) = if args.dry_run {
            (migrate::pending(&settings).await?, "would apply")
        } else {
            (migrate::migrate(&settings).await?, "applied")
        };
        for name in &names {
            operator::print(&format!("{done} {name}"))?;
        }
        if names.is_empty() {
            operator::print("the schema is up to date")?;
        }
        Ok(())
    })
}
