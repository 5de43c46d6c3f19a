-- Why: agents wake by rows: once a tick whoever leads, at once when somebody asks, never longer than their deadline.

set local role synaxis_owner;

alter table platform.agent_schedules
    -- The latest tick that was looked at; null until somebody led. What was missed before is not made up for.
    add column ticked_at timestamptz,
    -- The run that was asked for: its id is known before it begins.
    add column nudged_run uuid,
    add column nudged_by text constraint agent_schedules_nudged_by_ck check (nudged_by in ('nudge', 'person')),
    add column deadline_s int not null default 300
        constraint agent_schedules_deadline_ck check (deadline_s between 1 and 3600),
    -- It looks and reports, and changes nothing.
    add column is_dry boolean not null default false,
    -- When somebody last changed it; `updated_at` also moves with every tick.
    add column edited_at timestamptz not null default now(),
    add constraint agent_schedules_nudge_ck check (num_nonnulls(nudged_at, nudged_run, nudged_by) in (0, 3));
grant update (ticked_at, nudged_run, nudged_by, deadline_s, is_dry, edited_at) on platform.agent_schedules to synaxis_admin;

-- Tells whoever leads that a schedule is another, or that somebody asks for a run.
create function platform.announce_schedule() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_notify('synaxis_agents', new.agent);
    return null;
end
$$;
create trigger announce_schedule
    after insert or update of cron, zone, is_paused, nudged_at, deadline_s, is_dry on platform.agent_schedules
    for each row execute function platform.announce_schedule();

create index agent_runs_running on operations.agent_runs (at) where outcome = 'running';

-- Forgets answers that nobody can ask for again; returns how many.
create function operations.prune_idempotency_keys(batch int) returns int
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    with gone as (
        delete from operations.idempotency_keys k
        where k.id in (
            select e.id from operations.idempotency_keys e
            where e.expires_at < now()
            order by e.expires_at
            limit least(batch, 10000)
            for update skip locked)
        returning 1)
    select count(*)::int from gone
$$;
alter function operations.prune_idempotency_keys(int) owner to synaxis_definer;
grant execute on function operations.prune_idempotency_keys(int), identity.prune(timestamptz) to synaxis_agent;

insert into platform.agent_schedules (id, agent, cron, deadline_s)
values
    (gen_random_uuid(), 'health_monitoring', '*/2 * * * *', 110),
    (gen_random_uuid(), 'cost_optimization', '*/15 * * * *', 600),
    (gen_random_uuid(), 'model_discovery', '0 2 * * *', 1800),
    (gen_random_uuid(), 'security_audit', '0 */6 * * *', 1800),
    (gen_random_uuid(), 'maintenance', '0 * * * *', 3000)
on conflict do nothing;

-- Organizations with calls since then.
create function operations.organizations_in_use(since timestamptz) returns setof uuid
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select o.id from identity.organizations o
    where o.deleted_at is null
        and exists (select from operations.usage_hourly u
            where u.organization_id = o.id and u.hour >= date_trunc('hour', since))
    order by o.id
$$;
alter function operations.organizations_in_use(timestamptz) owner to synaxis_definer;

-- What went along each route of an organization: calls of callers who let agents move routes (person, then their primary
-- group, else the key's, then organization: the first that says so), the offer that answered most of them, and how many callers do not.
-- A call that one standing in for a model answered went along that model's route.
create function operations.route_traffic(organization uuid, since timestamptz, until timestamptz)
    returns table (model_id uuid, offer_id uuid, is_stream boolean, longest bigint, unwanted bigint, requests bigint,
        input_tokens bigint, cached_tokens bigint, cache_write_tokens bigint, output_tokens bigint, reasoning_tokens bigint)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with calls as (
        select e.*, coalesce((
                select r.model_id from operations.routes r
                where r.organization_id = e.organization_id and r.offer_id = e.offer_id and r.deleted_at is null
                order by r.model_id <> e.model_id, r.model_id
                limit 1), e.model_id) as route_model,
            coalesce(m.auto_optimization, g.auto_optimization, s.auto_optimization, true) as is_wanted
        from operations.usage_entries e
        left join identity.organization_memberships m
            on m.organization_id = e.organization_id and m.user_id = e.user_id and m.deleted_at is null
        left join identity.groups g
            on g.organization_id = e.organization_id and g.id = coalesce(m.primary_group_id, e.group_id)
                and g.deleted_at is null
        left join identity.organization_settings s on s.organization_id = e.organization_id
        where e.organization_id = route_traffic.organization and e.at >= since and e.at < until
            and e.finish in ('complete', 'client_gone', 'upstream_cut') and e.model_id is not null
            and e.offer_id is not null
    )
    select c.route_model, mode() within group (order by c.offer_id), bool_or(c.is_stream),
        max(c.input_tokens + c.output_tokens), count(*) filter (where not c.is_wanted),
        count(*) filter (where c.is_wanted),
        coalesce(sum(c.input_tokens) filter (where c.is_wanted), 0)::bigint,
        coalesce(sum(c.cached_tokens) filter (where c.is_wanted), 0)::bigint,
        coalesce(sum(c.cache_write_tokens) filter (where c.is_wanted), 0)::bigint,
        coalesce(sum(c.output_tokens) filter (where c.is_wanted), 0)::bigint,
        coalesce(sum(c.reasoning_tokens) filter (where c.is_wanted), 0)::bigint
    from calls c
    group by c.route_model
    order by c.route_model
$$;
alter function operations.route_traffic(uuid, timestamptz, timestamptz) owner to synaxis_definer;

-- How tries at each offer ended, of one organization or (null) of everybody. What a provider permits no more, and what
-- was the caller's own fault, says nothing about the offer.
create function operations.tries_of_offers(organization uuid, since timestamptz, until timestamptz)
    returns table (offer_id uuid, succeeded bigint, failed bigint, limited bigint, refused bigint, missing bigint,
        p50_ms int, p95_ms int, last_success timestamptz, last_failure timestamptz)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select (a ->> 'offer_id')::uuid, count(*) filter (where a ->> 'outcome' = 'ok'),
        count(*) filter (where a ->> 'outcome' in ('connect', 'timeout', 'broken', 'garbage', 'server_error', 'redirect')),
        count(*) filter (where a ->> 'outcome' = 'rate_limited'),
        count(*) filter (where a ->> 'outcome' in ('unauthorized', 'unpaid')),
        count(*) filter (where a ->> 'outcome' = 'not_found'),
        percentile_disc(0.5) within group (order by e.first_byte_ms) filter (where a ->> 'outcome' = 'ok'),
        percentile_disc(0.95) within group (order by e.first_byte_ms) filter (where a ->> 'outcome' = 'ok'),
        max(e.at) filter (where a ->> 'outcome' = 'ok'), max(e.at) filter (where a ->> 'outcome' <> 'ok')
    from operations.usage_entries e
    cross join lateral jsonb_array_elements(e.attempts) a
    where e.at >= since and e.at < until
        and (tries_of_offers.organization is null or e.organization_id = tries_of_offers.organization)
    group by 1
$$;
alter function operations.tries_of_offers(uuid, timestamptz, timestamptz) owner to synaxis_definer;

alter table operations.offer_health
    -- How well it does, of 100.
    add column score smallint not null default 100 constraint offer_health_score_ck check (score between 0 and 100),
    add column success_percent smallint
        constraint offer_health_success_percent_ck check (success_percent between 0 and 100),
    add column p50_ms int constraint offer_health_p50_ms_ck check (p50_ms >= 0),
    add column p95_ms int constraint offer_health_p95_ms_ck check (p95_ms >= 0),
    add column consecutive_failures int not null default 0
        constraint offer_health_consecutive_failures_ck check (consecutive_failures >= 0),
    add column checked_at timestamptz;
call platform.open_platform_rows('operations.offer_health');

-- Discovery puts offers out of use and back in, and takes prices.
grant insert, update on platform.offers, platform.price_books, platform.offer_prices, platform.quarantined_prices
    to synaxis_agent;
grant select on platform.quarantined_prices to synaxis_agent;

-- Everything that weakens an organization or the platform and can be seen in the books, each with what tells it from
-- others of its kind.
create function audit.current_findings(moment timestamptz)
    returns table (organization_id uuid, kind text, severity text, fingerprint text, message text, target_kind text,
        target_id uuid, details jsonb)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with keys as (
        select k.* from operations.api_keys k
        join identity.organizations o on o.id = k.organization_id and o.deleted_at is null
        where k.deleted_at is null and k.revoked_at is null and (k.expires_at is null or k.expires_at > moment)
    ), tries as (
        select t.* from audit.sign_in_attempts t
        where t.at > moment - interval '24 hours' and t.at <= moment and t.outcome in ('wrong', 'locked')
    ), bursts as (
        select u.organization_id, u.api_key_id,
            sum(u.requests) filter (where u.hour = date_trunc('hour', moment) - interval '1 hour') as lately,
            coalesce(sum(u.requests) filter (where u.hour < date_trunc('hour', moment) - interval '1 hour'), 0)
                / (7 * 24) as usually
        from operations.usage_hourly u
        where u.hour >= date_trunc('hour', moment) - interval '7 days 1 hour' and u.hour < date_trunc('hour', moment)
        group by 1, 2
    )
    select k.organization_id, 'key_idle', 'medium', 'key_idle:' || k.id,
        format('the key "%s" was not used for 90 days', k.name), 'api_key', k.id,
        jsonb_build_object('last_used_at', k.last_used_at)
    from keys k
    where coalesce(k.last_used_at, k.created_at) < moment - interval '90 days'
    union all
    select k.organization_id, 'key_without_expiry', 'low', 'key_without_expiry:' || k.id,
        format('the key "%s" never expires', k.name), 'api_key', k.id, '{}'
    from keys k
    where k.expires_at is null
    union all
    select k.organization_id, 'key_without_limit', 'medium', 'key_without_limit:' || k.id,
        format('no limit holds for the key "%s"', k.name), 'api_key', k.id, '{}'
    from keys k
    where not exists (
        select from operations.limits l
        where l.organization_id = k.organization_id and l.deleted_at is null and l.mode = 'enforce'
            and case l.subject_kind
                when 'organization' then true
                when 'key' then l.api_key_id = coalesce(k.lineage_id, k.id)
                when 'user' then l.user_id = k.user_id
                when 'group' then l.group_id = k.group_id
                else false
            end)
    union all
    select null, 'sign_in_failures', 'high', 'sign_in_failures:account:' || encode(t.account_hash, 'hex'),
        format('%s sign-ins to one account failed within a day', count(*)), 'user', min(t.user_id::text)::uuid,
        jsonb_build_object('failures', count(*), 'addresses', count(distinct t.address))
    from tries t
    group by t.account_hash
    having count(*) >= 5
    union all
    select m.organization_id, 'sign_in_failures', 'high', 'sign_in_failures:user:' || t.user_id,
        format('%s sign-ins to one member''s account failed within a day', count(*)), 'user', t.user_id,
        jsonb_build_object('failures', count(*))
    from tries t
    join identity.organization_memberships m on m.user_id = t.user_id and m.deleted_at is null
    group by m.organization_id, t.user_id
    having count(*) >= 5
    union all
    select null, 'sign_in_failures', 'high', 'sign_in_failures:address:' || t.address,
        format('%s sign-ins from %s failed within a day', count(*), t.address), null, null,
        jsonb_build_object('failures', count(*), 'accounts', count(distinct t.account_hash))
    from tries t
    group by t.address
    having count(*) >= 5
    union all
    select b.organization_id, 'key_burst', 'high', 'key_burst:' || b.api_key_id,
        format('a key made %s calls within an hour, and %s usually', b.lately, round(b.usually, 1)), 'api_key',
        b.api_key_id, jsonb_build_object('lately', b.lately, 'usually', round(b.usually, 1))
    from bursts b
    where b.lately >= 1000 and b.lately > 3 * b.usually
    union all
    select m.organization_id, 'too_many_admins', 'medium', 'too_many_admins',
        format('%s people may change everything', count(*)), 'organization', m.organization_id,
        jsonb_build_object('admins', count(*))
    from identity.organization_memberships m
    join identity.organizations o on o.id = m.organization_id and o.deleted_at is null
    where m.deleted_at is null and m.role in ('owner', 'admin')
    group by m.organization_id
    having count(*) > 5
    union all
    select m.organization_id, 'member_without_second_factor', 'high', 'member_without_second_factor:' || m.user_id,
        'a member signs in without a second factor, where one is required', 'user', m.user_id, '{}'
    from identity.organization_memberships m
    join identity.organization_settings s on s.organization_id = m.organization_id and s.mfa_required
    join identity.organizations o on o.id = m.organization_id and o.deleted_at is null
    join identity.users u on u.id = m.user_id and u.deleted_at is null
    where m.deleted_at is null
        and not exists (select from identity.mfa_factors f
            where f.user_id = m.user_id and f.confirmed_at is not null and f.deleted_at is null)
    union all
    select null, 'table_unprotected', 'critical', 'table_unprotected:' || c.oid::regclass,
        format('the table %s shows its rows to every tenant', c.oid::regclass), null, null, '{}'
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped
    where n.nspname in ('platform', 'identity', 'operations', 'audit') and c.relkind in ('r', 'p')
        and not (c.relrowsecurity and c.relforcerowsecurity)
$$;
alter function audit.current_findings(timestamptz) owner to synaxis_definer;

-- Who has findings that are still there; null is the platform.
create function audit.owners_of_findings() returns table (organization_id uuid)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select distinct f.organization_id from audit.security_findings f where f.resolved_at is null and f.deleted_at is null
$$;
alter function audit.owners_of_findings() owner to synaxis_definer;

grant execute on function operations.organizations_in_use(timestamptz),
    operations.route_traffic(uuid, timestamptz, timestamptz), operations.tries_of_offers(uuid, timestamptz, timestamptz),
    audit.current_findings(timestamptz), audit.owners_of_findings() to synaxis_agent;

reset role;
