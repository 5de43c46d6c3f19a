//! One link of the chain: what is hashed of a row, and how.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use hmac::Mac;
use uuid::Uuid;

use super::key::{AuditKeys, Key};

/// One row, as it is hashed and as it is read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its id.
    pub id: Uuid,
    /// When it was written, to the microsecond.
    pub at: DateTime<Utc>,
    /// Whose chain it is part of; `None` is the platform's.
    pub organization_id: Option<Uuid>,
    /// Its place in the chain, from 1, without gaps.
    pub seq: i64,
    /// Who acted: `user`, `api_key`, `operator`, `agent` or `system`.
    pub actor_kind: String,
    /// Which one.
    pub actor_id: Option<Uuid>,
    /// What was done, as `noun.verb`.
    pub action: String,
    /// To what kind of thing.
    pub target_kind: String,
    /// To which one.
    pub target_id: Option<Uuid>,
    /// What a reader needs to understand it: an object, written as Postgres writes it.
    pub details: String,
    /// The address of whoever asked.
    pub address: Option<IpAddr>,
    /// The request that asked.
    pub request_id: Option<Uuid>,
    /// The program that asked.
    pub user_agent: Option<String>,
    /// Names the key of `hash`.
    pub key_id: Option<String>,
    /// Links the row to the one before it; `None` in rows older than the chain.
    pub hash: Option<Vec<u8>>,
}

/// What a row hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Previous {
    /// The hash of the row before.
    Hash(Vec<u8>),
    /// Nothing: it is the first with a hash, after so many rows that have none.
    Beginning {
        /// How many rows are older than the chain.
        unchained: i64,
    },
}

/// A hash, and the name of the key it was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// Names the key.
    pub key_id: String,
    /// The hash.
    pub hash: Vec<u8>,
}

/// Does a hash hold?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Holds,
    /// What was hashed is not what is there.
    Altered,
    /// It was made with a key this process was not given.
    OtherKey,
}

impl AuditKeys {
    /// Links `row` to what it hangs on; its own `key_id` and `hash` do not count.
    #[must_use]
    pub fn link(&self, previous: &Previous, row: &Row) -> Keyed {
        let key = self.current();
        keyed(key, linked(key, previous, row))
    }

    /// Says whether `row` hangs on `previous`.
    #[must_use]
    pub fn judge(&self, previous: &Previous, row: &Row) -> Verdict {
        let (Some(key_id), Some(hash)) = (&row.key_id, &row.hash) else {
            return Verdict::Altered;
        };
        self.verdict(key_id, hash, |key| linked(key, previous, row))
    }

    /// Vouches that the rows of a chain up to `seq`, the last with `hash`, went past their retention.
    #[must_use]
    pub fn vouch(&self, organization: Option<Uuid>, seq: i64, hash: Option<&[u8]>) -> Keyed {
        let key = self.current();
        keyed(key, pruned(key, organization, seq, hash))
    }

    /// Says whether it was us who let the rows up to `seq` go.
    #[must_use]
    pub fn judge_pruned(
        &self,
        organization: Option<Uuid>,
        seq: i64,
        hash: Option<&[u8]>,
        by: &Keyed,
    ) -> Verdict {
        self.verdict(&by.key_id, &by.hash, |key| {
            pruned(key, organization, seq, hash)
        })
    }

    fn verdict(&self, key_id: &str, hash: &[u8], of: impl FnOnce(&Key) -> Bytes) -> Verdict {
        let Some(key) = self.find(key_id) else {
            return Verdict::OtherKey;
        };
        let mut expected = key.hash();
        expected.update(&of(key).0);
        match expected.verify_slice(hash) {
            Ok(()) => Verdict::Holds,
            Err(_) => Verdict::Altered,
        }
    }
}

fn keyed(key: &Key, bytes: Bytes) -> Keyed {
    let mut hash = key.hash();
    hash.update(&bytes.0);
    Keyed {
        key_id: key.id().to_owned(),
        hash: hash.finalize().into_bytes().to_vec(),
    }
}

/// Writes out what the hash of `row` is made of. A field is never taken for its neighbour: each tells its length.
fn linked(key: &Key, previous: &Previous, row: &Row) -> Bytes {
    let mut bytes = Bytes::of("row");
    match previous {
        Previous::Hash(hash) => bytes.put(Some(hash)),
        Previous::Beginning { unchained } => bytes.put(Some(&unchained.to_be_bytes())),
    }
    bytes.put_id(row.organization_id);
    bytes.put(Some(&row.seq.to_be_bytes()));
    bytes.put(Some(&row.at.timestamp_micros().to_be_bytes()));
    bytes.put_id(Some(row.id));
    bytes.put(Some(row.actor_kind.as_bytes()));
    bytes.put_id(row.actor_id);
    bytes.put(Some(row.action.as_bytes()));
    bytes.put(Some(row.target_kind.as_bytes()));
    bytes.put_id(row.target_id);
    bytes.put(Some(row.details.as_bytes()));
    match row.address {
        Some(IpAddr::V4(address)) => bytes.put(Some(&address.octets())),
        Some(IpAddr::V6(address)) => bytes.put(Some(&address.octets())),
        None => bytes.put(None),
    }
    bytes.put_id(row.request_id);
    bytes.put(row.user_agent.as_deref().map(str::as_bytes));
    bytes.put(Some(key.id().as_bytes()));
    bytes
}

fn pruned(key: &Key, organization: Option<Uuid>, seq: i64, hash: Option<&[u8]>) -> Bytes {
    let mut bytes = Bytes::of("pruned");
    bytes.put_id(organization);
    bytes.put(Some(&seq.to_be_bytes()));
    bytes.put(hash);
    bytes.put(Some(key.id().as_bytes()));
    bytes
}

/// What is hashed, field after field.
struct Bytes(Vec<u8>);

impl Bytes {
    fn of(what: &str) -> Self {
        let mut bytes = Self(Vec::with_capacity(512));
        bytes.put(Some(what.as_bytes()));
        bytes
    }

    fn put(&mut self, field: Option<&[u8]>) {
        let length = field.map_or(u64::MAX, |field| field.len() as u64);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(field.unwrap_or_default());
    }

    fn put_id(&mut self, id: Option<Uuid>) {
        self.put(id.as_ref().map(|id| id.as_bytes().as_slice()));
    }
}
