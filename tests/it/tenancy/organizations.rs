//! Organizations: whose they are, how they change, what goes and comes back with them.

use std::{collections::BTreeMap, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row;

use super::crew::{Crew, ask, column, id_of, organization_of};
use crate::{
    identity::people::{Visitor, newcomer},
    stack::{TestStack, within},
};

#[tokio::test]
async fn whoever_is_signed_in_makes_an_organization_and_owns_it() {
    let crew = Crew::start().await;
    let body = json!({"display_name": "Acme & Söhne", "legal_name": "Acme GmbH", "tax_id": "DE 1"});

    let path = "/api/v1/organizations";
    let made = ask(&crew.admin, &crew.owner, Method::POST, path, &body).await;

    let made = made.expect(201);
    let view = made.json();
    assert_eq!(view["slug"], "acme-s-hne");
    assert_eq!(view["legal_name"], "Acme GmbH");
    assert_eq!(view["status"], "active");
    assert!(view["default_group_id"].is_string());
    let own = ask(
        &crew.admin,
        &crew.owner,
        Method::GET,
        made.header("location"),
        &Value::Null,
    )
    .await;
    assert_eq!(own.expect(200).json()["tax_id"], "DE 1");
    let listed = ask(&crew.admin, &crew.owner, Method::GET, path, &Value::Null).await;
    assert_eq!(
        column(&listed.expect(200).json(), "role"),
        ["owner", "owner"]
    );
    let again = ask(&crew.admin, &crew.owner, Method::POST, path, &body).await;
    assert_eq!(again.expect(409).code(), "slug_taken");
}

#[tokio::test]
async fn anothers_organization_looks_like_one_that_is_not_there() {
    let crew = Crew::start().await;
    let stranger = newcomer(&crew.admin, "stranger@example.com").await;
    let nowhere = "019aa0f0-0000-7000-8000-00000000ffff";
    let group = crew.make("/groups", json!({"name": "Secret"})).await;
    let key = crew.make("/keys", json!({"name": "ci"})).await;
    let terms = json!({"meter": "requests", "window": "day", "amount": 5});
    let limit = crew
        .make(
            "/limits",
            json!({"subject": {"kind": "organization"}, "terms": terms}),
        )
        .await;

    let paths = [
        String::new(),
        "/settings".to_owned(),
        "/groups".to_owned(),
        format!("/groups/{group}"),
        format!("/groups/{group}/members"),
        "/members".to_owned(),
        format!("/members/{}", crew.owner.user_id),
        "/invitations".to_owned(),
        "/roles".to_owned(),
        "/keys".to_owned(),
        format!("/keys/{key}"),
        format!("/keys/{key}/limits"),
        "/limits".to_owned(),
        format!("/limits/{limit}"),
        "/limits/effective".to_owned(),
    ];
    let own = organization_of(&crew.admin, &stranger).await;
    for path in paths {
        let at = |organization: &str| format!("/api/v1/organizations/{organization}{path}");
        let theirs = at(&crew.organization);
        let unknown = at(nowhere);
        let theirs = ask(&crew.admin, &stranger, Method::GET, &theirs, &Value::Null).await;
        let unknown = ask(&crew.admin, &stranger, Method::GET, &unknown, &Value::Null).await;
        assert_eq!(
            (theirs.status, &theirs.text),
            (404, &unknown.text),
            "{path}"
        );
        // The same ids below the stranger's own organization: not theirs either.
        if path.contains('-') {
            let mixed = ask(&crew.admin, &stranger, Method::GET, &at(&own), &Value::Null).await;
            assert_eq!((mixed.status, &mixed.text), (404, &unknown.text), "{path}");
        }
    }
}

#[tokio::test]
async fn a_change_of_what_was_not_seen_is_refused() {
    let crew = Crew::start().await;
    let seen = crew.get(&crew.owner, "").await.expect(200);
    let path = format!("/api/v1/organizations/{}", crew.organization);
    let change = async |version: &str, name: &str| {
        let request = crew.admin.request(Method::PATCH, &path);
        let request = request
            .token(&crew.owner.access_token)
            .header("if-match", version);
        request.json(&json!({"display_name": name})).send().await
    };

    let first = change(seen.header("etag"), "First").await.expect(200);
    let second = change(seen.header("etag"), "Second").await;
    let third = change(first.header("etag"), "Third").await;

    assert_eq!(second.expect(412).code(), "precondition_failed");
    assert_eq!(third.expect(200).json()["display_name"], "Third");
}

#[tokio::test]
async fn settings_are_changed_one_by_one_and_null_leaves_it_to_the_platform() {
    let crew = Crew::start().await;
    let everything = json!({
        "default_max_output_tokens": 512, "auto_optimization": false, "custom_providers_allowed": false,
        "audit_retention_days": 30, "body_limit_bytes": 65536, "access_token_lifetime_s": 300,
        "allowed_origins": ["https://console.example.com"], "degraded_mode": "local_share", "allows_training": true,
    });

    let changed = crew
        .patch(&crew.owner, "/settings", everything.clone())
        .await;

    let changed = changed.expect(200).json();
    for (field, value) in everything.as_object().expect("an object") {
        assert_eq!(&changed[field], value, "{field}");
    }
    let nulls = json!({"auto_optimization": null, "body_limit_bytes": null});
    let changed = crew
        .patch(&crew.owner, "/settings", nulls)
        .await
        .expect(200)
        .json();
    assert_eq!(changed["auto_optimization"], Value::Null);
    assert_eq!(changed["body_limit_bytes"], Value::Null);
    assert_eq!(changed["default_max_output_tokens"], 512, "absent stays");
    for wrong in [
        json!({"max_users": 1000}),
        json!({"audit_retention_days": 0}),
        json!({"body_limit_bytes": 33_554_433}),
        json!({"allowed_origins": ["*"]}),
        json!({"access_token_lifetime_s": 86_400}),
    ] {
        let refused = crew.patch(&crew.owner, "/settings", wrong.clone()).await;
        assert_eq!(refused.status, 400, "{wrong}");
    }
    let admin = crew.hire("guest@example.com", "guest").await;
    let refused = crew
        .patch(&admin, "/settings", json!({"allows_training": true}))
        .await;
    assert_eq!(refused.expect(403).code(), "insufficient_permissions");
}

/// Every row of an organization that is not deleted, by table.
async fn living(crew: &Crew) -> BTreeMap<String, Vec<String>> {
    let mut books = crew.admin.database.connect().await;
    let mut rows = BTreeMap::new();
    let tables: Vec<String> =
        sqlx::query("select t::text from identity.tables_of_organizations() t")
            .fetch_all(&mut books)
            .await
            .expect("tables")
            .iter()
            .map(|row| row.get(0))
            .collect();
    for table in tables {
        let query = format!(
            "select coalesce(to_jsonb(t) ->> 'id', t.ctid::text) from {table} t
             where organization_id = '{}' and deleted_at is null order by 1",
            crew.organization
        );
        let ids = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(query))
            .fetch_all(&mut books)
            .await
            .expect("rows");
        rows.insert(table, ids);
    }
    rows
}

/// An organization with something of everything, and a member of it.
async fn furnished() -> (Crew, Visitor, String) {
    let crew = Crew::start().await;
    let member = crew.hire("member@example.com", "member").await;
    let gone = crew.make("/groups", json!({"name": "Gone before"})).await;
    let kept = crew.make("/groups", json!({"name": "Kept"})).await;
    crew.put(
        &crew.owner,
        &format!("/groups/{kept}/members/{}", member.user_id),
        Value::Null,
    )
    .await
    .expect(204);
    crew.delete(&crew.owner, &format!("/groups/{gone}"))
        .await
        .expect(204);
    let role = crew
        .make(
            "/roles",
            json!({"name": "reader", "permissions": ["usage:read"]}),
        )
        .await;
    let given = json!({"user_id": member.user_id, "role_id": role, "group_id": kept});
    crew.make("/role-assignments", given).await;
    let terms = json!({"meter": "nano_usd", "window": "month", "amount": 5});
    crew.make(
        "/keys",
        json!({"name": "ci", "group_id": kept, "limits": [terms]}),
    )
    .await;
    crew.make("/invitations", json!({"email": "late@example.com"}))
        .await;
    (crew, member, gone)
}

#[tokio::test]
async fn a_deleted_organization_takes_all_that_is_its_own_along_and_comes_back_as_the_same_set() {
    let (crew, member, gone) = furnished().await;
    let before = living(&crew).await;
    assert!(
        before.values().filter(|ids| !ids.is_empty()).count() >= 8,
        "{before:?}"
    );

    crew.delete(&crew.owner, "").await.expect(204);

    let after = living(&crew).await;
    assert!(after.values().all(Vec::is_empty), "{after:?}");
    crew.get(&crew.owner, "").await.expect(404);
    let path = "/api/v1/organizations?deleted=true";
    let listed = ask(&crew.admin, &crew.owner, Method::GET, path, &Value::Null).await;
    assert_eq!(
        column(&listed.expect(200).json(), "id"),
        [crew.organization.as_str()]
    );

    let refused = crew.post(&member, "/restore", Value::Null).await;
    assert_eq!(refused.status, 404, "a member cannot bring it back");
    crew.post(&crew.owner, "/restore", Value::Null)
        .await
        .expect(200);

    assert_eq!(living(&crew).await, before);
    crew.get(&crew.owner, &format!("/groups/{gone}"))
        .await
        .expect(404);
    let again = crew.post(&crew.owner, "/restore", Value::Null).await;
    assert_eq!(again.status, 404, "there is nothing to bring back");
    let trail = crew.trail().await;
    assert_eq!(
        trail
            .iter()
            .filter(|action| *action == "organization.delete")
            .count(),
        1
    );
    assert_eq!(
        trail.last().map(String::as_str),
        Some("organization.restore")
    );
}

#[tokio::test]
async fn a_short_name_taken_meanwhile_keeps_an_organization_deleted_until_it_is_free() {
    let crew = Crew::start().await;
    let slug = crew.get(&crew.owner, "").await.expect(200).json()["slug"].clone();
    crew.delete(&crew.owner, "").await.expect(204);
    let path = "/api/v1/organizations";
    let body = json!({"display_name": "Heir", "slug": slug});
    let heir = ask(&crew.admin, &crew.owner, Method::POST, path, &body)
        .await
        .expect(201);

    let refused = crew.post(&crew.owner, "/restore", Value::Null).await;

    assert_eq!(refused.expect(409).code(), "slug_taken");
    let path = format!("{path}/{}", id_of(&heir.json()));
    let renamed = json!({"slug": "heir"});
    ask(&crew.admin, &crew.owner, Method::PATCH, &path, &renamed)
        .await
        .expect(200);
    crew.post(&crew.owner, "/restore", Value::Null)
        .await
        .expect(200);
}

/// What was announced after `seq`, and the last number.
async fn announced(crew: &Crew, seq: i64) -> (Vec<String>, i64) {
    let mut books = crew.admin.database.connect().await;
    let rows = sqlx::query("select seq, kind from platform.changes where seq > $1 order by seq")
        .bind(seq)
        .fetch_all(&mut books)
        .await
        .expect("changes");
    let last = rows.last().map_or(seq, |row| row.get(0));
    (rows.iter().map(|row| row.get(1)).collect(), last)
}

/// Gives the organization thousands of keys, groups and limits, as if they had been there for long.
async fn crowd(crew: &Crew, keys: i32) {
    let mut books = crew.admin.database.connect().await;
    let statements = format!(
        "set session_replication_role = replica;
         insert into operations.api_keys (id, organization_id, name, public_id, secret_hash)
         select gen_random_uuid(), '{organization}', 'k' || n, lpad(n::text, 16, 'k'), sha256(n::text::bytea)
         from generate_series(1, {keys}) n;
         insert into operations.limits (id, organization_id, subject_kind, api_key_id, meter, time_window, amount,
             enforcement)
         select gen_random_uuid(), '{organization}', 'key', k.id, 'requests', 'day', 5, 'hard'
         from operations.api_keys k where k.name like 'k%' limit 1000;
         insert into identity.groups (id, organization_id, slug, name)
         select gen_random_uuid(), '{organization}', 'g' || n, 'g' || n from generate_series(1, 200) n",
        organization = crew.organization
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(&mut books)
        .await
        .expect("a crowd");
}

#[tokio::test]
async fn an_organization_of_twenty_thousand_keys_goes_and_comes_back_with_one_word_and_within_a_second()
 {
    let stack = TestStack::start().await;
    let crew = Crew::beside(&stack).await;
    let made = crew
        .post(&crew.owner, "/keys", json!({"name": "ci"}))
        .await
        .expect(201)
        .json();
    let caller = stack
        .key()
        .mint()
        .but(made["api_key"].as_str().expect("a key"));
    crowd(&crew, 20_000).await;
    assert_eq!(caller.chat("hello").await.status, 200);
    let (_, before) = announced(&crew, 0).await;

    crew.delete(&crew.owner, "").await.expect(204);
    within(Duration::from_secs(1), async || {
        caller.chat("hello").await.status == 401
    })
    .await;
    let (gone, between) = announced(&crew, before).await;
    crew.post(&crew.owner, "/restore", Value::Null)
        .await
        .expect(200);
    within(Duration::from_secs(1), async || {
        caller.chat("hello").await.status == 200
    })
    .await;
    let (back, _) = announced(&crew, between).await;

    assert_eq!(gone, ["organization", "catalog"]);
    assert_eq!(back, ["organization", "catalog"]);
}
