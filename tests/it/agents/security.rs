//! What weakens an organization is found in its rows, kept while it lasts, and closed when it is mended.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::stage::Stage;
use crate::identity::people::try_login;

/// Kinds of findings that are there, each with its owner's id.
async fn open(stage: &Stage) -> BTreeSet<(String, String)> {
    let rows = stage
        .rows(
            "select jsonb_build_array(organization_id, kind) from audit.security_findings
             where resolved_at is null order by 1",
        )
        .await;
    let text = |value: &Value| value.as_str().unwrap_or("platform").to_owned();
    let pairs = rows.iter().map(|row| (text(&row[0]), text(&row[1])));
    pairs.collect()
}

async fn alerted(stage: &Stage) -> i64 {
    let events = "select count(*) from operations.events where kind = 'SecurityAlert'";
    stage.number(events).await
}

async fn run(stage: &Stage, statement: String) {
    let mut books = stage.books().await;
    let statement = sqlx::AssertSqlSafe(statement);
    let done = sqlx::raw_sql(statement).execute(&mut books).await;
    done.expect("the statement runs");
}

/// Does everything to an organization that an audit looks for.
async fn weaken(stage: &Stage, email: &str, id: &str) {
    for _ in 0..5 {
        try_login(&stage.stand.admin, email, "not her password").await;
    }
    run(stage, format!(
        "update operations.limits set deleted_at = now() where organization_id = '{id}';
         update operations.api_keys set created_at = now() - interval '91 days' where organization_id = '{id}';
         update identity.organization_settings set mfa_required = true where organization_id = '{id}';
         insert into operations.usage_hourly (organization_id, hour, api_key_id, requests, failed_requests,
             estimated_requests, streamed_requests, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
             reasoning_tokens, cost_nano_usd, saved_nano_usd, duration_ms, first_byte_ms, first_bytes)
         select '{id}', date_trunc('hour', now()) - interval '1 hour', k.id, 1000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
         from operations.api_keys k where k.organization_id = '{id}';
         with people as (
             insert into identity.users (id, email)
             select gen_random_uuid(), 'admin' || n || '@example.com' from generate_series(1, 5) n returning id)
         insert into identity.organization_memberships (id, organization_id, user_id, role)
         select gen_random_uuid(), '{id}', p.id, 'admin' from people p;
         update audit.audit_logs set details = '{{\"forged\": true}}' where organization_id = '{id}' and seq = 1"
    )).await;
}

#[tokio::test]
async fn every_weakness_of_an_organization_is_found_and_told_to_it_alone() {
    let stage = Stage::open().await;
    let (ada, bob) = (
        stage.stand.tenant("ada").await,
        stage.stand.tenant("bob").await,
    );
    stage.run("security_audit").await;
    let before = open(&stage).await;
    let told = alerted(&stage).await;
    weaken(&stage, "ada@example.com", &ada.id).await;

    let report = stage.run("security_audit").await;

    let new: BTreeSet<_> = open(&stage).await.difference(&before).cloned().collect();
    let of_ada = [
        "audit_chain_broken",
        "key_burst",
        "key_idle",
        "key_without_limit",
        "member_without_second_factor",
        "sign_in_failures",
        "too_many_admins",
    ];
    let mut expected: BTreeSet<_> = of_ada.map(|kind| (ada.id.clone(), kind.to_owned())).into();
    expected.insert(("platform".to_owned(), "sign_in_failures".to_owned()));
    assert_eq!(new, expected, "{report}");
    assert_eq!(report["chains_broken"], 1);
    assert!(new.iter().all(|(owner, _)| *owner != bob.id));
    assert!(told < alerted(&stage).await);
    let kinds = "select count(distinct kind) from operations.alerts where resolved_at is null";
    assert!(7 <= stage.number(kinds).await);
}

#[tokio::test]
async fn a_finding_is_told_once_while_it_lasts_and_closed_when_it_is_mended() {
    let stage = Stage::open().await;
    let ada = stage.stand.tenant("ada").await;
    weaken(&stage, "ada@example.com", &ada.id).await;
    stage.run("security_audit").await;
    let told = alerted(&stage).await;

    assert_eq!(stage.run("security_audit").await["opened"], 0);

    assert_eq!(alerted(&stage).await, told);
    let finding = (ada.id.clone(), "member_without_second_factor".to_owned());
    assert!(open(&stage).await.contains(&finding));
    run(
        &stage,
        "update identity.organization_settings set mfa_required = false".to_owned(),
    )
    .await;
    let report = stage.run("security_audit").await;
    assert_eq!(report["opened"], json!(0), "{report}");
    assert!(!open(&stage).await.contains(&finding));
    let alerts = "select count(*) from operations.alerts
         where kind = 'member_without_second_factor' and resolved_at is null";
    assert_eq!(stage.number(alerts).await, 0);
}
