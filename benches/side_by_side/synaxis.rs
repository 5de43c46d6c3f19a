//! Synaxis with everything on: private servers, a tenant with limits, several offers, its own proxy on core 0.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    books, catalog, check,
    cores::Cores,
    process::{Order, Running, free_address},
    target::{SYNAXIS, Target},
};

/// The binary that Cargo built beside this one.
const BINARY: &str = env!("CARGO_BIN_EXE_synaxis");
/// How long `synaxis dev` may take: it makes a Postgres cluster first.
const DEV_PATIENCE: Duration = Duration::from_secs(120);
/// How long the proxy may take.
const PROXY_PATIENCE: Duration = Duration::from_secs(30);
/// What no run can reach: calls and tokens a minute.
const A_MINUTE: &str = "100000000000";
/// What no run can reach: dollars a month.
const A_MONTH_USD: &str = "1000000";

/// Synaxis, running. Stopped in this order: who uses others ends before them.
#[derive(Debug)]
pub(crate) struct Synaxis {
    proxy: Running,
    _dev: Running,
    pub(crate) target: Target,
    pub(crate) operations: SocketAddr,
    pub(crate) tenant: Tenant,
}

/// Whose calls they are, and where they are counted.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) organization: String,
    pub(crate) database_url: String,
    pub(crate) redis_url: String,
}

impl Synaxis {
    /// Brings everything up.
    pub(crate) async fn start(
        folder: &Path,
        cores: &Cores,
        upstream: SocketAddr,
    ) -> anyhow::Result<Self> {
        let state = folder.join("synaxis");
        let dev = dev(&state, folder, cores).await?;
        let told = read_json(&fs::read_to_string(state.join("dev.json"))?)?;
        let kept = read_json(&fs::read_to_string(state.join("state.json"))?)?;
        let database_url = text(&told, "database_url")?;
        let redis_url = text(&told, "redis_url")?;
        let variables = vec![
            variable("ENVIRONMENT", "development"),
            variable("DATABASE__URL", &database_url),
            variable("REDIS__URL", &redis_url),
            variable("SECURITY__SEALING_KEY", &text(&kept, "sealing_key")?),
            variable("EGRESS__ALLOW", "127.0.0.0/8"),
        ];
        let operator = Operator { folder, variables };
        let (organization, api_key) = operator.settle(upstream, &database_url).await?;
        let tenant = Tenant {
            organization,
            database_url,
            redis_url,
        };
        let (proxy, listen, operations) = operator.proxy(cores).await?;
        let target = Target {
            api_key,
            ..Target::open(SYNAXIS, listen, vec![proxy.pid()])
        };
        Ok(Self {
            proxy,
            _dev: dev,
            target,
            operations,
            tenant,
        })
    }

    /// Fails when the proxy has ended.
    pub(crate) fn still_runs(&mut self) -> anyhow::Result<()> {
        self.proxy.still_runs()
    }
}

/// Starts `synaxis dev`, for its servers: its own planes rest.
async fn dev(state: &Path, folder: &Path, cores: &Cores) -> anyhow::Result<Running> {
    let mut args = vec![
        "dev".to_owned(),
        "--state-dir".to_owned(),
        state.display().to_string(),
    ];
    for flag in [
        "--proxy-addr",
        "--admin-addr",
        "--metrics-addr",
        "--admin-metrics-addr",
    ] {
        args.extend([flag.to_owned(), free_address()?.to_string()]);
    }
    let order = Order {
        name: "dev",
        cores: &cores.servers,
        program: Path::new(BINARY),
        args,
        variables: Vec::new(),
    };
    let mut dev = Running::start(order, folder)?;
    let told = state.join("dev.json");
    dev.until(DEV_PATIENCE, || told.exists()).await?;
    Ok(dev)
}

/// Who sets the tenant up and starts the proxy, with one environment for both.
struct Operator<'a> {
    folder: &'a Path,
    variables: Vec<(String, String)>,
}

impl Operator<'_> {
    /// Imports the catalog, makes the tenant with its limits, and returns its organization and key.
    async fn settle(
        &self,
        upstream: SocketAddr,
        database_url: &str,
    ) -> anyhow::Result<(String, String)> {
        let file = self.folder.join("catalog.toml");
        fs::write(&file, catalog::toml(upstream))?;
        self.run(&["catalog", "import", &file.display().to_string()])
            .await?;
        let made = self
            .run(&["orgs", "create", "--name", "Bench", "--unlimited", "--json"])
            .await?;
        let organization = text(&read_json(&made)?, "id")?;
        books::limit_organization(database_url, &organization).await?;
        let arguments = [
            "keys",
            "create",
            "--organization",
            &organization,
            "--name",
            "bench",
            "--rpm",
            A_MINUTE,
            "--tpm",
            A_MINUTE,
            "--budget-month-usd",
            A_MONTH_USD,
            "--json",
        ];
        let made = self.run(&arguments).await?;
        Ok((organization, text(&read_json(&made)?, "api_key")?))
    }

    /// Runs one command to its end and returns what it printed.
    async fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(BINARY)
            .args(args)
            .envs(self.variables.clone())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let faults = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "synaxis {}: {said}{faults}",
            args.join(" ")
        );
        Ok(said)
    }

    /// Starts the proxy alone on its core, with one thread.
    async fn proxy(&self, cores: &Cores) -> anyhow::Result<(Running, SocketAddr, SocketAddr)> {
        let listen = free_address()?;
        let operations = free_address()?;
        let place = |name: &str| -> PathBuf { self.folder.join(name) };
        let mut variables = self.variables.clone();
        variables.extend([
            variable("PROXY__LISTEN", &listen.to_string()),
            variable("PROXY__OPERATIONS_LISTEN", &operations.to_string()),
            variable("PROXY__THREADS", "1"),
            variable("PROXY__STATE_DIR", &place("proxy").display().to_string()),
            variable("USAGE__SPOOL_DIR", &place("spool").display().to_string()),
        ]);
        let order = Order {
            name: "proxy",
            cores: &cores.target,
            program: Path::new(BINARY),
            args: vec!["proxy".to_owned()],
            variables,
        };
        let mut proxy = Running::start(order, self.folder)?;
        let is_ready =
            || check::get(operations, "/readyz").is_ok_and(|answer| answer.contains(" 200 "));
        proxy.until(PROXY_PATIENCE, is_ready).await?;
        Ok((proxy, listen, operations))
    }
}

fn variable(path: &str, value: &str) -> (String, String) {
    (format!("SYNAXIS__{path}"), value.to_owned())
}

fn read_json(text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text).with_context(|| format!("no JSON: {text}"))
}

fn text(object: &Value, name: &str) -> anyhow::Result<String> {
    let value = object.get(name).and_then(Value::as_str);
    Ok(value
        .with_context(|| format!("`{name}` is missing in {object}"))?
        .to_owned())
}
