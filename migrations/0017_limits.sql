-- Why: limits of an organization's own provider keys hold on the data path, not only in lists; enforcement can be
-- switched off, for one organization or for everybody, and proxies know within a second; proxies know what an
-- organization wants while the counters cannot be asked.

set local role synaxis_owner;

alter table identity.organization_settings add column limits_enforced boolean not null default true;
grant update (limits_enforced) on identity.organization_settings to synaxis_admin;

-- What operators turn for the whole platform at once.
create table platform.switches (
    name text constraint switches_pk primary key constraint switches_name_ck check (name in ('limits')),
    is_on boolean not null,
    updated_at timestamptz not null default now()
);
insert into platform.switches (name, is_on) values ('limits', true);
call platform.keep_updated_at('platform.switches');
create trigger announce after insert or update or delete on platform.switches
    for each statement execute function platform.announce_statement('switch');
grant select, update (is_on) on platform.switches to synaxis_admin;

-- Says whether limits are enforced, for proxies, who read no table.
create function platform.limits_enforced() returns boolean
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce((select s.is_on from platform.switches s where s.name = 'limits'), true)
$$;
alter function platform.limits_enforced() owner to synaxis_definer;
grant execute on function platform.limits_enforced() to synaxis_proxy;

-- The limits of an organization's own provider keys: they hold for every caller whose call goes out with one.
create function operations.limits_of_credentials(organization uuid) returns jsonb
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(jsonb_agg(jsonb_build_object(
        'id', l.id,
        'subject', jsonb_build_object('kind', 'credential', 'id', l.credential_id),
        'meter', l.meter, 'window', l.time_window, 'amount', l.amount, 'enforcement', l.enforcement, 'mode', l.mode,
        'zone', l.zone) order by l.id), '[]')
    from operations.limits l
    where l.organization_id = organization and l.subject_kind = 'credential' and l.deleted_at is null
$$;
alter function operations.limits_of_credentials(uuid) owner to synaxis_definer;

-- They stand in the grant of every key of the organization.
create function operations.announce_credential_limit() returns trigger language plpgsql as $$
declare
    changed operations.limits := coalesce(new, old);
begin
    perform platform.announce('organization', changed.organization_id);
    return null;
end
$$;
grant execute on function operations.announce_credential_limit() to synaxis_admin, synaxis_definer;
create trigger announce_owner after insert or update on operations.limits
    for each row when (new.subject_kind = 'credential') execute function operations.announce_credential_limit();
create trigger announce_former_owner after delete on operations.limits
    for each row when (old.subject_kind = 'credential') execute function operations.announce_credential_limit();

-- What the key with this public id grants; null when there is none. In PL/pgSQL, whose plans outlive the call.
create or replace function operations.grant_by_public_id(wanted text) returns jsonb
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    return (
        select jsonb_build_object(
            'api_key_id', k.id,
            'public_id', k.public_id,
            'secret_hash', (
                select jsonb_agg(get_byte(k.secret_hash, place) order by place) from generate_series(0, 31) place),
            'organization_id', k.organization_id,
            'user_id', k.user_id,
            'group_id', g.id,
            'standing', case
                when k.revoked_at <= now() then 'revoked'
                -- A key does not outlive the person or the team it was made for.
                when k.user_id is not null and (m.deleted_at is not null or u.deleted_at is not null or u.status = 'suspended')
                    then 'revoked'
                when k.group_id is not null and g.id is null then 'revoked'
                when o.status <> 'active' then 'organization_suspended'
                else 'live' end,
            'expires_at_ms', (extract(epoch from k.expires_at) * 1000)::bigint,
            'scopes', k.scopes,
            'allowed_models', k.allowed_models,
            'allowed_cidrs', (select jsonb_agg(net::text) from unnest(k.allowed_cidrs) net),
            'limits', operations.limits_of_key(k.organization_id, coalesce(k.lineage_id, k.id), k.user_id, g.id)
                || operations.limits_of_credentials(k.organization_id),
            'limits_enforced', coalesce(s.limits_enforced, true),
            'shares_when_away', coalesce(s.degraded_mode = 'local_share', false),
            'default_max_output_tokens', coalesce(s.default_max_output_tokens, 4096),
            'body_limit_bytes', s.body_limit_bytes,
            'allows_training', coalesce(s.allows_training, false),
            'seq', (select coalesce(max(c.seq), 0) from platform.changes c))
        from operations.api_keys k
        join identity.organizations o on o.id = k.organization_id and o.deleted_at is null
        left join identity.organization_settings s on s.organization_id = k.organization_id
        left join identity.organization_memberships m on m.organization_id = k.organization_id and m.user_id = k.user_id
        left join identity.users u on u.id = k.user_id
        left join identity.groups g on g.organization_id = k.organization_id
            and g.id = coalesce(k.group_id, m.primary_group_id) and g.deleted_at is null
        where k.public_id = wanted and k.deleted_at is null);
end
$$;

reset role;
