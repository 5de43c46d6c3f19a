//! A database of its own for each test, migrated, with a door for the proxy's role.

use sqlx::{Connection, PgConnection, Row, postgres::PgRow};
use synaxis::{
    base::Secret,
    store::{
        Postgres, migrate,
        postgres::{Role, Settings},
    },
};
use uuid::Uuid;

/// A fresh database; dropped with the value.
pub(super) struct Database {
    name: String,
    pub(super) settings: Settings,
    /// As the proxy sees it.
    pub(super) proxy: Postgres,
}

fn server() -> String {
    let url = std::env::var_os("SYNAXIS_TEST_DATABASE_URL")
        .expect("SYNAXIS_TEST_DATABASE_URL names a Postgres where databases can be made");
    url.into_string().expect("the URL is UTF-8")
}

fn url_of(name: &str) -> Secret {
    let mut url = url::Url::parse(&server()).expect("the URL can be read");
    url.set_path(name);
    Secret::new(url.to_string())
}

impl Database {
    pub(super) async fn start() -> Self {
        let name = format!("usage_{}", Uuid::now_v7().simple());
        let mut server = PgConnection::connect(&server())
            .await
            .expect("Postgres runs");
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("create database {name}")))
            .execute(&mut server)
            .await
            .expect("a database can be made");
        let settings = Settings {
            url: url_of(&name),
            ..Settings::default()
        };
        migrate::migrate(&settings)
            .await
            .expect("it can be migrated");
        let proxy = Postgres::connect(&settings, Role::Proxy).expect("the URL can be read");
        Self {
            name,
            settings,
            proxy,
        }
    }

    /// Another process' door.
    pub(super) fn another_proxy(&self) -> Postgres {
        Postgres::connect(&self.settings, Role::Proxy).expect("the URL can be read")
    }

    /// A connection that sees everything.
    pub(super) async fn superuser(&self) -> PgConnection {
        PgConnection::connect(self.settings.url.expose())
            .await
            .expect("Postgres runs")
    }

    /// Runs one statement that sees everything and returns its rows.
    pub(super) async fn rows(&self, sql: &'static str) -> Vec<PgRow> {
        let mut conn = self.superuser().await;
        sqlx::query(sql)
            .fetch_all(&mut conn)
            .await
            .expect("the statement runs")
    }

    /// Runs one statement that sees everything and returns its one number; null is zero.
    pub(super) async fn number(&self, sql: &'static str) -> i64 {
        let rows = self.rows(sql).await;
        rows[0]
            .try_get::<Option<i64>, _>(0)
            .expect("a bigint")
            .unwrap_or_default()
    }

    /// Says how the roll-up differs from the entries; empty when it does not.
    pub(super) async fn roll_up_faults(&self) -> Vec<String> {
        let rows = self.rows(ROLL_UP_FAULTS).await;
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    }
}

const ROLL_UP_FAULTS: &str = "
    with truth as (
        select organization_id, date_trunc('hour', at, 'UTC') as hour, api_key_id, group_id, user_id, model_id, offer_id,
            provider_id, count(*) as requests, count(*) filter (where status >= 400) as failed_requests,
            count(*) filter (where is_estimated) as estimated_requests, count(*) filter (where is_stream) as streamed_requests,
            sum(input_tokens) as input_tokens, sum(cached_tokens) as cached_tokens, sum(cache_write_tokens) as cache_write_tokens,
            sum(output_tokens) as output_tokens, sum(reasoning_tokens) as reasoning_tokens, sum(cost_nano_usd) as cost_nano_usd,
            sum(saved_nano_usd) as saved_nano_usd, sum(duration_ms) as duration_ms,
            coalesce(sum(first_byte_ms), 0) as first_byte_ms, count(first_byte_ms) as first_bytes
        from operations.usage_entries
        group by 1, 2, 3, 4, 5, 6, 7, 8
    ), kept as (
        select * from operations.usage_hourly where requests <> 0 or cost_nano_usd <> 0 or input_tokens <> 0 or output_tokens <> 0
    )
    (select 'missing: ' || t::text from truth t except select 'missing: ' || k::text from kept k)
    union all
    (select 'extra: ' || k::text from kept k except select 'extra: ' || t::text from truth t)";

impl Drop for Database {
    fn drop(&mut self) {
        let name = self.name.clone();
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let mut server = PgConnection::connect(&server())
                    .await
                    .expect("Postgres runs");
                sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
                    "drop database {name} with (force)"
                )))
                .execute(&mut server)
                .await
                .expect("the database can be dropped");
            });
        });
        let _ = dropping.join();
    }
}
