//! What this machine has: server binaries, free ports, and the user who may run Postgres.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::process::Command;

use crate::config;

/// Where Debian and its kin put the servers of each major version.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";
/// Where binaries stand that a user's PATH may leave out.
const SYSTEM_FOLDERS: &[&str] = &[
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/local/sbin",
    "/usr/sbin",
];

/// Finds the folder that has both `initdb` and `postgres`; of several versions `wanted`, else the newest.
///
/// # Errors
///
/// When there is none, with the mend.
pub fn postgres_folder(wanted: Option<u32>) -> anyhow::Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(DEBIAN_POSTGRES)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, folder)| has_postgres(folder))
        .collect();
    versions.sort_unstable();
    let of_version = versions
        .iter()
        .find(|(version, _)| Some(*version) == wanted);
    if let Some((_, folder)) = of_version.or(versions.last()) {
        return Ok(folder.clone());
    }
    search_path()
        .into_iter()
        .find(|folder| has_postgres(folder))
        .context("no Postgres server binaries: run `make dev`, install `postgresql`, or give --database-url")
}

fn has_postgres(folder: &Path) -> bool {
    folder.join("initdb").exists() && folder.join("postgres").exists()
}

/// Finds `redis-server`, or Valkey's.
///
/// # Errors
///
/// When there is none, with the mend.
pub fn redis_binary() -> anyhow::Result<PathBuf> {
    let names = ["redis-server", "valkey-server"];
    let mut places = names.iter().flat_map(|name| {
        search_path()
            .into_iter()
            .map(move |folder| folder.join(name))
    });
    places
        .find(|place| place.exists())
        .context("no redis-server: run `make dev`, install `redis-server`, or give --redis-url")
}

fn search_path() -> Vec<PathBuf> {
    let path = config::variable("PATH").unwrap_or_default();
    let fixed = SYSTEM_FOLDERS.iter().map(PathBuf::from);
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(fixed)
        .collect()
}

/// A user of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    /// Returns the user Postgres must run as: root may not, everyone else may.
    ///
    /// # Errors
    ///
    /// When this is root and the machine has no user `postgres`.
    pub fn for_postgres() -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let account = accounts
            .lines()
            .find_map(|line| Self::of_line(line, "postgres"));
        account.map(Some).context(
            "root cannot run Postgres and there is no user `postgres`: run as another user",
        )
    }

    /// Reads one line of the account file.
    fn of_line(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let is_wanted = fields.next() == Some(name);
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        is_wanted.then(|| Self {
            name: name.to_owned(),
            uid,
            gid,
        })
    }

    /// Lets `command` run as this user, from a folder it can reach.
    pub fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid).current_dir("/");
    }

    /// Says whether this user can pass through every folder down to `path`.
    #[must_use]
    pub fn reaches(&self, path: &Path) -> bool {
        path.ancestors().all(|folder| {
            fs::metadata(folder).is_ok_and(|metadata| {
                let mode = metadata.permissions().mode();
                let passes = if metadata.uid() == self.uid {
                    0o100
                } else if metadata.gid() == self.gid {
                    0o010
                } else {
                    0o001
                };
                mode & passes != 0
            })
        })
    }
}

/// Returns `wanted` when it is free, else a port that is, on loopback.
///
/// # Errors
///
/// When the machine has no free port.
pub fn free_port(wanted: u16) -> anyhow::Result<u16> {
    if wanted != 0 && is_free(SocketAddr::from((Ipv4Addr::LOCALHOST, wanted))) {
        return Ok(wanted);
    }
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
    Ok(listener.local_addr()?.port())
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// An address nobody else can take while this is held.
#[derive(Debug)]
pub struct Held {
    /// With a real port, also when any was asked for.
    pub address: SocketAddr,
    _listener: TcpListener,
}

impl Held {
    /// Holds `address`, or any port there for port 0.
    ///
    /// # Errors
    ///
    /// When somebody listens there; `flag` is the mend.
    pub fn take(address: SocketAddr, flag: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .with_context(|| format!("{address} cannot be used: name another with {flag}"))?;
        let address = listener.local_addr()?;
        Ok(Self {
            address,
            _listener: listener,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};

    use super::{Account, Held, free_port};

    #[test]
    fn an_account_is_read_by_its_name() {
        let line = "postgres:x:101:104:PostgreSQL administrator:/var/lib/postgresql:/bin/bash";

        let account = Account::of_line(line, "postgres");

        assert_eq!(
            account,
            Some(Account {
                name: "postgres".to_owned(),
                uid: 101,
                gid: 104
            })
        );
        assert_eq!(Account::of_line(line, "post"), None);
    }

    #[test]
    fn a_taken_port_is_replaced_and_a_taken_address_is_told() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
        let port = taken.local_addr().expect("bound").port();

        assert_ne!(free_port(port).expect("another"), port);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let told = Held::take(address, "--proxy-addr")
            .expect_err("taken")
            .to_string();
        assert!(told.contains("--proxy-addr"), "{told}");
    }
}
