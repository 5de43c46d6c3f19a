//! Nothing is changed without a row, and no row is changed without being named.

mod api;
mod chain;
mod checkpoints;
mod past;
mod retention;
mod tamper;

use std::collections::BTreeMap;

use serde_json::json;
use synaxis::{
    audit::{
        self, Actor, By, Event, Source, UserAgent,
        inspect::inspect,
        verify::{Fault, Marks, Sound},
    },
    base::{Clock, OrganizationId, RequestId, UserId},
    control::organizations::{self, NewOrganization},
    store::{Postgres, Scope, Whose, postgres::Role},
};

use crate::stack::database::{TestDatabase, audit_keys};

/// Two organizations, each with a chain of seven rows.
struct Log {
    database: TestDatabase,
    postgres: Postgres,
    ours: OrganizationId,
    theirs: OrganizationId,
}

/// How many rows each organization's chain has.
const ROWS: i64 = 7;

impl Log {
    async fn start() -> Self {
        let database = TestDatabase::start().await;
        let postgres = database.open(Role::Admin);
        let ours = organization(&postgres, "Ours").await;
        let theirs = organization(&postgres, "Theirs").await;
        Self {
            database,
            postgres,
            ours,
            theirs,
        }
    }

    async fn verify(&self, marks: Marks) -> Result<Sound, Fault> {
        self.verify_of(Whose::Organization(self.ours), marks).await
    }

    async fn verify_of(&self, whose: Whose, marks: Marks) -> Result<Sound, Fault> {
        let inspected = inspect(&self.postgres, whose, &audit_keys(), marks).await;
        inspected.expect("the books answer")
    }
}

async fn organization(postgres: &Postgres, name: &str) -> OrganizationId {
    let new = NewOrganization {
        name: name.to_owned(),
        ..NewOrganization::default()
    };
    let made = organizations::create(postgres, new, by()).await;
    let id = made.expect("an organization").id;
    let mut written = chain_length(postgres, id).await;
    while written < ROWS {
        note(postgres, id, written).await;
        written += 1;
    }
    id
}

async fn chain_length(postgres: &Postgres, id: OrganizationId) -> i64 {
    let mut tx = postgres
        .begin_for(Scope::of(id))
        .await
        .expect("a transaction");
    let head = audit::store::find_head(&mut tx, Whose::Organization(id)).await;
    head.expect("the books answer").map_or(0, |head| head.seq)
}

/// Writes one row, with every column filled.
async fn note(postgres: &Postgres, id: OrganizationId, number: i64) {
    let mut tx = postgres
        .begin_for(Scope::of(id))
        .await
        .expect("a transaction");
    let event = event(number);
    let written = audit::store::record(&mut tx, by(), &event).await;
    written.expect("a row");
    tx.commit().await.expect("a commit");
}

fn event(number: i64) -> Event {
    Event {
        action: "thing.change",
        target_kind: "thing",
        target_id: Some(UserId::new(Clock::System.now()).uuid()),
        details: json!({ "zeta": number, "a": [1.50, "é\u{1f600}", null], "big": 18_446_744_073_709_551_615_u64, "tiny": -0.0 }),
    }
}

fn by() -> By {
    let now = Clock::System.now();
    By::new(Actor::User(UserId::new(now)), now).from(Source {
        address: Some("203.0.113.9".parse().expect("an address")),
        request_id: Some(RequestId::new(now)),
        user_agent: UserAgent::new("curl/8.1"),
    })
}

/// What a checkpoint of the chain as it is now vouches for.
async fn marks_now(log: &Log) -> Marks {
    let mut conn = log.postgres.acquire().await.expect("a connection");
    let ends = audit::store::ends(&mut conn).await.expect("ends");
    let ours = ends
        .iter()
        .find(|end| end.whose == Whose::Organization(log.ours));
    let end = ours.expect("our chain");
    BTreeMap::from([(end.seq, [end.hash.clone()].into())])
}
