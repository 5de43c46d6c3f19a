-- Why: people change the catalog while it is in use: prices that begin later, prices that look wrong and wait, keys that
-- are tested, replaced and sealed anew, what an organization hides, which other model may stand in.

set local role synaxis_owner;

-- Whether this transaction works on the platform's own rows: it says so itself, and works for no organization.
create function platform.speaks_for_platform() returns boolean
    language sql stable
    return coalesce(current_setting('app.platform', true) = 'on', false) and platform.current_organization() is null;
grant execute on function platform.speaks_for_platform() to public;

-- Lets services that speak for the platform see and write the rows that belong to nobody else.
create procedure platform.open_platform_rows(shared_table regclass) language plpgsql as $$
begin
    execute format(
        'create policy platform on %s to synaxis_admin, synaxis_agent, synaxis_owner'
        ' using (organization_id is null and platform.speaks_for_platform())'
        ' with check (organization_id is null and platform.speaks_for_platform())',
        shared_table);
end
$$;

-- Where a figure was read, and when.
alter table platform.providers
    add column requires_key boolean not null default false,
    add column note text not null default '' constraint providers_note_ck check (char_length(note) <= 4000),
    add column source text not null default '' constraint providers_source_ck check (char_length(source) <= 1000),
    add column stated_on date;
alter table platform.models
    add column source text not null default '' constraint models_source_ck check (char_length(source) <= 1000),
    add column stated_on date;
alter table platform.offers
    add column source text not null default '' constraint offers_source_ck check (char_length(source) <= 1000),
    add column stated_on date;
alter table platform.offer_prices
    add column source text not null default '' constraint offer_prices_source_ck check (char_length(source) <= 1000),
    add column stated_on date;

-- The lists the API serves: one owner's rows by id, which is the order they were made in.
create index providers_by_owner on platform.providers (organization_id, id) where deleted_at is null;
create index models_by_owner on platform.models (organization_id, id) where deleted_at is null;
create index offers_by_owner on platform.offers (organization_id, id) where deleted_at is null;
create index provider_allowances_by_owner on platform.provider_allowances (organization_id, id) where deleted_at is null;
create index provider_credentials_by_owner on platform.provider_credentials (organization_id, id)
    where deleted_at is null;
create index model_aliases_by_owner on platform.model_aliases (organization_id, id) where deleted_at is null;
create index price_books_by_owner on platform.price_books (organization_id, id);
-- The next moment at which a price begins or ends.
create index offer_prices_by_start on platform.offer_prices (valid_from);
create index offer_prices_by_end on platform.offer_prices (valid_to) where valid_to is not null;

-- A key that is being replaced lies beside the one in use; what was found when a key was last tried stands with it.
alter table platform.provider_credentials
    add column pending_sealing_key_id text
        constraint provider_credentials_pending_key_id_ck check (pending_sealing_key_id ~ '^[0-9a-f]{16}$'),
    add column pending_sealed_key bytea,
    add column pending_sealed_secret bytea,
    add column pending_since timestamptz,
    add column rotated_at timestamptz,
    add column tested_at timestamptz,
    add column test_outcome text constraint provider_credentials_test_outcome_ck
        check (test_outcome in ('works', 'refused', 'unreachable', 'unclear')),
    add column test_status int constraint provider_credentials_test_status_ck check (test_status between 100 and 599),
    add column test_detail text constraint provider_credentials_test_detail_ck check (char_length(test_detail) <= 500),
    add constraint provider_credentials_pending_ck check (
        num_nonnulls(pending_sealing_key_id, pending_sealed_key, pending_sealed_secret, pending_since) in (0, 4));
create index provider_credentials_by_pending_key on platform.provider_credentials (pending_sealing_key_id)
    where pending_sealing_key_id is not null;

-- The keys that seal, by their fingerprints: nothing of a key itself is here.
create table platform.sealing_keys (
    id text constraint sealing_keys_pk primary key constraint sealing_keys_id_ck check (id ~ '^[0-9a-f]{16}$'),
    version int generated always as identity constraint sealing_keys_version_uq unique,
    created_at timestamptz not null default now(),
    -- Nothing is sealed with it any more, and nothing will be.
    retired_at timestamptz
);

-- Refuses what is sealed with a key that was retired: a sidecar with an old configuration must not bring it back.
create function platform.check_sealing_key() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if exists (
        select from platform.sealing_keys k
        where k.retired_at is not null and k.id = (to_jsonb(new) ->> tg_argv[0])) then
        raise check_violation using
            message = 'sealed with a key that was retired', constraint = 'sealing_keys_retired_ck',
            table = tg_table_name, schema = tg_table_schema;
    end if;
    return new;
end
$$;
alter function platform.check_sealing_key() owner to synaxis_definer;
grant execute on function platform.check_sealing_key() to synaxis_owner;
create trigger check_sealing_key before insert or update of sealing_key_id on platform.provider_credentials
    for each row execute function platform.check_sealing_key('sealing_key_id');
create trigger check_pending_sealing_key before insert or update of pending_sealing_key_id on platform.provider_credentials
    for each row execute function platform.check_sealing_key('pending_sealing_key_id');

create trigger check_sealing_key before insert or update of sealing_key_id on identity.identity_providers
    for each row execute function platform.check_sealing_key('sealing_key_id');
create trigger check_sealing_key before insert or update of sealing_key_id on identity.mfa_factors
    for each row execute function platform.check_sealing_key('sealing_key_id');
create trigger check_sealing_key before insert or update of sealing_key_id on platform.signing_keys
    for each row execute function platform.check_sealing_key('sealing_key_id');

-- Prices that look wrong and wait for somebody's word; the one in force stays in force. Amounts as they were stated,
-- negative ones too.
create table platform.quarantined_prices (
    id uuid constraint quarantined_prices_pk primary key,
    organization_id uuid constraint quarantined_prices_organization_fk references identity.organizations (id),
    offer_id uuid not null constraint quarantined_prices_offer_fk references platform.offers (id),
    price_book_id uuid not null constraint quarantined_prices_price_book_fk references platform.price_books (id),
    reason text not null constraint quarantined_prices_reason_ck check (reason in ('jump', 'zero', 'negative')),
    input bigint not null,
    cached_input bigint,
    cache_write bigint,
    output bigint not null,
    reasoning bigint,
    per_request bigint not null default 0,
    source text not null default '',
    stated_on date,
    -- When it was to begin; null is at once.
    valid_from timestamptz,
    status text not null default 'held'
        constraint quarantined_prices_status_ck check (status in ('held', 'released', 'rejected')),
    decided_at timestamptz,
    decided_by uuid constraint quarantined_prices_decided_by_fk references identity.users (id),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint quarantined_prices_decided_ck check ((decided_at is null) = (status = 'held'))
);
-- One waits per offer: a later one takes its place.
create unique index quarantined_prices_held_uq on platform.quarantined_prices (offer_id) where status = 'held';
create index quarantined_prices_by_offer on platform.quarantined_prices (offer_id, id);
create index quarantined_prices_by_price_book on platform.quarantined_prices (price_book_id);
create index quarantined_prices_by_owner on platform.quarantined_prices (organization_id, id);
create index quarantined_prices_by_decided_by on platform.quarantined_prices (decided_by);

-- Which model may stand in for which. The platform's rows are proposals; an organization's own rows are what it accepts.
create table platform.model_substitutes (
    id uuid constraint model_substitutes_pk primary key,
    organization_id uuid constraint model_substitutes_organization_fk references identity.organizations (id),
    model_id uuid not null constraint model_substitutes_model_fk references platform.models (id),
    substitute_id uuid not null constraint model_substitutes_substitute_fk references platform.models (id),
    -- Lower is tried first.
    position integer not null default 0,
    note text not null default '' constraint model_substitutes_note_ck check (char_length(note) <= 1000),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint model_substitutes_other_ck check (model_id <> substitute_id)
);
create unique index model_substitutes_uq on platform.model_substitutes (organization_id, model_id, substitute_id)
    nulls not distinct where deleted_at is null;
create index model_substitutes_by_owner on platform.model_substitutes (organization_id, id) where deleted_at is null;
create index model_substitutes_by_model on platform.model_substitutes (model_id);
create index model_substitutes_by_substitute on platform.model_substitutes (substitute_id);

-- Which models an organization's members may use. A row without a model speaks of all that no other row names.
create table operations.organization_models (
    id uuid constraint organization_models_pk primary key,
    organization_id uuid not null constraint organization_models_organization_fk references identity.organizations (id),
    model_id uuid constraint organization_models_model_fk references platform.models (id),
    is_allowed boolean not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index organization_models_uq on operations.organization_models (organization_id, model_id)
    nulls not distinct where deleted_at is null;
create index organization_models_by_owner on operations.organization_models (organization_id, id)
    where deleted_at is null;
create index organization_models_by_model on operations.organization_models (model_id);
create index organization_providers_by_owner on operations.organization_providers (organization_id, id)
    where deleted_at is null;

call platform.protect_shared_table('platform.model_substitutes');
-- What an organization could not decide on is nobody else's business.
call platform.protect_tenant_table('platform.quarantined_prices');
call platform.protect_tenant_table('operations.organization_models');
call platform.keep_updated_at('platform.quarantined_prices');
call platform.keep_updated_at('platform.model_substitutes');
call platform.keep_updated_at('operations.organization_models');

do $$
declare
    name text;
begin
    foreach name in array array[
        'providers', 'models', 'offers', 'price_books', 'offer_prices', 'provider_allowances', 'provider_credentials',
        'model_aliases', 'alias_targets', 'model_substitutes', 'quarantined_prices'] loop
        call platform.open_platform_rows(('platform.' || name)::regclass);
    end loop;
end
$$;

create trigger announce after insert or update or delete on platform.model_substitutes
    for each statement execute function platform.announce_transaction('catalog');
create trigger announce after insert or update or delete on operations.organization_models
    for each statement execute function platform.announce_transaction('catalog');
-- Whether an organization may have providers of its own decides what is in the catalog.
create trigger announce_catalog after update of custom_providers_allowed on identity.organization_settings
    for each statement execute function platform.announce_transaction('catalog');

create trigger check_model before insert or update on platform.model_substitutes
    for each row execute function platform.check_owner('platform.models', 'model_id', 'usable');
create trigger check_substitute before insert or update on platform.model_substitutes
    for each row execute function platform.check_owner('platform.models', 'substitute_id', 'usable');
create trigger check_offer before insert or update on platform.quarantined_prices
    for each row execute function platform.check_owner('platform.offers', 'offer_id', 'same');
create trigger check_price_book before insert or update on platform.quarantined_prices
    for each row execute function platform.check_owner('platform.price_books', 'price_book_id', 'same');
create trigger check_model before insert or update on operations.organization_models
    for each row execute function platform.check_owner('platform.models', 'model_id', 'usable');

grant select, insert, update on platform.quarantined_prices, platform.model_substitutes,
    operations.organization_models to synaxis_admin;
grant select on platform.model_substitutes to synaxis_agent;
grant select on platform.sealing_keys to synaxis_admin;
grant select (pending_sealing_key_id, pending_since, rotated_at, tested_at, test_outcome, test_status, test_detail)
    on platform.provider_credentials to synaxis_admin;

-- One key as it is sealed, for whoever may change it.
create function platform.sealed_credential(wanted uuid)
    returns table (sealing_key_id text, sealed_key bytea, sealed_secret bytea,
        pending_sealing_key_id text, pending_sealed_key bytea, pending_sealed_secret bytea)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.sealing_key_id, k.sealed_key, k.sealed_secret, k.pending_sealing_key_id, k.pending_sealed_key,
        k.pending_sealed_secret
    from platform.provider_credentials k
    where k.id = wanted and k.deleted_at is null
        and (k.organization_id = platform.current_organization()
            or (k.organization_id is null and platform.speaks_for_platform()))
$$;
alter function platform.sealed_credential(uuid) owner to synaxis_definer;
grant execute on function platform.sealed_credential(uuid) to synaxis_admin;

-- Puts the key that waits in the place of the one in use; false when none waits.
create function platform.switch_credential(wanted uuid) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    update platform.provider_credentials k
    set sealing_key_id = k.pending_sealing_key_id, sealed_key = k.pending_sealed_key,
        sealed_secret = k.pending_sealed_secret, pending_sealing_key_id = null, pending_sealed_key = null,
        pending_sealed_secret = null, pending_since = null, rotated_at = now()
    where k.id = wanted and k.deleted_at is null and k.pending_sealing_key_id is not null
        and (k.organization_id = platform.current_organization()
            or (k.organization_id is null and platform.speaks_for_platform()));
    return found;
end
$$;
alter function platform.switch_credential(uuid) owner to synaxis_definer;
grant execute on function platform.switch_credential(uuid) to synaxis_admin;

-- Makes a sealing key known; false when it was retired.
create function platform.know_sealing_key(wanted text) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- Tried first: an insert that is not needed would still use up a version.
    if not exists (select from platform.sealing_keys k where k.id = wanted) then
        insert into platform.sealing_keys (id) values (wanted) on conflict do nothing;
    end if;
    return exists (select from platform.sealing_keys k where k.id = wanted and k.retired_at is null);
end
$$;
alter function platform.know_sealing_key(text) owner to synaxis_definer;
grant execute on function platform.know_sealing_key(text) to synaxis_admin;

-- Keys of providers that are not sealed with `current`; whoever asks at the same time gets others.
create function platform.credentials_to_rewrap(current_key text, batch int, after uuid)
    returns table (id uuid, organization_id uuid, base_url text, sealing_key_id text, sealed_key bytea,
        sealed_secret bytea, pending_sealing_key_id text, pending_sealed_key bytea, pending_sealed_secret bytea)
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select k.id, k.organization_id, p.base_url, k.sealing_key_id, k.sealed_key, k.sealed_secret,
        k.pending_sealing_key_id, k.pending_sealed_key, k.pending_sealed_secret
    from platform.provider_credentials k
    join platform.providers p on p.id = k.provider_id
    -- What was taken away was wiped: it holds nothing to seal. What went with its organization may come back.
    where (k.sealing_key_id <> current_key or k.pending_sealing_key_id <> current_key)
        and length(k.sealed_secret) > 0 and after < k.id
    order by k.id
    limit batch
    for update of k skip locked
$$;
alter function platform.credentials_to_rewrap(text, int, uuid) owner to synaxis_definer;
grant execute on function platform.credentials_to_rewrap(text, int, uuid) to synaxis_admin;

-- Puts a key back as it was sealed anew.
create function platform.rewrap_credential(wanted uuid, key_id text, key bytea, secret bytea,
        pending_key_id text, pending_key bytea, pending_secret bytea) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    update platform.provider_credentials k
    set sealing_key_id = key_id, sealed_key = key, sealed_secret = secret,
        pending_sealing_key_id = pending_key_id, pending_sealed_key = pending_key, pending_sealed_secret = pending_secret
    where k.id = wanted
$$;
alter function platform.rewrap_credential(uuid, text, bytea, bytea, text, bytea, bytea) owner to synaxis_definer;
grant execute on function platform.rewrap_credential(uuid, text, bytea, bytea, text, bytea, bytea) to synaxis_admin;

-- Puts a signing key back as it was sealed anew.
create function platform.rewrap_signing_key(wanted uuid, key_id text, key bytea, secret bytea) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    update platform.signing_keys s
    set sealing_key_id = key_id, sealed_key = key, sealed_secret = secret
    where s.id = wanted
$$;
alter function platform.rewrap_signing_key(uuid, text, bytea, bytea) owner to synaxis_definer;
grant execute on function platform.rewrap_signing_key(uuid, text, bytea, bytea) to synaxis_admin;

-- Whether anybody has a key for a provider; not whose.
create function platform.provider_has_keys(provider uuid) returns boolean
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from platform.provider_credentials k where k.provider_id = provider and k.deleted_at is null)
$$;
alter function platform.provider_has_keys(uuid) owner to synaxis_definer;
grant execute on function platform.provider_has_keys(uuid) to synaxis_admin;

-- How much each key seals, whoever's it is.
create function platform.sealing_key_uses() returns table (id text, uses bigint)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select u.id, sum(u.uses)::bigint
    from (
        select k.sealing_key_id as id, count(*) as uses from platform.provider_credentials k
        where length(k.sealed_secret) > 0 group by 1
        union all
        select k.pending_sealing_key_id, count(*) from platform.provider_credentials k
        where k.pending_sealing_key_id is not null group by 1
        union all
        select p.sealing_key_id, count(*) from identity.identity_providers p group by 1
        union all
        select f.sealing_key_id, count(*) from identity.mfa_factors f where f.deleted_at is null group by 1
        union all
        select s.sealing_key_id, count(*) from platform.signing_keys s
        where s.retires_at is null or now() < s.retires_at group by 1
    ) u
    group by u.id
$$;
alter function platform.sealing_key_uses() owner to synaxis_definer;
grant execute on function platform.sealing_key_uses() to synaxis_admin;

-- Retires every key but `current` that seals nothing any more; returns those it retired.
create function platform.retire_sealing_keys(current_key text) returns setof text
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    update platform.sealing_keys s set retired_at = now()
    where s.id <> current_key and s.retired_at is null
        and not exists (select from platform.sealing_key_uses() u where u.id = s.id)
    returning s.id
$$;
alter function platform.retire_sealing_keys(text) owner to synaxis_definer;
grant execute on function platform.retire_sealing_keys(text) to synaxis_admin;
grant execute on function platform.sealing_key_uses() to synaxis_definer;

-- Everything the data path reads of the catalog, at one instant, with the number of the last change it contains.
-- Rows that are deleted, or hang on a deleted one, are not in it; disabled ones are, marked, and the deleted offers
-- are counted, so that a reader can tell a catalog that was emptied by accident from one that was switched off.
create or replace function platform.snapshot() returns jsonb
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object(
        'seq', (select coalesce(max(c.seq), 0) from platform.changes c),
        -- When a price begins or ends next: what is said here holds until then.
        'changes_at_ms', (
            select (extract(epoch from min(edge)) * 1000)::bigint
            from (
                select min(f.valid_from) as edge from platform.offer_prices f where f.valid_from > now()
                union all
                select min(f.valid_to) from platform.offer_prices f where f.valid_to > now()) edges),
        'retired_offers', (select count(*) from platform.offers o where o.deleted_at is not null),
        'providers', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'id', p.id, 'organization_id', p.organization_id, 'name', p.name, 'dialect', p.dialect,
                'base_url', p.base_url, 'quirks', p.quirks, 'deadlines', p.deadlines,
                'trains_on_data', p.trains_on_data, 'requires_key', p.requires_key,
                'is_enabled', p.is_enabled) order by p.id), '[]')
            from platform.providers p
            -- Providers of an organization that may not have any are not there.
            left join identity.organization_settings s on s.organization_id = p.organization_id
            where p.deleted_at is null and (p.organization_id is null or s.custom_providers_allowed)),
        'credentials', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'id', k.id, 'organization_id', k.organization_id, 'provider_id', k.provider_id,
                'is_enabled', k.is_enabled, 'sealing_key_id', k.sealing_key_id, 'sealed_key', encode(k.sealed_key, 'hex'),
                'sealed_secret', encode(k.sealed_secret, 'hex')) order by k.position, k.id), '[]')
            from platform.provider_credentials k
            join platform.providers p on p.id = k.provider_id and p.deleted_at is null
            where k.deleted_at is null),
        'models', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'id', m.id, 'organization_id', m.organization_id, 'name', m.name, 'owned_by', m.owned_by,
                'context_window', m.context_window, 'max_output', m.max_output,
                'created_at_ms', (extract(epoch from m.created_at) * 1000)::bigint) order by m.id), '[]')
            from platform.models m
            where m.deleted_at is null),
        'offers', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'id', o.id, 'organization_id', o.organization_id, 'provider_id', o.provider_id,
                'model_id', o.model_id, 'upstream_name', o.upstream_name, 'tier', o.tier, 'abilities', o.abilities,
                'context_window', o.context_window, 'max_output', o.max_output, 'preference', o.preference,
                'is_enabled', o.is_enabled,
                'price', case when r.id is not null then jsonb_build_object(
                    'input', r.input, 'cached_input', r.cached_input, 'cache_write', r.cache_write,
                    'output', r.output, 'reasoning', r.reasoning, 'per_request', r.per_request) end,
                'price_book', b.version) order by o.id), '[]')
            from platform.offers o
            join platform.providers p on p.id = o.provider_id and p.deleted_at is null
            join platform.models m on m.id = o.model_id and m.deleted_at is null
            left join lateral (
                select f.* from platform.offer_prices f
                where f.offer_id = o.id and f.valid_from <= now() and (f.valid_to is null or f.valid_to > now())
                order by f.valid_from desc, f.id desc
                limit 1) r on true
            left join platform.price_books b on b.id = r.price_book_id
            where o.deleted_at is null),
        'allowances', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'id', a.id, 'organization_id', a.organization_id, 'provider_id', a.provider_id,
                'offer_id', a.offer_id, 'meter', a.meter, 'amount', a.amount, 'window', a.time_window,
                'zone', a.zone, 'is_shared', a.is_shared) order by a.id), '[]')
            from platform.provider_allowances a
            join platform.providers p on p.id = a.provider_id and p.deleted_at is null
            where a.deleted_at is null),
        'aliases', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'organization_id', n.organization_id, 'name', n.name,
                'models', (
                    select coalesce(jsonb_agg(t.model_id order by t.position), '[]')
                    from platform.alias_targets t
                    join platform.models m on m.id = t.model_id and m.deleted_at is null
                    where t.alias_id = n.id)) order by n.id), '[]')
            from platform.model_aliases n
            where n.deleted_at is null and n.is_enabled),
        'substitutes', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'organization_id', x.organization_id, 'model_id', x.model_id, 'substitute_id', x.substitute_id)
                order by x.position, x.id), '[]')
            from platform.model_substitutes x
            where x.deleted_at is null and x.organization_id is not null),
        'model_access', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'organization_id', v.organization_id, 'model_id', v.model_id, 'is_allowed', v.is_allowed) order by v.id), '[]')
            from operations.organization_models v
            where v.deleted_at is null),
        'provider_access', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'organization_id', w.organization_id, 'provider_id', w.provider_id, 'is_enabled', w.is_enabled,
                'allows_training', w.allows_training) order by w.id), '[]')
            from operations.organization_providers w
            where w.deleted_at is null))
$$;

reset role;
