//! Offers are looked at without cost; who fails is out for a while, and people are told once.

use serde_json::{Value, json};

use super::stage::Stage;
use crate::stack::provider::Provider;

/// How the platform's offers stand, by their provider's name.
async fn standing(stage: &Stage) -> Vec<Value> {
    stage
        .rows(
            "select jsonb_build_object('provider', p.name, 'state', h.state, 'score', h.score,
                 'failures', h.consecutive_failures, 'rests', h.out_until > now())
             from operations.offer_health h
             join platform.offers o on o.id = h.offer_id
             join platform.providers p on p.id = o.provider_id
             order by p.name",
        )
        .await
}

async fn alerts(stage: &Stage) -> Vec<Value> {
    stage
        .rows(
            "select jsonb_build_object('severity', severity, 'occurrences', occurrences, 'open', resolved_at is null)
             from operations.alerts where kind = 'provider_unhealthy' order by created_at",
        )
        .await
}

#[tokio::test]
async fn a_provider_that_goes_and_comes_back_is_seen_told_and_forgiven_without_a_billable_call() {
    let mut stage = Stage::open().await;
    stage.offer("gone", Some(1)).await;
    stage.offer("well", Some(1)).await;
    let well = |provider: &str| json!({"provider": provider, "state": "healthy", "score": 100, "failures": 0, "rests": null});

    let report = stage.run("health_monitoring").await;

    assert_eq!(
        (&report["looked_at"], &report["healthy"]),
        (&json!(2), &json!(2)),
        "{report}"
    );
    assert_eq!(standing(&stage).await, [well("gone"), well("well")]);
    assert_eq!(
        stage
            .number("select count(*) from operations.health_checks where outcome = 'succeeded'")
            .await,
        2
    );
    stage.provider("gone").stop();
    for failures in 1..=5 {
        stage.run("health_monitoring").await;
        let gone = json!({"provider": "gone", "state": "out", "score": 0, "failures": failures, "rests": true});
        assert_eq!(standing(&stage).await, [gone, well("well")]);
    }
    // The first failure and the fifth are told, as one alert.
    assert_eq!(
        alerts(&stage).await,
        [json!({"severity": "critical", "occurrences": 2, "open": true})]
    );
    let address = stage.provider("gone").address.clone();
    *stage.provider("gone") = Provider::start_at("gone", &address, &[]);

    stage.run("health_monitoring").await;

    assert_eq!(standing(&stage).await, [well("gone"), well("well")]);
    assert_eq!(
        alerts(&stage).await,
        [json!({"severity": "critical", "occurrences": 2, "open": false})]
    );
    let told = stage
        .rows("select data -> 'is_healthy' from operations.events where kind = 'ProviderHealthChanged' order by seq")
        .await;
    assert_eq!(told, [json!(false), json!(true)]);
    let asked: Vec<_> = stage
        .providers
        .iter()
        .flat_map(|provider| provider.log())
        .collect();
    let is_free = |call: &Value| call["input_tokens"].as_u64().unwrap_or_default() == 0;
    assert!(asked.iter().all(is_free), "{asked:#?}");
}
