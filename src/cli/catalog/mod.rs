//! `synaxis catalog`: brings the catalog from a file into the books, and out again.

mod quarantine;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use serde_json::json;

use self::quarantine::QuarantineArgs;
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
    #[command(after_help = "Example: synaxis catalog import conf/catalog")]
    Import(FileArgs),
    /// Tell what importing a file would change, and change nothing; exits 1 when something would
    #[command(after_help = "Example: synaxis catalog diff conf/catalog --json")]
    Diff(FileArgs),
    /// Print the books as a file, without providers' keys
    #[command(after_help = "Example: synaxis catalog export > catalog.toml")]
    Export {
        /// Whose catalog [default: the platform's]
        #[arg(long, value_name = "ID")]
        organization: Option<OrganizationId>,
    },
    /// Prices that look wrong and wait for somebody's word
    #[command(after_help = "Example: synaxis catalog quarantine release 01981c6e-…")]
    Quarantine(QuarantineArgs),
}

#[derive(Debug, clap::Args)]
struct FileArgs {
    /// The catalog file, or a folder of them (`example.toml` is left out); `-` reads from standard input
    file: PathBuf,
    /// Whose catalog it changes [default: the platform's]
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    /// Take out models, providers, offers, aliases and substitutes the file does not name
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
    let mut differs = false;
    let ended = block_on(async {
        match &args.command {
            CatalogCommand::Import(args) => bring_in(args, &config, Ending::Kept).await.map(drop),
            CatalogCommand::Diff(args) => {
                differs = bring_in(args, &config, Ending::RolledBack).await?;
                Ok(())
            }
            CatalogCommand::Export { organization } => export(*organization, &config).await,
            CatalogCommand::Quarantine(args) => quarantine::run(args, &config).await,
        }
    });
    if differs { ExitCode::FAILURE } else { ended }
}

/// Says whether the file and the books differed.
async fn bring_in(args: &FileArgs, config: &Config, ending: Ending) -> anyhow::Result<bool> {
    let file = file_of(&args.file)?;
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
            report(&file, &changes, args, ending)?;
            Ok(!changes.is_empty())
        }
        Err(ImportRefused::Faulty(faults)) => Err(told(&args.file, &faults)),
        Err(refused) => Err(refused.into()),
    }
}

/// Reads a file, or all of a folder.
fn file_of(path: &Path) -> anyhow::Result<CatalogFile> {
    let env = |name: &str| config::variable(name).map(Secret::new);
    let read = |path: &PathBuf| {
        let text = text_of(path)?;
        file::parse(&text, &env).map_err(|faults| told(path, &faults))
    };
    if !path.is_dir() {
        return read(&path.to_owned());
    }
    let files = files_in(path)?;
    let files = files.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    CatalogFile::merged(files).map_err(|faults| told(path, &faults))
}

/// Lists the catalog files of a folder in order; the example is not one of them.
fn files_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.with_context(|| format!("{} cannot be read", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut files = paths.collect::<io::Result<Vec<PathBuf>>>()?;
    let is_one = |path: &PathBuf| {
        path.extension().is_some_and(|end| end == "toml")
            && path.file_name().is_some_and(|name| name != "example.toml")
    };
    files.retain(is_one);
    files.sort();
    Ok(files)
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
