//! What no single type can see: faults of values and of their combinations.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{Config, Environment, Fault, ranges, security::is_well_known};
use crate::base::Secret;

/// Returns every fault of `config` that can be seen without touching the machine.
#[must_use]
pub(super) fn faults(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut add = |section: &str, found: Vec<Fault>| {
        faults.extend(found.into_iter().map(|fault| fault.under(section)));
    };
    add("proxy", config.proxy.validate());
    add("admin", config.admin.validate());
    add("identity", config.identity.validate());
    add("mail", config.mail.validate());
    add("database", ranges::of_database(&config.database));
    add("redis", ranges::of_redis(&config.redis));
    add("keys", ranges::of_keys(&config.keys));
    add("routing", ranges::of_routing(&config.routing));
    add("quota", ranges::of_quota(&config.quota));
    add("usage", ranges::of_usage(&config.usage));
    add("agents", config.agents.validate());
    add("retention", config.retention.validate());
    add("egress", ranges::of_egress(&config.egress));
    add("security", config.security.validate());
    add("telemetry", ranges::of_telemetry(&config.telemetry));
    faults.extend(listener_faults(config));
    if config.environment == Environment::Production {
        faults.extend(production_faults(config));
    }
    faults
}

/// Two listeners cannot share a place, and operations must not stand at the public door.
fn listener_faults(config: &Config) -> Vec<Fault> {
    let listeners = [
        ("proxy.listen", config.proxy.listen),
        ("proxy.operations_listen", config.proxy.operations_listen),
        ("admin.listen", config.admin.listen),
        ("admin.operations_listen", config.admin.operations_listen),
    ];
    let mut faults = Vec::new();
    for (index, (path, address)) in listeners.iter().enumerate() {
        let earlier = listeners.iter().take(index);
        for (other, _) in earlier.filter(|(_, other)| do_collide(*address, *other)) {
            let what = format!("{address} is taken by {other}");
            faults.push(Fault::new(*path, what, "give it a port of its own"));
        }
    }
    faults
}

/// Says whether two listeners want the same port of the same address; port 0 is always free.
fn do_collide(one: SocketAddr, other: SocketAddr) -> bool {
    let is_same_place =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && is_same_place
}

/// What only a developer's own machine may have.
fn production_faults(config: &Config) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    faults.extend(
        config
            .security
            .weaknesses()
            .into_iter()
            .map(|fault| fault.under("security")),
    );
    faults.extend(well_known_passwords(config));
    if config.admin.origins.iter().any(|origin| origin == "*") {
        let mend = "list the exact origins of the console, or set environment = \"development\"";
        faults.push(Fault::new(
            "admin.origins",
            "lets every web site call as the person who reads it",
            mend,
        ));
    }
    if config.identity.is_plain_and_public() {
        let mend = "write https://, and put TLS in front of the sidecar";
        faults.push(Fault::new(
            "identity.public_url",
            "lets passwords be read on their way",
            mend,
        ));
    }
    if config
        .proxy
        .trusted_proxies
        .iter()
        .any(|net| net.prefix_len() == 0)
    {
        let mend = "list the addresses of your balancers";
        faults.push(Fault::new(
            "proxy.trusted_proxies",
            "believes anyone's X-Forwarded-For",
            mend,
        ));
    }
    if config.egress.allow.iter().any(|net| net.prefix_len() == 0) {
        let mend = "list only the networks your own model servers are in";
        faults.push(Fault::new(
            "egress.allow",
            "opens every internal address to providers' URLs",
            mend,
        ));
    }
    faults
}

fn well_known_passwords(config: &Config) -> Vec<Fault> {
    let database = &config.database;
    let password_of = |secret: &Secret| {
        let url = url::Url::parse(secret.expose()).ok()?;
        url.password()
            .map(|password| Secret::new(password.to_owned()))
    };
    let secrets = [
        ("database.url", password_of(&database.url)),
        (
            "database.direct_url",
            database.direct_url.as_ref().and_then(password_of),
        ),
        ("database.proxy_password", database.proxy_password.clone()),
        ("database.admin_password", database.admin_password.clone()),
        ("database.agent_password", database.agent_password.clone()),
        (
            "database.auditor_password",
            database.auditor_password.clone(),
        ),
        ("redis.url", password_of(&config.redis.url)),
    ];
    let known = secrets.into_iter().filter(|(_, secret)| {
        secret
            .as_ref()
            .is_some_and(|secret| is_well_known(secret.expose()))
    });
    known
        .map(|(path, _)| {
            Fault::new(
                path,
                "has a password everyone tries first",
                "change it with `openssl rand -hex 24`",
            )
        })
        .collect()
}

/// Returns the faults of the machine: folders that cannot be written.
#[must_use]
pub fn machine_faults(config: &Config) -> Vec<Fault> {
    let folders: [(&str, &PathBuf); 2] = [
        ("usage.spool_dir", &config.usage.spool_dir),
        ("proxy.state_dir", &config.proxy.state_dir),
    ];
    folders
        .into_iter()
        .filter_map(|(path, folder)| unless_writable(path, folder))
        .collect()
}

/// Returns a fault unless `folder`, or the nearest that exists above it, can be written.
fn unless_writable(path: &str, folder: &Path) -> Option<Fault> {
    let there = folder
        .ancestors()
        .find(|above| above.exists() || above.as_os_str().is_empty())?;
    let there = if there.as_os_str().is_empty() {
        Path::new(".")
    } else {
        there
    };
    let what = match fs::metadata(there) {
        Ok(metadata) if !metadata.is_dir() => format!("{} is no folder", there.display()),
        Ok(_) if rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_ok() => return None,
        Ok(_) => format!("{} cannot be written", there.display()),
        Err(error) => format!("{} cannot be reached ({error})", there.display()),
    };
    Some(Fault::new(path, what, "name a folder this user may write"))
}
