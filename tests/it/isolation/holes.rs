//! The six holes that row-level security leaves open, and that they are closed.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::fixture::{OURS, THEIRS, fill, for_organization, number, run, tenant_tables};
use crate::stack::database::TestDatabase;

/// Every role a process of ours logs in as.
const SERVICES: [&str; 4] = [
    "synaxis_proxy",
    "synaxis_admin",
    "synaxis_agent",
    "synaxis_auditor",
];

async fn two_tenants() -> (TestDatabase, PgConnection) {
    let database = TestDatabase::start().await;
    let mut superuser = database.connect().await;
    fill(&mut superuser, OURS).await;
    fill(&mut superuser, THEIRS).await;
    (database, superuser)
}

/// Begins a transaction as a role, for our organization or for none.
async fn begin_as(superuser: &mut PgConnection, role: &str, organization: Option<&str>) {
    run(superuser, "begin").await;
    run(superuser, &format!("set local role {role}")).await;
    if let Some(organization) = organization {
        let set = format!("select set_config('app.organization_id', '{organization}', true)");
        run(superuser, &set).await;
    }
}

/// Runs a statement that must fail; returns the error's code.
async fn refusal(conn: &mut PgConnection, statement: &str) -> String {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(conn)
        .await;
    let Err(error) = done else {
        return "done".to_owned();
    };
    let refused = error.as_database_error().and_then(|refused| refused.code());
    refused.map(Into::into).unwrap_or_default()
}

#[tokio::test]
async fn hole_one_a_tables_owner_is_held_by_its_policies_and_nobody_logs_in_as_one() {
    let (_database, mut superuser) = two_tenants().await;
    let seen = async |superuser: &mut PgConnection, force: &str| {
        run(superuser, "begin; create role synaxis_probe").await;
        run(
            superuser,
            "grant usage, create on schema operations to synaxis_probe",
        )
        .await;
        run(
            superuser,
            "alter table operations.api_keys owner to synaxis_probe",
        )
        .await;
        run(
            superuser,
            &format!("alter table operations.api_keys {force} row level security"),
        )
        .await;
        run(superuser, "set local role synaxis_probe").await;
        let seen = number(superuser, "select count(*) from operations.api_keys").await;
        run(superuser, "rollback").await;
        seen
    };

    assert_eq!(
        seen(&mut superuser, "no force").await,
        2,
        "the hole is real"
    );
    assert_eq!(seen(&mut superuser, "force").await, 0);
    // That every table of ours is forced is a rule of the catalogue.
    let reachable = number(
        &mut superuser,
        "select count(*) from pg_roles r, pg_roles owner
         where owner.rolname in ('synaxis_owner', 'synaxis_definer') and (owner.rolcanlogin
             or r.rolname in ('synaxis_proxy', 'synaxis_admin', 'synaxis_agent', 'synaxis_auditor')
                 and pg_has_role(r.oid, owner.oid, 'member'))",
    )
    .await;
    assert_eq!(reachable, 0, "a service may become the tables' owner");
}

#[tokio::test]
async fn hole_two_a_partition_is_no_way_around_its_table() {
    let (_database, mut superuser) = two_tenants().await;
    let partitions: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c where c.relispartition and c.relkind = 'r' order by 1",
    )
    .fetch_all(&mut superuser)
    .await
    .expect("the catalogue answers");
    assert!(partitions.len() > 20, "{partitions:?}");

    for partition in &partitions {
        for role in SERVICES {
            begin_as(&mut superuser, role, Some(OURS)).await;
            let query = format!("select count(*) from {partition}");
            assert_eq!(
                refusal(&mut superuser, &query).await,
                "42501",
                "{role} {partition}"
            );
            run(&mut superuser, "rollback").await;
        }
        run(&mut superuser, "begin").await;
        // Even if somebody granted it.
        run(
            &mut superuser,
            &format!("grant select on {partition} to synaxis_admin"),
        )
        .await;
        run(&mut superuser, "set local role synaxis_admin").await;
        let seen = number(&mut superuser, &format!("select count(*) from {partition}")).await;
        assert_eq!(seen, 0, "{partition}");
        run(&mut superuser, "rollback").await;
    }
}

/// Rows of ours that name a row of theirs.
const ATTACHMENTS: [&str; 12] = [
    "insert into identity.group_memberships (id, organization_id, group_id, user_id) values (gen_random_uuid(), {ours}, @group, @user)",
    "insert into identity.role_assignments (id, organization_id, user_id, role_id) values (gen_random_uuid(), {ours}, {our_user}, @role)",
    "insert into operations.api_keys (id, organization_id, name, public_id, secret_hash, group_id) values (gen_random_uuid(), {ours}, 'x', 'abcdefghijklmnop', sha256('x'), @group)",
    "insert into operations.limits (id, organization_id, subject_kind, api_key_id, meter, time_window, amount, enforcement) values (gen_random_uuid(), {ours}, 'key', @key, 'requests', 'hour', 5, 'hard')",
    "insert into platform.offers (id, organization_id, provider_id, model_id, upstream_name, tier) values (gen_random_uuid(), {ours}, @provider, @model, 'x', 'free')",
    "insert into platform.offer_prices (id, organization_id, offer_id, price_book_id, input, output) values (gen_random_uuid(), {ours}, @offer, @book, 1, 2)",
    "insert into platform.alias_targets (alias_id, position, organization_id, model_id) values (@alias, 1, {ours}, @model)",
    "insert into operations.organization_credentials (id, organization_id, provider_id, name, sealing_key_id, sealed_key, sealed_secret) values (gen_random_uuid(), {ours}, @provider, 'x', '0123456789abcdef', '\\x00', '\\x00')",
    "insert into operations.routing_strategies (id, organization_id, subject_kind, group_id, kind) values (gen_random_uuid(), {ours}, 'group', @group, 'miser')",
    "insert into operations.routes (id, organization_id, model_id, offer_id) values (gen_random_uuid(), {ours}, @model, @offer)",
    "insert into operations.route_changes (id, organization_id, route_id, to_offer_id, cause, actor_kind) values (gen_random_uuid(), {ours}, @route, @offer, 'made', 'agent')",
    "insert into operations.alert_deliveries (id, organization_id, alert_id, channel_id, next_attempt_at) values (gen_random_uuid(), {ours}, @alert, @channel, now())",
];

#[tokio::test]
async fn hole_three_a_row_cannot_be_attached_to_another_tenants() {
    let (_database, mut superuser) = two_tenants().await;

    // As the superuser, whom no policy holds: the keys and triggers alone must refuse.
    for statement in ATTACHMENTS {
        let statement = statement
            .replace("{ours}", &format!("'{OURS}'::uuid"))
            .replace("{our_user}", &for_organization("@user", OURS));
        let statement = for_organization(&statement, THEIRS);
        assert_eq!(
            refusal(&mut superuser, &statement).await,
            "23503",
            "{statement}"
        );
    }
}

#[tokio::test]
async fn hole_four_a_view_shows_its_readers_rows() {
    let (_database, mut superuser) = two_tenants().await;
    let seen = async |superuser: &mut PgConnection, options: &str| {
        run(superuser, "begin").await;
        let view =
            format!("create view operations.seen {options} as select id from operations.api_keys");
        run(superuser, &view).await;
        run(
            superuser,
            "grant select on operations.seen to synaxis_admin",
        )
        .await;
        run(superuser, "set local role synaxis_admin").await;
        let seen = number(superuser, "select count(*) from operations.seen").await;
        run(superuser, "rollback").await;
        seen
    };

    assert_eq!(seen(&mut superuser, "").await, 2, "the hole is real");
    assert_eq!(
        seen(&mut superuser, "with (security_invoker = true)").await,
        0
    );
    // That no view of ours goes without is a rule of the catalogue.
}

#[tokio::test]
async fn hole_five_a_collision_tells_a_tenant_nothing_of_another() {
    let (_database, mut superuser) = two_tenants().await;

    // What theirs has under a name, ours may have under the same.
    for statement in [
        "insert into identity.groups (id, organization_id, slug, name) values (gen_random_uuid(), {org}, 'shared-name', 'x')",
        "insert into identity.roles (id, organization_id, name) values (gen_random_uuid(), {org}, 'shared-name')",
        "insert into identity.invitations (id, organization_id, email, role, token_hash, expires_at) values (gen_random_uuid(), {org}, 'same@example.com', 'member', sha256(gen_random_uuid()::text::bytea), now())",
        "insert into platform.providers (id, organization_id, name, dialect, base_url) values (gen_random_uuid(), {org}, 'shared-name', 'openai', 'https://x.example.com')",
        "insert into platform.models (id, organization_id, name) values (gen_random_uuid(), {org}, 'shared-name')",
        "insert into platform.model_aliases (id, organization_id, name) values (gen_random_uuid(), {org}, 'shared-name')",
        "insert into operations.alert_channels (id, organization_id, name, kind, target) values (gen_random_uuid(), {org}, 'shared-name', 'email', 'a@example.com')",
    ] {
        for organization in [THEIRS, OURS] {
            run(
                &mut superuser,
                &statement.replace("{org}", &format!("'{organization}'")),
            )
            .await;
        }
    }
    // A person belongs to no tenant, so a tenant makes none: sign-up does, and answers the same either way.
    begin_as(&mut superuser, "synaxis_admin", Some(OURS)).await;
    let insert =
        "insert into identity.users (id, email) values (gen_random_uuid(), 'u@example.com')";
    assert_eq!(refusal(&mut superuser, insert).await, "42501");
}

#[tokio::test]
async fn hole_six_an_empty_setting_is_nobody_and_no_error() {
    let (_database, mut superuser) = two_tenants().await;
    let tables = tenant_tables(&mut superuser).await;

    for role in SERVICES {
        for (table, column) in &tables {
            begin_as(&mut superuser, role, Some("")).await;
            let query = format!("select count(*)::int from {table} where {column} is not null");
            let asked = sqlx::query(AssertSqlSafe(query))
                .fetch_one(&mut superuser)
                .await;
            // Either the role reads nothing of this table, or it sees nothing in it.
            match asked {
                Ok(row) => assert_eq!(row.get::<i32, _>(0), 0, "{role} {table}"),
                Err(error) => {
                    let code = error.as_database_error().and_then(|refused| refused.code());
                    assert_eq!(code.as_deref(), Some("42501"), "{role} {table}: {error}");
                }
            }
            run(&mut superuser, "rollback").await;
        }
    }
}
