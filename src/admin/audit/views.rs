//! What callers send and read about the audit log.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    admin::{
        error::ApiError,
        list::{Format, paging},
    },
    audit::{
        chain::Row,
        checkpoint::PublicKey,
        key::hex,
        query::Filter,
        verify::{Fault, Kind, Sound},
    },
    base::{Moment, Order, Paging},
};

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person.
    User,
    /// A program with a key.
    ApiKey,
    /// Somebody at the command line.
    Operator,
    /// Background work.
    Agent,
    /// Synaxis itself.
    System,
}

impl ActorKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ApiKey => "api_key",
            Self::Operator => "operator",
            Self::Agent => "agent",
            Self::System => "system",
        }
    }
}

macro_rules! audit_query {
    ($(#[$doc:meta])* $name:ident { $($extra:tt)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize, IntoParams)]
        #[serde(default, deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            /// Only what this kind of actor did.
            #[param(inline)]
            pub actor_kind: Option<ActorKind>,
            /// Only what this actor did.
            pub actor_id: Option<Uuid>,
            /// Only this action, such as `api_key.create`.
            pub action: Option<String>,
            /// Only what was done to this kind of thing.
            pub target_kind: Option<String>,
            /// Only what was done to this thing.
            pub target_id: Option<Uuid>,
            /// Only what is not older.
            #[param(inline)]
            pub from: Option<Moment>,
            /// Only what is older.
            #[param(inline)]
            pub until: Option<Moment>,
            $($extra)*
        }

        impl $name {
            /// Returns which rows are asked for.
            #[must_use]
            pub fn filter(&self) -> Filter {
                Filter {
                    actor_kind: self.actor_kind.map(|kind| kind.as_str().to_owned()),
                    actor_id: self.actor_id,
                    action: self.action.clone(),
                    target_kind: self.target_kind.clone(),
                    target_id: self.target_id,
                    from: self.from,
                    until: self.until,
                }
            }
        }
    };
}

audit_query! {
    /// Which page of the log.
    AuditQuery {
        /// How many at most; 50 when absent.
        #[param(minimum = 1, maximum = 200)]
        pub limit: Option<u32>,
        /// The `next_cursor` of the page before.
        pub cursor: Option<String>,
        /// Which end comes first: the newest (`desc`) when absent.
        #[param(inline)]
        pub order: Option<Order>,
    }
}

audit_query! {
    /// Which rows, written how.
    ExportQuery {
        /// How they are written: `json` when absent.
        #[param(inline)]
        pub format: Option<Format>,
    }
}

impl AuditQuery {
    /// Returns the page that is asked for.
    ///
    /// # Errors
    /// When the limit is out of range or the cursor is none.
    pub fn paging(&self) -> Result<Paging, ApiError> {
        paging(self.limit, self.cursor.as_deref(), self.order)
    }
}

/// What to verify against.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VerifyQuery {
    /// A checkpoint that was kept outside: without one, a log that was cut at its end looks sound.
    #[param(max_length = 8000)]
    pub checkpoint: Option<String>,
}

/// One row of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditLogView {
    /// Its id.
    pub id: Uuid,
    /// Its place in the chain, from 1, without gaps.
    pub seq: i64,
    /// When it was written.
    pub at: Moment,
    /// Who acted: `user`, `api_key`, `operator`, `agent` or `system`.
    pub actor_kind: String,
    /// Which one; null for operators, agents and Synaxis itself.
    pub actor_id: Option<Uuid>,
    /// What was done, as `noun.verb`.
    pub action: String,
    /// To what kind of thing.
    pub target_kind: String,
    /// To which one.
    pub target_id: Option<Uuid>,
    /// What a reader needs to understand it.
    #[schema(value_type = Object)]
    pub details: Value,
    /// The address of whoever asked.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// The request that asked: its `x-request-id`.
    pub request_id: Option<Uuid>,
    /// The program that asked, in its own words.
    pub user_agent: Option<String>,
    /// Names the key of `hash`; null in rows older than the chain.
    pub key_id: Option<String>,
    /// Links the row to the one before it, as hexadecimal digits.
    pub hash: Option<String>,
}

impl From<Row> for AuditLogView {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            seq: row.seq,
            at: row.at.into(),
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            action: row.action,
            target_kind: row.target_kind,
            target_id: row.target_id,
            details: serde_json::from_str(&row.details).unwrap_or_default(),
            address: row.address,
            request_id: row.request_id,
            user_agent: row.user_agent,
            key_id: row.key_id,
            hash: row.hash.as_deref().map(hex),
        }
    }
}

/// Whether a chain holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerificationView {
    /// `sound` or `broken`.
    pub status: &'static str,
    /// How many rows were read; null when broken.
    pub rows: Option<i64>,
    /// The first place that is still there; older rows went past their retention.
    pub first_seq: Option<i64>,
    /// The last place.
    pub last_seq: Option<i64>,
    /// Where it does not hold; null when sound.
    pub fault: Option<FaultView>,
}

/// The first place at which a chain does not hold.
#[derive(Debug, Serialize, ToSchema)]
pub struct FaultView {
    /// The row's place.
    pub seq: i64,
    /// What is wrong, as one word.
    #[schema(value_type = String)]
    pub kind: Kind,
    /// What is wrong, for people.
    pub message: String,
}

impl From<Result<Sound, Fault>> for VerificationView {
    fn from(outcome: Result<Sound, Fault>) -> Self {
        match outcome {
            Ok(sound) => Self {
                status: "sound",
                rows: Some(sound.rows),
                first_seq: Some(sound.first_seq),
                last_seq: Some(sound.last_seq),
                fault: None,
            },
            Err(fault) => Self {
                status: "broken",
                rows: None,
                first_seq: None,
                last_seq: None,
                fault: Some(FaultView {
                    seq: fault.seq,
                    kind: fault.kind,
                    message: fault.kind.to_string(),
                }),
            },
        }
    }
}

/// A signed statement of where logs end.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckpointView {
    /// A compact JWS (`EdDSA`); keep it where the database's keepers cannot reach.
    pub checkpoint: String,
    /// What it is checked with, as JWKs.
    #[schema(value_type = Vec<Object>)]
    pub public_keys: Vec<PublicKey>,
}
