//! `synaxis audit verify`: does every chain of the audit log still hold?

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::{block_on, operator, settings::ConfigArgs};
use crate::{
    audit::{
        AuditKeys,
        checkpoint::marks,
        folder::Folder,
        inspect::inspect,
        store,
        verify::{Fault, Marks, Sound},
    },
    base::OrganizationId,
    store::{
        Whose,
        postgres::{Postgres, Role, Settings},
    },
};

/// What is asked of the audit log.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum AuditCommand {
    /// Walk every chain; name the first bad row of each, and end with 1 when there is one
    Verify(VerifyArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct VerifyArgs {
    /// Only this organization's chain [default: all, and the platform's]
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    /// The folder of signed checkpoints, without which a chain that was cut at its end looks sound
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// Runs the command.
#[must_use]
pub fn run(args: &AuditArgs, config: &ConfigArgs) -> ExitCode {
    let settings = match operator::settings(config) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let AuditCommand::Verify(args) = &args.command;
    block_on(verify(args, &settings))
}

async fn verify(args: &VerifyArgs, settings: &Settings) -> anyhow::Result<()> {
    let keys = AuditKeys::installed()
        .context("security.sealing_key is not set, or shorter than 32 bytes")?;
    let vouched = Vouched::read(args, keys)?;
    let postgres = operator::open(settings, Role::Admin)?;
    let chains = chains(args, &vouched, &postgres).await?;
    let mut rows = Vec::new();
    let mut broken = vouched.faults.len();
    for whose in chains {
        let marks = vouched.marks.get(&whose).cloned().unwrap_or_default();
        let outcome = inspect(&postgres, whose, keys, marks).await?;
        broken += usize::from(outcome.is_err());
        rows.push(row(whose, &outcome));
    }
    rows.extend(vouched.faults);
    operator::print_rows(
        &rows,
        &["chain", "status", "rows", "seq", "message"],
        args.json,
    )?;
    if broken > 0 {
        bail!("the audit log does not hold in {broken} place(s)");
    }
    Ok(())
}

/// What a folder of checkpoints vouches for, and its lines that cannot be believed.
struct Vouched {
    marks: BTreeMap<Whose, Marks>,
    faults: Vec<Value>,
}

impl Vouched {
    fn read(args: &VerifyArgs, keys: &AuditKeys) -> anyhow::Result<Self> {
        let Some(path) = &args.checkpoints else {
            return Ok(Self {
                marks: BTreeMap::new(),
                faults: Vec::new(),
            });
        };
        let read = Folder::at(path.clone()).read(keys);
        let (checkpoints, faults) =
            read.with_context(|| format!("{} cannot be read", path.display()))?;
        let told = faults.iter().map(|fault| {
            json!({ "chain": "checkpoints", "status": "broken", "kind": "checkpoint_forged", "message": fault.to_string() })
        });
        Ok(Self {
            marks: marks(&checkpoints),
            faults: told.collect(),
        })
    }
}

/// Returns the chains to walk: those the books know, and those only a checkpoint knows any more.
async fn chains(
    args: &VerifyArgs,
    vouched: &Vouched,
    postgres: &Postgres,
) -> anyhow::Result<Vec<Whose>> {
    if let Some(organization) = args.organization {
        return Ok(vec![Whose::Organization(organization)]);
    }
    let ends = store::ends(&mut *postgres.acquire().await?).await?;
    let mut chains: Vec<Whose> = ends.iter().map(|end| end.whose).collect();
    chains.extend(vouched.marks.keys());
    chains.sort();
    chains.dedup();
    Ok(chains)
}

fn row(whose: Whose, outcome: &Result<Sound, Fault>) -> Value {
    let chain = match whose {
        Whose::Platform => "platform".to_owned(),
        Whose::Organization(id) => id.to_string(),
    };
    match outcome {
        Ok(sound) => json!({
            "chain": chain, "status": "sound", "rows": sound.rows, "seq": sound.last_seq, "message": "",
        }),
        Err(fault) => json!({
            "chain": chain, "status": "broken", "kind": fault.kind, "seq": fault.seq,
            "message": fault.kind.to_string(),
        }),
    }
}
