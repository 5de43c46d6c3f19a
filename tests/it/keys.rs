//! A key is looked up once, taken back within a second, and known callers outlive Postgres.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use sqlx::{Connection, PgConnection};
use synaxis::{
    base::{Clock, GroupId, Moment, OrganizationId, Secret, UserId, tasks::Tasks},
    control::{
        Actor, By,
        keys::{self, CreatedKey, NewKey},
        limits::{self, NewLimit, Terms},
        organizations::{self, NewOrganization, Start},
        tenants,
    },
    keys::{Grant, Keys, NoGrant, Settings, Standing, token},
    quota::limit::{Meter, Subject, Window},
    store::{OrgTx, Postgres, Scope, feed::Feed, postgres::Role},
    tenancy::{self, NewUser, Rank},
};

use crate::stack::{database::TestDatabase, relay::Relay, within};

/// A revocation is seen in this time while the feed is heard.
const A_SECOND: Duration = Duration::from_secs(1);
/// And in this time when it is not.
const FIVE_SECONDS: Duration = Duration::from_secs(5);

/// An organization with a group and a member, and the books behind them.
struct Stand {
    database: TestDatabase,
    admin: Postgres,
    organization: OrganizationId,
    group: GroupId,
    user: UserId,
}

fn by() -> By {
    By::new(Actor::Operator, Clock::System.now())
}

impl Stand {
    async fn start() -> Self {
        let database = TestDatabase::start().await;
        let admin = database.open(Role::Admin);
        let new = NewOrganization {
            name: "Acme".to_owned(),
            start: Start::Unlimited,
            ..NewOrganization::default()
        };
        let made = organizations::create(&admin, new, by())
            .await
            .expect("an organization");
        let user = UserId::new(Clock::System.now());
        let new = NewUser {
            email: "ada@example.com".to_owned(),
            display_name: String::new(),
            password_hash: None,
        };
        let mut tx = admin
            .begin_for(Scope::of(made.id))
            .await
            .expect("a transaction");
        tenancy::store::insert_user(&mut tx, user, &new)
            .await
            .expect("a user");
        organizations::join(&mut tx, user, Rank::Member, by())
            .await
            .expect("a membership");
        tx.commit().await.expect("a commit");
        Self {
            database,
            admin,
            organization: made.id,
            group: made.default_group_id,
            user,
        }
    }

    async fn begin(&self) -> OrgTx {
        let scope = Scope::of(self.organization);
        self.admin.begin_for(scope).await.expect("a transaction")
    }

    async fn mint(&self, new: NewKey) -> CreatedKey {
        let mut tx = self.begin().await;
        let new = NewKey {
            name: "ci".to_owned(),
            ..new
        };
        let created = keys::create(&mut tx, new, by()).await.expect("a key");
        tx.commit().await.expect("a commit");
        created
    }

    async fn revoke(&self, key: &CreatedKey) {
        let mut tx = self.begin().await;
        keys::revoke(&mut tx, &key.public_id, Some("leaked"), by())
            .await
            .expect("a revocation");
        tx.commit().await.expect("a commit");
    }

    async fn limit(&self, subject: Subject, amount: u64) {
        let mut tx = self.begin().await;
        let terms = Terms::usual(Meter::Requests, Window::Minute, amount);
        limits::set(&mut tx, NewLimit { subject, terms }, by())
            .await
            .expect("a limit");
        tx.commit().await.expect("a commit");
    }

    /// Looks keys up as the proxy does, without a feed.
    fn keys(&self, settings: Settings, clock: Clock) -> Arc<Keys> {
        Keys::new(settings, self.database.open(Role::Proxy), clock)
    }

    /// Looks keys up as the proxy does, following the feed.
    async fn following(&self) -> (Arc<Keys>, Feed) {
        let keys = self.keys(Settings::default(), Clock::System);
        let feed = follow(&keys, &self.database.open(Role::Proxy), Clock::System);
        within(FIVE_SECONDS, async || feed.is_live()).await;
        (keys, feed)
    }

    /// Counts the questions asked about keys from now on, each when its connection closes.
    async fn count_questions(&self) -> PgConnection {
        let mut superuser = self.database.connect().await;
        sqlx::raw_sql("do $$ begin execute format('alter database %I set track_functions = ''all''', current_database()); end $$")
            .execute(&mut superuser)
            .await
            .expect("a setting");
        superuser.close().await.expect("a close");
        self.database.connect().await
    }
}

fn follow(keys: &Arc<Keys>, postgres: &Postgres, clock: Clock) -> Feed {
    let tasks = Tasks::default();
    let feed = Feed::start(postgres, clock, &tasks);
    tasks.spawn("keys", Arc::clone(keys).follow(feed.subscribe()));
    feed
}

async fn questions(superuser: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select coalesce(sum(calls), 0)::bigint from pg_stat_user_functions where funcname = 'grant_by_public_id'")
        .fetch_one(superuser)
        .await
        .expect("the statistics answer")
}

/// A postgres that nobody answers for.
fn nowhere() -> Postgres {
    let settings = synaxis::store::postgres::Settings {
        url: Secret::new("postgres://synaxis_proxy@127.0.0.1:1/nowhere".to_owned()),
        acquire_timeout_ms: 50,
        ..synaxis::store::postgres::Settings::default()
    };
    Postgres::connect(&settings, Role::Proxy).expect("the URL is one")
}

async fn granted(keys: &Keys, key: &CreatedKey) -> Arc<Grant> {
    keys.lookup(key.api_key.expose()).await.expect("a grant")
}

#[tokio::test]
async fn a_key_grants_what_the_books_say() {
    let stand = Stand::start().await;
    let expires_at = Moment::from_millis(4_000_000_000_000);
    let key = stand
        .mint(NewKey {
            user_id: Some(stand.user),
            allowed_models: Some(vec!["small".to_owned()]),
            allowed_cidrs: Some(vec!["10.1.2.3/8".parse().expect("a network")]),
            expires_at: Some(expires_at),
            limits: vec![Terms::usual(Meter::NanoUsd, Window::Month, 5_000_000_000)],
            ..NewKey::default()
        })
        .await;
    stand
        .limit(Subject::Organization(stand.organization), 4)
        .await;
    stand.limit(Subject::Group(stand.group), 3).await;
    stand.limit(Subject::User(stand.user), 2).await;

    let grant = granted(&stand.keys(Settings::default(), Clock::System), &key).await;

    assert_eq!(grant.api_key_id, key.id);
    assert_eq!(grant.standing, Standing::Live);
    assert_eq!(grant.organization_id, stand.organization);
    assert_eq!(grant.user_id, Some(stand.user));
    assert_eq!(
        grant.group_id,
        Some(stand.group),
        "the user's primary group"
    );
    assert_eq!(grant.expires_at_ms, Some(expires_at.millis()));
    assert_eq!(grant.allowed_models, Some(vec!["small".to_owned()]));
    assert!(grant.admits("10.9.9.9".parse().expect("an address")));
    assert!(!grant.admits("11.0.0.1".parse().expect("an address")));
    assert_eq!(grant.default_max_output_tokens, 4_096);
    let amounts: Vec<u64> = grant.limits.iter().map(|limit| limit.amount).collect();
    assert_eq!(
        amounts,
        [5_000_000_000, 2, 3, 4],
        "key, user, group, organization"
    );
    assert_eq!(grant.limits[0].subject, Subject::Key(key.id));
}

#[tokio::test]
async fn a_new_organization_starts_with_the_limits_of_its_settings() {
    let stand = Stand::start().await;
    let new = NewOrganization {
        name: "Seeded".to_owned(),
        ..NewOrganization::default()
    };
    let made = organizations::create(&stand.admin, new, by())
        .await
        .expect("an organization");
    let mut tx = stand
        .admin
        .begin_for(Scope::of(made.id))
        .await
        .expect("a transaction");
    let new = NewKey {
        name: "ci".to_owned(),
        ..NewKey::default()
    };
    let key = keys::create(&mut tx, new, by()).await.expect("a key");
    tx.commit().await.expect("a commit");

    let grant = granted(&stand.keys(Settings::default(), Clock::System), &key).await;

    let mut limits: Vec<_> = grant
        .limits
        .iter()
        .map(|limit| (limit.meter, limit.amount))
        .collect();
    limits.sort_by_key(|(_, amount)| *amount);
    assert_eq!(
        limits,
        [(Meter::Requests, 60), (Meter::TotalTokens, 100_000)]
    );
}

#[tokio::test]
async fn what_is_not_written_like_a_key_is_refused_without_asking() {
    let keys = Keys::new(Settings::default(), nowhere(), Clock::System);
    let (well_formed, ..) = token::mint();

    assert_eq!(keys.lookup("sk-1234").await, Err(NoGrant::Unknown));
    assert_eq!(keys.lookup("").await, Err(NoGrant::Unknown));
    // The counter-proof: had these been asked about, nobody would have answered.
    assert_eq!(
        keys.lookup(well_formed.expose()).await,
        Err(NoGrant::Unavailable)
    );
}

#[tokio::test]
async fn a_wrong_secret_is_as_unknown_as_a_wrong_id() {
    let stand = Stand::start().await;
    let keys = stand.keys(Settings::default(), Clock::System);
    let key = stand.mint(NewKey::default()).await;
    let (stranger, ..) = token::mint();
    let secret = &stranger.expose()[31..74];
    let forged = forge(&key.public_id, secret);

    assert_eq!(keys.lookup(stranger.expose()).await, Err(NoGrant::Unknown));
    assert_eq!(keys.lookup(&forged).await, Err(NoGrant::Unknown));
    assert_eq!(granted(&keys, &key).await.api_key_id, key.id);
}

/// Writes a well-formed key with another key's id.
fn forge(public_id: &str, secret: &str) -> String {
    let alphabet: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
    let covered = format!("synaxis_build_{public_id}_{secret}");
    let mut rest = crc32fast::hash(covered.as_bytes()) as usize;
    let mut digits = ['0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = alphabet[rest % 62];
        rest /= 62;
    }
    covered + &digits.iter().collect::<String>()
}

#[tokio::test]
async fn many_callers_with_one_new_key_ask_once() {
    let stand = Stand::start().await;
    let mut superuser = stand.count_questions().await;
    let proxy = stand.database.open(Role::Proxy);
    let keys = Keys::new(Settings::default(), proxy.clone(), Clock::System);
    let key = stand.mint(NewKey::default()).await;

    let callers = (0..200).map(|_| keys.lookup(key.api_key.expose()));
    let answers = futures::future::join_all(callers).await;

    assert!(answers.iter().all(Result::is_ok));
    assert!(keys.find_cached(key.api_key.expose()).is_some());
    proxy.close().await;
    within(FIVE_SECONDS, async || questions(&mut superuser).await == 1).await;
}

#[tokio::test]
async fn an_unknown_key_tried_again_and_again_asks_once() {
    let stand = Stand::start().await;
    let mut superuser = stand.count_questions().await;
    let settings = Settings {
        negative_ttl_ms: 60_000,
        ..Settings::default()
    };
    let proxy = stand.database.open(Role::Proxy);
    let keys = Keys::new(settings, proxy.clone(), Clock::System);
    let (stranger, ..) = token::mint();

    for _ in 0..100 {
        assert_eq!(keys.lookup(stranger.expose()).await, Err(NoGrant::Unknown));
    }

    proxy.close().await;
    within(FIVE_SECONDS, async || questions(&mut superuser).await == 1).await;
}

#[tokio::test]
async fn more_new_keys_than_may_ask_at_once_wait_their_turn() {
    let stand = Stand::start().await;
    let settings = Settings {
        concurrent_lookups: 2,
        ..Settings::default()
    };
    let keys = stand.keys(settings, Clock::System);
    let mut minted = Vec::new();
    for _ in 0..40 {
        minted.push(stand.mint(NewKey::default()).await);
    }

    let callers = minted.iter().map(|key| keys.lookup(key.api_key.expose()));
    let answers = futures::future::join_all(callers).await;

    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_revocation_is_seen_within_a_second() {
    let stand = Stand::start().await;
    let (keys, _feed) = stand.following().await;
    let key = stand.mint(NewKey::default()).await;
    let bystander = stand.mint(NewKey::default()).await;
    granted(&keys, &key).await;
    granted(&keys, &bystander).await;

    stand.revoke(&key).await;

    within(A_SECOND, async || {
        keys.find_cached(key.api_key.expose()).is_none()
    })
    .await;
    assert_eq!(granted(&keys, &key).await.standing, Standing::Revoked);
    assert!(keys.find_cached(bystander.api_key.expose()).is_some());
}

#[tokio::test]
async fn an_announcement_is_heard_before_the_next_beat() {
    let stand = Stand::start().await;
    let (keys, _feed) = stand.following().await;

    // By chance alone, five in a row would all come in the first half of their second once in thirty-two times.
    for _ in 0..5 {
        let key = stand.mint(NewKey::default()).await;
        granted(&keys, &key).await;
        stand.revoke(&key).await;
        let is_gone = async || keys.find_cached(key.api_key.expose()).is_none();
        within(Duration::from_millis(500), is_gone).await;
    }
}

#[tokio::test]
async fn whatever_a_key_hangs_on_is_seen_within_a_second() {
    let stand = Stand::start().await;
    let (keys, _feed) = stand.following().await;
    let key = stand
        .mint(NewKey {
            user_id: Some(stand.user),
            ..NewKey::default()
        })
        .await;
    let sees = async |what: &str, holds: fn(&Grant) -> bool| {
        let seen = async || holds(granted(&keys, &key).await.as_ref());
        let took = within(A_SECOND, seen).await;
        assert!(took < A_SECOND, "{what}");
    };
    assert!(granted(&keys, &key).await.limits.is_empty());

    stand.limit(Subject::Key(key.id), 1).await;
    sees("the key's limit", |grant| grant.limits.len() == 1).await;
    stand.limit(Subject::User(stand.user), 1).await;
    sees("the user's limit", |grant| grant.limits.len() == 2).await;
    stand.limit(Subject::Group(stand.group), 1).await;
    sees("the group's limit", |grant| grant.limits.len() == 3).await;
    stand
        .limit(Subject::Organization(stand.organization), 1)
        .await;
    sees("the organization's limit", |grant| grant.limits.len() == 4).await;
    stand
        .limit(Subject::Organization(stand.organization), 9)
        .await;
    sees("a changed limit", |grant| grant.limits[3].amount == 9).await;

    change(
        &stand,
        "update identity.organization_settings set default_max_output_tokens = 7",
    )
    .await;
    sees("a setting", |grant| grant.default_max_output_tokens == 7).await;
    change(
        &stand,
        "update identity.organization_memberships set primary_group_id = null",
    )
    .await;
    sees("the user's group", |grant| grant.group_id.is_none()).await;

    let mut tx = stand.begin().await;
    tenants::suspend(&mut tx, "unpaid", by())
        .await
        .expect("a suspension");
    tx.commit().await.expect("a commit");
    sees("the organization's status", |grant| {
        grant.standing == Standing::OrganizationSuspended
    })
    .await;

    change(
        &stand,
        "update identity.organization_memberships set deleted_at = now()",
    )
    .await;
    sees("a member who left", |grant| {
        grant.standing == Standing::Revoked
    })
    .await;
}

async fn change(stand: &Stand, statement: &'static str) {
    let mut tx = stand.begin().await;
    sqlx::query(statement)
        .execute(&mut *tx)
        .await
        .expect(statement);
    tx.commit().await.expect("a commit");
}

#[tokio::test]
async fn a_revocation_while_the_feed_is_lost_is_caught_up() {
    let stand = Stand::start().await;
    let (keys, feed) = stand.following().await;
    let key = stand.mint(NewKey::default()).await;
    granted(&keys, &key).await;
    let mut superuser = stand.database.connect().await;

    let listeners: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and application_name = 'synaxis_proxy' and query ilike 'listen%'",
    )
    .fetch_one(&mut superuser)
    .await
    .expect("a termination");
    stand.revoke(&key).await;

    assert_eq!(listeners, 1);
    within(FIVE_SECONDS, async || {
        keys.find_cached(key.api_key.expose()).is_none()
    })
    .await;
    assert_eq!(granted(&keys, &key).await.standing, Standing::Revoked);
    within(FIVE_SECONDS, async || feed.is_live()).await;
}

#[tokio::test]
async fn what_changed_while_postgres_was_away_is_caught_up() {
    let stand = Stand::start().await;
    let relay = Relay::start(stand.database.server().await).await;
    let away = stand.database.settings_over(relay.address());
    let proxy = Postgres::connect(&away, Role::Proxy).expect("the URL is one");
    let keys = Keys::new(Settings::default(), proxy.clone(), Clock::System);
    let feed = follow(&keys, &proxy, Clock::System);
    within(FIVE_SECONDS, async || feed.is_live()).await;
    let key = stand.mint(NewKey::default()).await;
    granted(&keys, &key).await;

    relay.cut();
    stand.revoke(&key).await;
    within(FIVE_SECONDS, async || !feed.is_live()).await;
    let meanwhile = granted(&keys, &key).await.standing;
    relay.mend();

    assert_eq!(meanwhile, Standing::Live);
    within(FIVE_SECONDS, async || {
        granted(&keys, &key).await.standing == Standing::Revoked
    })
    .await;
}

#[tokio::test]
async fn known_callers_are_served_without_waiting_while_postgres_is_away() {
    let stand = Stand::start().await;
    let relay = Relay::start(stand.database.server().await).await;
    let away = stand.database.settings_over(relay.address());
    let proxy = Postgres::connect(&away, Role::Proxy).expect("the URL is one");
    let clock = Clock::by_hand(Clock::System.now());
    let keys = Keys::new(Settings::default(), proxy.clone(), clock.clone());
    let feed = follow(&keys, &proxy, clock.clone());
    within(FIVE_SECONDS, async || feed.is_live()).await;
    let key = stand.mint(NewKey::default()).await;
    let unseen = stand.mint(NewKey::default()).await;
    granted(&keys, &key).await;

    relay.cut();
    within(FIVE_SECONDS, async || !feed.is_live()).await;
    clock.wind(Duration::from_secs(600));

    // The feed says again and again that nobody answers: nobody else has to find out.
    within(FIVE_SECONDS, async || {
        keys.find_cached(key.api_key.expose()).is_some()
    })
    .await;
    assert_eq!(keys.view_age(), Duration::from_secs(600));
    assert_eq!(
        keys.lookup(unseen.api_key.expose()).await,
        Err(NoGrant::Unavailable)
    );

    clock.wind(Duration::from_secs(301));
    assert_eq!(
        keys.lookup(key.api_key.expose()).await,
        Err(NoGrant::Unavailable)
    );

    relay.mend();
    within(FIVE_SECONDS, async || feed.is_live()).await;
    assert_eq!(granted(&keys, &key).await.standing, Standing::Live);
    assert_eq!(granted(&keys, &unseen).await.standing, Standing::Live);
}

#[tokio::test]
async fn a_database_that_lets_nobody_in_counts_as_away() {
    let stand = Stand::start().await;
    let (keys, feed) = stand.following().await;
    let key = stand.mint(NewKey::default()).await;
    let unseen = stand.mint(NewKey::default()).await;
    granted(&keys, &key).await;

    stand.database.cut_off().await;
    within(FIVE_SECONDS, async || !feed.is_live()).await;

    assert_eq!(granted(&keys, &key).await.standing, Standing::Live);
    let refused = keys.lookup(unseen.api_key.expose()).await;
    assert_eq!(refused, Err(NoGrant::Unavailable));
    stand.database.let_in().await;
    within(FIVE_SECONDS, async || feed.is_live()).await;
    within(FIVE_SECONDS, async || {
        // Its connections come back when they are next wanted; it is never said to be unknown.
        match keys.lookup(unseen.api_key.expose()).await {
            Err(NoGrant::Unavailable) => false,
            answer => answer.expect("a grant").standing == Standing::Live,
        }
    })
    .await;
}

#[tokio::test]
async fn a_process_that_was_stopped_asks_before_it_serves() {
    let stand = Stand::start().await;
    let clock = Clock::by_hand(Clock::System.now());
    let keys = stand.keys(Settings::default(), clock.clone());
    let key = stand.mint(NewKey::default()).await;
    granted(&keys, &key).await;
    stand.revoke(&key).await;

    clock.wind(Duration::from_secs(30));

    assert!(keys.find_cached(key.api_key.expose()).is_none());
    assert_eq!(granted(&keys, &key).await.standing, Standing::Revoked);
}

fn seen_file() -> (tempfile::TempDir, Settings, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("seen.jsonl");
    let settings = Settings {
        seen_file: Some(path.clone()),
        ..Settings::default()
    };
    (folder, settings, path)
}

#[tokio::test]
async fn a_proxy_started_without_postgres_serves_known_callers_for_a_while() {
    let stand = Stand::start().await;
    let (_folder, settings, path) = seen_file();
    let clock = Clock::by_hand(Clock::System.now());
    let before = stand.keys(settings.clone(), clock.clone());
    let key = stand.mint(NewKey::default()).await;
    granted(&before, &key).await;
    before.remember().await;

    let after = Keys::new(settings, nowhere(), clock.clone());
    let recalled = after.recall();
    clock.wind(Duration::from_secs(600));

    assert_eq!(recalled, 1);
    assert_eq!(granted(&after, &key).await.api_key_id, key.id);
    clock.wind(Duration::from_secs(600));
    assert_eq!(
        after.lookup(key.api_key.expose()).await,
        Err(NoGrant::Unavailable)
    );
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&path).expect("the file");
    assert!(
        !text.contains(&key.api_key.expose()[31..74]),
        "no secret is written down"
    );
}

#[tokio::test]
async fn a_key_revoked_while_the_proxy_was_down_is_not_served_from_the_file() {
    let stand = Stand::start().await;
    let (_folder, settings, _) = seen_file();
    let before = stand.keys(settings.clone(), Clock::System);
    let key = stand.mint(NewKey::default()).await;
    granted(&before, &key).await;
    before.remember().await;
    stand.revoke(&key).await;

    let after = stand.keys(settings, Clock::System);
    after.recall();
    let feed = follow(&after, &stand.database.open(Role::Proxy), Clock::System);
    within(FIVE_SECONDS, async || feed.is_live()).await;

    within(FIVE_SECONDS, async || {
        granted(&after, &key).await.standing == Standing::Revoked
    })
    .await;
}

#[tokio::test]
async fn a_torn_file_of_seen_keys_is_read_as_far_as_it_goes() {
    let stand = Stand::start().await;
    let (_folder, settings, path) = seen_file();
    let before = stand.keys(settings.clone(), Clock::System);
    for _ in 0..3 {
        let key = stand.mint(NewKey::default()).await;
        granted(&before, &key).await;
    }
    before.remember().await;
    let whole = fs::read(&path).expect("the file");

    for length in [0, 5, whole.len() / 2, whole.len() - 5] {
        fs::write(&path, &whole[..length]).expect("a torn file");
        let after = Keys::new(settings.clone(), nowhere(), Clock::System);
        assert!(after.recall() < 3, "{length}");
    }
}

#[tokio::test]
async fn a_rotated_key_hands_over_its_rights_and_limits_and_stops_after_the_grace() {
    let stand = Stand::start().await;
    let keys = stand.keys(Settings::default(), Clock::System);
    let old = stand
        .mint(NewKey {
            allowed_models: Some(vec!["small".to_owned()]),
            limits: vec![Terms::usual(Meter::Requests, Window::Minute, 7)],
            ..NewKey::default()
        })
        .await;
    let by = by();

    let mut tx = stand.begin().await;
    let new = keys::rotate(&mut tx, &old.public_id, Duration::from_secs(60), by)
        .await
        .expect("a rotation");
    tx.commit().await.expect("a commit");

    let (old, new) = (granted(&keys, &old).await, granted(&keys, &new).await);
    assert_eq!(new.allowed_models, old.allowed_models);
    assert_eq!(new.limits[0].amount, 7);
    assert_eq!(new.limits, old.limits, "the same counters, not fresh ones");
    assert!(!old.is_expired(by.now));
    assert!(old.is_expired(by.now.plus(Duration::from_secs(61))));
    assert!(!new.is_expired(by.now.plus(Duration::from_secs(61))));
}

#[tokio::test]
async fn changes_come_in_the_order_they_were_committed() {
    let stand = Stand::start().await;
    let feed = Feed::start(
        &stand.database.open(Role::Proxy),
        Clock::System,
        &Tasks::default(),
    );
    within(FIVE_SECONDS, async || feed.is_live()).await;
    let mut reader = feed.subscribe();

    let minting = (0..20).map(|_| stand.mint(NewKey::default()));
    let minted = futures::future::join_all(minting).await;

    let mut seqs = Vec::new();
    let mut ids = Vec::new();
    while ids.len() < minted.len() {
        if let Some(synaxis::store::feed::News::Changes { changes, .. }) = reader.next().await {
            seqs.extend(changes.iter().map(|change| change.seq));
            ids.extend(changes.iter().filter_map(|change| change.id));
        }
    }
    assert!(seqs.is_sorted());
    assert!(minted.iter().all(|key| ids.contains(&key.id.uuid())));
}
