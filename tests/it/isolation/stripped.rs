//! Every prepared statement of ours, run without its tenant condition and as wide as it goes, shows and changes the
//! same rows whether another tenant has any or not.

use std::{collections::BTreeMap, fs, path::Path};

use regex::Regex;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};

use super::fixture::{OURS, THEIRS, fill, number, run, tenant_tables};
use crate::stack::database::TestDatabase;

/// Who runs statements. What operators alone run as the database's owner is refused to all of them.
const SERVICES: [&str; 3] = ["synaxis_admin", "synaxis_agent", "synaxis_proxy"];

/// A statement as `cargo sqlx` prepared it.
struct Prepared {
    file: String,
    query: String,
    types: Vec<String>,
}

/// What a statement came to: its rows as text, or the code of its refusal.
type Outcome = Result<String, String>;

/// What our organization is shown while it is alone, and while another is there.
struct Seen {
    statements: usize,
    shown: usize,
    differing: Vec<(String, &'static str)>,
}

/// Runs every statement twice; `weakening` is done to the schema before.
async fn see(weakening: &str) -> Seen {
    let database = TestDatabase::start().await;
    let mut superuser = database.connect().await;
    run(&mut superuser, weakening).await;
    let statements: Vec<Prepared> = prepared().into_iter().filter(names_a_tenant).collect();
    fill(&mut superuser, OURS).await;
    let alone = run_all(&mut superuser, &statements).await;
    fill(&mut superuser, THEIRS).await;
    let theirs = fingerprint(&mut superuser).await;
    let beside = run_all(&mut superuser, &statements).await;
    assert_eq!(fingerprint(&mut superuser).await, theirs);
    let has_rows = |outcome: &&Outcome| outcome.as_ref().is_ok_and(|rows| rows.contains('{'));
    Seen {
        statements: statements.len(),
        shown: beside.values().filter(has_rows).count(),
        differing: beside
            .into_iter()
            .filter(|(key, outcome)| alone.get(key) != Some(outcome))
            .map(|(key, _)| key)
            .collect(),
    }
}

#[tokio::test]
async fn no_statement_shows_a_foreign_row_when_its_tenant_condition_is_gone() {
    let seen = see("select").await;

    assert_eq!(seen.differing, []);
    // Statements that show nothing at all would prove nothing.
    assert!(seen.statements > 35, "{}", seen.statements);
    assert!(
        seen.shown * 2 > seen.statements,
        "{} of {} show rows",
        seen.shown,
        seen.statements
    );
}

#[tokio::test]
async fn the_proof_notices_a_table_that_is_not_protected() {
    let seen = see("alter table operations.api_keys disable row level security").await;

    assert!(!seen.differing.is_empty());
}

#[tokio::test]
async fn no_statement_writes_a_row_of_another_tenant() {
    let database = TestDatabase::start().await;
    let mut superuser = database.connect().await;
    fill(&mut superuser, OURS).await;
    fill(&mut superuser, THEIRS).await;
    let before = fingerprint(&mut superuser).await;
    let statements: Vec<Prepared> = prepared().into_iter().filter(is_writing).collect();
    assert!(statements.len() > 50, "{}", statements.len());

    for statement in &statements {
        for role in SERVICES {
            // Every id the caller gives is the other tenant's.
            let text = filled(&statement.query, &statement.types, THEIRS);
            run(&mut superuser, "begin").await;
            // What is refused has changed nothing.
            if attempt(&mut superuser, role, &text).await.is_ok() {
                run(&mut superuser, "reset role").await;
                let after = fingerprint(&mut superuser).await;
                assert_eq!(after, before, "{role} {}: {text}", statement.file);
            }
            run(&mut superuser, "rollback").await;
        }
    }
}

/// Reads `.sqlx`.
fn prepared() -> Vec<Prepared> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let files = fs::read_dir(folder).expect("prepared statements are there");
    let mut statements: Vec<Prepared> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let text = fs::read(&path).expect("a file that can be read");
            let value: Value = serde_json::from_slice(&text).expect("JSON");
            let types = value["describe"]["parameters"]["Left"].as_array().cloned();
            Prepared {
                file: path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                query: value["query"].as_str().expect("a query").to_owned(),
                types: types.unwrap_or_default().iter().map(type_name).collect(),
            }
        })
        .collect();
    statements.sort_by(|one, other| one.file.cmp(&other.file));
    statements
}

/// A type is a word, or an object that says what it is made of.
fn type_name(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn names_a_tenant(statement: &Prepared) -> bool {
    tenant_condition().is_match(&statement.query)
}

fn is_writing(statement: &Prepared) -> bool {
    let begin = statement.query.trim_start().to_lowercase();
    ["insert", "update", "delete", "with"]
        .iter()
        .any(|word| begin.starts_with(word))
}

fn tenant_condition() -> Regex {
    let pattern = r"(?i)\b(\w+\.)?organization_id\s*(=|is not distinct from)\s*\$\d+(::\w+)?";
    Regex::new(pattern).expect("a pattern")
}

/// Takes the tenant condition out, and with it every condition on what the caller gives.
fn widened(statement: &Prepared) -> String {
    let mut text = tenant_condition()
        .replace_all(&statement.query, "true")
        .into_owned();
    for (pattern, by) in [
        (
            r"(?i)\([\w., ]+\)\s*[<>]=?\s*\(\$\d+(::\w+)?,\s*\$\d+(::\w+)?\)",
            "true",
        ),
        (
            r"(?i)\b[\w.]+(\([\w.]+\))?\s*=\s*any\s*\(\$\d+(::\w+(\[\])?)?\)",
            "true",
        ),
        (r"(?i)\blimit\s+\$\d+", "limit all"),
    ] {
        text = Regex::new(pattern)
            .expect("a pattern")
            .replace_all(&text, by)
            .into_owned();
    }
    without_comparisons(&text)
}

/// After `where` a comparison with a parameter becomes true; before it, it assigns.
fn without_comparisons(text: &str) -> String {
    let compared = Regex::new(
        r"(?i)\b[\w.]+(\([\w.]+\))?\s*(=|<>|<=|>=|<|>|is not distinct from)\s*(lower\()?\$\d+(::\w+)?\)?",
    )
    .expect("a pattern");
    match text.to_lowercase().find("where") {
        Some(place) => {
            let (before, after) = text.split_at(place);
            format!("{before}{}", compared.replace_all(after, "true"))
        }
        None => text.to_owned(),
    }
}

/// Writes values where the parameters are; ids are those of `organization`.
fn filled(text: &str, types: &[String], organization: &str) -> String {
    let parameter = Regex::new(r"\$(\d+)").expect("a pattern");
    let fill = |found: &regex::Captures<'_>| {
        let number: usize = found[1].parse().expect("a number");
        let name = types
            .get(number.saturating_sub(1))
            .map_or("Text", String::as_str);
        value(name, organization)
    };
    parameter.replace_all(text, fill).into_owned()
}

fn value(type_name: &str, organization: &str) -> String {
    match type_name {
        "Uuid" => format!("'{organization}'::uuid"),
        "UuidArray" => format!("array['{organization}'::uuid]"),
        "Text" | "Varchar" | "Name" => "'x'::text".to_owned(),
        "TextArray" => "array['x']::text[]".to_owned(),
        "Bool" => "true".to_owned(),
        "Int2" | "Int4" | "Int8" => "1".to_owned(),
        "Timestamptz" => "now()".to_owned(),
        "Jsonb" => "'{}'::jsonb".to_owned(),
        "Json" => "'{}'::json".to_owned(),
        "Bytea" => "sha256('x')".to_owned(),
        _ => "null".to_owned(),
    }
}

/// Runs every statement as every service, for our organization; nothing is kept.
async fn run_all(
    superuser: &mut PgConnection,
    statements: &[Prepared],
) -> BTreeMap<(String, &'static str), Outcome> {
    let mut outcomes = BTreeMap::new();
    for statement in statements {
        for role in SERVICES {
            run(superuser, "begin").await;
            let text = filled(&widened(statement), &statement.types, OURS);
            let mut outcome = attempt(superuser, role, &text).await;
            // What cannot be widened like this is run with nothing but the tenant's condition gone.
            if matches!(&outcome, Err(code) if code.starts_with("42") && code != "42501") {
                run(superuser, "rollback").await;
                run(superuser, "begin").await;
                let text = tenant_condition().replace_all(&statement.query, "true");
                let text = filled(&text, &statement.types, OURS);
                outcome = attempt(superuser, role, &text).await;
            }
            run(superuser, "rollback").await;
            if let Err(code) = &outcome {
                let is_understood = code == "42501" || !code.starts_with("42");
                assert!(is_understood, "{code} {}: {text}", statement.file);
            }
            outcomes.insert((statement.file.clone(), role), outcome);
        }
    }
    outcomes
}

async fn attempt(conn: &mut PgConnection, role: &str, text: &str) -> Outcome {
    let set =
        format!("set local role {role}; select set_config('app.organization_id', '{OURS}', true)");
    run(conn, &set).await;
    let begin = text.trim_start().to_lowercase();
    let is_reading = begin.starts_with("select");
    if is_reading || begin.contains("returning") {
        // What an update answers of its own moment is another in every run.
        let wrapped = format!(
            "with shown as ({text}), rows as (select (to_jsonb(s) - 'updated_at')::text as row from shown s)
             select coalesce(string_agg(r.row, ' ' order by r.row), '') from rows r"
        );
        let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(wrapped))
            .fetch_one(conn)
            .await;
        return rows.map_err(|error| code(&error));
    }
    let done = sqlx::raw_sql(AssertSqlSafe(text.to_owned()))
        .execute(conn)
        .await;
    done.map(|done| format!("{{{} rows}}", done.rows_affected()))
        .map_err(|error| code(&error))
}

fn code(error: &sqlx::Error) -> String {
    let refused = error.as_database_error().and_then(|refused| refused.code());
    refused.map_or_else(|| error.to_string(), Into::into)
}

/// What the other tenant has, table by table.
async fn fingerprint(superuser: &mut PgConnection) -> Vec<(String, i64)> {
    let mut all = Vec::new();
    for (table, column) in tenant_tables(superuser).await {
        let query = format!(
            "select coalesce(sum(hashtextextended(t::text, 0))::numeric % 9007199254740991, 0)::bigint + count(*)
             from {table} t where {column} = '{THEIRS}'"
        );
        let print = number(superuser, &query).await;
        all.push((table, print));
    }
    all
}
