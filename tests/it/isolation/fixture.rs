//! Two organizations with a row in every table that has an organization.

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

/// The organization in whose scope statements run.
pub const OURS: &str = "019aa0f0-aaaa-7000-8000-aaaaaaaaaaaa";
/// The organization of which they must show nothing.
pub const THEIRS: &str = "019aa0f0-bbbb-7000-8000-bbbbbbbbbbbb";

/// The statements that fill one organization, a paragraph each, behind a comment.
const STATEMENTS: &str = include_str!("tenant.sql");

/// Fills one organization.
pub async fn fill(superuser: &mut PgConnection, organization: &str) {
    for statement in STATEMENTS.split("\n\n").skip(1) {
        let statement = statement.trim();
        if is_there(superuser, table_of(statement)).await {
            run(superuser, &for_organization(statement, organization)).await;
        }
    }
}

/// The third word: `insert into TABLE`.
fn table_of(statement: &str) -> &str {
    statement.split_whitespace().nth(2).unwrap_or_default()
}

/// Migrations before the last know fewer tables.
async fn is_there(superuser: &mut PgConnection, table: &str) -> bool {
    let asked = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(table)
        .fetch_one(superuser)
        .await;
    asked.expect("the catalogue answers")
}

/// Writes an organization and its ids into a statement.
pub fn for_organization(statement: &str, organization: &str) -> String {
    let statement = statement.replace("{org}", &format!("'{organization}'::uuid"));
    let mut parts = statement.split('@');
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(|letter: char| letter != '_' && !letter.is_ascii_lowercase())
            .unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        // An address of mail is no id.
        if name.is_empty() || name == "example" {
            written.push('@');
            written.push_str(part);
            continue;
        }
        written.push_str(&format!("'{}'::uuid{rest}", id(organization, name)));
    }
    written
}

/// The id that `@name` stands for.
fn id(organization: &str, name: &str) -> Uuid {
    let organization = Uuid::parse_str(organization).expect("an organization");
    let mut number = organization.as_u128();
    for byte in name.bytes() {
        number = number.rotate_left(7).wrapping_mul(0x0100_0000_01b3) ^ u128::from(byte);
    }
    Uuid::from_u128(number)
}

/// Every table with an organization, its name and that of the column.
pub async fn tenant_tables(superuser: &mut PgConnection) -> Vec<(String, String)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text
         from pg_class c
         join pg_namespace n on n.oid = c.relnamespace
         join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped
         where n.nspname in ('platform', 'identity', 'operations', 'audit') and c.relkind in ('r', 'p')
             and not c.relispartition
         order by 1",
    )
    .fetch_all(superuser)
    .await
    .expect("the catalogue answers");
    let organizations = ("identity.organizations".to_owned(), "id".to_owned());
    let others = tables
        .into_iter()
        .map(|table| (table, "organization_id".to_owned()));
    std::iter::once(organizations).chain(others).collect()
}

/// Runs what the tests wrote themselves.
pub async fn run(conn: &mut PgConnection, statement: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(conn)
        .await;
    if let Err(error) = done {
        panic!("{statement}: {error}");
    }
}

/// Asks for one number.
pub async fn number(conn: &mut PgConnection, query: &str) -> i64 {
    let asked = sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
        .fetch_one(conn)
        .await;
    asked.unwrap_or_else(|error| panic!("{query}: {error}"))
}
