//! The door to Redis: one connection that comes back by itself, scripts, and the names of all keys.
//!
//! Uses `evalsha`, `script load`, `info`, `config get`, `ping`, `client setname`, and inside scripts `get`, `mget`,
//! `set`, `del`, `pexpire`, `hset`, `hget`, `hdel`, `hlen`, `hrandfield`, `zadd`, `zrem`, `zscore`, `zrange`,
//! `zrangebyscore` and `time`; nothing else has to be allowed to its user.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};
use serde::Deserialize;
use tokio::{sync::Mutex, time::timeout};
use uuid::Uuid;

use crate::base::{OrganizationId, RequestId, Secret};

/// How many commands may wait for the socket before callers wait for each other.
const PIPELINE: usize = 4_096;

/// How often a script the server forgot is loaded again within one call.
const LOADS: usize = 3;

/// Where Redis is.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `redis://[user:password@]host:port[/database]`, `rediss://` for TLS, `redis+unix://path`.
    pub url: Secret,
    /// What every key's name begins with.
    pub key_prefix: String,
    /// How long one call may take, in milliseconds.
    pub deadline_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: Secret::new("redis://127.0.0.1:6379".to_owned()),
            key_prefix: "synaxis:".to_owned(),
            deadline_ms: 250,
        }
    }
}

/// Why Redis gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The address in the settings is none.
    #[error("the Redis address cannot be read")]
    Address(#[source] redis::RedisError),
    /// There is no connection, or it broke; what was sent may have been done.
    #[error("Redis cannot be reached")]
    Unreachable(#[source] redis::RedisError),
    /// No answer came in time; what was sent may still be done.
    #[error("Redis did not answer in time")]
    Late,
    /// The server answered that it will not; nothing was done.
    #[error("Redis refused the call")]
    Refused(#[source] redis::RedisError),
    /// The answer has another shape than the script's.
    #[error("Redis answered with something else than whole numbers")]
    Garbled,
}

/// Why Redis must not be used for limits although it answers.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// It cannot be asked.
    #[error(transparent)]
    Away(#[from] RedisError),
    /// It may forget counters when memory is short.
    #[error("Redis would evict keys (maxmemory-policy {0}): set it to noeviction")]
    Evicts(String),
}

/// A Lua script and the hash the server knows it by.
#[derive(Debug)]
pub struct Script {
    text: String,
    hash: String,
}

impl Script {
    /// Takes a script's whole text.
    #[must_use]
    pub fn new(text: String) -> Self {
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }
}

/// One call of a script, being written. Keys first, then arguments.
#[derive(Debug)]
pub struct Call<'a> {
    script: &'a Script,
    command: Cmd,
}

impl<'a> Call<'a> {
    /// Begins a call with exactly `keys` keys; `bytes` is about how long all of it will be.
    #[must_use]
    pub fn new(script: &'a Script, keys: usize, bytes: usize) -> Self {
        let mut command = Cmd::with_capacity(keys + 5, bytes + 64);
        command.arg("EVALSHA").arg(&script.hash).arg(keys);
        Self { script, command }
    }

    /// Adds the next key or argument.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.command.arg(text);
        self
    }
}

/// One live connection, and the server it leads to.
#[derive(Debug)]
pub struct Link {
    connection: MultiplexedConnection,
    /// The server's run id: another one means another memory.
    pub server: String,
    number: u64,
}

/// The connection to Redis: made when first needed, made again when it broke.
#[derive(Clone, Debug)]
pub struct Redis {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    names: Names,
    deadline: Duration,
    link: ArcSwapOption<Link>,
    /// Held by the one caller that dials; the others wait for what it brings, each no longer than its patience.
    dialing: Mutex<()>,
    dialled: AtomicU64,
}

impl Redis {
    /// Reads the settings; connects to nothing yet, so that it works while Redis is down.
    ///
    /// # Errors
    /// [`RedisError::Address`] when the URL is none.
    pub fn connect(settings: &Settings) -> Result<Self, RedisError> {
        let info = settings
            .url
            .expose()
            .into_connection_info()
            .map_err(RedisError::Address)?;
        let redis = info.redis_settings().clone().set_skip_set_lib_name();
        let client = Client::open(info.set_redis_settings(redis)).map_err(RedisError::Address)?;
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                names: Names::new(settings.key_prefix.clone()),
                deadline: Duration::from_millis(settings.deadline_ms),
                link: ArcSwapOption::empty(),
                dialing: Mutex::new(()),
                dialled: AtomicU64::new(0),
            }),
        })
    }

    /// Returns the names of all keys.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.inner.names
    }

    /// Returns how long one call may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.inner.deadline
    }

    /// Returns the live connection, making one when there is none; waits at most `patience`.
    ///
    /// # Errors
    /// When no connection comes up in time.
    pub async fn link(&self, patience: Duration) -> Result<Arc<Link>, RedisError> {
        if let Some(link) = self.inner.link.load_full() {
            return Ok(link);
        }
        timeout(patience, self.dial())
            .await
            .unwrap_or(Err(RedisError::Late))
    }

    /// Calls a script over `link`; loads it when the server does not know it.
    ///
    /// # Errors
    /// [`RedisError::Refused`]: nothing was done. Any other: it may have been done, or may still be.
    pub async fn run(
        &self,
        link: &Link,
        call: &Call<'_>,
        patience: Duration,
    ) -> Result<Vec<i64>, RedisError> {
        let answer = timeout(patience, run(&mut link.connection.clone(), call))
            .await
            .map_err(|_| RedisError::Late)?;
        match answer {
            Ok(Value::Array(values)) => whole_numbers(&values),
            Ok(_) => Err(RedisError::Garbled),
            Err(error) => Err(self.broken(link, error)),
        }
    }

    /// Calls a script that answers with texts.
    ///
    /// # Errors
    /// As [`Redis::run`].
    pub async fn read(
        &self,
        link: &Link,
        call: &Call<'_>,
        patience: Duration,
    ) -> Result<Vec<Vec<u8>>, RedisError> {
        let answer = timeout(patience, run(&mut link.connection.clone(), call))
            .await
            .map_err(|_| RedisError::Late)?;
        match answer {
            Ok(Value::Array(values)) => texts(values),
            Ok(_) => Err(RedisError::Garbled),
            Err(error) => Err(self.broken(link, error)),
        }
    }

    /// Gives `link` up, so that the next caller dials anew.
    pub fn hang_up(&self, link: &Link) {
        let current = self.inner.link.load_full();
        if current.is_some_and(|current| current.number == link.number) {
            self.inner.link.store(None);
        }
    }

    /// Says whether Redis answers and keeps what it is told.
    ///
    /// # Errors
    /// Why it must not be relied on. A server that hides its configuration is trusted.
    pub async fn ready(&self) -> Result<(), Unready> {
        let link = self.link(self.inner.deadline).await?;
        let mut ping = Cmd::with_capacity(1, 8);
        self.ask(&link, ping.arg("PING")).await?;
        let mut policy = Cmd::with_capacity(3, 32);
        policy.arg("CONFIG").arg("GET").arg("maxmemory-policy");
        match self.ask(&link, &policy).await {
            Ok(Value::Array(pair)) => match pair.get(1) {
                Some(Value::BulkString(name)) if name.as_slice() != b"noeviction" => {
                    Err(Unready::Evicts(String::from_utf8_lossy(name).into_owned()))
                }
                _ => Ok(()),
            },
            Ok(_) | Err(RedisError::Refused(_)) => Ok(()),
            Err(away) => Err(away.into()),
        }
    }

    async fn ask(&self, link: &Link, command: &Cmd) -> Result<Value, RedisError> {
        timeout(
            self.inner.deadline,
            ask(&mut link.connection.clone(), command),
        )
        .await
        .map_err(|_| RedisError::Late)?
        .map_err(|error| self.broken(link, error))
    }

    async fn dial(&self) -> Result<Arc<Link>, RedisError> {
        let _one_at_a_time = self.inner.dialing.lock().await;
        if let Some(link) = self.inner.link.load_full() {
            return Ok(link);
        }
        // The caller's patience is the one deadline; the library's own would only add timers.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE);
        let mut connection = self
            .inner
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(RedisError::Unreachable)?;
        let server = greet(&mut connection).await?;
        let link = Arc::new(Link {
            connection,
            server,
            number: self.inner.dialled.fetch_add(1, Ordering::Relaxed),
        });
        self.inner.link.store(Some(Arc::clone(&link)));
        Ok(link)
    }

    fn broken(&self, link: &Link, error: redis::RedisError) -> RedisError {
        let is_answer = matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension);
        if is_answer {
            return RedisError::Refused(error);
        }
        self.hang_up(link);
        RedisError::Unreachable(error)
    }
}

/// Names the connection and asks which server this is; a server that does not say is nameless.
async fn greet(connection: &mut MultiplexedConnection) -> Result<String, RedisError> {
    let mut name = Cmd::with_capacity(3, 32);
    name.arg("CLIENT").arg("SETNAME").arg("synaxis");
    let mut info = Cmd::with_capacity(2, 16);
    info.arg("INFO").arg("server");
    for command in [&name, &info] {
        match ask(connection, command).await {
            Ok(Value::BulkString(text)) => return Ok(run_id(&String::from_utf8_lossy(&text))),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {}
            Err(error) => return Err(RedisError::Unreachable(error)),
        }
    }
    Ok(String::new())
}

fn run_id(info: &str) -> String {
    info.lines()
        .find_map(|line| line.strip_prefix("run_id:"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

async fn ask(connection: &mut MultiplexedConnection, command: &Cmd) -> redis::RedisResult<Value> {
    connection
        .send_packed_command(command)
        .await?
        .extract_error()
}

async fn run(connection: &mut MultiplexedConnection, call: &Call<'_>) -> redis::RedisResult<Value> {
    for _ in 0..LOADS {
        let answer = ask(connection, &call.command).await;
        let is_forgotten = answer
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript));
        if !is_forgotten {
            return answer;
        }
        let mut load = Cmd::with_capacity(3, call.script.text.len() + 16);
        load.arg("SCRIPT").arg("LOAD").arg(&call.script.text);
        ask(connection, &load).await?;
    }
    ask(connection, &call.command).await
}

fn whole_numbers(values: &[Value]) -> Result<Vec<i64>, RedisError> {
    values
        .iter()
        .map(|value| match value {
            Value::Int(number) => Ok(*number),
            _ => Err(RedisError::Garbled),
        })
        .collect()
}

fn texts(values: Vec<Value>) -> Result<Vec<Vec<u8>>, RedisError> {
    let text = |value| match value {
        Value::BulkString(text) => Ok(text),
        _ => Err(RedisError::Garbled),
    };
    values.into_iter().map(text).collect()
}

/// The names of all keys. The part in braces is the cluster slot: one per tenant, one per provider's key.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
}

impl Names {
    fn new(prefix: String) -> Self {
        Self { prefix }
    }

    /// Writes the name under which the epoch stands.
    pub fn epoch(&self, name: &mut String) {
        name.clear();
        let _ = write!(name, "{}quota:epoch", self.prefix);
    }

    /// Writes the name of a thing that all proxies share; they all lie in one slot.
    pub fn proxies(&self, name: &mut String, thing: &str) {
        name.clear();
        let _ = write!(name, "{}{{proxies}}:{thing}", self.prefix);
    }

    /// Writes what the names of an offer's outcomes begin with, up to the credential.
    pub fn outcomes(&self, name: &mut String, offer: Uuid) {
        name.clear();
        let _ = write!(name, "{}health:{{{offer}}}:o:", self.prefix);
    }

    /// Writes the name under which a proxy's open calls stand.
    pub fn leases(&self, name: &mut String, proxy: Uuid) {
        name.clear();
        let _ = write!(name, "{}lease:{{{proxy}}}", self.prefix);
    }

    /// Writes the name under which the number of the last script stands.
    pub fn number(&self, name: &mut String) {
        name.clear();
        let _ = write!(name, "{}quota:number", self.prefix);
    }

    /// Writes the name of a hold's record.
    pub fn hold(&self, name: &mut String, organization: OrganizationId, id: RequestId) {
        name.clear();
        name.push_str(&self.prefix);
        name.push_str("quota:{");
        push_uuid(name, organization.uuid());
        name.push_str("}:h:");
        push_uuid(name, id.uuid());
    }

    /// Writes the name of a counter: whose slot it lives in, what it counts for, and in which shape.
    pub fn counter(&self, name: &mut String, home: Uuid, limit: Uuid, part: Option<Uuid>) {
        name.clear();
        name.push_str(&self.prefix);
        name.push_str("quota:{");
        push_uuid(name, home);
        name.push_str("}:");
        push_uuid(name, limit);
        if let Some(part) = part {
            name.push(':');
            push_uuid(name, part);
        }
        name.push(':');
    }
}

fn push_uuid(name: &mut String, id: Uuid) {
    let mut digits = [0; uuid::fmt::Simple::LENGTH];
    name.push_str(id.as_simple().encode_lower(&mut digits));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_begins_with_the_prefix() {
        let names = Names::new("mine:".to_owned());
        let mut name = String::new();
        let id = Uuid::from_u128(7);

        names.epoch(&mut name);
        assert!(name.starts_with("mine:"));
        names.number(&mut name);
        assert!(name.starts_with("mine:"));
        names.hold(&mut name, OrganizationId(id), RequestId(id));
        assert!(name.starts_with("mine:"));
        names.counter(&mut name, id, id, Some(id));
        assert!(name.starts_with("mine:"));
    }

    #[test]
    fn the_run_id_is_found_among_what_a_server_tells() {
        assert_eq!(
            run_id("# Server\r\nredis_version:7\r\nrun_id:abc\r\n"),
            "abc"
        );
        assert_eq!(run_id("nothing"), "");
    }
}
