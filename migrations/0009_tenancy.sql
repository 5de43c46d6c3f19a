-- Why: what organizations are run with: invitations, what the ranks permit, the one question every call of the sidecar
-- asks about a person, deletion that can be taken back whole, and keys that keep their limits when they are rotated.

set local role synaxis_owner;

alter table identity.organizations
    add column suspended_at timestamptz,
    add column suspended_reason text
        constraint organizations_suspended_reason_ck check (char_length(suspended_reason) <= 500);

-- Lists, newest or oldest first.
create index groups_by_creation on identity.groups (organization_id, created_at, id) where deleted_at is null;
create index organization_memberships_by_creation on identity.organization_memberships (organization_id, created_at, id)
    where deleted_at is null;
create index group_memberships_by_creation on identity.group_memberships (organization_id, group_id, created_at, id)
    where deleted_at is null;
create index roles_by_creation on identity.roles (organization_id, created_at, id) where deleted_at is null;
create index role_assignments_by_creation on identity.role_assignments (organization_id, created_at, id)
    where deleted_at is null;
create index api_keys_by_creation on operations.api_keys (organization_id, created_at, id) where deleted_at is null;
create index limits_by_creation on operations.limits (organization_id, created_at, id) where deleted_at is null;

-- Who was asked to join, by mail. The token that mail carries is kept as a hash.
create table identity.invitations (
    id uuid constraint invitations_pk primary key,
    organization_id uuid not null constraint invitations_organization_fk references identity.organizations (id),
    email text not null constraint invitations_email_ck check (char_length(email) <= 320 and email ~ '^[^@\s]+@[^@\s]+$'),
    role text not null constraint invitations_role_ck check (role in ('owner', 'admin', 'member', 'guest')),
    group_id uuid,
    token_hash bytea not null constraint invitations_token_hash_ck check (length(token_hash) = 32),
    invited_by uuid constraint invitations_invited_by_fk references identity.users (id),
    expires_at timestamptz not null,
    sent_at timestamptz,
    accepted_at timestamptz,
    accepted_by uuid constraint invitations_accepted_by_fk references identity.users (id),
    declined_at timestamptz,
    cancelled_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint invitations_token_hash_uq unique (token_hash),
    constraint invitations_end_ck check (num_nonnulls(accepted_at, declined_at, cancelled_at) <= 1),
    constraint invitations_accepted_ck check ((accepted_at is null) = (accepted_by is null)),
    constraint invitations_group_fk foreign key (organization_id, group_id) references identity.groups (organization_id, id)
);
create unique index invitations_open_uq on identity.invitations (organization_id, lower(email))
    where accepted_at is null and declined_at is null and cancelled_at is null and deleted_at is null;
create index invitations_by_creation on identity.invitations (organization_id, created_at, id) where deleted_at is null;
create index invitations_by_email on identity.invitations (lower(email)) where deleted_at is null;
create index invitations_by_group on identity.invitations (organization_id, group_id) where group_id is not null;
create index invitations_by_invited_by on identity.invitations (invited_by);
create index invitations_by_accepted_by on identity.invitations (accepted_by);
call platform.protect_tenant_table('identity.invitations');
call platform.keep_updated_at('identity.invitations');
grant select (id, organization_id, email, role, group_id, invited_by, expires_at, sent_at, accepted_at, accepted_by,
        declined_at, cancelled_at, created_at, updated_at, deleted_at),
    insert,
    update (token_hash, expires_at, sent_at, accepted_at, accepted_by, declined_at, cancelled_at)
    on identity.invitations to synaxis_admin;

-- Whose open invitation this token is; nothing for a token that was never given, or whose organization is gone.
create function identity.invitation_by_token(wanted bytea)
    returns table (id uuid, organization_id uuid, organization_name text, email text, role text, group_id uuid,
        invited_by uuid, expires_at timestamptz, is_open boolean, account uuid)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select i.id, i.organization_id, o.display_name, i.email, i.role, i.group_id, i.invited_by, i.expires_at,
        i.accepted_at is null and i.declined_at is null and i.cancelled_at is null, u.id
    from identity.invitations i
    join identity.organizations o on o.id = i.organization_id and o.deleted_at is null
    left join identity.users u on lower(u.email) = lower(i.email) and u.deleted_at is null
    where i.token_hash = wanted and i.deleted_at is null
$$;
alter function identity.invitation_by_token(bytea) owner to synaxis_definer;
grant execute on function identity.invitation_by_token(bytea) to synaxis_admin;

-- The open invitations to a person's own address, once they have shown that it is theirs.
create function identity.invitations_of(person uuid)
    returns table (id uuid, organization_id uuid, organization_name text, email text, role text, group_id uuid,
        invited_by uuid, expires_at timestamptz, created_at timestamptz)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select i.id, i.organization_id, o.display_name, i.email, i.role, i.group_id, i.invited_by, i.expires_at, i.created_at
    from identity.users u
    join identity.invitations i on lower(i.email) = lower(u.email) and i.deleted_at is null
        and i.accepted_at is null and i.declined_at is null and i.cancelled_at is null
    join identity.organizations o on o.id = i.organization_id and o.deleted_at is null
    where u.id = person and u.deleted_at is null and u.email_verified_at is not null and i.expires_at > now()
    order by i.created_at desc, i.id desc
    limit 200
$$;
alter function identity.invitations_of(uuid) owner to synaxis_definer;
grant execute on function identity.invitations_of(uuid) to synaxis_admin;

-- No more members or groups than the settings allow. The settings' row is locked, so that two joining at once are
-- counted one after the other. An organization that is being brought back takes back whoever it had.
create function identity.keep_within_bounds() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    bound record;
    counted bigint;
begin
    for bound in
        select s.organization_id, case tg_argv[0] when 'users' then s.max_users else s.max_groups end as most
        from identity.organization_settings s
        join identity.organizations o on o.id = s.organization_id and o.deleted_at is null
        where s.organization_id in (select c.organization_id from changed c where c.deleted_at is null)
        order by s.organization_id
        for no key update of s
    loop
        continue when bound.most is null;
        if tg_argv[0] = 'users' then
            select count(*) into counted from identity.organization_memberships m
            where m.organization_id = bound.organization_id and m.deleted_at is null;
        else
            select count(*) into counted from identity.groups g
            where g.organization_id = bound.organization_id and g.deleted_at is null;
        end if;
        if bound.most < counted then
            raise exception 'the organization is full' using errcode = 'check_violation',
                constraint = 'organization_settings_' || tg_argv[0] || '_bound';
        end if;
    end loop;
    return null;
end
$$;
alter function identity.keep_within_bounds() owner to synaxis_definer;
create trigger keep_within_bounds after insert on identity.organization_memberships
    referencing new table as changed for each statement execute function identity.keep_within_bounds('users');
create trigger keep_within_bounds_again after update on identity.organization_memberships
    referencing new table as changed for each statement execute function identity.keep_within_bounds('users');
create trigger keep_within_bounds after insert on identity.groups
    referencing new table as changed for each statement execute function identity.keep_within_bounds('groups');
create trigger keep_within_bounds_again after update on identity.groups
    referencing new table as changed for each statement execute function identity.keep_within_bounds('groups');

-- What the four ranks permit: a system role of the same name each.
alter table identity.roles no force row level security;
alter table identity.role_permissions no force row level security;
insert into identity.roles (id, name, description) values
    ('019aa0f0-0000-7000-8000-000000000001', 'owner', 'Everything'),
    ('019aa0f0-0000-7000-8000-000000000002', 'admin', 'Everything but deleting the organization'),
    ('019aa0f0-0000-7000-8000-000000000003', 'member', 'Their own keys, and seeing what they work with'),
    ('019aa0f0-0000-7000-8000-000000000004', 'guest', 'Looking');
insert into identity.role_permissions (role_id, permission)
select r.id, unnest(p.permissions)
from (values
    ('owner', array[
        'organization:read', 'organization:write', 'organization:delete', 'members:read', 'members:write',
        'groups:read', 'groups:write', 'roles:read', 'roles:write', 'keys:read', 'keys:write', 'keys:all',
        'limits:read', 'limits:write', 'catalog:read', 'catalog:write', 'credentials:write', 'routing:read',
        'routing:write', 'usage:read', 'requests:read', 'audit:read', 'security:read', 'agents:read', 'agents:write',
        'alerts:read', 'alerts:write', 'events:read']),
    ('admin', array[
        'organization:read', 'organization:write', 'members:read', 'members:write', 'groups:read', 'groups:write',
        'roles:read', 'roles:write', 'keys:read', 'keys:write', 'keys:all', 'limits:read', 'limits:write',
        'catalog:read', 'catalog:write', 'credentials:write', 'routing:read', 'routing:write', 'usage:read',
        'requests:read', 'audit:read', 'security:read', 'agents:read', 'agents:write', 'alerts:read', 'alerts:write',
        'events:read']),
    ('member', array[
        'organization:read', 'members:read', 'groups:read', 'roles:read', 'keys:read', 'keys:write', 'limits:read',
        'catalog:read', 'routing:read']),
    ('guest', array[
        'organization:read', 'groups:read', 'catalog:read'])) p (role, permissions)
join identity.roles r on r.organization_id is null and r.name = p.role;
alter table identity.roles force row level security;
alter table identity.role_permissions force row level security;

-- How a person stands, asked once per call: whether they may act at all, and what they may do in an organization, and
-- with `team` in one of its groups. No row: there is no such person. A rank of null: they are no member.
create function identity.person_standing(person uuid, organization uuid default null, team uuid default null)
    returns table (status text, token_version int, is_platform_admin boolean, organization_status text, rank text,
        permissions text[])
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select u.status, u.token_version, u.is_platform_admin, o.status, m.role,
        array(
            select distinct p.permission
            from identity.role_permissions p
            where p.role_id in (
                select r.id from identity.roles r
                where r.organization_id is null and r.name = m.role and r.deleted_at is null
                union all
                select r.id
                from identity.role_assignments a
                join identity.roles r on r.id = a.role_id and r.deleted_at is null
                where a.organization_id = m.organization_id and a.user_id = m.user_id and a.deleted_at is null
                    and (a.group_id is null or a.group_id = team))
            order by 1)
    from identity.users u
    left join identity.organizations o on o.id = organization and o.deleted_at is null
    left join identity.organization_memberships m
        on m.organization_id = o.id and m.user_id = u.id and m.deleted_at is null
    where u.id = person and u.deleted_at is null;
end
$$;
alter function identity.person_standing(uuid, uuid, uuid) owner to synaxis_definer;
grant execute on function identity.person_standing(uuid, uuid, uuid) to synaxis_admin;

-- The organizations a person is a member of; with `gone`, those they owned when they were deleted.
create function identity.organizations_of(person uuid, gone boolean, after_at timestamptz, after_id uuid,
        is_descending boolean, batch bigint)
    returns table (id uuid, slug text, display_name text, status text, plan_tier text, rank text, created_at timestamptz,
        updated_at timestamptz, deleted_at timestamptz)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select o.id, o.slug, o.display_name, o.status, o.plan_tier, m.role, o.created_at, o.updated_at, o.deleted_at
    from identity.organization_memberships m
    join identity.organizations o on o.id = m.organization_id
    where m.user_id = person
        and case when gone then m.role = 'owner' and m.deleted_at = o.deleted_at
            else m.deleted_at is null and o.deleted_at is null end
        and (after_id is null
            or case when is_descending then (o.created_at, o.id) < (after_at, after_id)
                else (o.created_at, o.id) > (after_at, after_id) end)
    order by
        case when is_descending then o.created_at end desc, case when is_descending then o.id end desc,
        o.created_at, o.id
    limit batch
$$;
alter function identity.organizations_of(uuid, boolean, timestamptz, uuid, boolean, bigint) owner to synaxis_definer;
grant execute on function identity.organizations_of(uuid, boolean, timestamptz, uuid, boolean, bigint) to synaxis_admin;

-- Every organization whose names or slug contain `search`; the sidecar asks for its platform role before it calls this.
create function identity.find_organizations(search text, wanted text, after_at timestamptz, after_id uuid,
        is_descending boolean, batch bigint)
    returns table (id uuid, slug text, legal_name text, display_name text, status text, suspended_at timestamptz,
        suspended_reason text, plan_tier text, max_users int, max_groups int, members bigint, keys bigint,
        created_at timestamptz, updated_at timestamptz, deleted_at timestamptz)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select o.id, o.slug, o.legal_name, o.display_name, o.status, o.suspended_at, o.suspended_reason, o.plan_tier,
        s.max_users, s.max_groups,
        (select count(*) from identity.organization_memberships m where m.organization_id = o.id and m.deleted_at is null),
        (select count(*) from operations.api_keys k
            where k.organization_id = o.id and k.deleted_at is null and k.revoked_at is null),
        o.created_at, o.updated_at, o.deleted_at
    from identity.organizations o
    left join identity.organization_settings s on s.organization_id = o.id
    where case when wanted = 'deleted' then o.deleted_at is not null
            else o.deleted_at is null and (wanted is null or o.status = wanted) end
        and (search is null
            or strpos(lower(o.display_name), lower(search)) > 0 or strpos(lower(o.legal_name), lower(search)) > 0
            or strpos(o.slug, lower(search)) > 0 or o.id::text = lower(search))
        and (after_id is null
            or case when is_descending then (o.created_at, o.id) < (after_at, after_id)
                else (o.created_at, o.id) > (after_at, after_id) end)
    order by
        case when is_descending then o.created_at end desc, case when is_descending then o.id end desc,
        o.created_at, o.id
    limit batch
$$;
alter function identity.find_organizations(text, text, timestamptz, uuid, boolean, bigint) owner to synaxis_definer;
grant execute on function identity.find_organizations(text, text, timestamptz, uuid, boolean, bigint) to synaxis_admin;

-- The tables whose rows go and come with their organization.
create function identity.tables_of_organizations() returns setof regclass
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select c.oid::regclass
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('platform', 'identity', 'operations', 'audit')
    where c.relkind in ('r', 'p') and not c.relispartition
        and 2 = (select count(*) from pg_attribute a
            where a.attrelid = c.oid and not a.attisdropped and a.attname in ('organization_id', 'deleted_at'))
    order by c.oid::regclass::text
$$;
grant execute on function identity.tables_of_organizations() to synaxis_definer;

-- Deletes the organization of this transaction and all that belongs to it, as of one moment that nothing else has.
-- Answers that moment; null when there is nothing to delete.
create function identity.delete_organization() returns timestamptz
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    organization uuid := platform.current_organization();
    moment timestamptz := clock_timestamp();
    owned regclass;
begin
    update identity.organizations o set deleted_at = moment where o.id = organization and o.deleted_at is null;
    if not found then
        return null;
    end if;
    for owned in select t from identity.tables_of_organizations() t loop
        execute format('update %s set deleted_at = $1 where organization_id = $2 and deleted_at is null', owned)
            using moment, organization;
    end loop;
    return moment;
end
$$;
alter function identity.delete_organization() owner to synaxis_definer;
grant execute on function identity.delete_organization() to synaxis_admin;

-- Brings back what the organization of this transaction lost when it was deleted, and nothing that was deleted before.
-- Answers whether there was anything to bring back.
create function identity.restore_organization() returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    organization uuid := platform.current_organization();
    moment timestamptz;
    owned regclass;
begin
    select o.deleted_at into moment from identity.organizations o
    where o.id = organization and o.deleted_at is not null for update;
    if not found then
        return false;
    end if;
    for owned in select t from identity.tables_of_organizations() t loop
        execute format('update %s set deleted_at = null where organization_id = $2 and deleted_at = $1', owned)
            using moment, organization;
    end loop;
    if not exists (
        select from identity.organization_memberships m join identity.users u on u.id = m.user_id and u.deleted_at is null
        where m.organization_id = organization and m.role = 'owner' and m.deleted_at is null
    ) and exists (
        select from identity.organization_memberships m where m.organization_id = organization and m.deleted_at is null
    ) then
        raise exception 'nobody is left to own it' using errcode = 'check_violation',
            constraint = 'organization_memberships_one_owner';
    end if;
    update identity.organizations o set deleted_at = null where o.id = organization;
    return true;
end
$$;
alter function identity.restore_organization() owner to synaxis_definer;
grant execute on function identity.restore_organization() to synaxis_admin;

-- The first key of a chain of rotations; null: the key is its own. Limits hang on it, so that whoever takes over
-- goes on where the key before it stood, and both share them while both work.
alter table operations.api_keys
    add column lineage_id uuid,
    add constraint api_keys_lineage_fk foreign key (organization_id, lineage_id)
        references operations.api_keys (organization_id, id);
create index api_keys_by_lineage on operations.api_keys (organization_id, lineage_id);
grant select (lineage_id) on operations.api_keys to synaxis_admin;

-- Being used is no change of a key: it must not move its version.
drop trigger keep_updated_at on operations.api_keys;
create trigger keep_updated_at
    before update of name, scopes, group_id, user_id, allowed_models, allowed_cidrs, expires_at, revoked_at, revoked_by,
        revoked_reason, secret_hash, deleted_at
    on operations.api_keys for each row execute function platform.touch_updated_at();

-- The limits that hold for a key of an organization, or for a member or group of it, for its own people to see.
create function operations.limits_holding(organization uuid, api_key uuid, person uuid, team uuid) returns jsonb
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select case when organization = platform.current_organization()
        then operations.limits_of_key(organization, api_key, person, team) else '[]' end
$$;
alter function operations.limits_holding(uuid, uuid, uuid, uuid) owner to synaxis_definer;
grant execute on function operations.limits_holding(uuid, uuid, uuid, uuid) to synaxis_admin;

create or replace function operations.announce_limit() returns trigger language plpgsql as $$
declare
    changed operations.limits := coalesce(new, old);
begin
    case changed.subject_kind
        when 'organization' then perform platform.announce('organization', changed.organization_id);
        when 'group' then perform platform.announce('group', changed.group_id);
        when 'user' then perform platform.announce('user', changed.user_id);
        when 'key', 'key_model' then
            perform platform.announce('api_key', k.id)
            from operations.api_keys k
            where k.organization_id = changed.organization_id
                and (k.id = changed.api_key_id or k.lineage_id = changed.api_key_id);
        when 'credential' then perform platform.announce('catalog', null);
    end case;
    return null;
end
$$;

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
            'limits', operations.limits_of_key(k.organization_id, coalesce(k.lineage_id, k.id), k.user_id, g.id),
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

-- What was spent under each of some limits, for a ledger that lost its counters or never had them.
--
-- `limits`: [{"id", "subject": {"kind", "id"}, "meter", "from", "to"}], subject and meter as `quota::Limit` writes
-- them, `from` and `to` in milliseconds since 1970; a `to` within the last minute or ahead means until now.
-- Answers [{"id", "spent"}] in their order. A tenant's subject counts the organization's own rows only. Entries do
-- not know their credential: all calls of its provider (of the offer) count, everybody's unless the credential is
-- an organization's own. That may be too much, never too little. A key's limit counts what its whole lineage used.
create or replace function operations.spent(organization uuid, limits jsonb) returns jsonb
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    answer jsonb := '[]';
    asked jsonb;
    ids jsonb;
    whose text;
    per_hour text;
    per_entry text;
    owner uuid;
    lineage uuid[];
    provider uuid;
    begins timestamptz;
    ends timestamptz;
    first_hour timestamptz;
    last_hour timestamptz;
    lower timestamptz;
    upper timestamptz;
    spent numeric;
    more numeric;
begin
    for asked in select l.value from jsonb_array_elements(limits) l loop
        ids := asked -> 'subject' -> 'id';
        ids := case jsonb_typeof(ids) when 'array' then ids else jsonb_build_array(ids) end;
        owner := case when asked -> 'subject' ->> 'kind' not in ('credential', 'credential_offer') then organization end;
        provider := null;
        if owner is null and ids ->> 0 is not null then
            select c.organization_id, c.provider_id into owner, provider
            from (
                select k.id, k.organization_id, k.provider_id from platform.provider_credentials k
                union all
                select k.id, k.organization_id, k.provider_id from operations.organization_credentials k
            ) c
            where c.id = (ids ->> 0)::uuid;
        end if;
        -- A key that is gone still spent what it spent.
        lineage := (ids ->> 0)::uuid || array(
            select k.id from operations.api_keys k
            where k.organization_id = organization and k.lineage_id = (ids ->> 0)::uuid);
        whose := case asked -> 'subject' ->> 'kind'
            when 'organization' then 'organization_id = $1'
            when 'group' then 'organization_id = $1 and group_id = $2'
            when 'user' then 'organization_id = $1 and user_id = $2'
            when 'key' then 'organization_id = $1 and api_key_id = any ($7)'
            when 'key_model' then 'organization_id = $1 and api_key_id = any ($7) and model_id = $3'
            when 'credential' then '($1 is null or organization_id = $1) and provider_id = $4'
            when 'credential_offer' then '($1 is null or organization_id = $1) and offer_id = $3'
        end;
        per_hour := case asked ->> 'meter'
            when 'requests' then 'requests'
            when 'input_tokens' then 'input_tokens'
            when 'output_tokens' then 'output_tokens'
            when 'total_tokens' then 'input_tokens + output_tokens'
            when 'nano_usd' then 'cost_nano_usd'
            when 'concurrent' then '0'
        end;
        per_entry := case asked ->> 'meter' when 'requests' then '1' else per_hour end;
        if whose is null or per_hour is null then
            raise exception 'the books cannot answer for %', asked using errcode = 'invalid_parameter_value';
        end if;

        begins := to_timestamp((asked ->> 'from')::float8 / 1000);
        ends := to_timestamp((asked ->> 'to')::float8 / 1000);
        ends := case when ends > now() - interval '1 minute' then 'infinity' else ends end;
        -- Whole hours come from the roll-up, what sticks out on either side from the entries.
        first_hour := date_trunc('hour', begins + interval '1 hour' - interval '1 microsecond', 'UTC');
        last_hour := greatest(first_hour, date_trunc('hour', ends, 'UTC'));
        execute format('select sum(%s) from operations.usage_hourly where %s and hour >= $5 and hour < $6', per_hour, whose)
            into spent using owner, (ids ->> 0)::uuid, (ids ->> 1)::uuid, provider, first_hour, last_hour, lineage;
        -- The ids are bounded too: where no index leads to the subject, the primary key leads to the hour.
        for lower, upper in values (begins, least(first_hour, ends)), (last_hour, ends) loop
            continue when lower >= upper;
            -- The ids are bounded too: where no index leads to the subject, the primary key leads to the time.
            execute format('select sum(%s) from operations.usage_entries where %s'
                ' and at >= $5 and at < $6 and request_id >= operations.first_id_at($5)', per_entry, whose)
                into more using owner, (ids ->> 0)::uuid, (ids ->> 1)::uuid, provider, lower, upper, lineage;
            spent := coalesce(spent, 0) + coalesce(more, 0);
        end loop;
        answer := answer || jsonb_build_object('id', asked -> 'id', 'spent', coalesce(spent, 0));
    end loop;
    return answer;
end
$$;

-- When keys were last used, to the minute, once per batch of the books. A key that somebody else is writing is passed
-- over: its next call tells.
create function operations.note_key_use() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    with used as (
        select f.api_key_id, max(f.at) as at from fresh f group by f.api_key_id
    ), stale as (
        select k.id, u.at
        from used u
        join operations.api_keys k on k.id = u.api_key_id
        where k.last_used_at is null or k.last_used_at < u.at - interval '1 minute'
        order by k.id
        for no key update of k skip locked
    )
    update operations.api_keys k set last_used_at = s.at from stale s where k.id = s.id;
    return null;
end
$$;
alter function operations.note_key_use() owner to synaxis_definer;
create trigger note_key_use after insert on operations.usage_entries
    referencing new table as fresh for each statement execute function operations.note_key_use();

reset role;
