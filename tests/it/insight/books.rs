//! An organization with a catalog, people, keys and many calls.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use synaxis::{
    base::{
        ApiKeyId, Clock, GroupId, ModelId, Moment, NanoUsd, OfferId, OrganizationId, ProviderId,
        RequestId, Tokens, Usage, UserId,
    },
    store::{Postgres, Scope, postgres::Role},
    usage::{Alternative, AttemptRecord, Charged, Entry, Finish, Rows, rollup, store},
};
use uuid::Uuid;

use crate::{
    identity::people::{Visitor, newcomer},
    stack::admin::{Reply, TestAdmin},
};

/// The version of the price book before, and since, prices rose.
pub const BOOKS: [&str; 2] = ["00000000000000aa", "00000000000000bb"];

/// A price per million tokens: input, cached input, output, and per request.
type Rates = (u64, Option<u64>, u64, u64);

/// What is sold: two free offers without a price to pay, three paid ones, each in both books.
pub const RATES: [(&str, [Rates; 2]); 5] = [
    ("free", [(0, None, 0, 0), (0, None, 0, 0)]),
    (
        "free",
        [
            (500_000_000, None, 900_000_000, 0),
            (700_000_000, Some(70_000_000), 900_000_000, 3),
        ],
    ),
    (
        "paid",
        [
            (150_000_000, Some(75_000_000), 600_000_000, 0),
            (250_000_001, None, 600_000_000, 0),
        ],
    ),
    (
        "paid",
        [
            (3_000_000_000, None, 15_000_000_000, 0),
            (3_000_000_000, Some(300_000_000), 15_000_000_000, 7),
        ],
    ),
    (
        "paid",
        [(37_500_001, None, 1, 11), (37_500_001, None, 1, 11)],
    ),
];

/// The `number`th of a kind of thing.
pub fn id(kind: u64, number: u64) -> Uuid {
    Uuid::from_u64_pair(
        0x0190_0000_0000_7000,
        0x8000_0000_0000_0000 | kind << 16 | number,
    )
}

pub fn offer(number: usize) -> OfferId {
    OfferId(id(3, u64::try_from(number).expect("small")))
}

/// A sidecar, somebody who owns an organization there, and its books.
pub struct House {
    pub admin: TestAdmin,
    pub owner: Visitor,
    pub organization: OrganizationId,
    rng: StdRng,
}

impl House {
    /// Stands up an organization with a catalog and no calls.
    pub async fn start() -> Self {
        let admin = TestAdmin::start().await;
        let owner = newcomer(&admin, "owner@insight.example").await;
        let organization = organization_of(&admin, &owner).await;
        let mut house = Self::of(admin, owner, organization);
        house.stock().await;
        house
    }

    /// An organization that is there already.
    pub fn of(admin: TestAdmin, owner: Visitor, organization: OrganizationId) -> Self {
        Self {
            admin,
            owner,
            organization,
            rng: StdRng::seed_from_u64(7),
        }
    }

    pub async fn superuser(&self) -> PgConnection {
        self.admin.database.connect().await
    }

    async fn stock(&mut self) {
        let mut conn = self.superuser().await;
        run(
            &mut conn,
            "set session_replication_role = replica".to_owned(),
        )
        .await;
        for number in 0..2 {
            let (provider, model) = (id(1, number), id(2, number));
            run(&mut conn, format!("insert into platform.providers (id, name, dialect, base_url) values ('{provider}', 'provider-{number}', 'openai', 'https://p{number}.example')")).await;
            run(
                &mut conn,
                format!(
                    "insert into platform.models (id, name) values ('{model}', 'model-{number}')"
                ),
            )
            .await;
        }
        for (number, version) in (0_u64..).zip(BOOKS) {
            let book = id(4, number);
            run(&mut conn, format!("insert into platform.price_books (id, version, content_hash) values ('{book}', '{version}', decode(repeat('{number}a', 32), 'hex'))")).await;
        }
        for (number, (tier, prices)) in (0_u64..).zip(RATES) {
            let (offer, provider, model) = (id(3, number), id(1, number % 2), id(2, number % 2));
            run(&mut conn, format!("insert into platform.offers (id, provider_id, model_id, upstream_name, tier) values ('{offer}', '{provider}', '{model}', 'up-{number}', '{tier}')")).await;
            for (place, (input, cached, output, per_request)) in (0_u64..).zip(prices) {
                let (price, book) = (id(5, number * 2 + place), id(4, place));
                let cached = cached.map_or("null".to_owned(), |cached| cached.to_string());
                let until = if place == 0 { "now()" } else { "null" };
                run(&mut conn, format!("insert into platform.offer_prices (id, offer_id, price_book_id, input, cached_input, output, per_request, valid_from, valid_to) values ('{price}', '{offer}', '{book}', {input}, {cached}, {output}, {per_request}, now() - interval '1 day', {until})")).await;
            }
        }
        let organization = self.organization;
        for number in 0..4 {
            let group = id(6, number);
            run(&mut conn, format!("insert into identity.groups (id, organization_id, slug, name) values ('{group}', '{organization}', 'team-{number}', '=team {number}')")).await;
        }
        for number in 0..6 {
            let key = id(7, number);
            run(&mut conn, format!("insert into operations.api_keys (id, organization_id, name, public_id, secret_hash) values ('{key}', '{organization}', 'key {number}', 'pub000000000000{number}', decode(repeat('0{number}', 32), 'hex'))")).await;
        }
    }

    /// Returns `count` random calls of this organization, from `within` ago until now, each priced by the books.
    pub fn calls(&mut self, count: usize, within: Duration) -> Vec<Entry> {
        let now = Clock::System.now();
        let span = u64::try_from(within.as_millis()).expect("short");
        (0..count)
            .map(|_| {
                let ago = self.rng.random_range(0..span);
                self.call(now.minus(Duration::from_millis(ago)))
            })
            .collect()
    }

    /// A random call that began then.
    pub fn call(&mut self, at: Moment) -> Entry {
        let place = self.rng.random_range(0..RATES.len());
        let number = u64::try_from(place).expect("small");
        let book = self.rng.random_range(0..2_usize);
        let is_answered = self.rng.random_bool(0.95);
        let usage = self.usage();
        let attempts = self.attempts();
        let failed: u64 = attempts.iter().map(|attempt| attempt.cost_nano_usd.0).sum();
        let own = if is_answered {
            price(place, book, &usage)
        } else {
            0
        };
        let alternative = (is_answered && self.rng.random_bool(0.9)).then(|| {
            (
                2 + self.rng.random_range(0..3_usize),
                self.rng.random_range(0..2_usize),
            )
        });
        let dearer = alternative.map(|(place, book)| price(place, book, &usage));
        let cost = failed + own;
        let whose = self.somebodys(at);
        Entry {
            requested_model: format!("model-{}", number % 2),
            model_id: Some(ModelId(id(2, number % 2))),
            offer_id: Some(offer(place)),
            provider_id: Some(ProviderId(id(1, number % 2))),
            status: if is_answered { 200 } else { 502 },
            finish: if is_answered {
                Finish::Complete
            } else {
                Finish::Failed
            },
            is_estimated: !is_answered || self.rng.random_bool(0.05),
            is_stream: self.rng.random_bool(0.4),
            usage,
            cost_nano_usd: NanoUsd(cost),
            saved_nano_usd: NanoUsd(dearer.unwrap_or_default().saturating_sub(cost)),
            price_book: if is_answered {
                BOOKS[book].to_owned()
            } else {
                String::new()
            },
            alternative: alternative.map(|(place, book)| Alternative {
                offer_id: offer(place),
                price_book: BOOKS[book].to_owned(),
            }),
            first_byte_ms: is_answered.then_some(120),
            duration_ms: self.rng.random_range(1..5_000),
            attempts,
            ..whose
        }
    }

    /// A call of somebody, of which nothing more is known.
    fn somebodys(&mut self, at: Moment) -> Entry {
        let user = self.owner.user_id.parse::<UserId>().expect("an id");
        let rng = &mut self.rng;
        let group = rng.random_bool(0.8).then(|| id(6, rng.random_range(0..4)));
        let own_id = rng.random_bool(0.1).then(|| rng.random_range(0..9));
        Entry {
            request_id: RequestId::new(at),
            organization_id: self.organization,
            group_id: group.map(GroupId),
            user_id: rng.random_bool(0.5).then_some(user),
            api_key_id: ApiKeyId(id(7, rng.random_range(0..6))),
            client_request_id: own_id.map(|number| format!("mine-{number}")),
            tags: serde_json::json!({"user": "ann"}),
            requested_model: String::new(),
            model_id: None,
            offer_id: None,
            provider_id: None,
            status: 0,
            finish: Finish::Abandoned,
            is_estimated: true,
            is_stream: false,
            usage: Usage::default(),
            held_nano_usd: NanoUsd::ZERO,
            cost_nano_usd: NanoUsd::ZERO,
            saved_nano_usd: NanoUsd::ZERO,
            price_book: String::new(),
            alternative: None,
            decision: synaxis::usage::Decision::default(),
            first_byte_ms: None,
            duration_ms: 0,
            attempts: Vec::new(),
        }
    }

    fn usage(&mut self) -> Usage {
        let input = self.rng.random_range(0..200_000);
        let output = self.rng.random_range(0..20_000);
        Usage {
            input: Tokens(input),
            cached: Tokens(self.rng.random_range(0..=input)),
            cache_write: Tokens(0),
            output: Tokens(output),
            reasoning: Tokens(self.rng.random_range(0..=output)),
        }
    }

    /// Now and then an attempt that failed after the provider may have read the request.
    fn attempts(&mut self) -> Vec<AttemptRecord> {
        let count = self.rng.random_range(0..3);
        let attempt = |rng: &mut StdRng| {
            let (place, book) = (
                rng.random_range(0..RATES.len()),
                rng.random_range(0..2_usize),
            );
            let read = Usage {
                input: Tokens(rng.random_range(0..200_000)),
                ..Usage::default()
            };
            let charged = rng.random_bool(0.5).then(|| Charged {
                in_entry: false,
                input_tokens: read.input,
                price_book: BOOKS[book].to_owned(),
            });
            let cost = charged.as_ref().map_or(0, |_| price(place, book, &read));
            AttemptRecord {
                offer_id: offer(place),
                provider: format!("provider-{}", place % 2),
                outcome: "timeout".to_owned(),
                status: None,
                ms: 10,
                cost_nano_usd: NanoUsd(cost),
                charged,
            }
        };
        (0..count).map(|_| attempt(&mut self.rng)).collect()
    }

    /// Books calls as a proxy does.
    pub async fn book(&self, entries: &[Entry]) {
        let postgres = self.admin.database.open(Role::Proxy);
        let mut conn = postgres.acquire().await.expect("the books");
        for some in entries.chunks(1_000) {
            store::ingest(&mut conn, Rows::of(some).all())
                .await
                .expect("booked");
        }
    }

    /// Takes all movements into the coarse roll-ups.
    pub async fn fold(&self) {
        rollup::fold(&self.postgres()).await.expect("folded");
    }

    pub fn postgres(&self) -> Postgres {
        self.admin.database.open(Role::Admin)
    }

    pub fn scope(&self) -> Scope {
        Scope::of(self.organization)
    }

    /// Asks below the organization as its owner.
    pub async fn ask(&self, path: &str) -> Reply {
        self.ask_as(
            &self.owner,
            &format!("/api/v1/organizations/{}{path}", self.organization),
        )
        .await
    }

    pub async fn ask_as(&self, who: &Visitor, path: &str) -> Reply {
        let request = self.admin.request(Method::GET, path);
        request.token(&who.access_token).send().await
    }

    /// Every page of a list, as one.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let glue = if path.contains('?') { '&' } else { '?' };
            let page = self
                .ask(&format!("{path}{glue}{cursor}"))
                .await
                .expect(200)
                .json();
            rows.extend(page["data"].as_array().expect("rows").clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("cursor={next}"),
                None => return rows,
            }
        }
    }

    /// Makes somebody run the platform.
    pub async fn promote(&self, who: &Visitor) {
        let user = &who.user_id;
        let mut conn = self.superuser().await;
        run(
            &mut conn,
            format!("update identity.users set is_platform_admin = true where id = '{user}'"),
        )
        .await;
    }

    /// The one row of a query, as JSON.
    pub async fn truth(&self, query: String) -> Value {
        let mut conn = self.superuser().await;
        let query = format!("select to_jsonb(t) from ({query}) t");
        let row = sqlx::query(AssertSqlSafe(query))
            .fetch_one(&mut conn)
            .await
            .expect("a row");
        row.get(0)
    }
}

/// What `usage` costs at an offer by a book, worked out here.
pub fn price(place: usize, book: usize, usage: &Usage) -> u64 {
    let (tier, prices) = RATES[place];
    if tier == "free" {
        return 0;
    }
    let (input, cached, output, per_request) = prices[book];
    let plain = usage.input.0 - usage.cached.0;
    let millionths = u128::from(plain) * u128::from(input)
        + u128::from(usage.cached.0) * u128::from(cached.unwrap_or(input))
        + u128::from(usage.output.0) * u128::from(output);
    u64::try_from(millionths.div_ceil(1_000_000)).expect("affordable") + per_request
}

pub async fn run(conn: &mut PgConnection, sql: String) {
    let what = sql.clone();
    let done = sqlx::query(AssertSqlSafe(sql)).execute(conn).await;
    done.unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// The organization somebody registered with.
pub async fn organization_of(admin: &TestAdmin, who: &Visitor) -> OrganizationId {
    let mut conn = admin.database.connect().await;
    let query =
        "select organization_id from identity.organization_memberships where user_id = $1::uuid";
    let row = sqlx::query(query)
        .bind(&who.user_id)
        .fetch_one(&mut conn)
        .await
        .expect("a membership");
    OrganizationId(row.get(0))
}
