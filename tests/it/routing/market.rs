//! Offers of one model, each at a provider of its own, and an organization that calls it.

use reqwest::Method;
use serde_json::{Value, json};
use synaxis::{
    base::{ModelId, Moment, OfferId},
    control::{
        Actor, By,
        routes::{self, RouteRefused, Switch},
    },
    routing::{Cause, store::routes::KeptRoute},
    store::{Scope, postgres::Role},
};

use crate::{
    catalog_api::stand::{A_SECOND, Stand, Tenant, id_of, provider_of},
    stack::{provider::Provider, within},
};

/// Offers of one model, each at a provider of its own.
pub struct Market {
    pub stand: Stand,
    pub us: Tenant,
    pub model: String,
    pub providers: Vec<Provider>,
}

impl Market {
    pub async fn open() -> Self {
        let stand = Stand::start().await;
        let us = stand.tenant("ada").await;
        let model = stand.make_shared("models", json!({"name": "swift"})).await;
        Self {
            stand,
            us,
            model: id_of(&model),
            providers: Vec::new(),
        }
    }

    /// Adds a paid offer, or a free one at no price; returns its id.
    pub async fn offer(&mut self, name: &str, nano_per_token: Option<u64>) -> String {
        self.offer_of(Provider::start(name), nano_per_token, 0)
            .await
    }

    /// Adds an offer of a provider, which the catalog prefers the more the smaller the number.
    pub async fn offer_of(
        &mut self,
        provider: Provider,
        nano_per_token: Option<u64>,
        preference: i32,
    ) -> String {
        let made = self
            .stand
            .make_shared("providers", provider_of(&provider))
            .await;
        self.providers.push(provider);
        let offer = match nano_per_token {
            None => {
                json!({"provider_id": made["id"], "model_id": self.model, "tier": "free", "preference": preference})
            }
            Some(nano) => json!({
                "provider_id": made["id"], "model_id": self.model, "tier": "paid", "preference": preference,
                "price": {"input_nano_usd": nano * 1_000_000, "output_nano_usd": nano * 1_000_000},
            }),
        };
        id_of(&self.stand.make_shared("offers", offer).await)
    }

    /// Who answers the next call, and why.
    pub async fn answers(&self) -> (String, String) {
        let answer = self.stand.call(&self.us.key, "swift").await;
        let why = answer.header("x-synaxis-route").to_owned();
        (answer.header("x-synaxis-provider").to_owned(), why)
    }

    /// How often anybody was asked.
    pub fn calls(&self) -> usize {
        self.providers.iter().map(Provider::calls).sum()
    }

    pub async fn is_answered_by(&self, name: &str, why: &str) {
        let wanted = (name.to_owned(), why.to_owned());
        within(A_SECOND, async || self.answers().await == wanted).await;
    }

    pub async fn pin(&self, offer: &str) -> Value {
        let body = json!({"model_id": self.model, "offer_id": offer});
        self.stand.make(&self.us, "routes", body).await
    }

    pub async fn post(&self, path: &str) -> crate::stack::admin::Reply {
        self.stand
            .ask(&self.us, Method::POST, path, Value::Null)
            .await
    }

    /// Does what an agent does, with the rights of one.
    pub async fn switch(
        &self,
        to: &str,
        cause: Cause,
        now: Moment,
    ) -> Result<KeptRoute, RouteRefused> {
        let postgres = self.stand.admin.database.open(Role::Agent);
        let scope = Scope::of(self.us.id.parse().expect("an id"));
        let mut tx = postgres.begin_for(scope).await?;
        let switch = Switch {
            model: self.model.parse::<ModelId>().expect("an id"),
            to: to.parse::<OfferId>().expect("an id"),
            cause,
            saving_per_million: 4_000_000,
            arithmetic: json!({"from": 5, "to": 1}),
        };
        let kept = routes::switch(&mut tx, switch, By::new(Actor::Agent, now)).await?;
        tx.commit().await?;
        Ok(kept)
    }

    pub async fn changes(&self, route: &str) -> Vec<Value> {
        let path = format!("routes/{route}/changes?order=asc");
        let reply = self.stand.ask(&self.us, Method::GET, &path, Value::Null);
        let told = reply.await.expect(200).json();
        told["data"].as_array().expect("a list").clone()
    }
}
