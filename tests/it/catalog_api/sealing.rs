//! Another sealing key: what the old one seals is sealed anew, then the old one is refused for good.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};

use super::stand::{A_SECOND, Stand, id_of};
use crate::stack::{
    SEALING_KEY, SYNAXIS, eventually, people::client, provider::Provider, proxy::Proxy,
    test_redis_url, variables, within,
};

/// The next sealing key.
const NEXT_KEY: &str = "Zx8wQ1nB5vC2mK7jH4gF9dS3aP6oI0uY";

/// A second sidecar with keys of its own; killed when dropped.
struct Sidecar(Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _dead = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn with_keys(stand: &Stand, key: &str, earlier: &str) -> Vec<(String, String)> {
    let mut all = variables(&stand.admin.database, &test_redis_url());
    all.push(("SYNAXIS__SECURITY__SEALING_KEY".to_owned(), key.to_owned()));
    let name = "SYNAXIS__SECURITY__PREVIOUS_SEALING_KEYS".to_owned();
    all.push((name, earlier.to_owned()));
    all
}

fn sidecar(stand: &Stand, key: &str, earlier: &str) -> Child {
    Command::new(SYNAXIS)
        .arg("admin")
        .env_clear()
        .envs(with_keys(stand, key, earlier))
        .env("SYNAXIS__ADMIN__LISTEN", "127.0.0.1:0")
        .env("SYNAXIS__ADMIN__OPERATIONS_LISTEN", "127.0.0.1:0")
        .current_dir(stand.admin.folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a sidecar")
}

#[tokio::test]
async fn what_an_earlier_key_seals_is_sealed_anew_and_the_earlier_key_is_refused() {
    let stand = Stand::start().await;
    let ours = stand.tenant("ada").await;
    let provider = Provider::start_with("strict", &["--require-key", "sk-good-0123456789aaaa"]);
    let shop = stand.shop(&ours, &provider, "mine").await;
    let key = json!({"provider_id": shop.provider, "secret": "sk-good-0123456789aaaa"});
    let key = stand.make(&ours, "credentials", key).await;
    let path = format!("credentials/{}", id_of(&key));
    let waiting = json!({"secret": "sk-next-0123456789bbbb"});
    let rotate = format!("{path}/rotate");
    stand
        .ask(&ours, Method::POST, &rotate, waiting)
        .await
        .expect(200);
    let old = key["sealing_key_id"].as_str().expect("a name").to_owned();

    let _sidecar = Sidecar(sidecar(&stand, NEXT_KEY, SEALING_KEY));

    let keys = async || {
        let keys = stand
            .platform(Method::GET, "sealing-keys", Value::Null)
            .await;
        keys.expect(200).json()["data"].clone()
    };
    eventually("the old key is retired", async || {
        let keys = keys().await;
        let keys = keys.as_array().expect("a list");
        keys.iter()
            .any(|key| key["id"] == old.as_str() && key["retired_at"].is_string())
    })
    .await;
    let shown = stand
        .ask(&ours, Method::GET, &path, Value::Null)
        .await
        .expect(200)
        .json();
    assert_ne!(shown["sealing_key_id"], old.as_str());
    serves(&stand, NEXT_KEY, &ours.key, "mine").await;

    let late =
        json!({"provider_id": shop.provider, "name": "late", "secret": "sk-late-0123456789"});
    let late = stand.ask(&ours, Method::POST, "credentials", late).await;
    late.expect(500);
    assert!(
        refuses_to_start(&stand, SEALING_KEY).await,
        "a retired key is refused"
    );
}

/// Says whether a sidecar with this key ends by itself, complaining.
async fn refuses_to_start(stand: &Stand, key: &str) -> bool {
    let mut sidecar = Sidecar(sidecar(stand, key, ""));
    for _ in 0..200 {
        if let Some(status) = sidecar.0.try_wait().expect("a status") {
            return !status.success();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Waits until a proxy with this key alone serves the model, five seconds at most.
async fn serves(stand: &Stand, key: &str, caller: &str, model: &str) {
    let folder = stand.admin.folder.path().join("new-proxy");
    let proxy = Proxy::start(&with_keys(stand, key, ""), &folder, &[]).await;
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    within(A_SECOND * 5, async || {
        let url = format!("{}/chat/completions", proxy.base_url());
        let call = client().post(url).bearer_auth(caller).json(&body);
        let sent = call.send().await;
        sent.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}
