//! Migrations apply to an empty database, twice, and on one that is in use.

use std::{collections::BTreeMap, path::Path};

use sqlx::{PgConnection, Row, migrate::Migrator};
use synaxis::{
    audit::inspect::inspect,
    base::{Clock, Secret},
    control::{
        Actor, By,
        keys::{self, NewKey},
        organizations::{self, NewOrganization},
    },
    store::{Scope, Whose, migrate, postgres::Role},
};

use crate::{
    isolation::fixture::{OURS, THEIRS, fill, number, run, tenant_tables},
    stack::database::{TestDatabase, audit_keys},
};

#[tokio::test]
async fn migrations_apply_once_and_a_second_run_changes_nothing() {
    let database = TestDatabase::empty().await;

    let would = migrate::pending(&database.settings())
        .await
        .expect("pending");
    let first = migrate::migrate(&database.settings())
        .await
        .expect("first run");
    let second = migrate::migrate(&database.settings())
        .await
        .expect("second run");

    assert_eq!(would, first);
    assert!(first.iter().any(|name| name == "0002_identity"));
    assert!(second.is_empty());
}

#[tokio::test]
async fn asking_what_would_apply_writes_nothing() {
    let database = TestDatabase::empty().await;

    migrate::pending(&database.settings())
        .await
        .expect("pending");

    let mut conn = database.connect().await;
    let tables: i64 = sqlx::query("select count(*) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')")
        .fetch_one(&mut conn)
        .await
        .expect("the catalogue answers")
        .get(0);
    assert_eq!(tables, 0);
}

#[tokio::test]
async fn many_may_migrate_at_once() {
    let database = TestDatabase::empty().await;
    let settings = database.settings();

    let runs = (0..4).map(|_| migrate::migrate(&settings));
    let done = futures::future::join_all(runs).await;

    assert!(done.iter().all(Result::is_ok), "{done:?}");
}

#[tokio::test]
async fn many_databases_of_one_cluster_may_be_migrated_at_once() {
    let mut databases = Vec::new();
    for _ in 0..6 {
        databases.push(TestDatabase::empty().await);
    }

    let settings: Vec<_> = databases.iter().map(TestDatabase::settings).collect();
    let done = futures::future::join_all(settings.iter().map(migrate::migrate)).await;

    assert!(done.iter().all(Result::is_ok), "{done:?}");
}

#[tokio::test]
async fn a_database_in_use_migrates_again_and_keeps_its_rows() {
    let database = TestDatabase::start().await;
    let by = By::new(Actor::Operator, Clock::System.now());
    let new = NewOrganization {
        name: "Acme".to_owned(),
        ..NewOrganization::default()
    };
    let postgres = database.open(Role::Admin);
    let made = organizations::create(&postgres, new, by)
        .await
        .expect("an organization");
    let mut tx = postgres
        .begin_for(Scope::of(made.id))
        .await
        .expect("a transaction");
    let new = NewKey {
        name: "ci".to_owned(),
        ..NewKey::default()
    };
    keys::create(&mut tx, new, by).await.expect("a key");
    tx.commit().await.expect("a commit");

    migrate::migrate(&database.settings())
        .await
        .expect("a second run");

    let mut tx = postgres
        .begin_for(Scope::of(made.id))
        .await
        .expect("a transaction");
    assert_eq!(keys::list(&mut tx, None, 10).await.expect("keys").len(), 1);
}

#[tokio::test]
async fn a_database_full_of_what_the_first_release_wrote_migrates_and_loses_nothing() {
    let database = TestDatabase::empty().await;
    let mut superuser = database.connect().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let all = Migrator::new(folder.as_path()).await.expect("migrations");
    all.run_to(FIRST_RELEASE, &mut superuser)
        .await
        .expect("the first release");
    for organization in [OURS, THEIRS] {
        fill(&mut superuser, organization).await;
        old_audit_rows(&mut superuser, organization).await;
    }
    let tables = tenant_tables(&mut superuser).await;
    let before = counts(&mut superuser, &tables).await;
    assert!(
        before.len() > 20 && before.iter().all(|(_, rows)| *rows > 1),
        "{before:?}"
    );

    let applied = migrate::migrate(&database.settings())
        .await
        .expect("the rest");

    assert!(applied.iter().any(|name| name == "0012_operations"));
    assert_eq!(counts(&mut superuser, &tables).await, before);
    let ours = Whose::Organization(OURS.parse().expect("an id"));
    let postgres = database.open(Role::Admin);
    let sound = inspect(&postgres, ours, &audit_keys(), BTreeMap::new()).await;
    assert_eq!(
        sound
            .expect("the books answer")
            .expect("a sound chain")
            .rows,
        3
    );
}

/// The last migration of the first release.
const FIRST_RELEASE: i64 = 6;

/// Writes three rows the way the first release did, in place of those of the fixture.
async fn old_audit_rows(superuser: &mut PgConnection, organization: &str) {
    run(superuser, &format!(
        "delete from audit.audit_logs where organization_id = '{organization}';
         delete from audit.chain_heads where organization_id = '{organization}';
         begin;
         select set_config('app.organization_id', '{organization}', true);
         select audit.record(gen_random_uuid(), 'operator', null, 'thing.change', 'thing', null, '{{}}')
         from generate_series(1, 3);
         commit"
    )).await;
}

async fn counts(
    superuser: &mut PgConnection,
    tables: &[(String, String)],
) -> Vec<((String, String), i64)> {
    let mut counts = Vec::new();
    for (table, column) in tables {
        let query = format!("select count({column}) from {table}");
        let rows = number(superuser, &query).await;
        counts.push(((table.clone(), column.clone()), rows));
    }
    counts
}

#[tokio::test]
async fn a_service_logs_in_with_the_password_migrate_gave_it() {
    let database = TestDatabase::start().await;
    let mut settings = database.settings();
    // Roles belong to the cluster: another test must not find its own password gone.
    settings.auditor_password = Some(Secret::new("it's \"quoted\" \\ text".to_owned()));

    migrate::migrate(&settings)
        .await
        .expect("a run with a password");

    let mut conn = database.connect().await;
    let row = sqlx::query("select rolcanlogin, rolpassword like 'SCRAM-SHA-256$%' from pg_authid where rolname = 'synaxis_auditor'")
        .fetch_one(&mut conn)
        .await
        .expect("the role is there");
    assert!(row.get::<bool, _>(0) && row.get::<bool, _>(1));
}
