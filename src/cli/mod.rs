//! Sub-commands; one file each. The composition roots.

pub mod audit_key;
pub mod operator;
pub mod settings;

pub mod admin;
pub mod audit;
pub mod catalog;
pub mod check;
pub mod dev;
pub mod keys;
pub mod limits;
pub mod migrate;
pub mod openapi;
pub mod orgs;
pub mod proxy;
pub mod simulate;
pub mod spool;
pub mod stop;
pub mod users;

use std::{future::Future, io::Write, process::ExitCode};

use clap::Parser;
use tokio::runtime::Builder;

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
    /// Run everything on this machine: servers, demo tenant, simulated providers, both planes
    #[command(after_help = "Example: synaxis dev --state-dir .synaxis")]
    Dev(Box<dev::DevArgs>),
    /// Run the data plane
    #[command(after_help = "Example: SYNAXIS__DATABASE__URL=postgres://… synaxis proxy")]
    Proxy(proxy::ProxyArgs),
    /// Run the sidecar: API and console
    #[command(after_help = "Example: SYNAXIS__DATABASE__URL=postgres://… synaxis admin")]
    Admin,
    /// Print the OpenAPI document of the sidecar's API
    #[command(after_help = "Example: synaxis openapi > openapi.json")]
    Openapi,
    /// Run a simulated provider: for demos, load tests and the test-suite
    #[command(after_help = simulate_help())]
    Simulate(Box<simulate::SimulateArgs>),
    /// Tell every fault of the configuration at once
    #[command(after_help = "Example: synaxis check --print")]
    Check(check::CheckArgs),
    /// Bring the database to the schema this binary knows
    #[command(after_help = "Example: synaxis migrate --dry-run")]
    Migrate(migrate::MigrateArgs),
    /// Bring providers, models, offers, prices and aliases in and out of the books
    #[command(after_help = "Example: synaxis catalog import conf/catalog")]
    Catalog(catalog::CatalogArgs),
    /// Verify the audit log
    #[command(
        after_help = "Example: synaxis audit verify --checkpoints /var/lib/synaxis/checkpoints"
    )]
    Audit(audit::AuditArgs),
    /// Look at what could not be booked, and book it again
    #[command(after_help = "Example: synaxis spool letters")]
    Spool(spool::SpoolArgs),
    /// Make and list tenants
    #[command(after_help = "Example: synaxis orgs create --name Acme --json")]
    Orgs(orgs::OrgsArgs),
    /// Make and list people
    #[command(after_help = "Example: synaxis users list")]
    Users(users::UsersArgs),
    /// Make, list, revoke and rotate keys
    #[command(
        after_help = "Example: synaxis keys list --organization 019aa0f0-0000-7000-8000-000000000000"
    )]
    Keys(keys::KeysArgs),
    /// Enforce limits, or only count what they would refuse
    #[command(after_help = "Example: synaxis limits off --reason 'the counters are wrong'")]
    Limits(limits::LimitsArgs),
}

/// Runs the command the arguments name.
#[must_use]
pub fn run() -> ExitCode {
    // One provider of cryptography, whoever connects first.
    let _was_installed_before = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    if let Some(parent) = cli.config.die_with_parent
        && let Err(error) = stop::die_with_parent(parent)
    {
        return failed(&error.into());
    }
    match cli.command {
        Command::Dev(args) => dev::run(&args, &cli.config),
        Command::Proxy(args) => proxy::run(&args, &cli.config),
        Command::Admin => admin::run(&cli.config),
        Command::Openapi => openapi::run(),
        Command::Simulate(args) => simulate::run(*args),
        Command::Check(args) => check::run(&args, &cli.config),
        Command::Migrate(args) => migrate::run(&args, &cli.config),
        Command::Catalog(args) => catalog::run(&args, &cli.config),
        Command::Audit(args) => audit::run(&args, &cli.config),
        Command::Spool(args) => spool::run(&args, &cli.config),
        Command::Orgs(args) => orgs::run(&args, &cli.config),
        Command::Users(args) => users::run(&args, &cli.config),
        Command::Keys(args) => keys::run(&args, &cli.config),
        Command::Limits(args) => limits::run(&args, &cli.config),
    }
}

fn simulate_help() -> String {
    format!(
        "Example: synaxis simulate --listen 127.0.0.1:9001 --latency-ms 50 --fault status=503,p=0.1\n\n{}",
        crate::simulate::FAULT_HELP
    )
}

/// Runs a command's work on a runtime with a thread per core, and tells how it failed.
fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    block_on_with(&mut Builder::new_multi_thread(), work)
}

/// Runs a command's work on a runtime of its own making.
fn block_on_with(
    builder: &mut Builder,
    work: impl Future<Output = anyhow::Result<()>>,
) -> ExitCode {
    let ended = builder
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(work));
    ended.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

fn failed(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "synaxis: {error:#}");
    ExitCode::FAILURE
}
