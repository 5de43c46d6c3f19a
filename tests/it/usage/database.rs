//! The books of one test, as the proxy and as a superuser see them.

use sqlx::{PgConnection, Row, postgres::PgRow};
use synaxis::store::postgres::{Postgres, Role};

use crate::stack::database::TestDatabase;

/// A fresh database, dropped with the value.
pub struct Database {
    database: TestDatabase,
    /// As the proxy sees it.
    pub proxy: Postgres,
}

impl Database {
    pub async fn start() -> Self {
        let database = TestDatabase::start().await;
        Self {
            proxy: database.open(Role::Proxy),
            database,
        }
    }

    /// Opens it as one role, with a pool of its own.
    pub fn open(&self, role: Role) -> Postgres {
        self.database.open(role)
    }

    pub fn test_database(&self) -> &TestDatabase {
        &self.database
    }

    pub async fn superuser(&self) -> PgConnection {
        self.database.connect().await
    }

    /// Runs one statement that sees everything and returns its rows.
    pub async fn rows(&self, sql: &'static str) -> Vec<PgRow> {
        let mut conn = self.superuser().await;
        sqlx::query(sql)
            .fetch_all(&mut conn)
            .await
            .expect("the statement runs")
    }

    /// Runs one statement that sees everything and returns its one number; null is zero.
    pub async fn number(&self, sql: &'static str) -> i64 {
        let rows = self.rows(sql).await;
        rows[0]
            .try_get::<Option<i64>, _>(0)
            .expect("a bigint")
            .unwrap_or_default()
    }

    /// Says how roll-up and ledger differ from the entries; empty when they do not.
    pub async fn roll_up_faults(&self) -> Vec<String> {
        let rows = self.rows(FAULTS).await;
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    }
}

const FAULTS: &str = "
    with truth as (
        select organization_id, date_trunc('hour', at, 'UTC') as hour, api_key_id, group_id, user_id, model_id, offer_id,
            provider_id, count(*) as requests, count(*) filter (where status >= 400 or status = 0) as failed_requests,
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
    (select 'extra: ' || k::text from kept k except select 'extra: ' || t::text from truth t)
    union all
    select fault || ': ' || difference from operations.ledger_faults('2025-01-01', date_trunc('day', now(), 'UTC') + interval '1 day')";
