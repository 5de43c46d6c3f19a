//! The rows of a snapshot as the books write them, and the nouns they become.

use std::collections::HashMap;

use chrono_tz::Tz;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use url::Url;
use uuid::Uuid;

use super::build::BadSnapshot;
use crate::{
    base::{
        AllowanceId, ApiKeyId, CredentialId, GroupId, ModelId, Moment, NanoUsd, OfferId,
        OrganizationId, ProviderId, RouteId, StrategyId, Tokens,
    },
    catalog::{
        Ability, Alias, Allowance, AllowanceMeter, AllowanceWindow, Deadlines, Dialect, Model,
        Price, Quirks, Tier, Wishes, vault::Sealed,
    },
    routing::{Bounds, Kind, Preferences, Route, Strategy, Subject, Weights},
};

/// No section of a snapshot is longer.
const MOST_ROWS: usize = 500_000;

/// A snapshot as it is written: the rows are read one by one, so that one wrong row of an organization can be left out.
#[derive(Deserialize)]
pub(super) struct Document<'a> {
    pub(super) seq: i64,
    pub(super) retired_offers: i64,
    /// When a price begins or ends next.
    #[serde(default)]
    pub(super) changes_at_ms: Option<i64>,
    #[serde(borrow)]
    pub(super) providers: Vec<&'a RawValue>,
    #[serde(borrow)]
    pub(super) credentials: Vec<&'a RawValue>,
    #[serde(borrow)]
    pub(super) models: Vec<&'a RawValue>,
    #[serde(borrow)]
    pub(super) offers: Vec<&'a RawValue>,
    #[serde(borrow)]
    pub(super) allowances: Vec<&'a RawValue>,
    #[serde(borrow)]
    pub(super) aliases: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) substitutes: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) model_access: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) provider_access: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) routes: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) strategies: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct ProviderRow {
    pub(super) id: ProviderId,
    pub(super) organization_id: Option<OrganizationId>,
    pub(super) name: String,
    pub(super) dialect: Dialect,
    pub(super) base_url: Url,
    pub(super) quirks: Quirks,
    pub(super) deadlines: Deadlines,
    pub(super) trains_on_data: bool,
    #[serde(default)]
    pub(super) requires_key: bool,
    pub(super) is_enabled: bool,
}

#[derive(Deserialize)]
pub(super) struct CredentialRow {
    pub(super) id: CredentialId,
    pub(super) organization_id: Option<OrganizationId>,
    pub(super) provider_id: ProviderId,
    pub(super) is_enabled: bool,
    sealing_key_id: String,
    sealed_key: Hex,
    sealed_secret: Hex,
}

#[derive(Deserialize)]
pub(super) struct ModelRow {
    id: ModelId,
    organization_id: Option<OrganizationId>,
    name: String,
    owned_by: String,
    context_window: Option<Tokens>,
    max_output: Option<Tokens>,
    created_at_ms: i64,
}

#[derive(Deserialize)]
pub(super) struct OfferRow {
    pub(super) id: OfferId,
    pub(super) organization_id: Option<OrganizationId>,
    pub(super) provider_id: ProviderId,
    pub(super) model_id: ModelId,
    pub(super) upstream_name: String,
    pub(super) tier: Tier,
    pub(super) abilities: Option<Vec<Ability>>,
    pub(super) context_window: Option<Tokens>,
    pub(super) max_output: Option<Tokens>,
    pub(super) preference: i32,
    pub(super) is_enabled: bool,
    pub(super) price: Option<Price>,
    pub(super) price_book: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct AllowanceRow {
    id: AllowanceId,
    pub(super) organization_id: Option<OrganizationId>,
    pub(super) provider_id: ProviderId,
    pub(super) offer_id: Option<OfferId>,
    meter: AllowanceMeter,
    amount: u64,
    window: AllowanceWindow,
    zone: Tz,
    is_shared: bool,
    #[serde(default)]
    is_rolling: bool,
}

#[derive(Deserialize)]
pub(super) struct AliasRow {
    organization_id: Option<OrganizationId>,
    name: String,
    models: Vec<ModelId>,
}

#[derive(Deserialize)]
pub(super) struct SubstituteRow {
    organization_id: OrganizationId,
    model_id: ModelId,
    substitute_id: ModelId,
}

#[derive(Deserialize)]
pub(super) struct ModelAccessRow {
    organization_id: OrganizationId,
    model_id: Option<ModelId>,
    is_allowed: bool,
}

#[derive(Deserialize)]
pub(super) struct ProviderAccessRow {
    organization_id: OrganizationId,
    provider_id: ProviderId,
    is_enabled: bool,
    allows_training: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct RouteRow {
    id: RouteId,
    organization_id: OrganizationId,
    model_id: ModelId,
    offer_id: OfferId,
    is_pinned: bool,
}

#[derive(Deserialize)]
pub(super) struct StrategyRow {
    id: StrategyId,
    organization_id: Option<OrganizationId>,
    group_id: Option<GroupId>,
    keys: Vec<ApiKeyId>,
    alias: Option<String>,
    subject: String,
    kind: Kind,
    weights: Weights,
    max_cost_per_million: Option<u64>,
    max_latency_ms: Option<u32>,
    min_success_percent: Option<u8>,
    is_paid_allowed: bool,
}

impl StrategyRow {
    /// Returns what it is attached to; `None` for what is out of reach.
    fn subject(&self) -> Option<Subject> {
        match self.subject.as_str() {
            "organization" => Some(Subject::Organization),
            "group" => self.group_id.map(Subject::Group),
            "key" => Some(Subject::Keys(self.keys.clone())),
            "alias" => self.alias.clone().map(Subject::Alias),
            _ => None,
        }
    }

    fn add_to(self, preferences: &mut Preferences) {
        let subject = self.subject();
        let strategy = Strategy {
            id: Some(self.id),
            kind: self.kind,
            weights: self.weights,
            bounds: Bounds {
                max_cost_per_million: self.max_cost_per_million.map(NanoUsd),
                max_latency_ms: self.max_latency_ms,
                min_success_percent: self.min_success_percent,
                is_paid_allowed: self.is_paid_allowed,
            },
        };
        match (self.organization_id, subject) {
            (Some(organization), Some(subject)) => {
                preferences.set_strategy(organization, subject, strategy);
            }
            (Some(_), None) => {}
            (None, _) => preferences.set_platform_strategy(strategy),
        }
    }
}

/// Puts together what organizations want of the order of offers.
pub(super) fn preferences(routes: Vec<RouteRow>, strategies: Vec<StrategyRow>) -> Preferences {
    let mut preferences = Preferences::default();
    for row in routes {
        let route = Route {
            id: row.id,
            offer: row.offer_id,
            is_pinned: row.is_pinned,
        };
        preferences.set_route(row.organization_id, row.model_id, route);
    }
    for row in strategies {
        row.add_to(&mut preferences);
    }
    preferences
}

/// Puts together what each organization said of what the platform shares.
pub(super) fn wishes(
    substitutes: Vec<SubstituteRow>,
    models: Vec<ModelAccessRow>,
    providers: Vec<ProviderAccessRow>,
) -> HashMap<OrganizationId, Wishes> {
    let mut all: HashMap<OrganizationId, Wishes> = HashMap::new();
    for row in substitutes {
        let wishes = all.entry(row.organization_id).or_default();
        let stand_ins = wishes.substitutes.entry(row.model_id).or_default();
        stand_ins.push(row.substitute_id);
    }
    for row in models {
        let wishes = all.entry(row.organization_id).or_default();
        match row.model_id {
            Some(model) => {
                wishes.models.insert(model, row.is_allowed);
            }
            None => wishes.hides_models = !row.is_allowed,
        }
    }
    for row in providers {
        let wishes = all.entry(row.organization_id).or_default();
        if !row.is_enabled {
            wishes.without_providers.insert(row.provider_id);
        }
        if row.allows_training == Some(false) {
            wishes.without_training.insert(row.provider_id);
        }
    }
    all
}

/// Whose a row is, whatever else it says.
#[derive(Deserialize)]
struct Owned {
    organization_id: Option<Uuid>,
}

/// Reads a section row by row. A wrong row of an organization is left out and counted; a wrong one of the platform,
/// or one that does not say whose it is, spoils the whole.
pub(super) fn rows<T: DeserializeOwned>(
    section: &'static str,
    raw: &[&RawValue],
    left_out: &mut usize,
) -> Result<Vec<T>, BadSnapshot> {
    if MOST_ROWS < raw.len() {
        return Err(BadSnapshot::TooMany { section });
    }
    let mut rows = Vec::with_capacity(raw.len());
    for row in raw {
        match serde_json::from_str(row.get()) {
            Ok(row) => rows.push(row),
            Err(error) if is_of_organization(row) => {
                tracing::warn!(section, error = %error, "left out a row of an organization");
                *left_out += 1;
            }
            Err(source) => return Err(BadSnapshot::Row { section, source }),
        }
    }
    Ok(rows)
}

fn is_of_organization(row: &RawValue) -> bool {
    serde_json::from_str::<Owned>(row.get()).is_ok_and(|row| row.organization_id.is_some())
}

impl CredentialRow {
    pub(super) fn sealed(self) -> Sealed {
        Sealed {
            sealing_key_id: self.sealing_key_id,
            sealed_key: self.sealed_key.0,
            sealed_secret: self.sealed_secret.0,
        }
    }
}

impl From<ModelRow> for Model {
    fn from(row: ModelRow) -> Self {
        Self {
            id: row.id,
            organization_id: row.organization_id,
            name: row.name,
            owned_by: row.owned_by,
            created: Moment::from_millis(row.created_at_ms),
            context_window: row.context_window,
            max_output: row.max_output,
        }
    }
}

impl From<&AllowanceRow> for Allowance {
    fn from(row: &AllowanceRow) -> Self {
        Self {
            id: row.id,
            meter: row.meter,
            amount: row.amount,
            window: row.window,
            zone: row.zone,
            is_shared: row.is_shared,
            is_rolling: row.is_rolling,
        }
    }
}

impl From<AliasRow> for Alias {
    fn from(row: AliasRow) -> Self {
        Self {
            organization_id: row.organization_id,
            name: row.name,
            models: row.models,
        }
    }
}

/// Bytes written as hexadecimal digits.
struct Hex(Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("not hexadecimal");
        let digits = text.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair)
                .ok()
                .filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        });
        digits
            .collect::<Option<Vec<u8>>>()
            .map(Self)
            .ok_or_else(wrong)
    }
}
