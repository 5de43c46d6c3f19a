//! What can happen that somebody watches, each kind with what is told of it.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::base::{LimitId, Moment, NanoUsd, OfferId, ProviderId};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", deny_unknown_fields)]
pub enum Event {
    /// An offer got well or ill.
    ProviderHealthChanged {
        /// Who serves it.
        provider_id: ProviderId,
        /// What the provider is called.
        provider_name: String,
        /// Which offer.
        offer_id: OfferId,
        /// Whether calls go there.
        is_healthy: bool,
        /// How well it does, 0 to 100.
        health_score: u8,
        /// How long it takes to answer, in milliseconds; `None` when nobody knows.
        average_latency_ms: Option<u32>,
        /// When that was seen.
        checked_at: Moment,
    },
    /// A route was moved to a cheaper offer.
    CostOptimizationApplied {
        /// Which route.
        route_id: Uuid,
        /// The model it leads to.
        model: String,
        /// Who served it; `None` when the route is new.
        from_provider: Option<String>,
        /// Who serves it now.
        to_provider: String,
        /// Why, as one word.
        reason: String,
        /// What a million tokens cost less, in decimal dollars.
        #[serde(serialize_with = "dollars", deserialize_with = "from_dollars")]
        savings_per_1m_tokens_usd: NanoUsd,
        /// When.
        applied_at: Moment,
    },
    /// A provider serves a model that was not known of it.
    ModelDiscovered {
        /// The model it was adopted as, else the finding.
        model_id: Uuid,
        /// The model's own name, as far as it is known.
        canonical_id: String,
        /// What the provider calls it.
        display_name: String,
        /// Who serves it.
        provider_name: String,
        /// Whether the organization may call it now.
        is_available_to_organization: bool,
    },
    /// Something weakens us.
    SecurityAlert {
        /// What kind of thing, as one word.
        alert_type: String,
        /// `info`, `warning` or `critical`.
        severity: String,
        /// What it is, for people.
        message: String,
        /// When it was found.
        detected_at: Moment,
    },
    /// Somebody changed something. The books write it with every record of the audit log.
    AuditEvent {
        /// The record.
        id: Uuid,
        /// What was done, as `noun.verb`.
        action: String,
        /// To what kind of thing.
        entity_type: String,
        /// The id of who did it, or `operator`, `agent` or `system`.
        performed_by: String,
        /// When.
        performed_at: Moment,
    },
    /// Much of a limit is used. The books write it when a proxy tells them.
    QuotaWarning {
        /// Which limit.
        limit_id: LimitId,
        /// Whom it binds, as one word.
        subject: String,
        /// What it counts.
        meter: String,
        /// How much is used.
        used: u64,
        /// How much there is.
        amount: u64,
        /// Which mark was passed: 80, 95 or 100.
        percent: u8,
    },
}

impl Event {
    /// Every kind there is, as the books and the wire call it.
    pub const KINDS: [&str; 6] = [
        "ProviderHealthChanged",
        "CostOptimizationApplied",
        "ModelDiscovered",
        "SecurityAlert",
        "AuditEvent",
        "QuotaWarning",
    ];

    /// Returns what the books and the wire call it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ProviderHealthChanged { .. } => "ProviderHealthChanged",
            Self::CostOptimizationApplied { .. } => "CostOptimizationApplied",
            Self::ModelDiscovered { .. } => "ModelDiscovered",
            Self::SecurityAlert { .. } => "SecurityAlert",
            Self::AuditEvent { .. } => "AuditEvent",
            Self::QuotaWarning { .. } => "QuotaWarning",
        }
    }

    /// Returns what is told of it: an object.
    ///
    /// # Errors
    /// Never, in truth: every field can be written.
    pub fn data(&self) -> Result<Value, serde_json::Error> {
        let mut whole = serde_json::to_value(self)?;
        Ok(whole.get_mut("data").map(Value::take).unwrap_or_default())
    }
}

fn dollars<S: Serializer>(amount: &NanoUsd, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

fn from_dollars<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<NanoUsd, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_is_what_the_wire_promises() {
        let at = Moment::from_millis(1_700_000_000_000);
        let event = Event::CostOptimizationApplied {
            route_id: Uuid::nil(),
            model: "gpt-oss-20b".to_owned(),
            from_provider: None,
            to_provider: "free".to_owned(),
            reason: "cheaper".to_owned(),
            savings_per_1m_tokens_usd: NanoUsd(150_000_000),
            applied_at: at,
        };

        assert_eq!(
            event.data().unwrap(),
            json!({
                "route_id": Uuid::nil(), "model": "gpt-oss-20b", "from_provider": null, "to_provider": "free",
                "reason": "cheaper", "savings_per_1m_tokens_usd": "0.150000000", "applied_at": at,
            })
        );
        assert!(Event::KINDS.contains(&event.kind()));
    }

    #[test]
    fn an_event_is_read_back_as_it_was() {
        let event = Event::QuotaWarning {
            limit_id: LimitId(Uuid::nil()),
            subject: "key".to_owned(),
            meter: "requests".to_owned(),
            used: 8,
            amount: 10,
            percent: 80,
        };

        let text = serde_json::to_string(&event).unwrap();

        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
