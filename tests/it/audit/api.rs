//! The log over the API: listed, exported, verified and signed for whoever may, and for nobody else.

use reqwest::Method;
use serde_json::Value;

use crate::{
    identity::people::{Visitor, ask, login, newcomer},
    isolation::fixture::run,
    stack::admin::{Reply, TestAdmin},
};

/// Somebody with an organization, at a sidecar.
struct Desk {
    admin: TestAdmin,
    owner: Visitor,
    organization: String,
}

impl Desk {
    async fn open() -> Self {
        let admin = TestAdmin::start().await;
        let owner = newcomer(&admin, "ada@example.com").await;
        let organization = organization_of(&admin, &owner).await;
        Self {
            admin,
            owner,
            organization,
        }
    }

    async fn get(&self, path: &str) -> Reply {
        let path = format!("/api/v1/organizations/{}{path}", self.organization);
        ask(&self.admin, &self.owner, Method::GET, &path).await
    }
}

async fn organization_of(admin: &TestAdmin, owner: &Visitor) -> String {
    let mut superuser = admin.database.connect().await;
    let query = "select organization_id::text from identity.organization_memberships where user_id = $1::text::uuid";
    sqlx::query_scalar(query)
        .bind(&owner.user_id)
        .fetch_one(&mut superuser)
        .await
        .expect("an organization")
}

#[tokio::test]
async fn an_owner_reads_who_did_what_from_where() {
    let desk = Desk::open().await;

    let all = desk.get("/audit-logs").await.expect(200).json();

    let rows = all["data"].as_array().expect("rows");
    let made = rows
        .iter()
        .find(|row| row["action"] == "organization.create")
        .unwrap_or_else(|| panic!("{all}"));
    assert_eq!(made["address"], "127.0.0.1", "{made}");
    assert!(made["request_id"].is_string(), "{made}");
    assert_eq!(made["hash"].as_str().map(str::len), Some(64), "{made}");
    let seqs: Vec<i64> = rows.iter().filter_map(|row| row["seq"].as_i64()).collect();
    assert!(
        seqs.is_sorted_by(|one, next| one > next),
        "newest first: {seqs:?}"
    );
}

#[tokio::test]
async fn filters_and_pages_show_what_they_name() {
    let desk = Desk::open().await;
    let all = desk.get("/audit-logs").await.expect(200).json();
    let count = all["data"].as_array().expect("rows").len();
    assert!(1 < count, "{all}");

    let mut seen = Vec::new();
    let mut path = "/audit-logs?limit=1&order=asc".to_owned();
    loop {
        let page = desk.get(&path).await.expect(200).json();
        seen.push(page["data"][0]["seq"].as_i64().expect("a place"));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/audit-logs?limit=1&order=asc&cursor={cursor}");
    }
    assert_eq!(seen, (1..=count as i64).collect::<Vec<_>>());

    let made = desk
        .get("/audit-logs?action=organization.create")
        .await
        .expect(200)
        .json();
    assert_eq!(made["data"].as_array().expect("rows").len(), 1);
    let target = &made["data"][0]["target_id"];
    let about = format!("/audit-logs?target_id={}", target.as_str().expect("an id"));
    assert!(
        !desk.get(&about).await.expect(200).json()["data"]
            .as_array()
            .expect("rows")
            .is_empty()
    );
    let none = desk
        .get("/audit-logs?until=2020-01-01T00:00:00Z")
        .await
        .expect(200)
        .json();
    assert_eq!(none["data"], Value::Array(Vec::new()));
    for wrong in [
        "?actor_kind=ghost",
        "?from=yesterday",
        "?target_id=7",
        "?limit=0",
        "?spend=1",
    ] {
        desk.get(&format!("/audit-logs{wrong}")).await.expect(400);
    }
}

#[tokio::test]
async fn an_export_holds_every_row_and_no_formula() {
    let desk = Desk::open().await;
    let mut superuser = desk.admin.database.connect().await;
    // A caller's program may call itself anything. More rows than a batch, so that batches join.
    run(&mut superuser, &format!(
        "insert into audit.audit_logs (id, organization_id, seq, actor_kind, action, target_kind, user_agent)
         select gen_random_uuid(), '{}', 1000 + n, 'system', 'thing.change', 'thing', '=cmd()' from generate_series(1, 450) n",
        desk.organization
    )).await;
    let all = desk.get("/audit-logs/export").await.expect(200);
    let rows = all.json();
    let rows = rows.as_array().expect("rows");

    let table = desk
        .get("/audit-logs/export?format=csv&action=thing.change")
        .await
        .expect(200);

    assert_eq!(all.header("content-type"), "application/json");
    assert!(450 < rows.len(), "{}", rows.len());
    assert_eq!(rows[0]["seq"], 1, "oldest first");
    assert!(table.header("content-type").starts_with("text/csv"));
    let lines: Vec<&str> = table.text.lines().collect();
    assert_eq!(lines.len(), 451);
    assert!(lines[0].starts_with("seq,at,actor_kind"), "{}", lines[0]);
    assert!(lines[1].contains(",'=cmd(),"), "{}", lines[1]);
}

#[tokio::test]
async fn a_log_is_verified_also_against_a_checkpoint_that_was_kept() {
    let desk = Desk::open().await;
    let sound = desk
        .get("/audit-logs/verification")
        .await
        .expect(200)
        .json();
    assert_eq!(sound["status"], "sound", "{sound}");
    let kept = desk.get("/audit-logs/checkpoint").await.expect(200).json();
    let checkpoint = kept["checkpoint"].as_str().expect("a checkpoint");
    assert_eq!(kept["public_keys"][0]["crv"], "Ed25519");
    let against = format!("/audit-logs/verification?checkpoint={checkpoint}");
    assert_eq!(
        desk.get(&against).await.expect(200).json()["status"],
        "sound"
    );

    let mut superuser = desk.admin.database.connect().await;
    run(&mut superuser, &format!(
        "delete from audit.audit_logs where organization_id = '{0}' and seq > 1;
         update audit.chain_heads set seq = 1, hash = (select hash from audit.audit_logs where organization_id = '{0}')
         where organization_id = '{0}'", desk.organization
    )).await;

    let unaware = desk
        .get("/audit-logs/verification")
        .await
        .expect(200)
        .json();
    let aware = desk.get(&against).await.expect(200).json();
    assert_eq!(unaware["status"], "sound", "{unaware}");
    assert_eq!(
        (aware["status"].as_str(), aware["fault"]["kind"].as_str()),
        (Some("broken"), Some("rolled_back")),
        "{aware}"
    );
    desk.get("/audit-logs/verification?checkpoint=eyJh.eyJh.eyJh")
        .await
        .expect(400);
}

#[tokio::test]
async fn strangers_see_nothing_and_the_platforms_log_is_the_platforms() {
    let desk = Desk::open().await;
    let stranger = newcomer(&desk.admin, "eve@example.com").await;
    let paths = ["", "/export", "/verification", "/checkpoint"];

    for path in paths {
        let path = format!(
            "/api/v1/organizations/{}/audit-logs{path}",
            desk.organization
        );
        ask(&desk.admin, &stranger, Method::GET, &path)
            .await
            .expect(404);
        desk.admin.get(&path).await.expect(401);
    }
    for path in paths {
        let path = format!("/api/v1/platform/audit-logs{path}");
        ask(&desk.admin, &desk.owner, Method::GET, &path)
            .await
            .expect(403);
    }
    let mut superuser = desk.admin.database.connect().await;
    let promote = format!(
        "select identity.make_platform_admin('{}')",
        stranger.user_id
    );
    run(&mut superuser, &promote).await;
    let platform = login(&desk.admin, &stranger.email).await;
    for path in paths {
        let path = format!("/api/v1/platform/audit-logs{path}");
        ask(&desk.admin, &platform, Method::GET, &path)
            .await
            .expect(200);
    }
    // Whoever runs the platform is no member of its tenants.
    let path = format!("/api/v1/organizations/{}/audit-logs", desk.organization);
    ask(&desk.admin, &platform, Method::GET, &path)
        .await
        .expect(404);
}

#[tokio::test]
async fn findings_are_listed_for_their_organization_alone() {
    let desk = Desk::open().await;
    let stranger = newcomer(&desk.admin, "eve@example.com").await;
    let mut superuser = desk.admin.database.connect().await;
    run(&mut superuser, &format!(
        "insert into audit.security_findings (id, organization_id, kind, severity, fingerprint, message, resolved_at) values
         (gen_random_uuid(), '{0}', 'idle_key', 'low', 'a', 'A key was not used for 90 days', null),
         (gen_random_uuid(), '{0}', 'no_expiry', 'high', 'b', 'A key never expires', now()),
         (gen_random_uuid(), null, 'weak_secret', 'critical', 'c', 'A secret can be guessed', null)", desk.organization
    )).await;

    let all = desk.get("/security-findings").await.expect(200).json();
    let open = desk
        .get("/security-findings?is_open=true")
        .await
        .expect(200)
        .json();
    let high = desk
        .get("/security-findings?severity=high")
        .await
        .expect(200)
        .json();

    let kinds = |page: &Value| {
        let rows = page["data"].as_array().cloned().unwrap_or_default();
        let mut kinds: Vec<String> = rows.iter().map(|row| row["kind"].to_string()).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(&all), ["\"idle_key\"", "\"no_expiry\""]);
    assert_eq!(kinds(&open), ["\"idle_key\""]);
    assert_eq!(kinds(&high), ["\"no_expiry\""]);
    let theirs = format!(
        "/api/v1/organizations/{}/security-findings",
        organization_of(&desk.admin, &stranger).await
    );
    let none = ask(&desk.admin, &stranger, Method::GET, &theirs)
        .await
        .expect(200)
        .json();
    assert_eq!(kinds(&none), Vec::<String>::new());
}
