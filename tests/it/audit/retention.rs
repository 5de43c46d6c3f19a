//! Months are made ahead, and go past their retention: from the audit log only when a checkpoint vouches for them.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use synaxis::{
    audit::{checkpoint::marks, folder::Folder, verify::Marks},
    base::{Clock, OrganizationId},
    control::retention::{Keeper, Report, Settings},
    store::{Whose, postgres::Role},
};
use tempfile::TempDir;

use super::{Log, ROWS, note, past::backdate};
use crate::{
    isolation::fixture::{number, run},
    stack::{admin::TestAdmin, database::audit_keys, eventually},
};

/// A keeper of the log's database, with a folder for its checkpoints.
fn keeper(log: &Log, place: &TempDir) -> Keeper {
    Keeper {
        postgres: log.database.open(Role::Agent),
        clock: Clock::System,
        settings: Settings {
            checkpoint_folder: Some(place.path().to_owned()),
            ..Settings::default()
        },
    }
}

async fn round(keeper: &Keeper) -> Report {
    let report = keeper.round().await.expect("a round");
    report.expect("nobody else is at it")
}

fn days_ago(days: i64) -> DateTime<Utc> {
    Clock::System.now().utc() - TimeDelta::days(days)
}

async fn keep_for(superuser: &mut PgConnection, organization: OrganizationId, days: i64) {
    run(superuser, &format!(
        "update identity.organization_settings set audit_retention_days = {days} where organization_id = '{organization}'"
    )).await;
}

/// An event of each organization, so many days ago, in a month of its own when it is long enough ago.
async fn events(log: &Log, superuser: &mut PgConnection, days: i64) {
    for organization in [log.ours, log.theirs] {
        run(superuser, &format!(
            "select platform.make_month('operations.events', now() - interval '{days} days');
             insert into operations.events (id, at, organization_id, kind, data)
             values (gen_random_uuid(), now() - interval '{days} days', '{organization}', 'AuditEvent', '{{}}')"
        )).await;
    }
}

/// Counts the events above, not those of the log's own records.
async fn events_of(superuser: &mut PgConnection, organization: OrganizationId) -> i64 {
    let query = format!(
        "select count(*) from operations.events where organization_id = '{organization}' and data = '{{}}'"
    );
    number(superuser, &query).await
}

#[tokio::test]
async fn months_that_are_missing_are_made() {
    let log = Log::start().await;
    let place = tempfile::tempdir().expect("a folder");
    let mut superuser = log.database.connect().await;
    run(&mut superuser, "do $do$ begin execute format('drop table %s', (
        select m.partition from platform.months() m where m.parent = 'operations.events'::regclass order by m.ends desc limit 1
    )); end $do$").await;

    let report = round(&keeper(&log, &place)).await;

    assert_eq!(report.months_made, 1);
    assert_eq!(round(&keeper(&log, &place)).await.months_made, 0);
}

#[tokio::test]
async fn a_month_past_its_retention_goes_whole_and_one_that_is_not_stays() {
    let log = Log::start().await;
    let place = tempfile::tempdir().expect("a folder");
    let mut superuser = log.database.connect().await;
    events(&log, &mut superuser, 200).await;
    events(&log, &mut superuser, 40).await;

    let report = round(&keeper(&log, &place)).await;

    assert_eq!(
        (report.months_dropped, report.months_rewritten),
        (1, 0),
        "{report:?}"
    );
    assert_eq!(events_of(&mut superuser, log.ours).await, 1);
    let noted = number(&mut superuser, "select count(*) from audit.audit_logs where action = 'retention.keep' and organization_id is null").await;
    assert_eq!(noted, 1);
    assert!(log.verify_of(Whose::Platform, Marks::new()).await.is_ok());
}

#[tokio::test]
async fn an_organization_that_keeps_its_rows_longer_takes_them_along() {
    let log = Log::start().await;
    let place = tempfile::tempdir().expect("a folder");
    let mut superuser = log.database.connect().await;
    keep_for(&mut superuser, log.ours, 400).await;
    events(&log, &mut superuser, 200).await;

    let report = round(&keeper(&log, &place)).await;

    assert_eq!(
        (report.months_dropped, report.months_rewritten),
        (0, 1),
        "{report:?}"
    );
    assert_eq!(events_of(&mut superuser, log.ours).await, 1);
    assert_eq!(events_of(&mut superuser, log.theirs).await, 0);
    // The month is a month like any other: protected, granted to nobody, and done with.
    let open = number(&mut superuser, "select count(*) from pg_class c left join lateral aclexplode(c.relacl) a on a.grantee <> c.relowner
        where c.relispartition and c.relkind = 'r' and (a.grantee is not null or not c.relrowsecurity or not c.relforcerowsecurity)").await;
    assert_eq!(open, 0);
    assert_eq!(round(&keeper(&log, &place)).await.months_rewritten, 0);
}

#[tokio::test]
async fn an_organization_that_keeps_its_rows_for_less_is_pruned_inside_the_months() {
    let log = Log::start().await;
    let place = tempfile::tempdir().expect("a folder");
    let mut superuser = log.database.connect().await;
    keep_for(&mut superuser, log.ours, 7).await;
    events(&log, &mut superuser, 50).await;
    events(&log, &mut superuser, 10).await;

    let report = round(&keeper(&log, &place)).await;

    assert_eq!(
        (
            report.months_dropped,
            report.months_rewritten,
            report.rows_pruned
        ),
        (0, 0, 1),
        "{report:?}"
    );
    // A month's budget is counted from these rows, so they stay for a month whatever the setting.
    assert_eq!(events_of(&mut superuser, log.ours).await, 1);
    assert_eq!(events_of(&mut superuser, log.theirs).await, 2);
}

/// Seven moments: four in a month that is past its retention, three now.
fn across_the_retention() -> Vec<DateTime<Utc>> {
    [200, 200, 199, 199, 2, 1, 1].map(days_ago).to_vec()
}

#[tokio::test]
async fn a_month_of_the_audit_log_goes_only_once_a_checkpoint_vouches_for_it() {
    let log = Log::start().await;
    let place = tempfile::tempdir().expect("a folder");
    for organization in [log.ours, log.theirs] {
        backdate(&log, organization, &across_the_retention()).await;
    }
    assert_eq!(log.verify(Marks::new()).await.expect("sound").rows, ROWS);
    let keeper = keeper(&log, &place);

    let before = round(&keeper).await;
    assert_eq!(
        (before.months_unvouched > 0, before.months_dropped),
        (true, 0),
        "{before:?}"
    );

    assert_eq!(keeper.checkpoint().await.expect("a checkpoint"), 2);
    let after = round(&keeper).await;

    assert!(0 < after.months_dropped, "{after:?}");
    assert_eq!(
        (after.months_unvouched, after.months_rewritten),
        (0, 0),
        "{after:?}"
    );
    let (checkpoints, faults) = Folder::at(place.path().to_owned())
        .read(&audit_keys())
        .expect("read");
    assert_eq!(faults, []);
    let mut vouched = marks(&checkpoints);
    for organization in [log.ours, log.theirs] {
        let whose = Whose::Organization(organization);
        let marks = vouched.remove(&whose).expect("marks");
        let sound = log.verify_of(whose, marks).await.expect("sound");
        assert_eq!((sound.first_seq, sound.last_seq, sound.rows), (5, ROWS, 3));
    }
    note(&log.postgres, log.ours, 8).await;
    assert_eq!(
        log.verify(Marks::new()).await.expect("sound").last_seq,
        ROWS + 1
    );
}

#[tokio::test]
async fn a_chain_that_is_kept_longer_stays_whole_when_the_others_go() {
    let log = Log::start().await;
    let place = tempfile::tempdir().expect("a folder");
    let mut superuser = log.database.connect().await;
    keep_for(&mut superuser, log.ours, 400).await;
    for organization in [log.ours, log.theirs] {
        backdate(&log, organization, &across_the_retention()).await;
    }
    let keeper = keeper(&log, &place);
    keeper.checkpoint().await.expect("a checkpoint");

    let report = round(&keeper).await;

    assert!(0 < report.months_rewritten, "{report:?}");
    assert_eq!(log.verify(Marks::new()).await.expect("sound").first_seq, 1);
    let theirs = log
        .verify_of(Whose::Organization(log.theirs), Marks::new())
        .await;
    assert_eq!(theirs.expect("sound").first_seq, 5);
}

#[tokio::test]
async fn a_chain_that_is_kept_for_less_loses_its_beginning_and_stays_sound() {
    let log = Log::start().await;
    let place = tempfile::tempdir().expect("a folder");
    let mut superuser = log.database.connect().await;
    keep_for(&mut superuser, log.ours, 7).await;
    backdate(&log, log.ours, &[20, 20, 15, 10, 2, 1, 1].map(days_ago)).await;
    let keeper = keeper(&log, &place);
    assert_eq!(
        round(&keeper).await.rows_pruned,
        0,
        "no checkpoint vouches yet"
    );

    keeper.checkpoint().await.expect("a checkpoint");
    let report = round(&keeper).await;

    assert_eq!(report.rows_pruned, 4);
    let sound = log.verify(Marks::new()).await.expect("sound");
    assert_eq!((sound.first_seq, sound.rows), (5, 3));
}

#[tokio::test]
async fn one_process_at_a_time_keeps_retention() {
    let log = Log::start().await;
    let place = tempfile::tempdir().expect("a folder");
    let mut other = log.database.connect().await;
    run(
        &mut other,
        "begin; select pg_advisory_xact_lock(hashtext('synaxis retention'))",
    )
    .await;

    let held = keeper(&log, &place).round().await.expect("a round");
    run(&mut other, "rollback").await;

    assert_eq!(held, None);
    assert!(
        keeper(&log, &place)
            .round()
            .await
            .expect("a round")
            .is_some()
    );
}

#[tokio::test]
async fn a_reader_of_changes_that_were_forgotten_is_told() {
    let log = Log::start().await;
    let place = tempfile::tempdir().expect("a folder");
    let mut superuser = log.database.connect().await;
    run(
        &mut superuser,
        "update platform.changes set at = now() - interval '30 days'",
    )
    .await;
    let last = number(&mut superuser, "select platform.last_change()").await;

    let report = round(&keeper(&log, &place)).await;

    assert!(0 < report.changes_pruned, "{report:?}");
    assert_eq!(
        number(&mut superuser, "select platform.last_change()").await,
        last
    );
    let gaps = "select count(*) from platform.changes_since";
    assert_eq!(
        number(&mut superuser, &format!("{gaps}(0) where kind = 'gap'")).await,
        1
    );
    assert_eq!(
        number(
            &mut superuser,
            &format!("{gaps}({last}) where kind = 'gap'")
        )
        .await,
        0
    );
}

#[tokio::test]
async fn a_sidecar_keeps_checkpoints_and_the_command_finds_a_tail_that_was_cut() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("checkpoints");
    let path = folder.display().to_string();
    let admin = TestAdmin::start_with(&[
        ("RETENTION__CHECKPOINT_FOLDER", path.as_str()),
        ("RETENTION__CHECKPOINT_EVERY_S", "60"),
    ])
    .await;
    let kept = || async {
        Folder::at(folder.clone())
            .read(&audit_keys())
            .is_ok_and(|(checkpoints, _)| !checkpoints.is_empty())
    };
    eventually("a checkpoint is kept", kept).await;
    drop(admin);

    // The same folder, and a log that is written, vouched for, and then cut.
    let log = Log::start().await;
    let keeper = keeper(&log, &place);
    keeper.checkpoint().await.expect("a checkpoint");
    let arguments = ["--checkpoints", place.path().to_str().expect("a path")];
    assert_eq!(super::tamper::verify(&log, &arguments).0, Some(0));
    let mut superuser = log.database.connect().await;
    run(&mut superuser, &format!(
        "delete from audit.audit_logs where organization_id = '{0}' and seq > 5;
         update audit.chain_heads set seq = 5, hash = (select hash from audit.audit_logs where organization_id = '{0}' and seq = 5)
         where organization_id = '{0}'", log.ours
    )).await;

    let unaware = super::tamper::verify(&log, &[]);
    let aware = super::tamper::verify(&log, &arguments);

    assert_eq!(unaware.0, Some(0), "{}", unaware.1);
    assert_eq!(aware.0, Some(1), "{}", aware.1);
    assert!(
        aware.1.contains("\"rolled_back\"") && aware.1.contains("\"seq\":6"),
        "{}",
        aware.1
    );
}
