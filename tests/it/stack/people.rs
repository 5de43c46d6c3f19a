//! People who can act: a key, and what somebody does with it.

use std::time::Duration;

use futures::StreamExt;
use reqwest::{
    Client, Response,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

use super::TestStack;

/// A key that is being ordered.
pub struct KeyOrder<'a> {
    stack: &'a TestStack,
    arguments: Vec<String>,
}

/// Somebody with a key.
#[derive(Clone)]
pub struct Key {
    pub text: String,
    pub id: String,
    base_url: String,
    client: Client,
}

/// What the gateway answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl<'a> KeyOrder<'a> {
    pub fn new(stack: &'a TestStack) -> Self {
        Self {
            stack,
            arguments: Vec::new(),
        }
    }

    /// A flag of `synaxis keys create`.
    pub fn with(mut self, flag: &str, value: impl ToString) -> Self {
        self.arguments.push(format!("--{flag}"));
        self.arguments.push(value.to_string());
        self
    }

    /// Makes the key.
    pub fn mint(self) -> Key {
        let organization = self.stack.organization.as_str();
        let mut arguments = vec!["keys", "create", "--organization", organization, "--json"];
        arguments.extend(self.arguments.iter().map(String::as_str));
        let created = self.stack.json(&arguments);
        Key {
            text: created["api_key"].as_str().expect("a key").to_owned(),
            id: created["public_id"].as_str().expect("an id").to_owned(),
            base_url: self
                .stack
                .proxies
                .first()
                .map_or(String::new(), super::Proxy::base_url),
            client: client(),
        }
    }
}

/// A client that follows nothing and waits for everything.
pub fn client() -> Client {
    client_with(HeaderMap::new())
}

fn client_with(headers: HeaderMap) -> Client {
    // As the binary does; whoever comes second finds it done.
    let _was_installed_before = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(120))
        .default_headers(headers)
        .build()
        .expect("a client")
}

impl Key {
    /// The same key with other text.
    pub fn but(&self, text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ..self.clone()
        }
    }

    /// The same key in the hands of somebody who adds a header.
    pub fn with_header(&self, name: &'static str, value: &'static str) -> Self {
        let headers = [(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )];
        Self {
            client: client_with(HeaderMap::from_iter(headers)),
            ..self.clone()
        }
    }

    /// The same key at another proxy.
    pub fn at(&self, proxy: &super::Proxy) -> Self {
        Self {
            base_url: proxy.base_url(),
            ..self.clone()
        }
    }

    /// Says something to the model every provider sells.
    pub async fn chat(&self, words: &str) -> Answer {
        self.post("/chat/completions", &chat(words)).await
    }

    /// Says something; `None` when the connection broke.
    pub async fn try_chat(&self, words: &str) -> Option<u16> {
        let response = self.send("/chat/completions", &chat(words)).await.ok()?;
        let status = response.status().as_u16();
        response.bytes().await.ok().map(|_| status)
    }

    /// Posts a body and waits for the whole answer.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.send(path, body).await.expect("an answer")).await
    }

    /// Posts a body; the answer is still to be read.
    pub async fn send(&self, path: &str, body: &Value) -> reqwest::Result<Response> {
        let url = format!("{}{path}", self.base_url);
        self.client
            .post(url)
            .bearer_auth(&self.text)
            .json(body)
            .send()
            .await
    }

    /// Gets a path.
    pub async fn get(&self, path: &str) -> Answer {
        let url = format!("{}{path}", self.base_url);
        let sent = self.client.get(url).bearer_auth(&self.text).send().await;
        Answer::of(sent.expect("an answer")).await
    }

    /// Streams an answer and returns all its bytes, however it ended.
    pub async fn stream(&self, words: &str) -> Answer {
        let mut body = chat(words);
        body["stream"] = json!(true);
        self.post("/chat/completions", &body).await
    }
}

/// A chat request to the model every provider sells.
pub fn chat(words: &str) -> Value {
    json!({"model": "swift", "messages": [{"role": "user", "content": words}], "max_tokens": 64})
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut bytes = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(Ok(piece)) = pieces.next().await {
            bytes.extend_from_slice(&piece);
        }
        Self {
            status,
            headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    /// The answer as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The stable word of an error.
    pub fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The data of every event of a stream.
    pub fn events(&self) -> Vec<&str> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect()
    }
}
