-- One row of an organization in every table that has an organization. {org} is the organization; @name is an id of
-- its own, always the same one. A statement per paragraph; paragraphs are run in order.

insert into identity.organizations (id, slug, legal_name, display_name) values ({org}, 'o-' || left({org}::text, 8) || right({org}::text, 8), 'Org', 'Org')

insert into identity.organization_settings (organization_id) values ({org})

insert into identity.users (id, email, display_name) values (@user, 'u-' || {org} || '@example.com', 'U')

insert into identity.groups (id, organization_id, slug, name, is_default) values (@group, {org}, 'all', 'All', true)

insert into identity.organization_memberships (id, organization_id, user_id, role, primary_group_id) values (@membership, {org}, @user, 'owner', @group)

insert into identity.group_memberships (id, organization_id, group_id, user_id) values (@group_membership, {org}, @group, @user)

insert into identity.roles (id, organization_id, name) values (@role, {org}, 'reader')

insert into identity.role_permissions (role_id, permission) values (@role, 'usage:read')

insert into identity.role_assignments (id, organization_id, user_id, role_id) values (@assignment, {org}, @user, @role)

insert into identity.invitations (id, organization_id, email, role, token_hash, expires_at) values (@invitation, {org}, 'i-' || {org} || '@example.com', 'member', sha256(@invitation::text::bytea), now() + interval '1 day')

insert into identity.identity_providers (id, organization_id, name, issuer, client_id, sealing_key_id, sealed_key, sealed_secret) values (@idp, {org}, 'idp', 'https://idp.example.com', 'client', '0123456789abcdef', '\x00', '\x00')

insert into identity.sessions (id, user_id, method, organization_id, identity_provider_id, address, expires_at) values (@session, @user, 'oidc', {org}, @idp, '203.0.113.9', now() + interval '1 day')

insert into identity.external_logins (id, user_id, organization_id, identity_provider_id, subject) values (@login, @user, {org}, @idp, 'subject')

insert into platform.providers (id, organization_id, name, dialect, base_url) values (@provider, {org}, 'own', 'openai', 'https://llm.example.com/v1')

insert into platform.models (id, organization_id, name) values (@model, {org}, 'own-model')

insert into platform.models (id, organization_id, name) values (@second_model, {org}, 'own-second-model')

insert into platform.offers (id, organization_id, provider_id, model_id, upstream_name, tier) values (@offer, {org}, @provider, @model, 'up', 'paid')

insert into platform.price_books (id, organization_id, version, content_hash) values (@book, {org}, '0123456789abcdef', sha256('book'))

insert into platform.offer_prices (id, organization_id, offer_id, price_book_id, input, output) values (@price, {org}, @offer, @book, 1, 2)

insert into platform.quarantined_prices (id, organization_id, offer_id, price_book_id, reason, input, output) values (@quarantined, {org}, @offer, @book, 'zero', 0, 0)

insert into platform.provider_allowances (id, organization_id, provider_id, meter, amount, time_window) values (@allowance, {org}, @provider, 'requests', 9, 'day')

insert into platform.provider_credentials (id, organization_id, provider_id, sealing_key_id, sealed_key, sealed_secret) values (@credential, {org}, @provider, '0123456789abcdef', '\x00', '\x00')

insert into platform.model_aliases (id, organization_id, name) values (@alias, {org}, 'own-alias')

insert into platform.alias_targets (alias_id, position, organization_id, model_id) values (@alias, 0, {org}, @model)

insert into platform.model_substitutes (id, organization_id, model_id, substitute_id) values (@substitute, {org}, @model, @second_model)

insert into operations.organization_models (id, organization_id, model_id, is_allowed) values (@allowed, {org}, @model, true)

insert into operations.api_keys (id, organization_id, name, public_id, secret_hash, group_id, user_id) values (@key, {org}, 'ci', left(replace({org}::text, '-', ''), 8) || right(replace({org}::text, '-', ''), 8), sha256(@key::text::bytea), @group, @user)

insert into operations.organization_providers (id, organization_id, provider_id) values (@used_provider, {org}, @provider)

insert into operations.organization_credentials (id, organization_id, provider_id, sealing_key_id, sealed_key, sealed_secret) values (@own_credential, {org}, @provider, '0123456789abcdef', '\x00', '\x00')

insert into operations.limits (id, organization_id, subject_kind, api_key_id, meter, time_window, amount, enforcement) values (@limit, {org}, 'key', @key, 'requests', 'day', 5, 'hard')

insert into operations.offer_health (id, organization_id, offer_id, state) values (@health, {org}, @offer, 'healthy')

insert into operations.usage_entries (request_id, at, organization_id, group_id, user_id, api_key_id, requested_model, model_id, offer_id, provider_id, status, finish, is_estimated, is_stream, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, price_book, duration_ms, attempts)
select i.id, operations.moment_of(i.id), {org}, @group, @user, @key, 'own-model', @model, @offer, @provider, 200, 'complete', false, false, 1, 0, 0, 1, 0, 7, 0, 'b', 3, '[]'
from (select (left(operations.first_id_at(date_trunc('hour', now()))::text, 18) || '-8' || right(@entry::text, 16))::text::uuid as id) i

insert into operations.usage_hourly (organization_id, hour, api_key_id, group_id, user_id, model_id, offer_id, provider_id, requests, failed_requests, estimated_requests, streamed_requests, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, duration_ms, first_byte_ms, first_bytes) values ({org}, date_trunc('hour', now()), @key, @group, @user, @model, @offer, @provider, 1, 0, 0, 0, 1, 0, 0, 1, 0, 7, 0, 3, 0, 0)

insert into operations.usage_daily (organization_id, day, api_key_id, group_id, user_id, model_id, offer_id, provider_id, requests, failed_requests, estimated_requests, streamed_requests, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, duration_ms, first_byte_ms, first_bytes) values ({org}, date_trunc('day', now(), 'UTC'), @key, @group, @user, @model, @offer, @provider, 1, 0, 0, 0, 1, 0, 0, 1, 0, 7, 0, 3, 0, 0)

insert into operations.usage_receipts (organization_id, day, model_id, offer_id, requests, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd) values ({org}, date_trunc('day', now(), 'UTC'), @model, @offer, 1, 1, 0, 0, 1, 0, 7, 0)

insert into operations.usage_totals (organization_id, grain, dimension, at, value, requests, failed_requests, estimated_requests, streamed_requests, input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, duration_ms, first_byte_ms, first_bytes) values ({org}, 'day', 'key', date_trunc('day', now(), 'UTC'), @key, 1, 0, 0, 0, 1, 0, 0, 1, 0, 7, 0, 3, 0, 0)

insert into operations.routing_strategies (id, organization_id, subject_kind, group_id, kind) values (@strategy, {org}, 'group', @group, 'miser')

insert into operations.routes (id, organization_id, model_id, offer_id) values (@route, {org}, @model, @offer)

insert into operations.route_changes (id, organization_id, route_id, to_offer_id, cause, actor_kind) values (@change, {org}, @route, @offer, 'made', 'agent')

insert into operations.health_checks (id, organization_id, offer_id, outcome) values (@check, {org}, @offer, 'succeeded')

insert into operations.ledger_accounts (organization_id, day, reserved_nano_usd, open_nano_usd, settled_nano_usd, released_nano_usd, upstream_cost_nano_usd, upstream_payable_nano_usd, list_cost_nano_usd, saved_nano_usd) values ({org}, date_trunc('day', now(), 'UTC'), -7, 0, 7, 0, 7, -7, 0, 0)

insert into operations.alerts (id, organization_id, kind, severity, fingerprint, message) values (@alert, {org}, 'quota', 'warning', 'f', 'Look')

insert into operations.alert_channels (id, organization_id, name, kind, target) values (@channel, {org}, 'mail', 'email', 'ops@example.com')

insert into operations.alert_deliveries (id, organization_id, alert_id, channel_id, next_attempt_at) values (@delivery, {org}, @alert, @channel, now())

insert into operations.discovered_models (id, organization_id, provider_id, upstream_name) values (@discovered, {org}, @provider, 'new-model')

insert into operations.events (id, organization_id, kind, data) values (@event, {org}, 'AuditEvent', '{}')

insert into operations.quota_warnings (organization_id, limit_id, percent, at) values ({org}, @limit, 80, now())

insert into audit.audit_logs (id, organization_id, seq, actor_kind, action, target_kind) values (@log, {org}, 1, 'system', 'thing.change', 'thing')

insert into audit.chain_heads (organization_id, seq) values ({org}, 0)

insert into audit.member_sign_ins (organization_id, id, at, user_id, method, outcome, address, user_agent) values ({org}, @sign_in, now(), @user, 'password', 'signed_in', '203.0.113.9', '')

insert into audit.security_findings (id, organization_id, kind, severity, fingerprint, message) values (@finding, {org}, 'idle_key', 'low', 'f', 'Look')
