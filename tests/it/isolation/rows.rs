//! What a tenant's own functions and queries show: their own rows, and nobody else's.

use sqlx::Row;
use synaxis::{
    base::{Clock, GroupId, OrganizationId},
    control::{
        Actor, By,
        keys::{self, KeyRefused, NewKey},
        limits::{self, LimitRefused, NewLimit, Terms},
        organizations::{self, NewOrganization},
    },
    quota::limit::{Meter, Subject, Window},
    store::{OrgTx, Postgres, Scope, postgres::Role},
};

use crate::stack::database::TestDatabase;

fn by() -> By {
    By::new(Actor::Operator, Clock::System.now())
}

struct Tenant {
    id: OrganizationId,
    group: GroupId,
}

/// An organization with a key, a limit and an audit trail.
async fn tenant(postgres: &Postgres, name: &str) -> Tenant {
    let new = NewOrganization {
        name: name.to_owned(),
        ..NewOrganization::default()
    };
    let made = organizations::create(postgres, new, by())
        .await
        .expect("an organization");
    let mut tx = begin(postgres, made.id).await;
    let new = NewKey {
        name: "ci".to_owned(),
        ..NewKey::default()
    };
    keys::create(&mut tx, new, by()).await.expect("a key");
    tx.commit().await.expect("a commit");
    Tenant {
        id: made.id,
        group: made.default_group_id,
    }
}

async fn begin(postgres: &Postgres, organization: OrganizationId) -> OrgTx {
    postgres
        .begin_for(Scope::of(organization))
        .await
        .expect("a transaction")
}

/// Tables the sidecar may read, each without a word about whose rows.
const READABLE: [&str; 6] = [
    "select count(*) from identity.organizations where id <> $1",
    "select count(*) from identity.groups where organization_id <> $1",
    "select count(*) from identity.organization_settings where organization_id <> $1",
    "select count(id) from operations.api_keys where organization_id <> $1",
    "select count(*) from operations.limits where organization_id <> $1",
    "select count(*) from audit.audit_logs where organization_id <> $1",
];

#[tokio::test]
async fn a_query_that_forgets_whose_rows_sees_its_own_only() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Admin);
    let (ours, theirs) = (
        tenant(&postgres, "Ours").await,
        tenant(&postgres, "Theirs").await,
    );

    let mut tx = begin(&postgres, ours.id).await;

    for query in READABLE {
        let foreign: i64 = sqlx::query(query)
            .bind(ours.id.uuid())
            .fetch_one(&mut *tx)
            .await
            .expect(query)
            .get(0);
        assert_eq!(foreign, 0, "{query}");
        // The same rows, asked about from the other side: ours are there.
        let own: i64 = sqlx::query(query)
            .bind(theirs.id.uuid())
            .fetch_one(&mut *tx)
            .await
            .expect(query)
            .get(0);
        assert_ne!(own, 0, "{query}");
    }
}

#[tokio::test]
async fn without_an_organization_nothing_is_seen_also_after_one_was_set() {
    let database = TestDatabase::start().await;
    let mut settings = database.settings();
    settings.max_connections = 1;
    let postgres = Postgres::connect(&settings, Role::Admin).expect("the URL is one");
    let ours = tenant(&postgres, "Ours").await;
    // Dropped, not committed: the setting must go with the transaction.
    drop(begin(&postgres, ours.id).await);

    let mut conn = postgres.acquire().await.expect("a connection");

    let setting: Option<String> =
        sqlx::query("select nullif(current_setting('app.organization_id', true), '')")
            .fetch_one(&mut *conn)
            .await
            .expect("a setting")
            .get(0);
    assert_eq!(setting, None);
    let seen: i64 = sqlx::query("select count(*) from identity.organizations")
        .fetch_one(&mut *conn)
        .await
        .expect("a count")
        .get(0);
    assert_eq!(seen, 0);
}

#[tokio::test]
async fn another_tenants_rows_cannot_be_changed_or_attached() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Admin);
    let (ours, theirs) = (
        tenant(&postgres, "Ours").await,
        tenant(&postgres, "Theirs").await,
    );
    let mut tx = begin(&postgres, theirs.id).await;
    let their_key = keys::list(&mut tx, None, 1).await.expect("keys")[0].clone();
    drop(tx);

    let mut tx = begin(&postgres, ours.id).await;
    let revoked = keys::revoke(&mut tx, &their_key.public_id, None, by()).await;
    assert!(matches!(revoked, Err(KeyRefused::NoKey)), "{revoked:?}");

    let touched = sqlx::query("update operations.api_keys set name = 'mine' where id = $1")
        .bind(their_key.id.uuid())
        .execute(&mut *tx)
        .await
        .expect("an update of nothing");
    assert_eq!(touched.rows_affected(), 0);

    let new = NewKey {
        name: "grab".to_owned(),
        group_id: Some(theirs.group),
        ..NewKey::default()
    };
    let grabbed = keys::create(&mut tx, new, by()).await;
    assert!(matches!(grabbed, Err(KeyRefused::NoGroup)), "{grabbed:?}");
}

#[tokio::test]
async fn a_limit_cannot_be_laid_on_another_tenants_key() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Admin);
    let (ours, theirs) = (
        tenant(&postgres, "Ours").await,
        tenant(&postgres, "Theirs").await,
    );
    let mut tx = begin(&postgres, theirs.id).await;
    let their_key = keys::list(&mut tx, None, 1).await.expect("keys")[0].id;
    drop(tx);

    for subject in [
        Subject::Key(their_key),
        Subject::Organization(theirs.id),
        Subject::Group(theirs.group),
    ] {
        let mut tx = begin(&postgres, ours.id).await;
        let terms = Terms::usual(Meter::Requests, Window::Minute, 1);
        let set = limits::set(&mut tx, NewLimit { subject, terms }, by()).await;
        assert!(
            matches!(set, Err(LimitRefused::NoSubject)),
            "{subject:?} {set:?}"
        );
    }
}

#[tokio::test]
async fn the_proxy_reads_no_table_and_asks_its_functions_only() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Proxy);
    let mut conn = postgres.acquire().await.expect("a connection");

    let mut superuser = database.connect().await;
    let readable: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text
         from pg_class c
         join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('platform', 'identity', 'operations', 'audit') and c.relkind in ('r', 'p', 'v', 'm')
             and has_any_column_privilege('synaxis_proxy', c.oid, 'select, insert, update, references')",
    )
    .fetch_all(&mut superuser)
    .await
    .expect("the catalogue answers");
    assert_eq!(readable, Vec::<String>::new());

    let nobody: Option<serde_json::Value> =
        sqlx::query_scalar("select operations.grant_by_public_id('0000000000000000')")
            .fetch_one(&mut *conn)
            .await
            .expect("the proxy may ask");
    assert_eq!(nobody, None);
}

#[tokio::test]
async fn the_sidecar_never_reads_a_hash_or_a_sealed_secret() {
    let database = TestDatabase::start().await;
    let mut superuser = database.connect().await;

    let hidden = [
        ("identity.users", "password_hash"),
        ("operations.api_keys", "secret_hash"),
        ("operations.organization_credentials", "sealed_key"),
        ("operations.organization_credentials", "sealed_secret"),
        ("platform.provider_credentials", "sealed_key"),
        ("platform.provider_credentials", "sealed_secret"),
    ];

    for (table, column) in hidden {
        for role in [
            "synaxis_proxy",
            "synaxis_admin",
            "synaxis_agent",
            "synaxis_auditor",
        ] {
            let may: bool = sqlx::query_scalar("select has_column_privilege($1, $2, $3, 'select')")
                .bind(role)
                .bind(table)
                .bind(column)
                .fetch_one(&mut superuser)
                .await
                .expect("the catalogue answers");
            assert!(!may, "{role} reads {table}.{column}");
        }
    }
}

#[tokio::test]
async fn the_audit_log_is_only_added_to() {
    let database = TestDatabase::start().await;
    let mut superuser = database.connect().await;

    for role in [
        "synaxis_proxy",
        "synaxis_admin",
        "synaxis_agent",
        "synaxis_auditor",
        "synaxis_definer",
    ] {
        let may: bool = sqlx::query_scalar(
            "select has_table_privilege($1, 'audit.audit_logs', 'update, delete, truncate')",
        )
        .bind(role)
        .fetch_one(&mut superuser)
        .await
        .expect("the catalogue answers");
        assert!(!may, "{role} rewrites the audit log");
    }
}

#[tokio::test]
async fn audit_rows_are_numbered_without_gaps_and_go_with_a_change_that_fails() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Admin);
    let ours = tenant(&postgres, "Ours").await;
    let mut tx = begin(&postgres, ours.id).await;
    let key = keys::list(&mut tx, None, 1).await.expect("keys")[0].clone();
    keys::revoke(&mut tx, &key.public_id, Some("leaked"), by())
        .await
        .expect("a revocation");
    drop(tx);

    let mut tx = begin(&postgres, ours.id).await;
    let rows = sqlx::query("select seq, action from audit.audit_logs order by seq")
        .fetch_all(&mut *tx)
        .await
        .expect("the log");

    let seqs: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(seqs, (1..=rows.len() as i64).collect::<Vec<_>>());
    assert!(
        rows.iter()
            .all(|row| row.get::<String, _>(1) != "api_key.revoke")
    );
}

#[tokio::test]
async fn an_organization_keeps_one_owner() {
    let database = TestDatabase::start().await;
    let postgres = database.open(Role::Admin);
    let ours = tenant(&postgres, "Ours").await;
    let owner = synaxis::base::UserId::new(Clock::System.now());
    let new = synaxis::tenancy::NewUser {
        email: "ada@example.com".to_owned(),
        display_name: String::new(),
        password_hash: None,
    };
    let mut tx = begin(&postgres, ours.id).await;
    synaxis::tenancy::store::insert_user(&mut tx, owner, &new)
        .await
        .expect("a user");
    organizations::join(&mut tx, owner, synaxis::tenancy::Rank::Owner, by())
        .await
        .expect("a membership");
    tx.commit().await.expect("a commit");

    let mut tx = begin(&postgres, ours.id).await;
    sqlx::query("update identity.organization_memberships set role = 'member' where user_id = $1")
        .bind(owner.uuid())
        .execute(&mut *tx)
        .await
        .expect("deferred to the commit");

    let committed = tx.commit().await;
    let Err(synaxis::store::StoreError::Constraint { name, .. }) = committed else {
        panic!("{committed:?}");
    };
    assert_eq!(name, "organization_memberships_one_owner");
}
