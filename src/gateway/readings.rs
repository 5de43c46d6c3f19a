//! What others know and count, shown on the metrics page when it is read.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus::{Error, Gauge, IntCounter, IntGauge};

use crate::{
    quota,
    telemetry::{self, Registry},
    usage::Counters,
};

/// What others know and the page shows; taken when the page is read.
#[derive(Clone, Copy, Debug)]
pub struct Readings<'a> {
    /// Holds taken and not yet settled.
    pub holds_open: usize,
    /// The bytes in the spool's folder.
    pub spool_bytes: u64,
    /// How old the snapshot is.
    pub snapshot_age: Duration,
    /// How old our view of the keys may be.
    pub key_view_age: Duration,
    /// Whether limits refuse, or only count.
    pub limits_enforced: bool,
    /// What the ledger counts about itself.
    pub quota: &'a quota::Counters,
    /// What went wrong on the way to the books.
    pub usage: &'a Counters,
}

#[derive(Debug)]
pub(super) struct Gauges {
    holds_open: IntGauge,
    limits_enforced: IntGauge,
    spool_bytes: IntGauge,
    snapshot_age: Gauge,
    key_view_age: Gauge,
}

impl Gauges {
    pub(super) fn new(r: &Registry) -> Result<Self, Error> {
        Ok(Self {
            holds_open: r.int_gauge("synaxis_holds_open", "Holds taken and not yet settled")?,
            limits_enforced: r.int_gauge(
                "synaxis_limits_enforced",
                "Whether limits refuse: 1, or only count: 0",
            )?,
            spool_bytes: r.int_gauge("synaxis_usage_spool_bytes", "Bytes in the spool's folder")?,
            snapshot_age: r.gauge(
                "synaxis_snapshot_age_seconds",
                "How old the snapshot of the catalog is",
            )?,
            key_view_age: r.gauge(
                "synaxis_key_view_age_seconds",
                "How old the view of the keys may be",
            )?,
        })
    }

    pub(super) fn show(&self, readings: &Readings<'_>) {
        self.holds_open
            .set(i64::try_from(readings.holds_open).unwrap_or(i64::MAX));
        self.limits_enforced
            .set(i64::from(readings.limits_enforced));
        self.spool_bytes
            .set(i64::try_from(readings.spool_bytes).unwrap_or(i64::MAX));
        self.snapshot_age.set(readings.snapshot_age.as_secs_f64());
        self.key_view_age.set(readings.key_view_age.as_secs_f64());
    }
}

/// Counters that others keep: ours only follow.
#[derive(Debug)]
pub(super) struct Followed {
    redis_errors: IntCounter,
    quota: FollowedQuota,
    lost: IntCounter,
    failed_syncs: IntCounter,
    damaged: IntCounter,
    dead_letters: IntCounter,
    abandoned: IntCounter,
    log_lines_dropped: IntCounter,
}

impl Followed {
    pub(super) fn new(r: &Registry) -> Result<Self, Error> {
        Ok(Self {
            redis_errors: r
                .int_counter("synaxis_redis_errors_total", "Calls to Redis that failed")?,
            quota: FollowedQuota::new(r)?,
            lost: r.int_counter(
                "synaxis_usage_lost_total",
                "Ends of calls that neither disk nor memory could hold",
            )?,
            failed_syncs: r.int_counter(
                "synaxis_usage_failed_syncs_total",
                "Times the spool's disk did not take what was written",
            )?,
            damaged: r.int_counter(
                "synaxis_usage_damaged_total",
                "Stretches of the spool that were no record",
            )?,
            dead_letters: r.int_counter(
                "synaxis_usage_dead_letters_total",
                "Entries the books refuse, kept in a file",
            )?,
            abandoned: r.int_counter(
                "synaxis_usage_abandoned_total",
                "Entries written for calls whose process died",
            )?,
            log_lines_dropped: r.int_counter(
                "synaxis_log_lines_dropped_total",
                "Lines of the log that nobody took fast enough",
            )?,
        })
    }

    pub(super) fn catch_up(&self, readings: &Readings<'_>) {
        self.quota.catch_up(readings.quota);
        for (ours, theirs) in [
            (&self.redis_errors, kept(&readings.quota.redis_errors)),
            (&self.lost, kept(&readings.usage.lost)),
            (&self.failed_syncs, kept(&readings.usage.failed_syncs)),
            (&self.damaged, kept(&readings.usage.damaged)),
            (&self.dead_letters, kept(&readings.usage.dead_letters)),
            (&self.abandoned, kept(&readings.usage.abandoned)),
            (&self.log_lines_dropped, telemetry::dropped()),
        ] {
            follow(ours, theirs);
        }
    }
}

/// What the ledger counts about itself.
#[derive(Debug)]
struct FollowedQuota {
    overruns: IntCounter,
    shadowed: IntCounter,
    rebuilds: IntCounter,
    seeds: IntCounter,
    dropped: IntCounter,
    clock_jumps: IntCounter,
    reconciled: IntCounter,
    corrected: IntCounter,
}

impl FollowedQuota {
    fn new(r: &Registry) -> Result<Self, Error> {
        Ok(Self {
            overruns: r.int_counter(
                "synaxis_quota_overruns_total",
                "Calls that used more than was held",
            )?,
            shadowed: r.int_counter(
                "synaxis_quota_shadowed_total",
                "Times a limit in shadow mode would have refused",
            )?,
            rebuilds: r.int_counter(
                "synaxis_quota_rebuilds_total",
                "Times Redis had lost its memory and was told again",
            )?,
            seeds: r.int_counter(
                "synaxis_quota_seeds_total",
                "Counters that began from the books",
            )?,
            dropped: r.int_counter(
                "synaxis_quota_dropped_total",
                "Holds that nobody ended and that were settled as held",
            )?,
            clock_jumps: r.int_counter(
                "synaxis_quota_clock_jumps_total",
                "Times Redis's clock was put forward or back",
            )?,
            reconciled: r.int_counter(
                "synaxis_quota_reconciliations_total",
                "Rounds in which this proxy held counters against the books",
            )?,
            corrected: r.int_counter(
                "synaxis_quota_corrections_total",
                "Counters that were off when held against the books, and were corrected",
            )?,
        })
    }

    fn catch_up(&self, counters: &quota::Counters) {
        for (ours, theirs) in [
            (&self.overruns, &counters.overruns),
            (&self.shadowed, &counters.shadowed),
            (&self.rebuilds, &counters.rebuilds),
            (&self.seeds, &counters.seeds),
            (&self.dropped, &counters.dropped),
            (&self.clock_jumps, &counters.clock_jumps),
            (&self.reconciled, &counters.reconciled),
            (&self.corrected, &counters.corrected),
        ] {
            follow(ours, kept(theirs));
        }
    }
}

fn kept(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn follow(ours: &IntCounter, theirs: u64) {
    ours.inc_by(theirs.saturating_sub(ours.get()));
}
