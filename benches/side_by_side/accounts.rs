//! After the load: what Redis was asked per call, and whether the books hold every call, once and to the nano-dollar.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::{
    books::{self, Booked},
    catalog, check,
    load::Sent,
    redis::{self, Commands, Counted},
    rounds::real,
    synaxis::Tenant,
};

/// How long the books may take to hold everything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Books that did not grow for so long are closed.
const REST: Duration = Duration::from_secs(3);

/// Returns how many of Synaxis's calls the provider has seen.
pub(crate) fn provider_count(upstream: SocketAddr) -> anyhow::Result<i64> {
    let answer = check::get(upstream, crate::upstream::COUNT)?;
    let count = answer.lines().last().unwrap_or_default();
    count.parse().with_context(|| format!("no count: {answer}"))
}

/// Prints the accounts of a run; says whether they agree.
pub(crate) async fn settle(
    tenant: &Tenant,
    before: &Commands,
    sent: Sent,
    upstream: SocketAddr,
) -> anyhow::Result<bool> {
    let booked = closed(tenant).await?;
    let seen = provider_count(upstream)?;
    print_redis(
        &redis::since(before, redis::commands(&tenant.redis_url)?),
        seen,
    );
    Ok(agree(&booked, seen, sent))
}

/// Reads the books once they grow no more.
async fn closed(tenant: &Tenant) -> anyhow::Result<Booked> {
    let deadline = Instant::now() + PATIENCE;
    let mut booked = books::read(&tenant.database_url, &tenant.organization).await?;
    loop {
        tokio::time::sleep(REST).await;
        let now = books::read(&tenant.database_url, &tenant.organization).await?;
        if now == booked || deadline < Instant::now() {
            return Ok(now);
        }
        booked = now;
    }
}

fn print_redis(commands: &Commands, calls: i64) {
    let calls = real(u64::try_from(calls).unwrap_or_default()).max(1.0);
    let sum = |is_part: fn(&str) -> bool, figure: fn(&Counted) -> u64| {
        let parts = commands.iter().filter(|(name, _)| is_part(name));
        parts.map(|(_, counted)| real(figure(counted))).sum::<f64>() / calls
    };
    let is_script = |name: &str| name.starts_with("eval") || name.starts_with("fcall");
    println!(
        "\nRedis per call: {:.2} scripts, {:.1} µs of its time in them, {:.1} commands with those inside",
        sum(is_script, |counted| counted.calls),
        sum(is_script, |counted| counted.took_us),
        sum(|_| true, |counted| counted.calls),
    );
    let often = commands
        .iter()
        .filter(|(_, counted)| calls / 100.0 < real(counted.calls));
    for (name, counted) in often {
        let (count, us) = (real(counted.calls) / calls, real(counted.took_us) / calls);
        println!("  {name:<12} {count:>8.2} {us:>8.1} µs");
    }
}

fn agree(booked: &Booked, seen: i64, sent: Sent) -> bool {
    let Booked {
        rows,
        complete,
        cost_nano_usd,
    } = *booked;
    println!(
        "\nBooks: {rows} rows, {complete} complete; callers got {} answers, the provider saw {seen} calls, {} calls were cut when the load stopped",
        sent.answered, sent.cut
    );
    let checks = [
        ("a call the provider saw is not booked", seen <= rows),
        ("a call is booked that nobody made", rows <= seen + sent.cut),
        (
            "an answer is not booked as complete",
            sent.answered <= complete,
        ),
        (
            "the books are off by money",
            cost_nano_usd == complete * catalog::COST_NANO_USD,
        ),
    ];
    let faults = checks.iter().filter(|(_, holds)| !holds);
    faults.for_each(|(fault, _)| println!("  WRONG: {fault}"));
    checks.iter().all(|(_, holds)| *holds)
}
