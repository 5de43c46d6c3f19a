//! Every change has its row, linked to the one before, in the transaction of the change.

use std::{collections::BTreeSet, process::Command};

use synaxis::{
    audit::{self, verify::Marks},
    control::{
        keys::{self, NewKey},
        limits::{self, NewLimit, Terms},
        organizations::{self, NewOrganization},
    },
    quota::limit::{Meter, Subject, Window},
    store::{Scope, StoreError, Whose},
};

use super::{Log, ROWS, by, event, note};
use crate::{
    isolation::fixture::{number, run},
    stack::{SEALING_KEY, SYNAXIS, database::TestDatabase},
};

#[tokio::test]
async fn a_chain_as_it_was_written_is_sound() {
    let log = Log::start().await;

    let sound = log.verify(Marks::new()).await.expect("sound");

    assert_eq!(
        (sound.rows, sound.first_seq, sound.last_seq),
        (ROWS, 1, ROWS)
    );
    let platform = log.verify_of(Whose::Platform, Marks::new()).await;
    assert!(platform.is_ok(), "{platform:?}");
}

#[tokio::test]
async fn the_platform_has_a_chain_of_its_own() {
    let log = Log::start().await;
    let mut tx = log
        .postgres
        .begin_for_platform()
        .await
        .expect("a transaction");
    for number in 0..3 {
        audit::store::record(&mut tx, by(), &event(number))
            .await
            .expect("a row");
    }
    tx.commit().await.expect("a commit");

    let sound = log.verify_of(Whose::Platform, Marks::new()).await;

    assert_eq!(sound.expect("sound").rows, 3);
}

#[tokio::test]
async fn many_writers_at_once_make_one_chain_without_gaps() {
    let log = Log::start().await;

    let writers = (0..24).map(|number| note(&log.postgres, log.ours, number));
    futures::future::join_all(writers).await;

    let sound = log.verify(Marks::new()).await.expect("sound");
    assert_eq!(sound.rows, ROWS + 24);
}

#[tokio::test]
async fn rows_older_than_the_chain_are_accepted_and_the_next_row_says_how_many_there_are() {
    let log = Log::start().await;
    let mut superuser = log.database.connect().await;
    // As 0011 found them.
    for statement in [
        "update audit.audit_logs set hash = null, key_id = null",
        "update audit.chain_heads set hash = null, unchained = seq",
    ] {
        sqlx::query(statement)
            .execute(&mut superuser)
            .await
            .expect(statement);
    }
    assert!(log.verify(Marks::new()).await.is_ok());

    note(&log.postgres, log.ours, 1).await;

    assert_eq!(
        log.verify(Marks::new()).await.expect("sound").rows,
        ROWS + 1
    );
    sqlx::query("update audit.chain_heads set unchained = unchained - 1 where hash is not null")
        .execute(&mut superuser)
        .await
        .expect("an update");
    let fault = log.verify(Marks::new()).await.expect_err("a fault");
    assert_eq!(fault.seq, ROWS);
}

#[tokio::test]
async fn without_insert_on_the_log_no_change_is_kept() {
    let log = Log::start().await;
    let mut superuser = log.database.connect().await;
    let before = counts(&mut superuser).await;
    sqlx::query("revoke insert on audit.audit_logs from synaxis_definer")
        .execute(&mut superuser)
        .await
        .expect("a revocation");

    let mut refused = BTreeSet::new();
    for number in 0..50 {
        if change(&log, number).await.is_err() {
            refused.insert(number);
        }
    }

    assert_eq!(refused.len(), 50);
    assert_eq!(counts(&mut superuser).await, before);
}

/// One of four kinds of change, each in a transaction of its own.
async fn change(log: &Log, number: usize) -> Result<(), String> {
    let name = format!("change {number}");
    if number.is_multiple_of(4) {
        let new = NewOrganization {
            name,
            ..NewOrganization::default()
        };
        let made = organizations::create(&log.postgres, new, by()).await;
        return made.map(drop).map_err(|refused| refused.to_string());
    }
    let begun = log.postgres.begin_for(Scope::of(log.ours)).await;
    let mut tx = begun.expect("a transaction");
    let told = |refused: &dyn std::error::Error| refused.to_string();
    match number % 4 {
        1 => {
            let new = NewKey {
                name,
                ..NewKey::default()
            };
            keys::create(&mut tx, new, by())
                .await
                .map(drop)
                .map_err(|refused| told(&refused))?;
        }
        2 => {
            let subject = Subject::Organization(log.ours);
            let terms = Terms::usual(Meter::NanoUsd, Window::Day, 7);
            let new = NewLimit { subject, terms };
            limits::set(&mut tx, new, by())
                .await
                .map(drop)
                .map_err(|refused| told(&refused))?;
        }
        _ => {
            let event = event(0);
            let recorded: Result<(), StoreError> =
                audit::store::record(&mut tx, by(), &event).await;
            recorded.map_err(|refused| told(&refused))?;
        }
    }
    tx.commit().await.map_err(|refused| refused.to_string())
}

async fn counts(superuser: &mut sqlx::PgConnection) -> Vec<i64> {
    let mut counts = Vec::new();
    for query in [
        "select count(*) from identity.organizations",
        "select count(*) from operations.api_keys",
        "select count(*) from operations.limits",
        "select count(*) from audit.audit_logs",
    ] {
        let count = sqlx::query_scalar(query).fetch_one(&mut *superuser).await;
        counts.push(count.expect(query));
    }
    counts
}

#[tokio::test]
async fn a_command_without_a_sealing_key_changes_nothing_unless_the_database_is_a_developers_own() {
    let database = TestDatabase::start().await;
    let mut superuser = database.connect().await;
    let (exit, told) = create_organization(&database);
    assert_eq!(exit, Some(1), "{told}");
    assert!(told.contains("security.sealing_key is not set"), "{told}");
    let made = "select count(*) from identity.organizations";
    assert_eq!(number(&mut superuser, made).await, 0);

    let folder = tempfile::tempdir().expect("a folder");
    let state = format!("{{\"sealing_key\": \"{SEALING_KEY}\"}}");
    std::fs::write(folder.path().join("state.json"), state).expect("a state");
    let name = database.url().rsplit('/').next().expect("a name");
    run(
        &mut superuser,
        &format!(
            "alter database {name} set synaxis.state_folder = '{}'",
            folder.path().display()
        ),
    )
    .await;
    let (exit, told) = create_organization(&database);

    assert_eq!(exit, Some(0), "{told}");
    let linked = "select count(*) from audit.audit_logs where hash is not null and action = 'organization.create'";
    assert_eq!(number(&mut superuser, linked).await, 1);
}

/// `synaxis orgs create`, told of nothing but the database.
fn create_organization(database: &TestDatabase) -> (Option<i32>, String) {
    let output = Command::new(SYNAXIS)
        .args(["orgs", "create", "--name", "Acme", "--json"])
        .env_clear()
        .env("SYNAXIS__ENVIRONMENT", "development")
        .env("SYNAXIS__DATABASE__URL", database.url())
        .output()
        .expect("the command runs");
    let told = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&told).into_owned(),
    )
}
