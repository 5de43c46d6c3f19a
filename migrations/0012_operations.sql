-- Why: what agents, alerts, routes and the ledger write, the outbox of live events, and one way for every table that
-- is kept by month to get its partitions and to lose them again.

set local role synaxis_owner;

-- Makes the month that holds `at` in a table partitioned by month; says whether it was missing.
-- Runs as the tables' owner: only it may attach a partition.
create function platform.make_month(parent regclass, at timestamptz) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    begins timestamptz := date_trunc('month', at, 'UTC');
    place text := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = parent);
    name text := (select c.relname from pg_class c where c.oid = parent) || '_' || to_char(begins at time zone 'UTC', 'YYYY_MM');
    made text := format('%I.%I', place, name);
begin
    if exists (select from pg_inherits i where i.inhparent = parent and i.inhrelid = to_regclass(made)) then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('synaxis partitions'));
    if exists (select from pg_inherits i where i.inhparent = parent and i.inhrelid = to_regclass(made)) then
        return false;
    end if;
    -- Made aside and attached: `partition of` would stop every reader and writer of the table.
    execute format('create table %s (like %s including defaults including constraints)', made, parent);
    execute format('alter table %s enable row level security', made);
    execute format('alter table %s force row level security', made);
    execute format('revoke all on %s from synaxis_definer', made);
    execute format('alter table %s attach partition %s for values from (%L) to (%L)',
        parent, made, begins, begins + interval '1 month');
    return true;
end
$$;
grant execute on function platform.make_month(regclass, timestamptz) to synaxis_definer;

-- Every table of ours that is partitioned by month.
create function platform.tables_by_month() returns setof regclass
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select p.partrelid::regclass
    from pg_partitioned_table p
    join pg_class c on c.oid = p.partrelid
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('platform', 'identity', 'operations', 'audit')
    order by p.partrelid::regclass::text
$$;
grant execute on function platform.tables_by_month() to synaxis_admin, synaxis_agent, synaxis_definer;

-- Makes this month and the `ahead` months after it in every such table; returns how many were missing.
create function platform.make_months(ahead int default 3) returns int
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    select count(*) filter (where platform.make_month(t, date_trunc('month', now(), 'UTC') + n * interval '1 month'))::int
    from platform.tables_by_month() t, generate_series(0, least(ahead, 11)) n
$$;
grant execute on function platform.make_months(int) to synaxis_admin, synaxis_agent, synaxis_definer;

-- When each agent wakes.
create table platform.agent_schedules (
    id uuid constraint agent_schedules_pk primary key,
    agent text not null constraint agent_schedules_agent_ck check (agent ~ '^[a-z][a-z_]{0,62}$'),
    cron text not null constraint agent_schedules_cron_ck check (char_length(cron) between 9 and 200),
    zone text not null default 'UTC' constraint agent_schedules_zone_ck check (char_length(zone) between 1 and 64),
    is_paused boolean not null default false,
    -- Somebody asked for a run before the next tick.
    nudged_at timestamptz,
    settings jsonb not null default '{}' constraint agent_schedules_settings_ck check (jsonb_typeof(settings) = 'object'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index agent_schedules_agent_uq on platform.agent_schedules (agent) where deleted_at is null;

-- Who leads. The epoch grows with every change of holder, so that what a stopped leader still writes can be refused.
create table platform.leases (
    name text constraint leases_pk primary key constraint leases_name_ck check (name ~ '^[a-z][a-z_]{0,62}$'),
    holder text not null constraint leases_holder_ck check (char_length(holder) between 1 and 200),
    epoch bigint not null constraint leases_epoch_ck check (epoch > 0),
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- What every waking of an agent saw, did and cost.
create table operations.agent_runs (
    id uuid not null,
    -- When it began.
    at timestamptz not null default now(),
    agent text not null constraint agent_runs_agent_ck check (agent ~ '^[a-z][a-z_]{0,62}$'),
    cause text not null constraint agent_runs_cause_ck check (cause in ('schedule', 'nudge', 'person')),
    node text not null constraint agent_runs_node_ck check (char_length(node) between 1 and 200),
    epoch bigint not null constraint agent_runs_epoch_ck check (epoch > 0),
    ended_at timestamptz,
    outcome text not null default 'running'
        constraint agent_runs_outcome_ck check (outcome in ('running', 'succeeded', 'failed', 'abandoned')),
    report jsonb not null default '{}' constraint agent_runs_report_ck check (jsonb_typeof(report) = 'object'),
    fault text constraint agent_runs_fault_ck check (char_length(fault) <= 2000),
    cost_nano_usd bigint not null default 0 constraint agent_runs_cost_ck check (cost_nano_usd >= 0),
    constraint agent_runs_pk primary key (id, at),
    constraint agent_runs_end_ck check (ended_at is null = (outcome = 'running') and ended_at >= at)
) partition by range (at);
create index agent_runs_by_time on operations.agent_runs (at desc, id desc);
create index agent_runs_by_agent on operations.agent_runs (agent, at desc, id desc);

-- How offers are put in order, for the platform (no organization), an organization, a group, a key or an alias:
-- the most specific that exists holds.
create table operations.routing_strategies (
    id uuid constraint routing_strategies_pk primary key,
    organization_id uuid constraint routing_strategies_organization_fk references identity.organizations (id),
    subject_kind text not null constraint routing_strategies_subject_kind_ck
        check (subject_kind in ('platform', 'organization', 'group', 'key', 'alias')),
    group_id uuid,
    api_key_id uuid,
    alias_id uuid constraint routing_strategies_alias_fk references platform.model_aliases (id),
    kind text not null constraint routing_strategies_kind_ck
        check (kind in ('miser', 'performance', 'reliability', 'balanced', 'priority', 'weighted')),
    -- What `balanced` and `weighted` weigh, by name.
    weights jsonb not null default '{}' constraint routing_strategies_weights_ck check (jsonb_typeof(weights) = 'object'),
    -- Bounds; null sets none.
    max_cost_per_million_nano_usd bigint
        constraint routing_strategies_max_cost_ck check (max_cost_per_million_nano_usd between 0 and 1000000000000000),
    max_latency_ms int constraint routing_strategies_max_latency_ck check (max_latency_ms between 1 and 3600000),
    min_success_percent smallint
        constraint routing_strategies_min_success_ck check (min_success_percent between 0 and 100),
    is_paid_allowed boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint routing_strategies_subject_ck check (
        (organization_id is null) = (subject_kind = 'platform')
        and (group_id is not null) = (subject_kind = 'group')
        and (api_key_id is not null) = (subject_kind = 'key')
        and (alias_id is not null) = (subject_kind = 'alias')),
    constraint routing_strategies_group_fk
        foreign key (organization_id, group_id) references identity.groups (organization_id, id),
    constraint routing_strategies_api_key_fk
        foreign key (organization_id, api_key_id) references operations.api_keys (organization_id, id)
);
create unique index routing_strategies_uq
    on operations.routing_strategies (organization_id, subject_kind, group_id, api_key_id, alias_id)
    nulls not distinct where deleted_at is null;
create index routing_strategies_by_group on operations.routing_strategies (organization_id, group_id);
create index routing_strategies_by_api_key on operations.routing_strategies (organization_id, api_key_id);
create index routing_strategies_by_alias on operations.routing_strategies (alias_id);

-- The offer an organization currently prefers for a model.
create table operations.routes (
    id uuid constraint routes_pk primary key,
    organization_id uuid not null constraint routes_organization_fk references identity.organizations (id),
    model_id uuid not null constraint routes_model_fk references platform.models (id),
    offer_id uuid not null constraint routes_offer_fk references platform.offers (id),
    -- A pinned route is moved by people only.
    is_pinned boolean not null default false,
    switched_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint routes_of_organization_uq unique (organization_id, id)
);
create unique index routes_uq on operations.routes (organization_id, model_id) where deleted_at is null;
create index routes_by_model on operations.routes (model_id);
create index routes_by_offer on operations.routes (offer_id);
create index routes_by_creation on operations.routes (organization_id, created_at desc, id desc) where deleted_at is null;

-- Every switch of a route, with the arithmetic that led to it.
create table operations.route_changes (
    id uuid not null,
    at timestamptz not null default now(),
    organization_id uuid not null,
    route_id uuid not null,
    -- Null: the route was made.
    from_offer_id uuid,
    to_offer_id uuid not null,
    cause text not null constraint route_changes_cause_ck
        check (cause in ('free', 'cheaper', 'unhealthy', 'put_back', 'pinned', 'unpinned', 'made')),
    actor_kind text not null constraint route_changes_actor_kind_ck check (actor_kind in ('user', 'operator', 'agent')),
    actor_id uuid,
    saving_per_million_nano_usd bigint not null default 0,
    arithmetic jsonb not null default '{}' constraint route_changes_arithmetic_ck check (jsonb_typeof(arithmetic) = 'object'),
    constraint route_changes_pk primary key (id, at),
    constraint route_changes_route_fk
        foreign key (organization_id, route_id) references operations.routes (organization_id, id)
) partition by range (at);
create index route_changes_by_time on operations.route_changes (organization_id, at desc, id desc);
create index route_changes_by_route on operations.route_changes (organization_id, route_id, at desc, id desc);

-- Every look at an offer, free of cost. No foreign keys: offers come and go, history stays.
create table operations.health_checks (
    id uuid not null,
    at timestamptz not null default now(),
    organization_id uuid,
    offer_id uuid not null,
    credential_id uuid,
    outcome text not null constraint health_checks_outcome_ck
        check (outcome in ('succeeded', 'refused', 'limited', 'failed', 'timed_out')),
    status smallint constraint health_checks_status_ck check (status between 0 and 999),
    latency_ms int constraint health_checks_latency_ms_ck check (latency_ms >= 0),
    fault text constraint health_checks_fault_ck check (char_length(fault) <= 500),
    constraint health_checks_pk primary key (id, at)
) partition by range (at);
create index health_checks_by_offer on operations.health_checks (offer_id, at desc, id desc);
create index health_checks_by_time on operations.health_checks (organization_id, at desc, id desc);

-- Where an organization's money stands: what was held is settled, released or still open.
create table operations.ledger_accounts (
    id uuid constraint ledger_accounts_pk primary key,
    organization_id uuid not null constraint ledger_accounts_organization_fk references identity.organizations (id),
    kind text not null constraint ledger_accounts_kind_ck check (kind in (
        'reserved', 'open', 'settled', 'released', 'upstream_cost', 'upstream_payable', 'list_cost', 'saved')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ledger_accounts_uq unique (organization_id, kind),
    constraint ledger_accounts_of_organization_uq unique (organization_id, id)
);

-- Double entry: what one movement posts adds up to zero, and each movement of a call is posted once.
create table operations.ledger_postings (
    id uuid not null,
    at timestamptz not null,
    organization_id uuid not null,
    account_id uuid not null,
    request_id uuid not null,
    movement text not null constraint ledger_postings_movement_ck
        check (movement in ('hold', 'settlement', 'release', 'upstream_cost', 'saving', 'refund')),
    -- Counts refunds of one call; others happen once.
    ordinal smallint not null default 0 constraint ledger_postings_ordinal_ck
        check (ordinal >= 0 and (ordinal = 0 or movement = 'refund')),
    amount_nano_usd bigint not null constraint ledger_postings_amount_ck check (amount_nano_usd <> 0),
    constraint ledger_postings_pk primary key (id, at),
    constraint ledger_postings_once_uq unique (request_id, movement, ordinal, account_id, at),
    constraint ledger_postings_account_fk
        foreign key (organization_id, account_id) references operations.ledger_accounts (organization_id, id)
) partition by range (at);
create index ledger_postings_by_account on operations.ledger_postings (organization_id, account_id, at);
create index ledger_postings_by_time on operations.ledger_postings (organization_id, at);

-- What somebody should look at, once while it lasts. Without an organization: the platform's own trouble.
create table operations.alerts (
    id uuid constraint alerts_pk primary key,
    organization_id uuid constraint alerts_organization_fk references identity.organizations (id),
    kind text not null constraint alerts_kind_ck check (kind ~ '^[a-z][a-z_]{0,62}$'),
    severity text not null constraint alerts_severity_ck check (severity in ('info', 'warning', 'critical')),
    -- Says which alerts are the same one.
    fingerprint text not null constraint alerts_fingerprint_ck check (char_length(fingerprint) between 1 and 200),
    message text not null constraint alerts_message_ck check (char_length(message) between 1 and 2000),
    details jsonb not null default '{}' constraint alerts_details_ck check (jsonb_typeof(details) = 'object'),
    occurrences int not null default 1 constraint alerts_occurrences_ck check (occurrences > 0),
    last_seen_at timestamptz not null default now(),
    acknowledged_at timestamptz,
    acknowledged_by uuid constraint alerts_acknowledged_by_fk references identity.users (id),
    resolved_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint alerts_acknowledged_ck check (acknowledged_by is null or acknowledged_at is not null)
);
create unique index alerts_open_uq on operations.alerts (organization_id, fingerprint) nulls not distinct
    where resolved_at is null and deleted_at is null;
create index alerts_by_creation on operations.alerts (organization_id, created_at desc, id desc) where deleted_at is null;
create index alerts_by_acknowledged_by on operations.alerts (acknowledged_by);

-- Who is told. The secret that signs a webhook is sealed as credentials are.
create table operations.alert_channels (
    id uuid constraint alert_channels_pk primary key,
    organization_id uuid constraint alert_channels_organization_fk references identity.organizations (id),
    name text not null constraint alert_channels_name_ck check (char_length(name) between 1 and 200),
    kind text not null constraint alert_channels_kind_ck check (kind in ('webhook', 'email')),
    -- A URL or a mail address.
    target text not null constraint alert_channels_target_ck check (char_length(target) between 3 and 2000),
    -- Null: alerts of every kind.
    kinds text[] constraint alert_channels_kinds_ck check (cardinality(kinds) between 1 and 100),
    min_severity text not null default 'warning'
        constraint alert_channels_min_severity_ck check (min_severity in ('info', 'warning', 'critical')),
    sealing_key_id text constraint alert_channels_sealing_key_id_ck check (sealing_key_id ~ '^[0-9a-f]{16}$'),
    sealed_key bytea,
    sealed_secret bytea,
    is_enabled boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint alert_channels_form_ck check (kind <> 'webhook' or target ~ '^https?://'),
    constraint alert_channels_secret_ck check (
        num_nonnulls(sealing_key_id, sealed_key, sealed_secret) = case kind when 'webhook' then 3 else 0 end)
);
create unique index alert_channels_name_uq on operations.alert_channels (organization_id, name) nulls not distinct
    where deleted_at is null;
create index alert_channels_by_sealing_key on operations.alert_channels (sealing_key_id);

-- What was sent where, and what came of it.
create table operations.alert_deliveries (
    id uuid not null,
    at timestamptz not null default now(),
    organization_id uuid,
    alert_id uuid not null constraint alert_deliveries_alert_fk references operations.alerts (id),
    channel_id uuid not null constraint alert_deliveries_channel_fk references operations.alert_channels (id),
    state text not null default 'pending'
        constraint alert_deliveries_state_ck check (state in ('pending', 'delivered', 'given_up')),
    attempts smallint not null default 0 constraint alert_deliveries_attempts_ck check (attempts between 0 and 100),
    next_attempt_at timestamptz,
    delivered_at timestamptz,
    last_status smallint constraint alert_deliveries_last_status_ck check (last_status between 0 and 999),
    last_fault text constraint alert_deliveries_last_fault_ck check (char_length(last_fault) <= 500),
    constraint alert_deliveries_pk primary key (id, at),
    constraint alert_deliveries_pending_ck check ((state = 'pending') = (next_attempt_at is not null)),
    constraint alert_deliveries_delivered_ck check ((state = 'delivered') = (delivered_at is not null))
) partition by range (at);
create index alert_deliveries_by_alert on operations.alert_deliveries (alert_id);
create index alert_deliveries_by_channel on operations.alert_deliveries (channel_id, at desc, id desc);
create index alert_deliveries_by_time on operations.alert_deliveries (organization_id, at desc, id desc);
create index alert_deliveries_due on operations.alert_deliveries (next_attempt_at) where state = 'pending';

-- Models a provider was seen to serve that the catalog does not offer yet.
create table operations.discovered_models (
    id uuid constraint discovered_models_pk primary key,
    organization_id uuid constraint discovered_models_organization_fk references identity.organizations (id),
    provider_id uuid not null constraint discovered_models_provider_fk references platform.providers (id),
    upstream_name text not null constraint discovered_models_upstream_name_ck check (upstream_name ~ '^[^[:cntrl:]]{1,200}$'),
    -- What the provider says of it.
    details jsonb not null default '{}' constraint discovered_models_details_ck check (jsonb_typeof(details) = 'object'),
    state text not null default 'new'
        constraint discovered_models_state_ck check (state in ('new', 'adopted', 'ignored', 'gone')),
    -- The model it was adopted as.
    model_id uuid constraint discovered_models_model_fk references platform.models (id),
    last_seen_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint discovered_models_adopted_ck check ((model_id is not null) = (state = 'adopted'))
);
create unique index discovered_models_uq on operations.discovered_models (provider_id, upstream_name) where deleted_at is null;
create index discovered_models_by_model on operations.discovered_models (model_id);
create index discovered_models_by_creation on operations.discovered_models (organization_id, created_at desc, id desc)
    where deleted_at is null;

-- The outbox: written in the transaction of what happened, read by every socket that may know. Ids are in order of time.
create table operations.events (
    id uuid not null,
    at timestamptz not null default clock_timestamp(),
    organization_id uuid,
    kind text not null constraint events_kind_ck check (kind ~ '^[A-Z][A-Za-z]{2,62}$'),
    data jsonb not null constraint events_data_ck check (jsonb_typeof(data) = 'object'),
    constraint events_pk primary key (id, at)
) partition by range (at);
create index events_by_organization on operations.events (organization_id, at, id);

-- What an audit of security found, until it is gone or accepted. Without an organization: the platform's own.
create table audit.security_findings (
    id uuid constraint security_findings_pk primary key,
    organization_id uuid constraint security_findings_organization_fk references identity.organizations (id),
    kind text not null constraint security_findings_kind_ck check (kind ~ '^[a-z][a-z_]{0,62}$'),
    severity text not null constraint security_findings_severity_ck check (severity in ('low', 'medium', 'high', 'critical')),
    -- Says which findings are the same one.
    fingerprint text not null constraint security_findings_fingerprint_ck check (char_length(fingerprint) between 1 and 200),
    message text not null constraint security_findings_message_ck check (char_length(message) between 1 and 2000),
    target_kind text constraint security_findings_target_kind_ck check (target_kind ~ '^[a-z_]+$'),
    target_id uuid,
    details jsonb not null default '{}' constraint security_findings_details_ck check (jsonb_typeof(details) = 'object'),
    last_seen_at timestamptz not null default now(),
    -- Somebody lives with it, and says why.
    accepted_at timestamptz,
    accepted_by uuid constraint security_findings_accepted_by_fk references identity.users (id),
    accepted_reason text constraint security_findings_accepted_reason_ck check (char_length(accepted_reason) between 1 and 500),
    resolved_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint security_findings_accepted_ck check (num_nonnulls(accepted_at, accepted_by, accepted_reason) in (0, 3))
);
create unique index security_findings_open_uq on audit.security_findings (organization_id, fingerprint) nulls not distinct
    where resolved_at is null and deleted_at is null;
create index security_findings_by_creation on audit.security_findings (organization_id, created_at desc, id desc)
    where deleted_at is null;
create index security_findings_by_accepted_by on audit.security_findings (accepted_by);

do $$
declare
    name text;
begin
    foreach name in array array[
        'platform.agent_schedules', 'platform.leases', 'operations.routing_strategies', 'operations.routes',
        'operations.ledger_accounts', 'operations.alerts', 'operations.alert_channels', 'operations.discovered_models',
        'audit.security_findings'] loop
        call platform.keep_updated_at(name::regclass);
    end loop;
    foreach name in array array[
        'operations.routes', 'operations.route_changes', 'operations.ledger_accounts', 'operations.ledger_postings'] loop
        call platform.protect_tenant_table(name::regclass);
    end loop;
    -- Everybody's strategy and the health of everybody's offers may be seen by everybody.
    foreach name in array array['operations.routing_strategies', 'operations.health_checks'] loop
        call platform.protect_shared_table(name::regclass);
        call platform.open_platform_rows(name::regclass);
    end loop;
    foreach name in array array[
        'operations.alerts', 'operations.alert_channels', 'operations.alert_deliveries', 'operations.discovered_models',
        'operations.events', 'audit.security_findings'] loop
        call platform.protect_tenant_table(name::regclass);
        call platform.open_platform_rows(name::regclass);
    end loop;
    foreach name in array array['audit.audit_logs', 'audit.chain_heads'] loop
        call platform.open_platform_rows(name::regclass);
    end loop;
end
$$;

create trigger check_alias before insert or update on operations.routing_strategies
    for each row execute function platform.check_owner('platform.model_aliases', 'alias_id', 'usable');
create trigger check_model before insert or update on operations.routes
    for each row execute function platform.check_owner('platform.models', 'model_id', 'usable');
create trigger check_offer before insert or update on operations.routes
    for each row execute function platform.check_owner('platform.offers', 'offer_id', 'usable');
create trigger check_provider before insert or update on operations.discovered_models
    for each row execute function platform.check_owner('platform.providers', 'provider_id', 'same');
create trigger check_model before insert or update on operations.discovered_models
    for each row execute function platform.check_owner('platform.models', 'model_id', 'usable');
create trigger check_alert before insert or update on operations.alert_deliveries
    for each row execute function platform.check_owner('operations.alerts', 'alert_id', 'same');
create trigger check_channel before insert or update on operations.alert_deliveries
    for each row execute function platform.check_owner('operations.alert_channels', 'channel_id', 'same');

-- Agents write, people look and set up.
grant select on operations.agent_runs, operations.route_changes, operations.health_checks, operations.ledger_accounts,
    operations.ledger_postings, operations.alert_deliveries, operations.events to synaxis_admin;
grant select, insert, update on platform.agent_schedules, platform.leases, operations.agent_runs, operations.routes,
    operations.alerts, operations.alert_deliveries, operations.discovered_models, audit.security_findings
    to synaxis_agent;
grant select, insert on operations.route_changes, operations.health_checks, operations.events, operations.ledger_accounts,
    operations.ledger_postings to synaxis_agent;
grant select on operations.routing_strategies to synaxis_agent;
grant select, insert, update on operations.routing_strategies, operations.routes to synaxis_admin;
grant insert on operations.route_changes, operations.events to synaxis_admin;
grant select, update (cron, zone, is_paused, nudged_at, settings) on platform.agent_schedules to synaxis_admin;
grant select on platform.leases to synaxis_admin;
grant select, update (acknowledged_at, acknowledged_by, resolved_at) on operations.alerts to synaxis_admin;
grant select, update (state, model_id, deleted_at) on operations.discovered_models to synaxis_admin;
grant select, update (accepted_at, accepted_by, accepted_reason) on audit.security_findings to synaxis_admin;
grant select on audit.security_findings to synaxis_auditor;
-- The sealed secret goes in; nobody's query takes it out.
grant select (id, organization_id, name, kind, target, kinds, min_severity, sealing_key_id, is_enabled, created_at,
        updated_at, deleted_at), insert, update on operations.alert_channels to synaxis_admin;
grant select (id, organization_id, name, kind, target, kinds, min_severity, sealing_key_id, is_enabled, created_at,
        updated_at, deleted_at) on operations.alert_channels to synaxis_agent;

-- The two tables that came before go the same way now.
create or replace function audit.ensure_partitions(ahead int default 3) returns int
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    select count(*) filter (
        where platform.make_month('audit.audit_logs', date_trunc('month', now(), 'UTC') + n * interval '1 month'))::int
    from generate_series(0, least(ahead, 11)) n
$$;
create or replace function operations.ensure_usage_partition(at timestamptz) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if at is null or at < '2020-01-01' or at > now() + interval '1 year' then
        raise exception 'no month of the books holds %', at using errcode = 'datetime_field_overflow';
    end if;
    perform platform.make_month('operations.usage_entries', at);
end
$$;

select platform.make_months();

reset role;
