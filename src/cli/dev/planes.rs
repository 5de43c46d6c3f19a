//! Proxy and sidecar: their addresses, their environment, and whether they are ready.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context;
use ipnet::{IpNet, Ipv4Net};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    DevArgs, Servers,
    machine::Held,
    process::{Order, Processes, stop_signal},
    state::{Kept, StateFolder},
};
use crate::{cli::settings::ConfigArgs, config::Config, egress};

/// How long both planes may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often they are asked.
const GLANCE: Duration = Duration::from_millis(20);
/// How long open calls may end in: a developer who pressed Ctrl-C waits for it.
const DRAIN_S: u64 = 5;

/// Where both planes answer.
#[derive(Debug)]
pub struct Planes {
    pub proxy: SocketAddr,
    pub metrics: SocketAddr,
    pub admin: SocketAddr,
    pub admin_metrics: SocketAddr,
    /// Keeps the addresses ours until the planes start: what starts before them takes ports too.
    held: Vec<Held>,
}

impl Planes {
    /// Chooses the addresses: what was asked for, else what the configuration says.
    ///
    /// # Errors
    ///
    /// When somebody listens there already.
    pub fn choose(args: &DevArgs, config: &Config) -> anyhow::Result<Self> {
        let proxy = Held::take(
            args.proxy_addr.unwrap_or(config.proxy.listen),
            "--proxy-addr",
        )?;
        let metrics = args.metrics_addr;
        let metrics = metrics.unwrap_or(config.proxy.operations_listen);
        let metrics = Held::take(metrics, "--metrics-addr")?;
        let admin = Held::take(
            args.admin_addr.unwrap_or(config.admin.listen),
            "--admin-addr",
        )?;
        let configured = config.admin.operations_listen;
        let admin_metrics = match args.admin_metrics_addr {
            Some(address) => Held::take(address, "--admin-metrics-addr")?,
            // Nobody knows this one by heart, and two of us may run beside each other.
            None => Held::take(configured, "")
                .or_else(|_| Held::take((configured.ip(), 0).into(), "--admin-metrics-addr"))?,
        };
        Ok(Self {
            proxy: proxy.address,
            metrics: metrics.address,
            admin: admin.address,
            admin_metrics: admin_metrics.address,
            held: vec![proxy, metrics, admin, admin_metrics],
        })
    }

    /// Starts both planes.
    ///
    /// # Errors
    ///
    /// When one cannot be started.
    pub fn start(
        &mut self,
        setting: &Setting<'_>,
        processes: &mut Processes,
    ) -> anyhow::Result<()> {
        self.held.clear();
        let planes = [
            ("proxy", &setting.servers.proxy_database_url),
            ("admin", &setting.servers.admin_database_url),
        ];
        for (name, database_url) in planes {
            processes.start(Order {
                name,
                program: std::env::current_exe().context("this binary cannot be found")?,
                args: arguments(name, setting.config_args),
                variables: self.variables(setting, database_url),
                account: None,
                stop: stop_signal(name),
                is_ours: true,
            })?;
        }
        Ok(())
    }

    /// Returns what both planes are told on top of the file and the environment this process was given.
    fn variables(&self, setting: &Setting<'_>, database_url: &str) -> Vec<(String, String)> {
        let Setting {
            folder,
            config_args,
            config,
            servers,
            kept,
        } = setting;
        let allowed = egress_of(config).allow;
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        let place = |name: &str| folder.path(name).display().to_string();
        let told = [
            ("environment", "development".to_owned()),
            ("database.url", database_url.to_owned()),
            ("redis.url", servers.redis_url.clone()),
            ("security.sealing_key", kept.sealing_key.clone()),
            ("proxy.listen", self.proxy.to_string()),
            ("proxy.operations_listen", self.metrics.to_string()),
            ("proxy.drain_s", DRAIN_S.to_string()),
            ("proxy.state_dir", place("proxy")),
            ("admin.listen", self.admin.to_string()),
            ("admin.operations_listen", self.admin_metrics.to_string()),
            ("admin.drain_s", DRAIN_S.to_string()),
            (
                "identity.public_url",
                format!("http://{}", reachable(self.admin)),
            ),
            ("mail.folder", place("mail")),
            ("usage.spool_dir", place("spool")),
            ("egress.allow", allowed.join(",")),
            ("retention.checkpoint_folder", place("checkpoints")),
        ];
        let flags = config_args.settings.iter().cloned();
        let told = told
            .into_iter()
            .map(|(path, value)| (path.to_owned(), value));
        let agent = servers.agent_password.iter();
        let agent = agent.map(|word| ("database.agent_password".to_owned(), word.clone()));
        flags
            .chain(told)
            .chain(agent)
            .map(|(path, value)| (variable_name(&path), value))
            .collect()
    }

    /// Waits until both planes say they are ready.
    ///
    /// # Errors
    ///
    /// When one does not say so in time, with what it said last.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let planes = [("proxy", self.metrics), ("admin", self.admin_metrics)];
        for (name, address) in planes {
            let ready = tokio::time::timeout(PATIENCE, ready(address)).await;
            ready.with_context(|| format!("the {name} is not ready: see its log"))?;
        }
        Ok(())
    }
}

/// What the planes' environment is made from.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    pub folder: &'a StateFolder,
    pub config_args: &'a ConfigArgs,
    pub config: &'a Config,
    pub servers: &'a Servers,
    pub kept: &'a Kept,
}

/// Returns where calls may go: also to the simulated providers on this machine.
#[must_use]
pub fn egress_of(config: &Config) -> egress::Settings {
    let mut settings = config.egress.clone();
    settings
        .allow
        .extend(Ipv4Net::new(Ipv4Addr::LOCALHOST, LOOPBACK_BITS).map(IpNet::from));
    settings
}

/// How many leading bits all loopback addresses share.
const LOOPBACK_BITS: u8 = 8;

fn arguments(name: &str, config_args: &ConfigArgs) -> Vec<String> {
    let file = config_args
        .config
        .iter()
        .flat_map(|file| ["--config".to_owned(), file.display().to_string()]);
    std::iter::once(name.to_owned()).chain(file).collect()
}

/// Returns the variable that sets `path`.
fn variable_name(path: &str) -> String {
    format!("SYNAXIS__{}", path.to_ascii_uppercase().replace('.', "__"))
}

async fn ready(address: SocketAddr) {
    while !is_ready(address).await.unwrap_or(false) {
        tokio::time::sleep(GLANCE).await;
    }
}

async fn is_ready(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(reachable(address)).await?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

/// Returns where a listener on every address is reached from this machine.
#[must_use]
pub fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::{reachable, variable_name};

    #[test]
    fn a_setting_is_named_as_its_variable() {
        assert_eq!(
            variable_name("proxy.operations_listen"),
            "SYNAXIS__PROXY__OPERATIONS_LISTEN"
        );
    }

    #[test]
    fn a_listener_on_every_address_is_reached_over_loopback() {
        let address = |text: &str| text.parse().expect("an address");

        assert_eq!(
            reachable(address("0.0.0.0:8080")),
            address("127.0.0.1:8080")
        );
        assert_eq!(reachable(address("[::]:8080")), address("[::1]:8080"));
        assert_eq!(
            reachable(address("10.0.0.1:8080")),
            address("10.0.0.1:8080")
        );
    }
}
