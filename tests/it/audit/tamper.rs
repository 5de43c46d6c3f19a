//! Forty ways to change the log behind our back, each as a superuser, each named.

use std::process::Command;

use sqlx::{AssertSqlSafe, PgConnection};
use synaxis::audit::verify::{Fault, Kind, Marks};

use super::{Log, ROWS, marks_now};
use crate::stack::{SEALING_KEY, SYNAXIS};

/// What is done, what the verifier must say, and whether it needs a checkpoint for that.
struct Tampering {
    name: &'static str,
    statements: &'static [&'static str],
    seq: i64,
    kind: Kind,
    needs_checkpoint: bool,
}

const fn seen(
    name: &'static str,
    statements: &'static [&'static str],
    seq: i64,
    kind: Kind,
) -> Tampering {
    Tampering {
        name,
        statements,
        seq,
        kind,
        needs_checkpoint: false,
    }
}

const fn seen_by_checkpoint(
    name: &'static str,
    statements: &'static [&'static str],
    seq: i64,
    kind: Kind,
) -> Tampering {
    Tampering {
        name,
        statements,
        seq,
        kind,
        needs_checkpoint: true,
    }
}

/// In every statement `$ours` and `$theirs` are the organizations; row 3 is in the middle, row 7 is the last.
const TAMPERINGS: &[Tampering] = &[
    seen("another id", &["update audit.audit_logs set id = gen_random_uuid() where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("a microsecond later", &["update audit.audit_logs set at = at + interval '1 microsecond' where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("another month", &["update audit.audit_logs set at = at + interval '1 month' where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("given to another organization", &["update audit.audit_logs set organization_id = $theirs where organization_id = $ours and seq = 3"], 3, Kind::Missing),
    seen("given to the platform", &["update audit.audit_logs set organization_id = null where organization_id = $ours and seq = 3"], 3, Kind::Missing),
    seen("another kind of actor", &["update audit.audit_logs set actor_kind = 'agent' where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("another actor", &["update audit.audit_logs set actor_id = gen_random_uuid() where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("nobody did it", &["update audit.audit_logs set actor_id = null where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("another action", &["update audit.audit_logs set action = 'thing.look' where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("another kind of target", &["update audit.audit_logs set target_kind = 'things' where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("another target", &["update audit.audit_logs set target_id = gen_random_uuid() where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("another detail", &["update audit.audit_logs set details = jsonb_set(details, '{zeta}', '99') where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("one detail more", &["update audit.audit_logs set details = details || '{\"b\": 1}' where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("a number written otherwise", &["update audit.audit_logs set details = jsonb_set(details, '{zeta}', '2.0') where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("another address", &["update audit.audit_logs set address = '198.51.100.7' where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("a wider address", &["update audit.audit_logs set address = '203.0.113.9/24' where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("another request", &["update audit.audit_logs set request_id = gen_random_uuid() where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("another program", &["update audit.audit_logs set user_agent = 'curl/8.2' where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("another key's name", &["update audit.audit_logs set key_id = '0123456789abcdef' where organization_id = $ours and seq = 3"], 3, Kind::OtherKey),
    seen("another hash", &["update audit.audit_logs set hash = sha256(hash) where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("a hash made without the key", &["update audit.audit_logs set details = '{}', hash = sha256('{}') where organization_id = $ours and seq = 3"], 3, Kind::Altered),
    seen("no hash", &["update audit.audit_logs set hash = null, key_id = null where organization_id = $ours and seq = 3"], 3, Kind::Unhashed),
    seen("older than the chain", &[
        "update audit.audit_logs set hash = null, key_id = null where organization_id = $ours and seq <= 3",
        "update audit.chain_heads set unchained = 3 where organization_id = $ours",
    ], 4, Kind::Altered),
    seen("a hash where the chain had none", &["update audit.chain_heads set unchained = 3 where organization_id = $ours"], 1, Kind::Altered),
    seen("the first deleted", &["delete from audit.audit_logs where organization_id = $ours and seq = 1"], 1, Kind::Missing),
    seen("one deleted", &["delete from audit.audit_logs where organization_id = $ours and seq = 3"], 3, Kind::Missing),
    seen("the last deleted", &["delete from audit.audit_logs where organization_id = $ours and seq = 7"], 7, Kind::Missing),
    seen("all deleted", &["delete from audit.audit_logs where organization_id = $ours"], 1, Kind::Missing),
    seen("one deleted and the rest renumbered", &[
        "delete from audit.audit_logs where organization_id = $ours and seq = 3",
        "update audit.audit_logs set seq = seq - 1 where organization_id = $ours and seq > 3",
        "update audit.chain_heads set seq = seq - 1 where organization_id = $ours",
    ], 3, Kind::Altered),
    seen("two swapped", &["update audit.audit_logs set seq = 7 - seq where organization_id = $ours and seq in (3, 4)"], 3, Kind::Altered),
    seen("renumbered from the middle", &["update audit.audit_logs set seq = seq + 1 where organization_id = $ours and seq >= 3"], 3, Kind::Missing),
    seen("one twice", &[
        "insert into audit.audit_logs select (jsonb_populate_record(l, jsonb_build_object('id', gen_random_uuid()))).*
         from audit.audit_logs l where organization_id = $ours and seq = 3",
    ], 3, Kind::Repeated),
    seen("one made up after the last", &[
        "insert into audit.audit_logs select (jsonb_populate_record(l, jsonb_build_object('id', gen_random_uuid(), 'seq', 8))).*
         from audit.audit_logs l where organization_id = $ours and seq = 7",
    ], 8, Kind::AfterEnd),
    seen("one made up, and the end moved", &[
        "insert into audit.audit_logs select (jsonb_populate_record(l, jsonb_build_object('id', gen_random_uuid(), 'seq', 8))).*
         from audit.audit_logs l where organization_id = $ours and seq = 7",
        "update audit.chain_heads set seq = 8 where organization_id = $ours",
    ], 8, Kind::Altered),
    seen("another organization's row put in its place", &[
        "delete from audit.audit_logs where organization_id = $ours and seq = 3",
        "update audit.audit_logs set organization_id = $ours where organization_id = $theirs and seq = 3",
    ], 3, Kind::Altered),
    seen("the end moved back", &[
        "update audit.chain_heads h set seq = 5, hash = (select hash from audit.audit_logs where organization_id = $ours and seq = 5)
         where organization_id = $ours",
    ], 6, Kind::AfterEnd),
    seen("the end moved on", &["update audit.chain_heads set seq = 9 where organization_id = $ours"], 8, Kind::Missing),
    seen("the end names another hash", &["update audit.chain_heads set hash = sha256(hash) where organization_id = $ours"], 7, Kind::EndAltered),
    seen("the end deleted", &["delete from audit.chain_heads where organization_id = $ours"], 1, Kind::EndMissing),
    seen("the beginning moved, with a mac made without the key", &[
        "update audit.chain_heads h set pruned_seq = 2, pruned_mac = sha256('x'),
             pruned_hash = (select hash from audit.audit_logs where organization_id = $ours and seq = 2),
             pruned_key_id = (select key_id from audit.audit_logs where organization_id = $ours and seq = 2)
         where organization_id = $ours",
        "delete from audit.audit_logs where organization_id = $ours and seq <= 2",
    ], 2, Kind::BeginningForged),
    seen("the month dropped", &["do $do$ begin execute format('drop table %s', (
        select tableoid::regclass from audit.audit_logs where organization_id = $ours and seq = 3)); end $do$"], 1, Kind::Missing),
    seen_by_checkpoint("the tail cut, and the end moved back", &[
        "delete from audit.audit_logs where organization_id = $ours and seq > 5",
        "update audit.chain_heads h set seq = 5, hash = (select hash from audit.audit_logs where organization_id = $ours and seq = 5)
         where organization_id = $ours",
    ], 6, Kind::RolledBack),
    seen_by_checkpoint("everything gone, the end too", &[
        "delete from audit.audit_logs where organization_id = $ours",
        "delete from audit.chain_heads where organization_id = $ours",
    ], 1, Kind::EndMissing),
    seen_by_checkpoint("made to look older than the chain", &[
        "update audit.audit_logs set hash = null, key_id = null where organization_id = $ours",
        "update audit.chain_heads set hash = null, unchained = seq where organization_id = $ours",
    ], 7, Kind::NotAsCheckpointed),
];

async fn run(superuser: &mut PgConnection, log: &Log, statement: &str) {
    let statement = statement
        .replace("$ours", &format!("'{}'", log.ours))
        .replace("$theirs", &format!("'{}'", log.theirs));
    let done = sqlx::raw_sql(AssertSqlSafe(statement.clone()))
        .execute(superuser)
        .await;
    done.expect(&statement);
}

#[tokio::test]
async fn every_tampering_is_named_with_its_place_and_its_kind() {
    let log = Log::start().await;
    let mut superuser = log.database.connect().await;
    for statement in [
        "create table public.rows as select * from audit.audit_logs",
        "create table public.heads as select * from audit.chain_heads",
    ] {
        run(&mut superuser, &log, statement).await;
    }
    let checkpoint = marks_now(&log).await;
    let mut unnamed = Vec::new();

    for tampering in TAMPERINGS {
        for statement in tampering.statements {
            run(&mut superuser, &log, statement).await;
        }
        let without = log.verify(Marks::new()).await;
        let with = log.verify(checkpoint.clone()).await;
        let expected = Err(Fault {
            seq: tampering.seq,
            kind: tampering.kind,
        });
        if with != expected || without.is_ok() != tampering.needs_checkpoint {
            unnamed.push((tampering.name, without, with));
        }
        restore(&mut superuser, &log).await;
        let sound = log.verify(checkpoint.clone()).await;
        assert!(sound.is_ok(), "after {}: {sound:?}", tampering.name);
    }

    assert!(unnamed.is_empty(), "{unnamed:#?}");
    assert!(TAMPERINGS.len() >= 20);
}

/// Puts everything back as it was written.
async fn restore(superuser: &mut PgConnection, log: &Log) {
    for statement in [
        "set role synaxis_owner; select platform.make_months(0); reset role",
        "delete from audit.audit_logs",
        "delete from audit.chain_heads",
        "insert into audit.audit_logs select * from public.rows",
        "insert into audit.chain_heads select * from public.heads",
    ] {
        run(superuser, log, statement).await;
    }
}

#[tokio::test]
async fn the_command_names_what_was_tampered_with_and_ends_with_one() {
    let log = Log::start().await;
    let sound = verify(&log, &[]);
    assert_eq!(sound.0, Some(0), "{}", sound.1);
    let mut superuser = log.database.connect().await;
    run(&mut superuser, &log, "update audit.audit_logs set action = 'thing.look' where organization_id = $ours and seq = 3").await;

    let (exit, text) = verify(&log, &[]);

    assert_eq!(exit, Some(1), "{text}");
    let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let broken: Vec<_> = rows
        .as_array()
        .expect("a list")
        .iter()
        .filter(|row| row["status"] == "broken")
        .collect();
    assert_eq!(broken.len(), 1, "{text}");
    assert_eq!(broken[0]["chain"], log.ours.to_string());
    assert_eq!(broken[0]["seq"], 3);
    assert_eq!(broken[0]["kind"], "altered");
    let theirs = verify(&log, &["--organization", &log.theirs.to_string()]);
    assert_eq!(theirs.0, Some(0), "{}", theirs.1);
    assert!(
        theirs.1.contains(&format!("\"rows\":{ROWS}")),
        "{}",
        theirs.1
    );
}

pub fn verify(log: &Log, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(SYNAXIS)
        .args(["audit", "verify", "--json"])
        .args(arguments)
        .env_clear()
        .env("SYNAXIS__ENVIRONMENT", "development")
        .env("SYNAXIS__DATABASE__URL", log.database.url())
        .env("SYNAXIS__SECURITY__SEALING_KEY", SEALING_KEY)
        .output()
        .expect("the command runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text)
}
