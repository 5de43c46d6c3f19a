//! `synaxis check`: every fault of the configuration at once, and what counts.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::settings::{ConfigArgs, EXIT_CONFIG};
use crate::config::{self, Faults};

/// What `synaxis check` is asked.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Print the effective configuration, secrets hidden, with who set what
    #[arg(long)]
    pub print: bool,
}

/// Tells every fault; prints the effective file on demand.
#[must_use]
pub fn run(args: &CheckArgs, config_args: &ConfigArgs) -> ExitCode {
    let effective = config_args.read();
    let mut faults = effective.faults().to_vec();
    faults.extend(config::machine_faults(effective.config()));
    if args.print {
        let _ = io::stdout().write_all(effective.redacted().as_bytes());
    }
    if faults.is_empty() {
        let _ = writeln!(io::stderr(), "the configuration is sound");
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(io::stderr(), "{}", Faults(faults));
    ExitCode::from(EXIT_CONFIG)
}
