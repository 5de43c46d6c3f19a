//! A sidecar and a proxy on the same books, organizations with an owner each, and providers to bring.

use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row;
use tempfile::TempDir;

use crate::{
    identity::people::{Visitor, newcomer},
    stack::{
        SYNAXIS,
        admin::{Reply, TestAdmin},
        people::{Answer, client},
        provider::Provider,
        proxy::Proxy,
        test_redis_url, variables,
    },
};

/// A sidecar, a proxy, and the one who runs both.
pub struct Stand {
    pub admin: TestAdmin,
    pub proxy: Proxy,
    pub root: Visitor,
    variables: Vec<(String, String)>,
    folder: TempDir,
}

/// An organization with an owner, who has a key.
pub struct Tenant {
    pub id: String,
    pub owner: Visitor,
    pub key: String,
}

impl Stand {
    /// Starts both.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts both, the sidecar with settings of its own.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let admin = TestAdmin::start_with(settings).await;
        let folder = tempfile::tempdir().expect("a folder");
        let variables = variables(&admin.database, &test_redis_url());
        let proxy = Proxy::start(&variables, &folder.path().join("proxy"), &[]).await;
        let root = newcomer(&admin, "root@example.com").await;
        let mut books = admin.database.connect().await;
        sqlx::query("update identity.users set is_platform_admin = true where id = $1::uuid")
            .bind(&root.user_id)
            .execute(&mut books)
            .await
            .expect("a platform admin");
        Self {
            admin,
            proxy,
            root,
            variables,
            folder,
        }
    }

    /// Starts another proxy on the same books.
    pub async fn another_proxy(&self) -> Proxy {
        Proxy::start(&self.variables, &self.folder.path().join("another"), &[]).await
    }

    /// Registers an organization.
    pub async fn tenant(&self, name: &str) -> Tenant {
        let owner = newcomer(&self.admin, &format!("{name}@example.com")).await;
        let mut books = self.admin.database.connect().await;
        let row = sqlx::query(
            "select organization_id::text as id from identity.organization_memberships where user_id = $1::uuid",
        )
        .bind(&owner.user_id)
        .fetch_one(&mut books)
        .await
        .expect("an organization");
        let id: String = row.get("id");
        let made = self.run(&["keys", "create", "--organization", &id, "--json"]);
        let made: Value = serde_json::from_str(&made).expect("JSON");
        let key = made["api_key"].as_str().expect("a key").to_owned();
        Tenant { id, owner, key }
    }

    /// Runs a command of the binary, which must succeed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(SYNAXIS)
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().cloned())
            .output()
            .expect("to run");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The exit of a command of the binary.
    pub fn exit(&self, arguments: &[&str]) -> Option<i32> {
        let mut command = Command::new(SYNAXIS);
        command.args(arguments).env_clear();
        let ended = command.envs(self.variables.iter().cloned()).output();
        ended.expect("to run").status.code()
    }

    /// Asks the API as the one who runs the platform.
    pub async fn platform(&self, method: Method, path: &str, body: Value) -> Reply {
        let path = format!("/api/v1/platform/{path}");
        self.send(&self.root, method, &path, body).await
    }

    /// Asks the API as an organization's owner.
    pub async fn ask(&self, tenant: &Tenant, method: Method, path: &str, body: Value) -> Reply {
        let path = format!("/api/v1/organizations/{}/{path}", tenant.id);
        self.send(&tenant.owner, method, &path, body).await
    }

    async fn send(&self, who: &Visitor, method: Method, path: &str, body: Value) -> Reply {
        let request = self.admin.request(method, path).token(&who.access_token);
        match body {
            Value::Null => request.send().await,
            body => request.json(&body).send().await,
        }
    }

    /// Makes something of an organization's; returns it.
    pub async fn make(&self, tenant: &Tenant, what: &str, body: Value) -> Value {
        let made = self.ask(tenant, Method::POST, what, body).await;
        made.expect(201).json()
    }

    /// Makes something of the platform's; returns it.
    pub async fn make_shared(&self, what: &str, body: Value) -> Value {
        let made = self.platform(Method::POST, what, body).await;
        made.expect(201).json()
    }

    /// Gives an organization a provider of its own with a model and a paid offer of it; returns the three.
    pub async fn shop(&self, tenant: &Tenant, provider: &Provider, model: &str) -> Shop {
        let made = self.make(tenant, "providers", provider_of(provider)).await;
        let model = self.make(tenant, "models", json!({"name": model})).await;
        let offer = json!({
            "provider_id": made["id"], "model_id": model["id"], "tier": "paid",
            "price": {"input_nano_usd": 1_000_000_000, "output_nano_usd": 2_000_000_000},
        });
        let offer = self.make(tenant, "offers", offer).await;
        Shop {
            provider: id_of(&made),
            model: id_of(&model),
            offer: id_of(&offer),
        }
    }

    /// Calls a model with a key, as callers do.
    pub async fn call(&self, key: &str, model: &str) -> Answer {
        let body = json!({
            "model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 16,
        });
        self.call_at(&self.proxy, key, &body).await
    }

    /// Calls one proxy with a key.
    pub async fn call_at(&self, proxy: &Proxy, key: &str, body: &Value) -> Answer {
        let url = format!("{}/chat/completions", proxy.base_url());
        let sent = client().post(url).bearer_auth(key).json(body).send().await;
        Answer::of(sent.expect("an answer")).await
    }

    /// The status of a call.
    pub async fn status(&self, key: &str, model: &str) -> u16 {
        self.call(key, model).await.status
    }

    /// What was done in the audit log, oldest first.
    pub async fn audited(&self, tenant: &Tenant) -> Vec<String> {
        let mut books = self.admin.database.connect().await;
        sqlx::query_scalar(
            "select action from audit.audit_logs where organization_id = $1::uuid order by seq",
        )
        .bind(&tenant.id)
        .fetch_all(&mut books)
        .await
        .expect("the audit log")
    }
}

/// What belongs together.
pub struct Shop {
    pub provider: String,
    pub model: String,
    pub offer: String,
}

/// A provider as the API takes it.
pub fn provider_of(provider: &Provider) -> Value {
    let base_url = format!("http://{}/v1", provider.address);
    json!({"name": provider.name, "dialect": "openai", "base_url": base_url})
}

/// The id of what was made.
pub fn id_of(made: &Value) -> String {
    made["id"].as_str().expect("an id").to_owned()
}

/// A second, in which every proxy sees a change.
pub const A_SECOND: std::time::Duration = std::time::Duration::from_secs(1);
