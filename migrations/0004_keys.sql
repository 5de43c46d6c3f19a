-- Why: what callers send and what they are permitted: keys, limits, an organization's own way to its providers,
-- and the one question the data path asks of all of it: what does this key grant?

set local role synaxis_owner;

create table operations.api_keys (
    id uuid constraint api_keys_pk primary key,
    organization_id uuid not null constraint api_keys_organization_fk references identity.organizations (id),
    name text not null constraint api_keys_name_ck check (char_length(name) between 1 and 200),
    -- What stands between `synaxis_build_` and the secret: shown everywhere, opens nothing.
    public_id text not null constraint api_keys_public_id_ck check (public_id ~ '^[0-9A-Za-z]{16}$'),
    -- SHA-256 of the 43 secret characters; 256 random bits need no slower hash.
    secret_hash bytea not null constraint api_keys_secret_hash_ck check (length(secret_hash) = 32),
    scopes text[] not null default '{}',
    group_id uuid,
    user_id uuid,
    -- Null allows all.
    allowed_models text[] constraint api_keys_allowed_models_ck check (cardinality(allowed_models) between 1 and 1000),
    allowed_cidrs cidr[] constraint api_keys_allowed_cidrs_ck check (cardinality(allowed_cidrs) between 1 and 1000),
    expires_at timestamptz,
    revoked_at timestamptz,
    -- Null although revoked: an operator did it.
    revoked_by uuid constraint api_keys_revoked_by_fk references identity.users (id),
    revoked_reason text constraint api_keys_revoked_reason_ck check (char_length(revoked_reason) <= 500),
    last_used_at timestamptz,
    -- The key this one took over from; that one's expires_at is the end of the grace period.
    rotated_from uuid,
    created_by uuid constraint api_keys_created_by_fk references identity.users (id),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint api_keys_public_id_uq unique (public_id),
    constraint api_keys_of_organization_uq unique (organization_id, id),
    constraint api_keys_group_fk foreign key (organization_id, group_id) references identity.groups (organization_id, id),
    constraint api_keys_user_fk
        foreign key (organization_id, user_id) references identity.organization_memberships (organization_id, user_id),
    constraint api_keys_rotated_from_fk
        foreign key (organization_id, rotated_from) references operations.api_keys (organization_id, id)
);
create index api_keys_by_group on operations.api_keys (organization_id, group_id);
create index api_keys_by_user on operations.api_keys (organization_id, user_id);
create index api_keys_by_rotated_from on operations.api_keys (organization_id, rotated_from);
create index api_keys_by_revoked_by on operations.api_keys (revoked_by);
create index api_keys_by_created_by on operations.api_keys (created_by);

-- Which of the platform's providers an organization uses, and how; no row means as the platform says.
create table operations.organization_providers (
    id uuid constraint organization_providers_pk primary key,
    organization_id uuid not null
        constraint organization_providers_organization_fk references identity.organizations (id),
    provider_id uuid not null constraint organization_providers_provider_fk references platform.providers (id),
    is_enabled boolean not null default true,
    -- Null: as the organization's data policy.
    allows_training boolean,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index organization_providers_uq on operations.organization_providers (organization_id, provider_id)
    where deleted_at is null;
create index organization_providers_by_provider on operations.organization_providers (provider_id);

-- An organization's own keys at providers, sealed as platform.provider_credentials are.
create table operations.organization_credentials (
    id uuid constraint organization_credentials_pk primary key,
    organization_id uuid not null
        constraint organization_credentials_organization_fk references identity.organizations (id),
    provider_id uuid not null constraint organization_credentials_provider_fk references platform.providers (id),
    name text not null default 'default'
        constraint organization_credentials_name_ck check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    -- Lower is tried first.
    position integer not null default 0,
    sealing_key_id text not null
        constraint organization_credentials_sealing_key_id_ck check (sealing_key_id ~ '^[0-9a-f]{16}$'),
    sealed_key bytea not null,
    sealed_secret bytea not null,
    is_enabled boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index organization_credentials_name_uq
    on operations.organization_credentials (organization_id, provider_id, name) where deleted_at is null;
create index organization_credentials_by_provider on operations.organization_credentials (provider_id);
create index organization_credentials_by_sealing_key on operations.organization_credentials (sealing_key_id);

-- The one truth about what somebody is permitted.
create table operations.limits (
    id uuid constraint limits_pk primary key,
    organization_id uuid not null constraint limits_organization_fk references identity.organizations (id),
    subject_kind text not null constraint limits_subject_kind_ck
        check (subject_kind in ('organization', 'group', 'user', 'key', 'key_model', 'credential')),
    group_id uuid,
    user_id uuid,
    api_key_id uuid,
    model_id uuid constraint limits_model_fk references platform.models (id),
    credential_id uuid constraint limits_credential_fk references platform.provider_credentials (id),
    meter text not null constraint limits_meter_ck
        check (meter in ('requests', 'input_tokens', 'output_tokens', 'total_tokens', 'nano_usd', 'concurrent')),
    time_window text not null constraint limits_time_window_ck
        check (time_window in ('minute', 'hour', 'day', 'month', 'instant')),
    -- Calls, tokens or nano-dollars; what Redis can count exactly.
    amount bigint not null constraint limits_amount_ck check (amount between 0 and 9007199254740991),
    enforcement text not null constraint limits_enforcement_ck check (enforcement in ('hard', 'soft')),
    mode text not null default 'enforce' constraint limits_mode_ck check (mode in ('enforce', 'shadow')),
    -- Where its day begins.
    zone text not null default 'UTC' constraint limits_zone_ck check (char_length(zone) between 1 and 64),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint limits_subject_ck check (
        (group_id is not null) = (subject_kind = 'group')
        and (user_id is not null) = (subject_kind = 'user')
        and (api_key_id is not null) = (subject_kind in ('key', 'key_model'))
        and (model_id is not null) = (subject_kind = 'key_model')
        and (credential_id is not null) = (subject_kind = 'credential')),
    constraint limits_instant_ck check ((meter = 'concurrent') = (time_window = 'instant')),
    constraint limits_group_fk foreign key (organization_id, group_id) references identity.groups (organization_id, id),
    constraint limits_user_fk
        foreign key (organization_id, user_id) references identity.organization_memberships (organization_id, user_id),
    constraint limits_api_key_fk
        foreign key (organization_id, api_key_id) references operations.api_keys (organization_id, id)
);
create unique index limits_uq on operations.limits
    (organization_id, subject_kind, group_id, user_id, api_key_id, model_id, credential_id, meter, time_window)
    nulls not distinct where deleted_at is null;
create index limits_by_organization on operations.limits (organization_id) where subject_kind = 'organization';
create index limits_by_group on operations.limits (organization_id, group_id) where group_id is not null;
create index limits_by_user on operations.limits (organization_id, user_id) where user_id is not null;
create index limits_by_api_key on operations.limits (organization_id, api_key_id) where api_key_id is not null;
create index limits_by_model on operations.limits (model_id) where model_id is not null;
create index limits_by_credential on operations.limits (credential_id) where credential_id is not null;

-- What background work last knew of an offer, for people to see; the data path judges by what it sees itself.
create table operations.offer_health (
    id uuid constraint offer_health_pk primary key,
    organization_id uuid constraint offer_health_organization_fk references identity.organizations (id),
    offer_id uuid not null constraint offer_health_offer_fk references platform.offers (id),
    credential_id uuid constraint offer_health_credential_fk references platform.provider_credentials (id),
    state text not null constraint offer_health_state_ck check (state in ('healthy', 'degraded', 'out')),
    reason text not null default '' constraint offer_health_reason_ck check (char_length(reason) <= 500),
    out_until timestamptz,
    latency_ms int constraint offer_health_latency_ms_ck check (latency_ms >= 0),
    succeeded_at timestamptz,
    failed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create unique index offer_health_uq on operations.offer_health (organization_id, offer_id, credential_id) nulls not distinct;
create index offer_health_by_offer on operations.offer_health (offer_id);
create index offer_health_by_credential on operations.offer_health (credential_id);

call platform.keep_updated_at('operations.api_keys');
call platform.keep_updated_at('operations.organization_providers');
call platform.keep_updated_at('operations.organization_credentials');
call platform.keep_updated_at('operations.limits');
call platform.keep_updated_at('operations.offer_health');

call platform.protect_tenant_table('operations.api_keys');
call platform.protect_tenant_table('operations.organization_providers');
call platform.protect_tenant_table('operations.organization_credentials');
call platform.protect_tenant_table('operations.limits');
call platform.protect_shared_table('operations.offer_health');

create trigger check_provider before insert or update on operations.organization_providers
    for each row execute function platform.check_owner('platform.providers', 'provider_id', 'usable');
create trigger check_provider before insert or update on operations.organization_credentials
    for each row execute function platform.check_owner('platform.providers', 'provider_id', 'usable');
create trigger check_model before insert or update on operations.limits
    for each row execute function platform.check_owner('platform.models', 'model_id', 'usable');
create trigger check_credential before insert or update on operations.limits
    for each row execute function platform.check_owner('platform.provider_credentials', 'credential_id', 'same');
create trigger check_offer before insert or update on operations.offer_health
    for each row execute function platform.check_owner('platform.offers', 'offer_id', 'same');
create trigger check_credential before insert or update on operations.offer_health
    for each row execute function platform.check_owner('platform.provider_credentials', 'credential_id', 'usable');

-- Not when a key is merely used: that would make every proxy read it again.
create trigger announce after insert or delete or update of group_id, user_id, allowed_models, allowed_cidrs,
        expires_at, revoked_at, deleted_at, secret_hash, scopes on operations.api_keys
    for each row execute function platform.announce_row('api_key');
create trigger announce after insert or update or delete on operations.organization_providers
    for each statement execute function platform.announce_statement('catalog');
create trigger announce after insert or update or delete on operations.organization_credentials
    for each statement execute function platform.announce_statement('catalog');

-- A limit announces the one it limits, so that whoever holds the old one reads it again.
create function operations.announce_limit() returns trigger language plpgsql as $$
declare
    changed operations.limits := coalesce(new, old);
begin
    case changed.subject_kind
        when 'organization' then perform platform.announce('organization', changed.organization_id);
        when 'group' then perform platform.announce('group', changed.group_id);
        when 'user' then perform platform.announce('user', changed.user_id);
        when 'key' then perform platform.announce('api_key', changed.api_key_id);
        when 'key_model' then perform platform.announce('api_key', changed.api_key_id);
        when 'credential' then perform platform.announce('catalog', null);
    end case;
    return null;
end
$$;
grant execute on function operations.announce_limit() to synaxis_admin, synaxis_agent, synaxis_definer;
create trigger announce after insert or update or delete on operations.limits
    for each row execute function operations.announce_limit();

-- The secret's hash goes in; only the definer's look-up takes it out.
grant select (id, organization_id, name, public_id, scopes, group_id, user_id, allowed_models, allowed_cidrs, expires_at,
        revoked_at, revoked_by, revoked_reason, last_used_at, rotated_from, created_by, created_at, updated_at, deleted_at),
    insert,
    update (name, scopes, group_id, user_id, allowed_models, allowed_cidrs, expires_at, revoked_at, revoked_by,
        revoked_reason, deleted_at)
    on operations.api_keys to synaxis_admin;
grant select (id, organization_id, provider_id, name, position, sealing_key_id, is_enabled, created_at, updated_at,
        deleted_at), insert, update on operations.organization_credentials to synaxis_admin;
grant select, insert, update on operations.organization_providers to synaxis_admin;
-- A limit keeps its subject: another subject is another limit.
grant select, insert, update (amount, enforcement, mode, zone, deleted_at) on operations.limits to synaxis_admin;
grant select on operations.offer_health to synaxis_admin;
grant select, insert, update on operations.offer_health to synaxis_agent;

-- Every limit that holds for one key: the key's own first, then user, group, organization.
create function operations.limits_of_key(organization uuid, api_key uuid, person uuid, team uuid) returns jsonb
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with applying as (
        select l.*, 1 as place from operations.limits l
        where l.organization_id = organization and l.api_key_id = api_key and l.deleted_at is null
        union all
        select l.*, 2 from operations.limits l
        where l.organization_id = organization and l.user_id = person and l.deleted_at is null
        union all
        select l.*, 3 from operations.limits l
        where l.organization_id = organization and l.group_id = team and l.deleted_at is null
        union all
        select l.*, 4 from operations.limits l
        where l.organization_id = organization and l.subject_kind = 'organization' and l.deleted_at is null
    )
    select coalesce(jsonb_agg(jsonb_build_object(
        'id', a.id,
        'subject', jsonb_build_object('kind', a.subject_kind, 'id', case a.subject_kind
            when 'organization' then to_jsonb(a.organization_id)
            when 'group' then to_jsonb(a.group_id)
            when 'user' then to_jsonb(a.user_id)
            when 'key' then to_jsonb(a.api_key_id)
            else jsonb_build_array(a.api_key_id, a.model_id) end),
        'meter', a.meter, 'window', a.time_window, 'amount', a.amount, 'enforcement', a.enforcement, 'mode', a.mode,
        'zone', a.zone) order by a.place, a.id), '[]')
    from applying a
$$;
alter function operations.limits_of_key(uuid, uuid, uuid, uuid) owner to synaxis_definer;

-- What the key with this public id grants; null when there is none. In PL/pgSQL, whose plans outlive the call.
create function operations.grant_by_public_id(wanted text) returns jsonb
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
            'allowed_models', k.allowed_models,
            'allowed_cidrs', (select jsonb_agg(net::text) from unnest(k.allowed_cidrs) net),
            'limits', operations.limits_of_key(k.organization_id, k.id, k.user_id, g.id),
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
alter function operations.grant_by_public_id(text) owner to synaxis_definer;
grant execute on function operations.grant_by_public_id(text) to synaxis_proxy;

-- Whose key has this id or public id, for operators who hold a leaked key and nothing else; granted to no service.
create function operations.owner_of_key(wanted text) returns uuid
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.organization_id from operations.api_keys k
    where k.deleted_at is null and (k.public_id = wanted or k.id::text = lower(wanted))
$$;
alter function operations.owner_of_key(text) owner to synaxis_definer;

reset role;
