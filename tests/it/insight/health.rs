//! Who serves, how fresh their view is, and how offers do.

use std::time::Duration;

use rustix::process::Signal;

use super::books::{House, id, run};
use crate::stack::{TestStack, admin::TestAdmin, eventually};

#[tokio::test]
async fn proxies_and_sidecars_are_listed_while_they_live_and_leave_when_they_end() {
    let stack = TestStack::start().await;
    let admin = TestAdmin::beside(&stack).await;
    let kinds = "select string_agg(kind || ' ' || version, ', ' order by kind) from platform.nodes
        where seen_at > now() - interval '30 seconds' and (kind = 'admin' or snapshot_seq > 0)";
    let listed = async || {
        let mut books = stack.books().await;
        let row = sqlx::query_scalar::<_, Option<String>>(kinds)
            .fetch_one(&mut books)
            .await;
        row.expect("a row").unwrap_or_default()
    };
    let version = env!("CARGO_PKG_VERSION");
    let both = format!("admin {version}, proxy {version}");

    eventually("both are listed", async || listed().await == both).await;
    drop(admin);
    stack.proxy().signal(Signal::TERM);
    eventually("the proxy has left", async || {
        listed().await == format!("admin {version}")
    })
    .await;
}

#[tokio::test]
async fn only_who_runs_the_platform_sees_how_it_is() {
    let house = House::start().await;
    let paths = [
        "/api/v1/platform/health",
        "/api/v1/platform/nodes",
        "/api/v1/platform/health/offers",
    ];
    for path in paths {
        assert_eq!(house.ask_as(&house.owner, path).await.status, 403, "{path}");
    }
    house.promote(&house.owner).await;
    let mut conn = house.superuser().await;
    run(&mut conn, "insert into platform.nodes (id, kind, host, version, started_at, seen_at)
        values (gen_random_uuid(), 'proxy', 'dead', '0.0.1', now() - interval '1 hour', now() - interval '10 minutes')".to_owned()).await;

    let nodes = house
        .ask_as(&house.owner, paths[1])
        .await
        .expect(200)
        .json();
    let health = house
        .ask_as(&house.owner, paths[0])
        .await
        .expect(200)
        .json();

    let silent: Vec<bool> = nodes["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["is_silent"].as_bool().unwrap())
        .collect();
    assert_eq!(silent, [false, true], "{nodes}");
    assert_eq!(
        (
            &health["fleet"]["nodes"],
            &health["fleet"]["silent"],
            &health["is_healthy"]
        ),
        (&2.into(), &1.into(), &false.into())
    );
}

#[tokio::test]
async fn an_offers_health_is_what_work_knows_and_what_callers_saw() {
    let mut house = House::start().await;
    let calls = house.calls(200, Duration::from_secs(60));
    house.book(&calls).await;
    let mut conn = house.superuser().await;
    run(
        &mut conn,
        format!(
            "insert into operations.offer_health (id, offer_id, state, reason, latency_ms)
        values (gen_random_uuid(), '{}', 'out', 'rate limited', 80)",
            id(3, 2)
        ),
    )
    .await;

    let offers = house.all("/health/offers?limit=2").await;

    assert_eq!(offers.len(), 5);
    let seen: u64 = offers
        .iter()
        .map(|offer| offer["recent_requests"].as_u64().unwrap())
        .sum();
    let failed: u64 = offers
        .iter()
        .map(|offer| offer["recent_failed_requests"].as_u64().unwrap())
        .sum();
    assert_eq!(
        (seen, failed),
        (
            200,
            calls
                .iter()
                .filter(|call| call.status >= 400)
                .count()
                .try_into()
                .unwrap()
        )
    );
    let out = offers
        .iter()
        .find(|offer| offer["offer_id"] == id(3, 2).to_string())
        .expect("the offer");
    assert_eq!(
        (&out["state"], &out["reason"]),
        (&"out".into(), &"rate limited".into())
    );
}

#[tokio::test]
async fn the_faults_of_the_roll_ups_are_a_metric() {
    let house = House::start().await;

    eventually("the first comparison is made", async || {
        house
            .admin
            .metrics()
            .await
            .contains("synaxis_roll_up_faults 0")
    })
    .await;
}
