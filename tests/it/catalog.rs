//! A catalog goes from a file into the books, from the books into every proxy, and nowhere else.

use std::{sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, PgConnection, Row};
use synaxis::{
    base::{Clock, Moment, NanoUsd, OrganizationId, Secret, Tokens, tasks::Tasks},
    catalog::{Abilities, Ability, Catalog, Dialect, Holdings, Vault, file},
    control::{
        Actor, By,
        catalog::{Change, Import, ImportRefused, import},
        organizations::{self, NewOrganization},
    },
    egress::{self, Guard},
    routing::{Cool, Health, Need, plan},
    snapshot::{self, BadSnapshot, LastGood, Snapshot, Source},
    store::{Postgres, Scope, StoreError, feed::Feed, postgres::Role},
};

use crate::stack::{database::TestDatabase, relay::Relay, within};

/// A provider with a key and a free one, both selling one model, and an alias for it.
const SHOPS: &str = r#"
[[models]]
name = "llama"
context_window = 8000

[[providers]]
name = "shop"
dialect = "openai"
base_url = "https://shop.example/v1"
credential_env = "SHOP_KEY"

[[providers]]
name = "gift"
dialect = "openai"
base_url = "https://gift.example/v1"

[[offers]]
provider = "shop"
model = "llama"
tier = "paid"
price = { input = "0.10", output = "0.40" }

[[offers]]
provider = "gift"
model = "llama"
tier = "free"
allowances = [{ meter = "requests", window = "day", amount = 5, zone = "America/Los_Angeles" }]

[[aliases]]
name = "fast"
models = ["llama"]
"#;

/// A change is seen in this time while the feed is heard.
const A_SECOND: Duration = Duration::from_secs(1);

/// The books, an operator's door to them, and a proxy's.
struct Stand {
    database: TestDatabase,
    operator: Postgres,
    proxy: Postgres,
    vault: Arc<Vault>,
}

impl Stand {
    async fn start() -> Self {
        let database = TestDatabase::start().await;
        Self {
            operator: database.open(Role::Admin),
            proxy: database.open(Role::Proxy),
            vault: Arc::new(vault("the sealing key of these tests, 32+")),
            database,
        }
    }

    async fn organization(&self, name: &str) -> OrganizationId {
        let new = NewOrganization {
            name: name.to_owned(),
            ..NewOrganization::default()
        };
        let admin = self.database.open(Role::Admin);
        let made = organizations::create(&admin, new, by()).await;
        made.expect("an organization").id
    }

    async fn import(&self, text: &str) -> Vec<Change> {
        let changes = self.try_import(text, None, Pruning::No).await;
        changes.expect("the file is imported")
    }

    async fn import_for(&self, owner: OrganizationId, text: &str) -> Vec<Change> {
        let changes = self.try_import(text, Some(owner), Pruning::No).await;
        changes.expect("the file is imported")
    }

    async fn try_import(
        &self,
        text: &str,
        owner: Option<OrganizationId>,
        pruning: Pruning,
    ) -> Result<Vec<Change>, ImportRefused> {
        let env = |name: &str| (name == "SHOP_KEY").then(|| Secret::new("sk-live-1".to_owned()));
        let import_ = Import {
            file: &file::parse(text, &env).expect("the file is sound"),
            source: "a test",
            vault: Some(&self.vault),
            guard: &Guard::new(egress::Settings::default(), Clock::System),
            is_pruning: pruning == Pruning::Yes,
        };
        let mut tx = self.operator.begin_for_owner(owner).await?;
        let changes = import(&mut tx, &import_, by()).await?;
        tx.commit().await?;
        Ok(changes)
    }

    async fn snapshot(&self) -> Result<Snapshot, BadSnapshot> {
        let built = snapshot::build(&self.proxy, &self.vault, &Clock::System).await;
        built.map(|(snapshot, _)| snapshot)
    }

    async fn catalog(&self) -> Catalog {
        self.snapshot().await.expect("a snapshot").catalog
    }

    fn source(&self, postgres: &Postgres, last_good: Option<LastGood>) -> Source {
        Source {
            postgres: postgres.clone(),
            vault: Arc::clone(&self.vault),
            last_good,
            health: Arc::new(Health::default()),
            clock: Clock::System,
        }
    }

    /// Runs what no policy holds back.
    async fn as_superuser(&self, statement: &str) {
        let mut conn = self.database.connect().await;
        run(&mut conn, statement).await.expect("the statement runs");
    }

    async fn count(&self, what: &str) -> i64 {
        let mut conn = self.database.connect().await;
        let query = AssertSqlSafe(format!("select count(*) from {what}"));
        let count = sqlx::query_scalar(query).fetch_one(&mut conn).await;
        count.expect("a count")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pruning {
    Yes,
    No,
}

fn vault(text: &str) -> Vault {
    Vault::new(&Secret::new(text.to_owned())).expect("a long key")
}

fn by() -> By {
    By::new(Actor::Operator, Clock::System.now())
}

async fn run(conn: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    let statement = AssertSqlSafe(statement.to_owned());
    sqlx::raw_sql(statement).execute(conn).await.map(|_| ())
}

fn somebody() -> OrganizationId {
    OrganizationId::new(Clock::System.now())
}

fn need(organization: OrganizationId) -> Need<'static> {
    Need {
        organization,
        dialect: Dialect::Openai,
        abilities: Abilities::NONE.with(Ability::Chat),
        is_stream: true,
        input_expected: Tokens(1_000),
        input_bound: Tokens(4_000),
        output_expected: Tokens(500),
        output_bound: Tokens(1_000),
        requested_output: None,
        allows_training: false,
        allowed_models: None,
        is_free_only: false,
        routes: None,
        strategy: &synaxis::routing::strategy::MISER,
        seed: 7,
        is_rehearsal: false,
    }
}

/// The providers a call for `model` would try, in order.
fn tried(catalog: &Catalog, organization: OrganizationId, model: &str) -> Vec<String> {
    let Ok(resolved) = catalog.resolve(organization, model) else {
        return Vec::new();
    };
    let made = plan(
        &resolved,
        &need(organization),
        &Health::default(),
        Moment::default(),
    );
    let candidates = made.map(|plan| plan.candidates).unwrap_or_default();
    let names = candidates.iter().map(|one| one.offer.provider.name.clone());
    names.collect()
}

#[tokio::test]
async fn what_is_imported_is_planned_for() {
    let stand = Stand::start().await;
    let changes = stand.import(SHOPS).await;

    let catalog = stand.catalog().await;
    let us = somebody();

    assert_eq!(changes.len(), 8, "{changes:?}");
    for name in ["fast", "llama"] {
        assert_eq!(tried(&catalog, us, name), ["gift", "shop"], "{name}");
    }
    assert_eq!(tried(&catalog, us, "shop/llama"), ["shop"]);
    let resolved = catalog.resolve(us, "fast").expect("the alias");
    let made = plan(&resolved, &need(us), &Health::default(), Moment::default());
    let made = made.expect("a plan");
    let paid = &made.candidates[1];
    assert_eq!(paid.expected_cost, NanoUsd(1_000 * 100 + 500 * 400));
    assert_eq!(
        paid.credential.as_ref().expect("a key").secret.expose(),
        "sk-live-1"
    );
    let free = &made.candidates[0];
    assert_eq!(
        (free.credential.is_none(), free.bound_cost),
        (true, NanoUsd::ZERO)
    );
    assert_eq!(free.offer.allowances[0].amount, 5);
    assert_eq!(catalog.models_for(us, None).len(), 2);
}

#[tokio::test]
async fn importing_twice_changes_nothing_and_tells_nobody() {
    let stand = Stand::start().await;
    stand.import(SHOPS).await;
    let told = stand.count("platform.changes").await;

    let changes = stand.import(SHOPS).await;

    assert_eq!(changes, []);
    assert_eq!(stand.count("platform.changes").await, told);
    assert_eq!(stand.count("platform.offer_prices").await, 2);
    assert_eq!(stand.count("platform.price_books").await, 1);
    assert_eq!(told, 1, "however many rows, an import is told once");
}

#[tokio::test]
async fn what_was_exported_changes_nothing_when_it_is_imported() {
    let stand = Stand::start().await;
    stand.import(SHOPS).await;
    let mut conn = stand.database.connect().await;
    let held = Holdings::read(&mut conn, None).await.expect("holdings");
    let text = held.to_file().to_toml().expect("a file");

    let changes = stand.try_import(&text, None, Pruning::Yes).await;

    assert_eq!(changes.expect("it is imported"), []);
    assert!(!text.contains("sk-live-1"));
}

#[tokio::test]
async fn a_changed_price_closes_the_old_one_and_opens_another_at_the_same_instant() {
    let stand = Stand::start().await;
    stand.import(SHOPS).await;

    let changes = stand.import(&SHOPS.replace("\"0.40\"", "0.30")).await;

    let catalog = stand.catalog().await;
    let offers = catalog.offers.iter();
    let mut shop = offers.filter(|offer| offer.provider.name == "shop");
    let price = shop.next().and_then(|offer| offer.price).expect("a price");
    assert_eq!(price.output, NanoUsd(300_000_000));
    assert_eq!(changes.len(), 1, "{changes:?}");
    let mut conn = stand.database.connect().await;
    let rows = sqlx::query(
        "select r.output, r.valid_to is null as is_open, b.version,
             r.valid_to = lead(r.valid_from) over (order by r.valid_from) as is_followed
         from platform.offer_prices r
         join platform.offers o on o.id = r.offer_id and o.tier = 'paid'
         join platform.price_books b on b.id = r.price_book_id
         order by r.valid_from",
    );
    let rows = rows.fetch_all(&mut conn).await.expect("the prices");
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].get::<i64, _>("output"), 400_000_000);
    assert_eq!(rows[0].get::<Option<bool>, _>("is_followed"), Some(true));
    assert!(!rows[0].get::<bool, _>("is_open") && rows[1].get::<bool, _>("is_open"));
    let version = |row: usize| rows[row].get::<String, _>("version");
    assert_ne!(version(0), version(1), "other prices are another book");
}

#[tokio::test]
async fn a_file_without_a_price_leaves_the_price_and_a_new_offer_without_one_is_not_used() {
    let stand = Stand::start().await;
    stand.import(SHOPS).await;
    let priceless = SHOPS.replace("price = { input = \"0.10\", output = \"0.40\" }", "");

    assert_eq!(stand.import(&priceless).await, []);
    let other = priceless.replace(
        "tier = \"paid\"",
        "tier = \"paid\"\nupstream_name = \"new\"",
    );
    stand.import(&other).await;

    let catalog = stand.catalog().await;
    assert_eq!(catalog.offers.len(), 3);
    assert_eq!(tried(&catalog, somebody(), "fast"), ["gift", "shop"]);
}

#[tokio::test]
async fn a_sealed_key_opens_in_its_own_row_and_for_its_own_host_only() {
    let stand = Stand::start().await;
    let two = SHOPS.replace(
        "https://gift.example/v1\"",
        "https://gift.example/v1\"\ncredential = \"sk-gift\"",
    );
    stand.import(&two).await;
    assert_eq!(
        tried(&stand.catalog().await, somebody(), "fast"),
        ["gift", "shop"]
    );

    stand
        .as_superuser(
            "update platform.provider_credentials k
             set sealed_key = other.sealed_key, sealed_secret = other.sealed_secret
             from platform.provider_credentials other
             join platform.providers p on p.id = other.provider_id and p.name = 'shop'
             where k.id <> other.id",
        )
        .await;
    let moved = stand.catalog().await;
    assert_eq!(
        tried(&moved, somebody(), "fast"),
        ["shop"],
        "and not without a key either"
    );

    stand
        .as_superuser("update platform.providers set base_url = 'https://thief.example/v1'")
        .await;
    assert!(matches!(
        stand.snapshot().await,
        Err(BadSnapshot::Sealed(_))
    ));
}

#[tokio::test]
async fn another_key_is_sealed_in_the_same_row() {
    let stand = Stand::start().await;
    let key = |text: &str| {
        SHOPS.replace(
            "credential_env = \"SHOP_KEY\"",
            &format!("credential = \"{text}\""),
        )
    };
    stand.import(&key("sk-one")).await;
    let ids = "platform.provider_credentials where deleted_at is null";

    let changes = stand.import(&key("sk-two")).await;

    assert_eq!(changes.len(), 1);
    assert_eq!(
        changes[0].to_string(),
        "~ credential shop/default: another key"
    );
    assert_eq!(stand.count(ids).await, 1);
    let catalog = stand.catalog().await;
    let keys = catalog
        .offers
        .iter()
        .flat_map(|offer| &offer.provider.credentials);
    let keys: Vec<&str> = keys.map(|key| key.secret.expose()).collect();
    assert_eq!(keys, ["sk-two"]);
}

#[tokio::test]
async fn a_provider_moves_to_another_host_only_with_its_key() {
    let stand = Stand::start().await;
    stand.import(SHOPS).await;
    let moved = SHOPS.replace("https://shop.example", "https://shop2.example");
    let without_key = moved.replace("credential_env = \"SHOP_KEY\"", "");

    let refused = stand.try_import(&without_key, None, Pruning::No).await;
    assert!(matches!(refused, Err(ImportRefused::Faulty(faults)) if faults.len() == 1));
    stand.import(&moved).await;

    assert_eq!(
        tried(&stand.catalog().await, somebody(), "fast"),
        ["gift", "shop"]
    );
}

#[tokio::test]
async fn a_file_that_does_not_fit_is_told_whole_and_changes_nothing() {
    let stand = Stand::start().await;
    let wrong = r#"
        [[providers]]
        name = "inside"
        dialect = "openai"
        base_url = "http://169.254.169.254/v1"

        [[offers]]
        provider = "nobody"
        model = "nothing"
        tier = "free"

        [[aliases]]
        name = "fast"
        models = ["nothing"]
    "#;

    let refused = stand.try_import(wrong, None, Pruning::No).await;

    let Err(ImportRefused::Faulty(faults)) = refused else {
        panic!("it was not refused");
    };
    assert_eq!(faults.len(), 4, "{faults:?}");
    assert_eq!(stand.count("platform.providers").await, 0);
    assert_eq!(stand.count("platform.changes").await, 0);
}

#[tokio::test]
async fn pruning_takes_out_what_the_file_does_not_name() {
    let stand = Stand::start().await;
    stand.import(SHOPS).await;
    let only_gift = r#"
        [[offers]]
        provider = "gift"
        model = "llama"
        tier = "free"
        allowances = [{ meter = "requests", window = "day", amount = 5, zone = "America/Los_Angeles" }]
    "#;

    let changes = stand.try_import(only_gift, None, Pruning::Yes).await;

    let told: Vec<String> = changes
        .expect("it is imported")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "- alias fast",
            "- offer shop/llama (paid)",
            "- provider shop"
        ]
    );
    let catalog = stand.catalog().await;
    assert_eq!(tried(&catalog, somebody(), "llama"), ["gift"]);
    assert!(catalog.resolve(somebody(), "fast").is_err());
    stand.import(SHOPS).await;
    assert_eq!(
        tried(&stand.catalog().await, somebody(), "fast"),
        ["gift", "shop"]
    );
}

#[tokio::test]
async fn an_organizations_catalog_is_its_own() {
    let stand = Stand::start().await;
    stand.import(SHOPS).await;
    let (us, them) = (
        stand.organization("us").await,
        stand.organization("them").await,
    );
    let ours = r#"
        [[credentials]]
        provider = "shop"
        credential = "sk-ours"

        [[models]]
        name = "secret-model"

        [[providers]]
        name = "cellar"
        dialect = "openai"
        base_url = "https://cellar.example/v1"
        credential = "sk-cellar"

        [[offers]]
        provider = "cellar"
        model = "llama"
        tier = "paid"
        price = { input = 0.01, output = 0.01 }

        [[offers]]
        provider = "cellar"
        model = "secret-model"
        tier = "paid"
        price = { input = 1, output = 1 }

        [[aliases]]
        name = "fast"
        models = ["secret-model", "llama"]
    "#;

    stand.import_for(us, ours).await;

    assert_eq!(stand.import_for(us, ours).await, []);
    assert_eq!(
        stand.import(SHOPS).await,
        [],
        "the platform's own stay as they were"
    );
    let catalog = stand.catalog().await;
    assert_eq!(
        tried(&catalog, us, "fast"),
        ["gift", "cellar", "cellar", "shop", "shop"]
    );
    assert_eq!(
        tried(&catalog, us, "llama"),
        ["gift", "cellar", "shop", "shop"]
    );
    assert_eq!(tried(&catalog, them, "fast"), ["gift", "shop"]);
    assert_eq!(tried(&catalog, them, "llama"), ["gift", "shop"]);
    for name in ["secret-model", "cellar/llama"] {
        assert!(catalog.resolve(them, name).is_err(), "{name}");
    }
    let audited =
        "audit.audit_logs where action = 'catalog.import' and organization_id is not null";
    assert_eq!(stand.count(audited).await, 1);
}

#[tokio::test]
async fn an_organization_that_is_not_there_has_no_catalog() {
    let stand = Stand::start().await;
    let model = "[[models]]\nname = \"llama\"\n";

    let refused = stand.try_import(model, Some(somebody()), Pruning::No).await;

    assert!(matches!(refused, Err(ImportRefused::NoOrganization)));
}

#[tokio::test]
async fn the_sidecar_sees_the_platforms_rows_and_one_organizations_and_no_sealed_key() {
    let stand = Stand::start().await;
    stand.import(SHOPS).await;
    let (us, them) = (
        stand.organization("us").await,
        stand.organization("them").await,
    );
    let model = |name: &str| format!("[[models]]\nname = \"{name}\"\n");
    stand.import_for(us, &model("ours")).await;
    stand.import_for(them, &model("theirs")).await;
    let admin = stand.database.open(Role::Admin);

    let mut tx = admin.begin_for(Scope::of(us)).await.expect("a transaction");
    let names: Vec<String> = sqlx::query_scalar("select name from platform.models order by name")
        .fetch_all(&mut *tx)
        .await
        .expect("names");
    assert_eq!(names, ["llama", "ours"]);
    let changed = sqlx::query("update platform.models set owned_by = 'us'");
    let changed = changed.execute(&mut *tx).await.expect("an update");
    assert_eq!(changed.rows_affected(), 1, "its own, and nobody else's");
    for refused in [
        "select sealed_secret from platform.provider_credentials",
        "select sealed_key from platform.provider_credentials",
        "delete from platform.models",
    ] {
        let mut tx = admin.begin_for(Scope::of(us)).await.expect("a transaction");
        assert!(run(&mut tx, refused).await.is_err(), "{refused}");
    }
    let mut conn = stand.proxy.acquire().await.expect("a connection");
    for table in [
        "providers",
        "offers",
        "models",
        "provider_credentials",
        "offer_prices",
    ] {
        let select = format!("select 1 from platform.{table}");
        assert!(
            run(&mut conn, &select).await.is_err(),
            "the proxy reads {table}"
        );
    }
}

#[tokio::test]
async fn no_row_hangs_on_another_organizations() {
    let stand = Stand::start().await;
    stand.import(SHOPS).await;
    let (us, them) = (
        stand.organization("us").await,
        stand.organization("them").await,
    );
    let theirs = r#"
        [[models]]
        name = "theirs"

        [[providers]]
        name = "cellar"
        dialect = "openai"
        base_url = "https://cellar.example/v1"

        [[aliases]]
        name = "their-alias"
        models = ["theirs"]
    "#;
    stand.import_for(them, theirs).await;
    stand.import("[[models]]\nname = \"other\"\n").await;
    let mut conn = stand.database.connect().await;

    // As the superuser, whom row security does not hold: foreign keys alone would let all of these in.
    let offer = |provider: &str, model: &str| {
        format!(
            "insert into platform.offers (id, organization_id, provider_id, model_id, upstream_name, tier)
             select gen_random_uuid(), '{us}', p.id, m.id, 'x', 'paid'
             from platform.providers p, platform.models m where p.name = '{provider}' and m.name = '{model}'"
        )
    };
    let target = |alias: &str| {
        format!(
            "insert into platform.alias_targets (alias_id, position, organization_id, model_id)
             select a.id, 9, '{us}', m.id
             from platform.model_aliases a, platform.models m where a.name = '{alias}' and m.name = 'other'"
        )
    };
    for refused in [
        offer("cellar", "llama"),
        offer("shop", "theirs"),
        target("fast"),
        target("their-alias"),
    ] {
        let refused = run(&mut conn, &refused).await;
        let error = StoreError::from(refused.expect_err("it is refused"));
        assert!(
            matches!(&error, StoreError::Constraint { name, .. } if name.ends_with("_owner_ck")),
            "{error:?}"
        );
    }
    let allowed = run(&mut conn, &offer("shop", "llama")).await;
    allowed.expect("an offer at the platform's provider");
}

#[tokio::test]
async fn a_changed_catalog_is_seen_within_a_second_and_a_replaced_key_is_forgiven() {
    let stand = Stand::start().await;
    stand.import(SHOPS).await;
    let tasks = Tasks::default();
    let feed = Feed::start(&stand.proxy, Clock::System, &tasks);
    let source = stand.source(&stand.proxy, None);
    let (reader, health) = (feed.subscribe(), Arc::clone(&source.health));
    let view = snapshot::open(&source).await;
    tasks.spawn(
        "catalog",
        snapshot::follow(Arc::clone(&view), source, reader),
    );
    within(A_SECOND * 5, async || feed.is_live()).await;
    let offers = view.load().catalog.offers.clone();
    let shop = offers
        .iter()
        .find(|offer| offer.provider.name == "shop")
        .expect("the shop");
    let key = shop.provider.credentials[0].id;
    let now = Clock::System.now();
    health.cool(Cool::Credential(key), now.plus(Duration::from_secs(3_600)));
    assert!(health.is_open(shop.id, Some(key), now));

    let other = SHOPS
        .replace("\"0.40\"", "0.30")
        .replace("credential_env = \"SHOP_KEY\"", "credential = \"sk-2\"");
    stand.import(&other).await;

    let price = NanoUsd(300_000_000);
    within(A_SECOND, async || {
        let view = view.load();
        view.catalog
            .offers
            .iter()
            .any(|offer| offer.price.is_some_and(|one| one.output == price))
    })
    .await;
    assert!(!health.is_open(shop.id, Some(key), now));
}

/// What can go wrong in the books, and how it is put right again.
const ACCIDENTS: [(&str, &str); 5] = [
    (
        "create table public.kept as table platform.offer_prices; delete from platform.offer_prices",
        "insert into platform.offer_prices table public.kept; drop table public.kept",
    ),
    (
        "create table public.kept as table platform.offers;
         create table public.kept_prices as table platform.offer_prices;
         delete from platform.offer_prices; delete from platform.provider_allowances; delete from platform.offers",
        "insert into platform.offers table public.kept;
         insert into platform.offer_prices table public.kept_prices",
    ),
    (
        "update platform.providers set quirks = '{\"no such quirk\": 1}' where name = 'gift'",
        "update platform.providers set quirks = '{}' where name = 'gift'",
    ),
    (
        "update platform.providers set base_url = 'https://thief.example' where name = 'shop'",
        "update platform.providers set base_url = 'https://shop.example/v1' where name = 'shop'",
    ),
    (
        "update platform.provider_credentials set sealing_key_id = reverse(sealing_key_id)",
        "update platform.provider_credentials set sealing_key_id = reverse(sealing_key_id)",
    ),
];

#[tokio::test]
async fn bad_data_never_replaces_a_good_catalog() {
    let stand = Stand::start().await;
    stand.import(SHOPS).await;
    let tasks = Tasks::default();
    let feed = Feed::start(&stand.proxy, Clock::System, &tasks);
    let source = stand.source(&stand.proxy, None);
    let reader = feed.subscribe();
    let view = snapshot::open(&source).await;
    tasks.spawn(
        "catalog",
        snapshot::follow(Arc::clone(&view), source, reader),
    );
    within(A_SECOND * 5, async || feed.is_live()).await;
    let us = somebody();

    for (accident, repair) in ACCIDENTS {
        let good = view.load_full();
        stand.as_superuser(accident).await;
        let refused = stand
            .snapshot()
            .await
            .and_then(|bad| bad.may_replace(&good));
        assert!(refused.is_err(), "{accident}");
        let began = std::time::Instant::now();
        within(A_SECOND, async || {
            assert_eq!(view.load().seq, good.seq, "{accident}");
            Duration::from_millis(250) < began.elapsed()
        })
        .await;

        stand.as_superuser(repair).await;
        within(A_SECOND, async || {
            let names = tried(&view.load().catalog, us, "fast");
            assert_eq!(names, ["gift", "shop"], "{accident}");
            good.seq < view.load().seq
        })
        .await;
    }
}

#[tokio::test]
async fn a_proxy_started_without_postgres_sells_what_it_last_knew() {
    let stand = Stand::start().await;
    stand.import(SHOPS).await;
    let folder = tempfile::tempdir().expect("a folder");
    let kept = || Some(LastGood::at(folder.path().join("state/catalog.snapshot")));
    let relay = Relay::start(stand.database.server().await).await;
    let settings = stand.database.settings_over(relay.address());
    let postgres = Postgres::connect(&settings, Role::Proxy).expect("the URL is one");
    let us = somebody();
    let first = snapshot::open(&stand.source(&postgres, kept())).await;
    assert_eq!(tried(&first.load().catalog, us, "fast"), ["gift", "shop"]);

    relay.cut();
    let without = stand.source(
        &Postgres::connect(&settings, Role::Proxy).expect("a URL"),
        kept(),
    );
    let second = snapshot::open(&without).await;
    let stranger = snapshot::open(&Source {
        last_good: None,
        ..without.clone()
    })
    .await;

    assert_eq!(tried(&second.load().catalog, us, "fast"), ["gift", "shop"]);
    assert_eq!(second.load().taken_at, first.load().taken_at);
    assert!(!stranger.load().is_loaded());
    let text = std::fs::read_to_string(folder.path().join("state/catalog.snapshot"));
    assert!(!text.expect("the file").contains("sk-live-1"));

    let tasks = Tasks::default();
    let feed = Feed::start(&without.postgres, Clock::System, &tasks);
    let reader = feed.subscribe();
    tasks.spawn(
        "catalog",
        snapshot::follow(Arc::clone(&stranger), without, reader),
    );
    relay.mend();
    within(A_SECOND * 5, async || stranger.load().is_loaded()).await;
}
