//! Every route of the sidecar, on one page, each with who may use it.

use axum::{Router, http::header, routing::get};
use serde_json::Value;
use utoipa_axum::routes;

use super::{
    Plane,
    access::Access,
    agents, audit, auth, auto_optimization, catalog, docs,
    doors::{Doors, Table},
    enforcement,
    error::ApiError,
    explain, fitness, groups, health, identity_providers, invitations, invited, jwks, keys, layers,
    limits, me, members, mfa, nodes, oidc, openapi, organization_settings, organizations,
    password_policy, passwords, refunds, requests, roles, routes as routing, savings, security,
    sessions, signing_keys, strategies, tenants,
    throttle::Throttle,
    usage, version,
};
use crate::tenancy::Permission;

/// Every operation of the API. A new one is one line in one of the groups.
fn doors() -> Doors {
    let page = Doors::new().at(Access::Public, routes!(version::show_version));
    let page = entrance_of_organizations(records(one_self(entrance(page))));
    let page = tenants(organizations(page));
    let page = keys(roles(members(groups(page))));
    let page = strategies::of_platform(strategies::of_organizations(page));
    let page = agents(routing::of_organizations(page));
    insight(catalog::of_platform(catalog::of_organizations(page)))
}

/// How people get in and out.
fn entrance(page: Doors) -> Doors {
    page.at(Access::Public, routes!(jwks::show_jwks))
        .throttled(Throttle::Registration, routes!(auth::register))
        .throttled(Throttle::Reset, routes!(auth::verify_email))
        .throttled(Throttle::Reset, routes!(auth::resend_verification))
        .throttled(Throttle::SignIn, routes!(auth::login))
        .throttled(Throttle::SignIn, routes!(mfa::show_second_factor))
        // A session that is under way goes on whoever else tries from its network.
        .at(Access::Public, routes!(auth::refresh))
        .at(Access::SignedIn, routes!(auth::logout))
        .throttled(Throttle::Reset, routes!(passwords::forgot_password))
        .throttled(Throttle::Reset, routes!(passwords::reset_password))
        .throttled(Throttle::SignIn, routes!(oidc::start_oidc))
        .throttled(Throttle::SignIn, routes!(oidc::finish_oidc))
        .at(Access::Platform, routes!(signing_keys::list_signing_keys))
        .at(Access::Platform, routes!(signing_keys::rotate_signing_key))
        .at(Access::Platform, routes!(signing_keys::revoke_signing_key))
        .at(
            Access::Platform,
            routes!(enforcement::show_limits_enforcement),
        )
        .at(
            Access::Platform,
            routes!(enforcement::set_limits_enforcement),
        )
}

/// How an organization wants its members to get in.
fn entrance_of_organizations(page: Doors) -> Doors {
    let (read, write) = (Permission::OrganizationRead, Permission::OrganizationWrite);
    page.at(
        Access::Member(read),
        routes!(password_policy::show_password_policy),
    )
    .at(
        Access::Member(write),
        routes!(password_policy::set_password_policy),
    )
    .at(
        Access::Member(read),
        routes!(identity_providers::list_identity_providers),
    )
    .at(
        Access::Member(write),
        routes!(identity_providers::create_identity_provider),
    )
    .at(
        Access::Member(read),
        routes!(identity_providers::show_identity_provider),
    )
    .at(
        Access::Member(write),
        routes!(identity_providers::change_identity_provider),
    )
    .at(
        Access::Member(write),
        routes!(identity_providers::delete_identity_provider),
    )
}

/// What is a person's own.
fn one_self(page: Doors) -> Doors {
    page.at(Access::SignedIn, routes!(me::show_me))
        .at(Access::SignedIn, routes!(me::change_me))
        .at(Access::SignedIn, routes!(explain::explain_call))
        .at(Access::SignedIn, routes!(me::delete_me))
        .at(Access::SignedIn, routes!(me::change_email))
        .at(Access::SignedIn, routes!(me::export_me))
        .at(Access::SignedIn, routes!(passwords::change_password))
        .at(Access::SignedIn, routes!(sessions::list_sessions))
        .at(Access::SignedIn, routes!(sessions::end_session))
        .at(Access::SignedIn, routes!(sessions::logout_everywhere))
        .at(Access::SignedIn, routes!(mfa::show_mfa))
        .at(Access::SignedIn, routes!(mfa::enrol_totp))
        .at(Access::SignedIn, routes!(mfa::confirm_totp))
        .at(Access::SignedIn, routes!(mfa::disable_totp))
        .at(Access::SignedIn, routes!(mfa::renew_recovery_codes))
}

/// What was done, and what weakens us.
fn records(page: Doors) -> Doors {
    page.at(
        Access::Member(Permission::AuditRead),
        routes!(audit::list_audit_logs),
    )
    .at(
        Access::Member(Permission::AuditRead),
        routes!(audit::export_audit_logs),
    )
    .at(
        Access::Member(Permission::AuditRead),
        routes!(audit::verify_audit_logs),
    )
    .at(
        Access::Member(Permission::AuditRead),
        routes!(audit::show_audit_checkpoint),
    )
    .at(
        Access::Member(Permission::SecurityRead),
        routes!(security::list_security_findings),
    )
    .at(
        Access::Member(Permission::SecurityRead),
        routes!(security::sign_ins::list_sign_ins),
    )
    .at(
        Access::Platform,
        routes!(audit::platform::list_platform_audit_logs),
    )
    .at(
        Access::Platform,
        routes!(audit::platform::export_platform_audit_logs),
    )
    .at(
        Access::Platform,
        routes!(audit::platform::verify_platform_audit_logs),
    )
    .at(
        Access::Platform,
        routes!(audit::platform::show_platform_audit_checkpoint),
    )
    .at(
        Access::Platform,
        routes!(security::list_platform_security_findings),
    )
}

/// Organizations, as their own people see them.
fn organizations(page: Doors) -> Doors {
    let read = Access::Member(Permission::OrganizationRead);
    let write = Access::Member(Permission::OrganizationWrite);
    let delete = Access::Member(Permission::OrganizationDelete);
    page.at(
        Access::SignedIn,
        routes!(organizations::create_organization),
    )
    .at(Access::SignedIn, routes!(organizations::list_organizations))
    .at(
        Access::SignedIn,
        routes!(organizations::list_my_organizations),
    )
    .at(read, routes!(organizations::show_organization))
    .at(write, routes!(organizations::change_organization))
    .at(delete, routes!(organizations::delete_organization))
    .at(
        Access::SignedIn,
        routes!(organizations::restore_organization),
    )
    .at(
        read,
        routes!(organization_settings::show_organization_settings),
    )
    .at(
        write,
        routes!(organization_settings::change_organization_settings),
    )
    .at(read, routes!(members::leave_organization))
    .at(
        read,
        routes!(auto_optimization::show_member_auto_optimization),
    )
    .at(
        read,
        routes!(auto_optimization::set_member_auto_optimization),
    )
}

/// Organizations, as the platform sees them.
fn tenants(page: Doors) -> Doors {
    page.at(Access::Platform, routes!(tenants::list_tenants))
        .at(Access::Platform, routes!(tenants::show_tenant))
        .at(Access::Platform, routes!(tenants::change_tenant))
        .at(Access::Platform, routes!(tenants::suspend_tenant))
        .at(Access::Platform, routes!(tenants::restore_tenant))
}

/// Groups and who is in them.
fn groups(page: Doors) -> Doors {
    let read = Access::Member(Permission::GroupsRead);
    let write = Access::Member(Permission::GroupsWrite);
    page.at(read, routes!(groups::list_groups))
        .at(write, routes!(groups::create_group))
        .at(read, routes!(groups::show_group))
        .at(write, routes!(groups::change_group))
        .at(write, routes!(groups::delete_group))
        .at(read, routes!(groups::list_group_members))
        .at(write, routes!(groups::add_group_member))
        .at(write, routes!(groups::remove_group_member))
        .at(
            read,
            routes!(auto_optimization::show_group_auto_optimization),
        )
}

/// Who is in an organization, and who is asked to join.
fn members(page: Doors) -> Doors {
    let read = Access::Member(Permission::MembersRead);
    let write = Access::Member(Permission::MembersWrite);
    page.at(read, routes!(members::list_members))
        .at(read, routes!(members::show_member))
        .at(write, routes!(members::change_member))
        .at(write, routes!(members::remove_member))
        .at(read, routes!(invitations::list_invitations))
        .at(write, routes!(invitations::create_invitation))
        .at(read, routes!(invitations::show_invitation))
        .at(write, routes!(invitations::cancel_invitation))
        .at(write, routes!(invitations::resend_invitation))
        .at(Access::Public, routes!(invited::show_offered_invitation))
        .at(Access::SignedIn, routes!(invited::accept_invitation))
        .at(Access::Public, routes!(invited::register_invited))
        .at(Access::Public, routes!(invited::decline_invitation))
        .at(Access::SignedIn, routes!(invited::list_my_invitations))
        .at(Access::SignedIn, routes!(invited::accept_my_invitation))
        .at(Access::SignedIn, routes!(invited::decline_my_invitation))
}

/// Who may do what.
fn roles(page: Doors) -> Doors {
    let read = Access::Member(Permission::RolesRead);
    let write = Access::Member(Permission::RolesWrite);
    page.at(read, routes!(roles::list_roles))
        .at(write, routes!(roles::create_role))
        .at(read, routes!(roles::show_role))
        .at(write, routes!(roles::change_role))
        .at(write, routes!(roles::delete_role))
        .at(read, routes!(roles::list_role_assignments))
        .at(write, routes!(roles::create_role_assignment))
        .at(read, routes!(roles::show_role_assignment))
        .at(write, routes!(roles::delete_role_assignment))
}

/// Keys, and what everybody is permitted.
fn keys(page: Doors) -> Doors {
    let read = Access::Member(Permission::KeysRead);
    let write = Access::Member(Permission::KeysWrite);
    let see = Access::Member(Permission::LimitsRead);
    let set = Access::Member(Permission::LimitsWrite);
    page.at(read, routes!(keys::list_keys))
        .at(write, routes!(keys::create_key))
        .at(read, routes!(keys::show_key))
        .at(write, routes!(keys::change_key))
        .at(write, routes!(keys::rotate_key))
        .at(write, routes!(keys::revoke_key))
        .at(read, routes!(limits::list_key_limits))
        .at(see, routes!(limits::list_limits))
        .at(set, routes!(limits::create_limit))
        .at(see, routes!(limits::list_effective_limits))
        .at(see, routes!(limits::show_limit))
        .at(set, routes!(limits::change_limit))
        .at(set, routes!(limits::delete_limit))
}

/// What was used, what it cost, and how everything does.
fn insight(page: Doors) -> Doors {
    let (usage, requests) = (Permission::UsageRead, Permission::RequestsRead);
    page.at(Access::Member(usage), routes!(usage::show_usage))
        .at(
            Access::Member(Permission::KeysRead),
            routes!(usage::show_key_usage),
        )
        .at(Access::SignedIn, routes!(usage::show_my_usage))
        .at(Access::Platform, routes!(usage::show_platform_usage))
        .at(Access::Member(requests), routes!(requests::list_requests))
        .at(Access::Member(requests), routes!(requests::show_request))
        .at(Access::Member(usage), routes!(savings::show_savings))
        .at(Access::Member(requests), routes!(savings::list_receipts))
        .at(
            Access::Member(Permission::CatalogRead),
            routes!(fitness::list_offer_health),
        )
        .at(
            Access::Platform,
            routes!(fitness::list_platform_offer_health),
        )
        .at(Access::Platform, routes!(fitness::show_platform_health))
        .at(Access::Platform, routes!(nodes::list_nodes))
        .at(Access::Platform, routes!(refunds::refund_request))
}

/// Work nobody waits for.
fn agents(page: Doors) -> Doors {
    page.at(Access::Platform, routes!(agents::list_agents))
        .at(Access::Platform, routes!(agents::show_agent))
        .at(Access::Platform, routes!(agents::change_agent))
        .at(Access::Platform, routes!(agents::run_agent))
        .at(Access::Platform, routes!(agents::list_agent_runs))
        .at(Access::Platform, routes!(agents::show_agent_run))
}

/// Returns the OpenAPI document of all operations.
#[must_use]
pub fn document() -> Value {
    let (_, _, document) = doors().open();
    openapi::settled(&document)
}

/// Returns who may use which operation.
#[must_use]
pub fn table() -> Table {
    let (_, table, _) = doors().open();
    table
}

/// Returns what the public listener serves.
pub fn api(plane: Plane) -> Router {
    let (operations, table, document) = doors().open();
    let document = openapi::settled(&document).to_string();
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let everything = layers::around_operations(operations, &plane)
        .route("/api/openapi.json", get(async move || (kind, document)))
        .merge(docs::pages())
        .merge(health::probes())
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .fallback(async || ApiError::NotFound);
    layers::around_everything(everything, table, &plane).with_state(plane)
}

/// Returns what the operations listener serves.
pub fn operations(plane: Plane) -> Router {
    // A scraper that was given the bare address finds the metrics too.
    let metrics = Router::new()
        .route("/metrics", get(health::metrics))
        .route("/", get(health::metrics));
    health::probes()
        .merge(metrics)
        .fallback(async || ApiError::NotFound)
        .with_state(plane)
}
