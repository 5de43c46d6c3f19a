//! What weakens an organization is found in its rows, kept while it lasts, and closed when it is mended.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::stage::Stage;
use crate::identity::people::try_login;

/// Kinds of findings that are there, with their owner's id or null.
async fn open(stage: &Stage) -> BTreeSet<(String, String)> {
    let rows = stage
        .rows(
            "select jsonb_build_array(organization_id, kind) from audit.security_findings
             where resolved_at is null order by 1",
        )
        .await;
    let text = |value: &Value| value.as_str().unwrap_or("platform").to_owned();
    rows.iter()
        .map(|row| (text(&row[0]), text(&row[1])))
        .collect()
}

async fn run(stage: &Stage, statement: String) {
    let mut books = stage.books().await;
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut books)
        .await;
    done.expect("the statement runs");
}

#[tokio::test]
async fn every_weakness_of_an_organization_is_found_told_to_it_alone_and_closed_when_mended() {
    let stage = Stage::open().await;
    let (ada, bob) = (
        stage.stand.tenant("ada").await,
        stage.stand.tenant("bob").await,
    );
    stage.run("security_audit").await;
    let before = open(&stage).await;
    let told = stage
        .number("select count(*) from operations.events where kind = 'SecurityAlert'")
        .await;
    for _ in 0..5 {
        try_login(&stage.stand.admin, "ada@example.com", "not her password").await;
    }
    let id = &ada.id;
    run(&stage, format!(
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

    let report = stage.run("security_audit").await;

    let new: BTreeSet<_> = open(&stage).await.difference(&before).cloned().collect();
    let found = |owner: &str, kinds: &[&str]| -> Vec<(String, String)> {
        kinds
            .iter()
            .map(|kind| (owner.to_owned(), (*kind).to_owned()))
            .collect()
    };
    let kinds = [
        "audit_chain_broken",
        "key_burst",
        "key_idle",
        "key_without_limit",
        "member_without_second_factor",
        "sign_in_failures",
        "too_many_admins",
    ];
    let mut expected = found(id, &kinds);
    expected.extend(found("platform", &["sign_in_failures"]));
    assert_eq!(new, expected.into_iter().collect(), "{report}");
    assert_eq!(report["chains_broken"], 1);
    let bobs = stage
        .rows(
            "select to_jsonb(organization_id) from operations.events where kind = 'SecurityAlert'",
        )
        .await;
    assert!(told < i64::try_from(bobs.len()).expect("few"));
    assert!(new.iter().all(|(owner, _)| *owner != bob.id));
    let alerted = stage
        .number("select count(distinct kind) from operations.alerts where resolved_at is null")
        .await;
    assert!(7 <= alerted, "{alerted}");

    // Once more finds the same, and tells nobody again.
    let events = stage
        .number("select count(*) from operations.events where kind = 'SecurityAlert'")
        .await;
    assert_eq!(stage.run("security_audit").await["opened"], 0);
    assert_eq!(
        stage
            .number("select count(*) from operations.events where kind = 'SecurityAlert'")
            .await,
        events
    );
    run(&stage, format!("update identity.organization_settings set mfa_required = false where organization_id = '{id}'")).await;
    let report = stage.run("security_audit").await;
    assert_eq!(report["opened"], json!(0), "{report}");
    assert!(
        !open(&stage)
            .await
            .contains(&(id.clone(), "member_without_second_factor".to_owned()))
    );
    let closed = stage
        .number("select count(*) from operations.alerts where kind = 'member_without_second_factor' and resolved_at is null")
        .await;
    assert_eq!(closed, 0);
}
