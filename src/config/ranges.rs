//! The ranges of settings whose modules leave them to the configuration.

use super::Fault;
use crate::{base::Secret, egress, keys, quota, routing, store::postgres, telemetry, usage};

/// The longest wait that still is one: a day.
const DAY_MS: u64 = 86_400_000;

/// Returns the faults of the door to Postgres.
pub(super) fn of_database(database: &postgres::Settings) -> Vec<Fault> {
    let schemes = ["postgres", "postgresql"];
    let mend =
        "give postgres://user:password@host/database in url, url_file or SYNAXIS__DATABASE__URL";
    let url = match database.url.is_empty() {
        true => Some(Fault::new("url", "is not set", mend)),
        false => unless_url("url", &database.url, &schemes, mend),
    };
    let direct = database.direct_url.as_ref();
    gather([
        url,
        direct.and_then(|direct| unless_url("direct_url", direct, &schemes, mend)),
        Fault::unless_within("max_connections", database.max_connections, 1..=10_000),
        Fault::unless_within(
            "acquire_timeout_ms",
            database.acquire_timeout_ms,
            1..=600_000,
        ),
    ])
}

/// Returns the faults of the door to Redis.
pub(super) fn of_redis(redis: &crate::store::redis::Settings) -> Vec<Fault> {
    let mend = "give redis://host:6379 in url, url_file or SYNAXIS__REDIS__URL";
    let prefix = redis.key_prefix.is_empty().then(|| {
        let mend =
            "give a word of its own to each installation that shares the server, such as synaxis:";
        Fault::new("key_prefix", "is empty", mend)
    });
    let schemes = ["redis", "rediss"];
    gather([
        unless_url("url", &redis.url, &schemes, mend),
        prefix,
        Fault::unless_within("deadline_ms", redis.deadline_ms, 1..=60_000),
    ])
}

/// Returns the faults of how keys are looked up.
pub(super) fn of_keys(keys: &keys::Settings) -> Vec<Fault> {
    gather([
        Fault::unless_within("max_stale_s", keys.max_stale_s, 1..=DAY_MS / 1000),
        Fault::unless_within("fresh_ms", keys.fresh_ms, 1..=60_000),
        Fault::unless_within("negative_ttl_ms", keys.negative_ttl_ms, 0..=60_000),
        Fault::unless_within("cache_entries", keys.cache_entries, 1..=1_000_000_000),
        Fault::unless_within("concurrent_lookups", keys.concurrent_lookups, 1..=10_000),
        Fault::unless_within("lookup_timeout_ms", keys.lookup_timeout_ms, 1..=60_000),
        Fault::unless_within(
            "guesses_per_minute",
            u64::from(keys.guesses_per_minute),
            0..=1_000_000,
        ),
    ])
}

/// Returns the faults of how patient routing is.
pub(super) fn of_routing(routing: &routing::Settings) -> Vec<Fault> {
    let pauses = (routing.longest_pause_ms < routing.pause_ms).then(|| {
        Fault::new(
            "longest_pause_ms",
            "is shorter than pause_ms",
            "raise it to pause_ms or more",
        )
    });
    gather([
        Fault::unless_within("max_attempts", routing.max_attempts, 1..=100),
        Fault::unless_within("failures_to_open", routing.failures_to_open, 1..=1_000_000),
        Fault::unless_within("calls_to_judge", routing.calls_to_judge, 1..=1_000_000),
        Fault::unless_within(
            "successes_to_close",
            routing.successes_to_close,
            1..=1_000_000,
        ),
        Fault::unless_within("pause_ms", routing.pause_ms, 1..=DAY_MS),
        Fault::unless_within("probe_every_ms", routing.probe_every_ms, 1..=DAY_MS),
        pauses,
    ])
}

/// Returns the faults of how limits are held.
pub(super) fn of_quota(quota: &quota::Settings) -> Vec<Fault> {
    let patience = (quota.rebuild_patience_ms < quota.rebuild_grace_ms).then(|| {
        let mend = "raise it to rebuild_grace_ms or more";
        Fault::new("rebuild_patience_ms", "ends before the grace does", mend)
    });
    gather([
        // A proxy renews its leases at a third of this; Redis is asked within a quarter of a second.
        Fault::unless_within("lease_ms", quota.lease_ms, 3_000..=3_600_000),
        Fault::unless_within("rebuild_grace_ms", quota.rebuild_grace_ms, 80..=600_000),
        Fault::unless_within(
            "rebuild_patience_ms",
            quota.rebuild_patience_ms,
            1..=600_000,
        ),
        Fault::unless_within("proxies", quota.proxies, 1..=100_000),
        Fault::unless_within(
            "reserve_permille",
            u64::from(quota.reserve_permille),
            0..=10,
        ),
        Fault::unless_within("reconcile_ms", quota.reconcile_ms, 500..=86_400_000),
        Fault::unless_within("most_sliced", u64::from(quota.most_sliced), 0..=100_000),
        patience,
    ])
}

/// Returns the faults of the spool.
pub(super) fn of_usage(usage: &usage::Settings) -> Vec<Fault> {
    let cap = (usage.cap_bytes < usage.segment_bytes).then(|| {
        Fault::new(
            "cap_bytes",
            "is smaller than one segment",
            "raise it to some segment_bytes",
        )
    });
    gather([
        Fault::unless_within("segment_bytes", usage.segment_bytes, 1 << 16..=1 << 40),
        Fault::unless_within("sync_ms", usage.sync_ms, 1..=60_000),
        Fault::unless_within("flush_ms", usage.flush_ms, 1..=60_000),
        Fault::unless_within("batch", usage.batch, 1..=100_000),
        Fault::unless_within("most_leases", usage.most_leases, 0..=1_000_000),
        // A proxy is heard every second, also when it is busy.
        Fault::unless_within(
            "abandon_after_ms",
            usage.abandon_after_ms,
            2_000..=86_400_000,
        ),
        cap,
    ])
}

/// Returns the faults of where we may connect to.
pub(super) fn of_egress(egress: &egress::Settings) -> Vec<Fault> {
    let ports = (egress.ports.is_empty() || egress.ports.contains(&0)).then(|| {
        Fault::new(
            "ports",
            "is empty or names port 0",
            "list the ports of providers, such as [443]",
        )
    });
    gather([
        ports,
        Fault::unless_within("resolve_ttl_ms", egress.resolve_ttl_ms, 1..=DAY_MS),
        Fault::unless_within("resolve_stale_ms", egress.resolve_stale_ms, 0..=DAY_MS),
        Fault::unless_within(
            "resolve_deadline_ms",
            egress.resolve_deadline_ms,
            1..=60_000,
        ),
    ])
}

/// Returns the faults of how the process logs.
pub(super) fn of_telemetry(telemetry: &telemetry::Settings) -> Vec<Fault> {
    let unread = telemetry::logs::check_level(&telemetry.level).is_err();
    let mend =
        "give error, warn, info, debug or trace, also for one module: info,synaxis::routing=debug";
    let level = unread.then(|| Fault::new("level", "is no level", mend));
    gather([level])
}

fn gather<const N: usize>(faults: [Option<Fault>; N]) -> Vec<Fault> {
    faults.into_iter().flatten().collect()
}

/// Returns a fault unless `secret` is an address of one of `schemes`; the address is not shown.
fn unless_url(path: &str, secret: &Secret, schemes: &[&str], mend: &str) -> Option<Fault> {
    let is_fit = url::Url::parse(secret.expose()).is_ok_and(|url| schemes.contains(&url.scheme()));
    (!is_fit).then(|| {
        Fault::new(
            path,
            format!("is no {} address", schemes.join(" or ")),
            mend,
        )
    })
}
