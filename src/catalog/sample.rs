//! Offers made up in tests, as short as a sentence.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    Abilities, Credential, Deadlines, Dialect, Model, Offer, Price, Provider, Quirks, Tier,
};
use crate::base::{
    CredentialId, ModelId, Moment, NanoUsd, OfferId, OrganizationId, ProviderId, Secret, Tokens,
};

/// An organization that is nobody else.
pub(crate) fn organization(number: u128) -> OrganizationId {
    OrganizationId(Uuid::from_u128(0xA000 + number))
}

/// A model with a window of 128,000 tokens.
pub(crate) fn model(name: &str) -> Arc<Model> {
    Arc::new(Model {
        id: ModelId(Uuid::from_u128(number_of(name))),
        organization_id: None,
        name: name.to_owned(),
        owned_by: "maker".to_owned(),
        created: Moment::from_millis(1_700_000_000_000),
        context_window: Some(Tokens(128_000)),
        max_output: None,
    })
}

/// A provider that speaks OpenAI and has one key of the platform.
pub(crate) fn provider(name: &str) -> Provider {
    Provider {
        id: ProviderId(Uuid::from_u128(number_of(name))),
        organization_id: None,
        name: name.to_owned(),
        dialect: Dialect::Openai,
        base_url: "https://provider.example/v1".parse().unwrap(),
        quirks: Quirks::default(),
        deadlines: Deadlines::default(),
        trains_on_data: false,
        credentials: vec![credential(number_of(name), None)],
    }
}

/// A key of the platform or of an organization.
pub(crate) fn credential(number: u128, organization_id: Option<OrganizationId>) -> Arc<Credential> {
    Arc::new(Credential {
        id: CredentialId(Uuid::from_u128(number)),
        organization_id,
        secret: Secret::new("a secret".to_owned()),
    })
}

/// A paid offer of `model` at `provider`, at `per_million` nano-dollars for tokens read and written.
pub(crate) fn paid(provider: Provider, model: &Arc<Model>, per_million: u64) -> Offer {
    let upstream_name = format!("{}-at-{}", model.name, provider.name);
    Offer {
        id: OfferId(Uuid::from_u128(number_of(&upstream_name))),
        organization_id: provider.organization_id,
        provider: Arc::new(provider),
        model: Arc::clone(model),
        upstream_name,
        tier: Tier::Paid,
        price: Some(Price {
            input: NanoUsd(per_million),
            output: NanoUsd(per_million),
            ..Price::default()
        }),
        price_book: "0123456789abcdef".to_owned(),
        abilities: Abilities::UNSTATED,
        context_window: None,
        max_output: None,
        preference: 0,
        allowances: Vec::new(),
    }
}

/// A free offer of `model` at `provider`.
pub(crate) fn free(provider: Provider, model: &Arc<Model>) -> Offer {
    Offer {
        tier: Tier::Free,
        ..paid(provider, model, 0)
    }
}

/// A number that is the same for the same name.
fn number_of(name: &str) -> u128 {
    name.bytes().fold(7, |number: u128, byte| {
        number.wrapping_mul(257).wrapping_add(u128::from(byte))
    })
}
