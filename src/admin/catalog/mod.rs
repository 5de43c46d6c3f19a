//! The catalog over the API: an organization's own, and the platform's. Both have the same operations, listed here.

pub mod access;
pub mod aliases;
pub mod allowances;
pub mod credentials;
pub mod models;
pub mod offers;
pub mod price_book;
pub mod prices;
pub mod providers;
pub mod quarantine;
pub mod sealing_keys;
pub mod substitutes;

mod owner;
mod patch;
mod refusal;

pub use owner::{CatalogQuery, Owner, OwnerWord};

use utoipa_axum::routes;

use super::{access::Access, doors::Doors};
use crate::tenancy::permission::Permission;

/// Adds the operations on an organization's catalog.
pub(super) fn of_organizations(doors: Doors) -> Doors {
    let read = Access::Member(Permission::CatalogRead);
    let write = Access::Member(Permission::CatalogWrite);
    let keys = Access::Member(Permission::CredentialsWrite);
    doors
        .at(read, routes!(providers::list_providers))
        .at(write, routes!(providers::create_provider))
        .at(read, routes!(providers::show_provider))
        .at(write, routes!(providers::change_provider))
        .at(write, routes!(providers::remove_provider))
        .at(read, routes!(models::list_models))
        .at(write, routes!(models::create_model))
        .at(read, routes!(models::show_model))
        .at(write, routes!(models::change_model))
        .at(write, routes!(models::remove_model))
        .at(read, routes!(offers::list_offers))
        .at(write, routes!(offers::create_offer))
        .at(read, routes!(offers::show_offer))
        .at(write, routes!(offers::change_offer))
        .at(write, routes!(offers::remove_offer))
        .at(read, routes!(allowances::list_allowances))
        .at(write, routes!(allowances::create_allowance))
        .at(read, routes!(allowances::show_allowance))
        .at(write, routes!(allowances::change_allowance))
        .at(write, routes!(allowances::remove_allowance))
        .at(read, routes!(aliases::list_aliases))
        .at(write, routes!(aliases::create_alias))
        .at(read, routes!(aliases::show_alias))
        .at(write, routes!(aliases::change_alias))
        .at(write, routes!(aliases::remove_alias))
        .at(read, routes!(substitutes::list_substitutes))
        .at(write, routes!(substitutes::create_substitute))
        .at(read, routes!(substitutes::show_substitute))
        .at(write, routes!(substitutes::change_substitute))
        .at(write, routes!(substitutes::remove_substitute))
        .at(read, routes!(prices::list_prices))
        .at(write, routes!(prices::set_price))
        .at(write, routes!(prices::withdraw_price))
        .at(read, routes!(quarantine::list_quarantined_prices))
        .at(write, routes!(quarantine::release_price))
        .at(write, routes!(quarantine::reject_price))
        .at(read, routes!(price_book::list_price_books))
        .at(read, routes!(price_book::export_price_book))
        .at(write, routes!(price_book::import_price_book))
        .at(write, routes!(price_book::diff_price_book))
        .at(read, routes!(access::list_model_access))
        .at(write, routes!(access::set_model_access))
        .at(write, routes!(access::forget_model_access))
        .at(write, routes!(access::set_default_model_access))
        .at(read, routes!(access::list_provider_access))
        .at(write, routes!(access::set_provider_access))
        .at(write, routes!(access::forget_provider_access))
        .at(read, routes!(credentials::list_credentials))
        .at(keys, routes!(credentials::create_credential))
        .at(read, routes!(credentials::show_credential))
        .at(keys, routes!(credentials::change_credential))
        .at(keys, routes!(credentials::remove_credential))
        .at(keys, routes!(credentials::test_credential))
        .at(keys, routes!(credentials::rotate_credential))
        .at(keys, routes!(credentials::switch_credential))
        .at(keys, routes!(credentials::cancel_credential_rotation))
}

/// Adds the operations on the platform's catalog.
pub(super) fn of_platform(doors: Doors) -> Doors {
    platform_prices(platform_models(platform_providers(doors)))
}

/// Who serves, and the keys they know us by.
fn platform_providers(doors: Doors) -> Doors {
    let platform = Access::Platform;
    doors
        .at(
            platform,
            routes!(providers::platform::list_platform_providers),
        )
        .at(
            platform,
            routes!(providers::platform::create_platform_provider),
        )
        .at(
            platform,
            routes!(providers::platform::show_platform_provider),
        )
        .at(
            platform,
            routes!(providers::platform::change_platform_provider),
        )
        .at(
            platform,
            routes!(providers::platform::remove_platform_provider),
        )
        .at(
            platform,
            routes!(credentials::platform::list_platform_credentials),
        )
        .at(
            platform,
            routes!(credentials::platform::create_platform_credential),
        )
        .at(
            platform,
            routes!(credentials::platform::show_platform_credential),
        )
        .at(
            platform,
            routes!(credentials::platform::change_platform_credential),
        )
        .at(
            platform,
            routes!(credentials::platform::remove_platform_credential),
        )
        .at(
            platform,
            routes!(credentials::platform::test_platform_credential),
        )
        .at(
            platform,
            routes!(credentials::platform::rotate_platform_credential),
        )
        .at(
            platform,
            routes!(credentials::platform::switch_platform_credential),
        )
        .at(
            platform,
            routes!(credentials::platform::cancel_platform_credential_rotation),
        )
}

/// What is served, and under which names.
fn platform_models(doors: Doors) -> Doors {
    let platform = Access::Platform;
    doors
        .at(platform, routes!(models::list_platform_models))
        .at(platform, routes!(models::create_platform_model))
        .at(platform, routes!(models::show_platform_model))
        .at(platform, routes!(models::change_platform_model))
        .at(platform, routes!(models::remove_platform_model))
        .at(platform, routes!(offers::platform::list_platform_offers))
        .at(platform, routes!(offers::platform::create_platform_offer))
        .at(platform, routes!(offers::platform::show_platform_offer))
        .at(platform, routes!(offers::platform::change_platform_offer))
        .at(platform, routes!(offers::platform::remove_platform_offer))
        .at(platform, routes!(aliases::list_platform_aliases))
        .at(platform, routes!(aliases::create_platform_alias))
        .at(platform, routes!(aliases::show_platform_alias))
        .at(platform, routes!(aliases::change_platform_alias))
        .at(platform, routes!(aliases::remove_platform_alias))
        .at(platform, routes!(substitutes::list_platform_substitutes))
        .at(platform, routes!(substitutes::create_platform_substitute))
        .at(platform, routes!(substitutes::show_platform_substitute))
        .at(platform, routes!(substitutes::change_platform_substitute))
        .at(platform, routes!(substitutes::remove_platform_substitute))
}

/// What it costs, and what of it is free.
fn platform_prices(doors: Doors) -> Doors {
    let platform = Access::Platform;
    doors
        .at(platform, routes!(allowances::list_platform_allowances))
        .at(platform, routes!(allowances::create_platform_allowance))
        .at(platform, routes!(allowances::show_platform_allowance))
        .at(platform, routes!(allowances::change_platform_allowance))
        .at(platform, routes!(allowances::remove_platform_allowance))
        .at(platform, routes!(prices::list_platform_prices))
        .at(platform, routes!(prices::set_platform_price))
        .at(platform, routes!(prices::withdraw_platform_price))
        .at(
            platform,
            routes!(quarantine::list_platform_quarantined_prices),
        )
        .at(platform, routes!(quarantine::release_platform_price))
        .at(platform, routes!(quarantine::reject_platform_price))
        .at(platform, routes!(price_book::list_platform_price_books))
        .at(platform, routes!(price_book::export_platform_price_book))
        .at(platform, routes!(price_book::import_platform_price_book))
        .at(platform, routes!(price_book::diff_platform_price_book))
        .at(platform, routes!(sealing_keys::list_sealing_keys))
}
