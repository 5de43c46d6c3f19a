//! A sidecar, a proxy, offers of one model at providers of their own, and agents that are run when a test says so.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::{
    catalog_api::stand::{Stand, Tenant, id_of, provider_of},
    stack::{eventually, provider::Provider},
};

/// Everything a test of an agent needs.
pub struct Stage {
    pub stand: Stand,
    pub model: String,
    pub providers: Vec<Provider>,
}

impl Stage {
    pub async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// With settings of the sidecar's own, as variables without their prefix.
    pub async fn open_with(settings: &[(&str, &str)]) -> Self {
        let stand = Stand::start_with(settings).await;
        let model = stand.make_shared("models", json!({"name": "swift"})).await;
        Self {
            stand,
            model: id_of(&model),
            providers: Vec::new(),
        }
    }

    /// Adds a paid offer of the platform, or a free one at no price; returns its id.
    pub async fn offer(&mut self, name: &str, nano_per_token: Option<u64>) -> String {
        let provider = Provider::start(name);
        let made = self.stand.make_shared("providers", provider_of(&provider));
        let made = made.await;
        self.providers.push(provider);
        let offer = match nano_per_token {
            None => json!({"provider_id": made["id"], "model_id": self.model, "tier": "free"}),
            Some(nano) => json!({
                "provider_id": made["id"], "model_id": self.model, "tier": "paid",
                "price": {"input_nano_usd": nano * 1_000_000, "output_nano_usd": 3 * nano * 1_000_000},
            }),
        };
        id_of(&self.stand.make_shared("offers", offer).await)
    }

    pub fn provider(&mut self, name: &str) -> &mut Provider {
        let mut providers = self.providers.iter_mut();
        providers
            .find(|provider| provider.name == name)
            .expect("a provider")
    }

    /// Insists on an offer, and then does not any more: the route stays there.
    pub async fn route(&self, tenant: &Tenant, offer: &str) {
        let body = json!({"model_id": self.model, "offer_id": offer});
        let route = self.stand.make(tenant, "routes", body).await;
        let path = format!("routes/{}/unpin", id_of(&route));
        let unpinned = self.stand.ask(tenant, Method::POST, &path, Value::Null);
        unpinned.await.expect(200);
    }

    /// Runs an agent now, waits for its end, and returns its report.
    pub async fn run(&self, agent: &str) -> Value {
        let path = format!("agents/{agent}/run");
        let asked = self.stand.platform(Method::POST, &path, Value::Null).await;
        let path = format!(
            "agent-runs/{}",
            asked.expect(201).json()["run_id"].as_str().expect("an id")
        );
        let run = async || self.stand.platform(Method::GET, &path, Value::Null).await;
        eventually("the run ends", async || {
            let run = run().await;
            run.status == 200 && run.json()["outcome"] != "running"
        })
        .await;
        let run = run().await.json();
        assert_eq!(
            run["outcome"],
            "succeeded",
            "{run}\n{}",
            self.stand.admin.log()
        );
        run["report"].clone()
    }

    pub async fn books(&self) -> PgConnection {
        self.stand.admin.database.connect().await
    }

    /// The number a query gives.
    pub async fn number(&self, query: &'static str) -> i64 {
        let mut books = self.books().await;
        let number = sqlx::query_scalar(query).fetch_one(&mut books).await;
        number.expect("a number")
    }

    /// The rows of a query that makes JSON of each.
    pub async fn rows(&self, query: &'static str) -> Vec<Value> {
        let mut books = self.books().await;
        let rows = sqlx::query_scalar(query).fetch_all(&mut books).await;
        rows.expect("rows")
    }

    /// Waits until so many calls are booked.
    pub async fn booked(&self, calls: i64) {
        eventually("the calls are booked", async || {
            calls
                <= self
                    .number("select count(*) from operations.usage_entries")
                    .await
        })
        .await;
    }
}
