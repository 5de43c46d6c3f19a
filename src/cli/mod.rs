//! Sub-commands; one file each. The composition roots.

pub mod check;
pub mod settings;

use std::process::ExitCode;

use clap::Parser;

use settings::ConfigArgs;

/// The gateway for LLM traffic that spends $0 first.
#[derive(Debug, Parser)]
#[command(name = "synaxis", version)]
struct Cli {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Tell every fault of the configuration at once
    #[command(after_help = "Example: synaxis check --print")]
    Check(check::CheckArgs),
}

/// Runs the command the arguments name.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Check(args) => check::run(&args, &cli.config),
    }
}
