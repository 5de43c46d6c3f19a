//! `cargo bench --bench side_by_side`: Synaxis with everything on beside a bare Pingora proxy, in turns on one core.
//!
//! One command starts all it needs and stops it again. An absolute figure of a shared machine means little:
//! read the ratios.

#![expect(
    clippy::print_stdout,
    reason = "a table on the terminal is the purpose"
)]
#![expect(clippy::float_arithmetic, reason = "figures for reading, not money")]

mod accounts;
mod body;
mod books;
mod catalog;
mod check;
mod cores;
mod cpu;
mod half;
mod load;
mod peers;
mod process;
mod redis;
mod report;
mod rounds;
mod scenario;
mod synaxis;
mod table;
mod target;
mod twin;
mod upstream;

use std::{net::SocketAddr, process::ExitCode};

use clap::Parser;

/// What `synaxis` itself allocates with: the twin shall not lose by it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Synaxis and a bare Pingora proxy side by side.
#[derive(Debug, Parser)]
#[command(name = "side_by_side")]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    run: RunArgs,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured, and how long.
#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Turns each target gets in each scenario
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load in each turn
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Connections that call at once
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Scenarios to run, by name [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    scenarios: Vec<String>,
    /// Targets to run besides bare Pingora, by name [default: all that are installed]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    targets: Vec<String>,
    /// Bring everything up, say where it is, and wait for Ctrl-C: for a profiler
    #[arg(long)]
    hold: bool,
}

/// What this binary becomes when it starts itself again.
#[derive(Debug, clap::Subcommand)]
enum Part {
    /// The bare Pingora proxy
    #[command(hide = true)]
    Twin {
        listen: SocketAddr,
        upstream: SocketAddr,
    },
    /// The provider behind every target
    #[command(hide = true)]
    Upstream { listen: SocketAddr },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let ended = match args.part {
        Some(Part::Twin { listen, upstream }) => twin::run(listen, upstream),
        Some(Part::Upstream { listen }) => upstream::run(listen),
        None if args.bench => report::run(&args.run),
        // A test runner that was told `--all-targets` looks in: there is nothing for it here.
        None => Ok(ExitCode::SUCCESS),
    };
    ended.unwrap_or_else(|error| {
        println!("side_by_side: {error:#}");
        ExitCode::FAILURE
    })
}
