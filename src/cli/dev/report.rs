//! What the developer and the tests are told: `dev.json` and the panel.

use std::{
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use serde::Serialize;

use super::{
    Servers,
    demo::Demo,
    planes::{Planes, reachable},
    process::Processes,
    state::{Kept, StateFolder},
};

/// `dev.json`: when it exists, both planes are ready. It holds secrets: the file is 0600.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Without `/v1`.
    pub proxy_url: String,
    pub admin_url: String,
    /// Without `/metrics`: `/livez` and `/readyz` are there too.
    pub metrics_url: String,
    pub admin_metrics_url: String,
    /// As the superuser.
    pub database_url: String,
    pub redis_url: String,
    pub organization_id: Option<String>,
    pub admin_email: Option<String>,
    pub admin_password: Option<String>,
    pub api_key: Option<String>,
    pub models: Models,
    pub upstreams: Vec<Upstream>,
    pub pids: Pids,
}

/// Names to call with.
#[derive(Clone, Debug, Serialize)]
pub struct Models {
    pub free: String,
    pub paid: String,
    pub alias: String,
}

/// A simulated provider.
#[derive(Clone, Debug, Serialize)]
pub struct Upstream {
    pub name: String,
    pub url: String,
    /// One JSON line per call it saw.
    pub log: String,
}

/// The processes; null for a server that was given by URL.
#[derive(Debug, Serialize)]
pub struct Pids {
    pub proxy: Option<i32>,
    pub admin: Option<i32>,
    pub postgres: Option<i32>,
    pub redis: Option<i32>,
    pub simulate: Option<i32>,
}

impl Report {
    /// Gathers what is there.
    #[must_use]
    pub fn of(
        planes: &Planes,
        servers: &Servers,
        kept: &Kept,
        demo: &Demo,
        processes: &Processes,
    ) -> Self {
        Self {
            proxy_url: url(planes.proxy),
            admin_url: url(planes.admin),
            metrics_url: url(planes.metrics),
            admin_metrics_url: url(planes.admin_metrics),
            database_url: servers.database_url.clone(),
            redis_url: servers.redis_url.clone(),
            organization_id: kept.organization_id.clone(),
            admin_email: kept.owner_email.clone(),
            admin_password: kept
                .owner_email
                .as_ref()
                .map(|_| kept.owner_password.clone()),
            api_key: kept.api_key.clone(),
            models: demo.models.clone(),
            upstreams: demo.upstreams.clone(),
            pids: Pids {
                proxy: processes.pid("proxy"),
                admin: processes.pid("admin"),
                postgres: processes.pid("postgres"),
                redis: processes.pid("redis"),
                simulate: processes.pid("simulate"),
            },
        }
    }

    /// Prints the panel; who reads our output may have gone, which is no fault.
    pub fn print(&self, folder: &StateFolder, took: Duration) {
        let _ = self.write(&mut io::stdout().lock(), folder, took);
    }

    fn write(&self, out: &mut impl Write, folder: &StateFolder, took: Duration) -> io::Result<()> {
        let key = self.api_key.as_deref().unwrap_or("-");
        let Models { free, paid, alias } = &self.models;
        writeln!(
            out,
            "\nSynaxis is ready after {:.1} s. Ctrl-C stops everything.\n",
            took.as_secs_f32()
        )?;
        writeln!(out, "  proxy    {}/v1", self.proxy_url)?;
        writeln!(out, "  admin    {}", self.admin_url)?;
        writeln!(out, "  metrics  {}/metrics", self.metrics_url)?;
        writeln!(
            out,
            "  owner    {}",
            self.admin_email.as_deref().unwrap_or("-")
        )?;
        writeln!(
            out,
            "  password {}",
            self.admin_password.as_deref().unwrap_or("-")
        )?;
        writeln!(out, "  key      {key}")?;
        writeln!(
            out,
            "  models   {free} (free) · {paid} (paid) · {alias} (alias)"
        )?;
        writeln!(
            out,
            "  state    {} (dev.json, log/)\n",
            folder.root().display()
        )?;
        writeln!(out, "  curl {}/v1/chat/completions \\", self.proxy_url)?;
        writeln!(
            out,
            "    -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\"
        )?;
        writeln!(
            out,
            "    -d '{{\"model\":\"{alias}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n"
        )?;
        out.flush()
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{}", reachable(address))
}
