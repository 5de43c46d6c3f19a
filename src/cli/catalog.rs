//! `synaxis catalog`: brings the catalog from a file into the books, and out again.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use serde_json::json;

use super::{block_on, operator, settings::ConfigArgs};
use crate::{
    base::{Clock, Fault, OrganizationId, Secret},
    catalog::{CatalogFile, Holdings, Vault, file},
    config::{self, Config, Environment},
    control::catalog::{Change, Import, ImportRefused, import},
    egress::Guard,
    store::postgres::Role,
};

/// What `synaxis catalog` is asked.
#[derive(Debug, clap::Args)]
pub struct CatalogArgs {
    #[command(subcommand)]
    command: CatalogCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CatalogCommand {
    /// Make the books say what a file says; twice in a row, the second changes nothing
    #[command(after_help = "Example: synaxis catalog import conf/catalog/example.toml")]
    Import(FileArgs),
    /// Tell what importing a file would change, and change nothing
    #[command(after_help = "Example: synaxis catalog diff conf/catalog/example.toml")]
    Diff(FileArgs),
    /// Print the books as a file, without providers' keys
    #[command(after_help = "Example: synaxis catalog export > catalog.toml")]
    Export {
        /// Whose catalog [default: the platform's]
        #[arg(long, value_name = "ID")]
        organization: Option<OrganizationId>,
    },
}

#[derive(Debug, clap::Args)]
struct FileArgs {
    /// The catalog file; `-` reads from standard input
    file: PathBuf,
    /// Whose catalog it changes [default: the platform's]
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    /// Take out models, providers, offers and aliases the file does not name
    #[arg(long)]
    prune: bool,
    /// Print the changes as a JSON object
    #[arg(long)]
    json: bool,
}

/// Whether what was changed is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Kept,
    RolledBack,
}

/// Runs one of the commands.
#[must_use]
pub fn run(args: &CatalogArgs, config: &ConfigArgs) -> ExitCode {
    let config = match config.load(&["database", "egress"]) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    operator::sign_with_key_of(&config);
    block_on(async {
        match &args.command {
            CatalogCommand::Import(args) => bring_in(args, &config, Ending::Kept).await,
            CatalogCommand::Diff(args) => bring_in(args, &config, Ending::RolledBack).await,
            CatalogCommand::Export { organization } => export(*organization, &config).await,
        }
    })
}

async fn bring_in(args: &FileArgs, config: &Config, ending: Ending) -> anyhow::Result<()> {
    let text = text_of(&args.file)?;
    let env = |name: &str| config::variable(name).map(Secret::new);
    let file = file::parse(&text, &env).map_err(|faults| told(&args.file, &faults))?;
    let vault = vault(config, &file)?;
    let postgres = operator::open(&config.database, Role::Admin)?;
    let order = Import {
        file: &file,
        source: &args.file.to_string_lossy(),
        vault: vault.as_ref(),
        guard: &Guard::new(config.egress.clone(), Clock::default()),
        is_pruning: args.prune,
    };
    let mut tx = postgres.begin_for_owner(args.organization).await?;
    match import(&mut tx, &order, operator::by()).await {
        Ok(changes) => {
            if ending == Ending::Kept {
                tx.commit().await?;
            }
            report(&file, &changes, args, ending)
        }
        Err(ImportRefused::Faulty(faults)) => Err(told(&args.file, &faults)),
        Err(refused) => Err(refused.into()),
    }
}

fn report(
    file: &CatalogFile,
    changes: &[Change],
    args: &FileArgs,
    ending: Ending,
) -> anyhow::Result<()> {
    if args.json {
        let is_kept = ending == Ending::Kept;
        return operator::print(&json!({ "kept": is_kept, "changes": changes }).to_string());
    }
    for change in changes {
        operator::print(&change.to_string())?;
    }
    let unpriced = file.offers.iter().filter(|offer| offer.price.is_none());
    for offer in unpriced {
        let note = "no price in the file: without one in the books it is not used";
        writeln!(io::stderr(), "note: offer {}: {note}", offer.key())?;
    }
    match (changes.len(), ending) {
        (0, _) => operator::print("the catalog says the same already"),
        (count, Ending::Kept) => operator::print(&format!("{count} changes")),
        (count, Ending::RolledBack) => operator::print(&format!("{count} changes to be made")),
    }
}

async fn export(organization: Option<OrganizationId>, config: &Config) -> anyhow::Result<()> {
    let postgres = operator::open(&config.database, Role::Admin)?;
    let mut tx = postgres.begin_for_owner(organization).await?;
    let held = Holdings::read(&mut tx, organization).await?;
    operator::print(held.to_file().to_toml()?.trim_end())
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        return io::read_to_string(io::stdin()).context("standard input cannot be read");
    }
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Opens the vault for a file that has something to put into it.
fn vault(config: &Config, file: &CatalogFile) -> anyhow::Result<Option<Vault>> {
    let security = &config.security;
    if file.credentials.is_empty() || security.sealing_key.is_empty() {
        return Ok(None);
    }
    let weaknesses = match config.environment {
        Environment::Production => security.weaknesses(),
        Environment::Development => Vec::new(),
    };
    let mut weaknesses = weaknesses.into_iter();
    if let Some(fault) = weaknesses.find(|fault| fault.path == "sealing_key") {
        anyhow::bail!("{}", fault.under("security"));
    }
    Ok(Some(security.vault()?))
}

/// Tells every fault, each on its line.
fn told(path: &Path, faults: &[Fault]) -> anyhow::Error {
    let lines: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
    let count = faults.len();
    anyhow::anyhow!("{} has {count} faults:{}", path.display(), lines.concat())
}
