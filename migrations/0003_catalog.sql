-- Why: what can be bought and what is free: providers, models, offers, prices that are never overwritten,
-- allowances, sealed credentials, and the names callers use. A row whose organization_id is null belongs to
-- the platform and serves everybody; any other row exists for its own organization only.

set local role synaxis_owner;

-- The platform's rows are read by every service, an organization's own by that organization alone.
create procedure platform.protect_shared_table(shared_table regclass) language plpgsql as $$
begin
    call platform.protect_tenant_table(shared_table);
    execute format('create policy shared on %s for select using (organization_id is null)', shared_table);
end
$$;

-- Refuses a row whose parent belongs to another organization: a foreign key alone looks past row security.
-- Arguments: the parent's table, the column that names the parent, and `same` when the parent must have the
-- very same owner, `usable` when it may also be the platform's.
create function platform.check_owner() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    parent_id uuid := (to_jsonb(new) ->> tg_argv[1])::uuid;
    parent_organization uuid;
begin
    if parent_id is null then
        return new;
    end if;
    execute format('select organization_id from %s where id = $1', tg_argv[0]::regclass)
        into parent_organization using parent_id;
    if parent_organization is not distinct from new.organization_id
        or (tg_argv[2] = 'usable' and parent_organization is null) then
        return new;
    end if;
    raise foreign_key_violation using
        message = format('%s names a row of another organization', tg_argv[1]),
        constraint = tg_table_name || '_owner_ck', table = tg_table_name, schema = tg_table_schema;
end
$$;
alter function platform.check_owner() owner to synaxis_definer;
grant execute on function platform.check_owner() to synaxis_owner;

-- One announcement per transaction, however many statements it has: an import has thousands. Argument: the kind.
create function platform.announce_transaction() returns trigger language plpgsql as $$
declare
    setting text := 'synaxis.announced_' || tg_argv[0];
    this_transaction text := pg_current_xact_id()::text;
begin
    if current_setting(setting, true) is distinct from this_transaction then
        perform platform.announce(tg_argv[0], null);
        perform set_config(setting, this_transaction, true);
    end if;
    return null;
end
$$;
grant execute on function platform.announce_transaction() to synaxis_admin, synaxis_agent, synaxis_definer;

create table platform.providers (
    id uuid constraint providers_pk primary key,
    organization_id uuid constraint providers_organization_fk references identity.organizations (id),
    name text not null constraint providers_name_ck check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    dialect text not null constraint providers_dialect_ck check (dialect in ('openai', 'anthropic')),
    base_url text not null constraint providers_base_url_ck check (base_url ~ '^https?://' and length(base_url) <= 2000),
    quirks jsonb not null default '{}' constraint providers_quirks_ck check (jsonb_typeof(quirks) = 'object'),
    deadlines jsonb not null default '{}' constraint providers_deadlines_ck check (jsonb_typeof(deadlines) = 'object'),
    trains_on_data boolean not null default false,
    is_enabled boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index providers_name_uq on platform.providers (organization_id, name) nulls not distinct
    where deleted_at is null;

create table platform.models (
    id uuid constraint models_pk primary key,
    organization_id uuid constraint models_organization_fk references identity.organizations (id),
    name text not null constraint models_name_ck check (name ~ '^[^[:space:][:cntrl:]]{1,200}$'),
    owned_by text not null default 'synaxis' constraint models_owned_by_ck check (length(owned_by) between 1 and 100),
    context_window bigint constraint models_context_window_ck check (context_window between 1 and 1000000000),
    max_output bigint constraint models_max_output_ck check (max_output between 1 and 1000000000),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index models_name_uq on platform.models (organization_id, name) nulls not distinct
    where deleted_at is null;

create table platform.offers (
    id uuid constraint offers_pk primary key,
    organization_id uuid constraint offers_organization_fk references identity.organizations (id),
    provider_id uuid not null constraint offers_provider_fk references platform.providers (id),
    model_id uuid not null constraint offers_model_fk references platform.models (id),
    upstream_name text not null
        constraint offers_upstream_name_ck check (upstream_name ~ '^[^[:space:][:cntrl:]]{1,200}$'),
    tier text not null constraint offers_tier_ck check (tier in ('free', 'paid')),
    -- Null: nobody stated them, so the offer is tried for everything.
    abilities text[] constraint offers_abilities_ck check (
        abilities <@ array['chat', 'completions', 'embeddings', 'responses', 'streaming', 'tools', 'vision',
                           'json_schema', 'audio', 'other']),
    -- Null: as the model's.
    context_window bigint constraint offers_context_window_ck check (context_window between 1 and 1000000000),
    max_output bigint constraint offers_max_output_ck check (max_output between 1 and 1000000000),
    preference integer not null default 0,
    is_enabled boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index offers_upstream_name_uq
    on platform.offers (organization_id, provider_id, upstream_name, tier) nulls not distinct
    where deleted_at is null;
create index offers_by_provider on platform.offers (provider_id);
create index offers_by_model on platform.offers (model_id);

-- A version of the prices, named by what it says: the same prices are the same book, whoever imports them.
create table platform.price_books (
    id uuid constraint price_books_pk primary key,
    organization_id uuid constraint price_books_organization_fk references identity.organizations (id),
    version text not null constraint price_books_version_ck check (version ~ '^[0-9a-f]{16}$'),
    content_hash bytea not null constraint price_books_content_hash_ck check (length(content_hash) = 32),
    source text not null default '',
    created_at timestamptz not null default now()
);
create unique index price_books_content_hash_uq on platform.price_books (organization_id, content_hash)
    nulls not distinct;

-- What an offer cost, and when: a price is closed and followed, never changed, so that an entry can be priced again.
-- Nano-dollars per million tokens unless the column says otherwise.
create table platform.offer_prices (
    id uuid constraint offer_prices_pk primary key,
    organization_id uuid constraint offer_prices_organization_fk references identity.organizations (id),
    offer_id uuid not null constraint offer_prices_offer_fk references platform.offers (id),
    price_book_id uuid not null constraint offer_prices_price_book_fk references platform.price_books (id),
    input bigint not null,
    cached_input bigint,
    cache_write bigint,
    output bigint not null,
    reasoning bigint,
    per_request bigint not null default 0,
    valid_from timestamptz not null default now(),
    valid_to timestamptz,
    created_at timestamptz not null default now(),
    -- A million dollars per million tokens is a slip of the pen, and more would overflow a sum.
    constraint offer_prices_amounts_ck check (
        least(input, cached_input, cache_write, output, reasoning, per_request) >= 0
        and greatest(input, cached_input, cache_write, output, reasoning, per_request) <= 1000000000000000),
    constraint offer_prices_validity_ck check (valid_to >= valid_from)
);
create unique index offer_prices_open_uq on platform.offer_prices (offer_id) where valid_to is null;
create index offer_prices_by_offer on platform.offer_prices (offer_id, valid_from);
create index offer_prices_by_price_book on platform.offer_prices (price_book_id);
create index offer_prices_by_organization on platform.offer_prices (organization_id) where organization_id is not null;

-- What a provider gives. Of one offer, or (offer_id null) of all the provider's free offers.
create table platform.provider_allowances (
    id uuid constraint provider_allowances_pk primary key,
    organization_id uuid constraint provider_allowances_organization_fk references identity.organizations (id),
    provider_id uuid not null constraint provider_allowances_provider_fk references platform.providers (id),
    offer_id uuid constraint provider_allowances_offer_fk references platform.offers (id),
    meter text not null constraint provider_allowances_meter_ck check (meter in ('requests', 'tokens')),
    amount bigint not null constraint provider_allowances_amount_ck check (amount between 0 and 9007199254740991),
    time_window text not null
        constraint provider_allowances_time_window_ck check (time_window in ('minute', 'hour', 'day', 'month')),
    zone text not null default 'UTC',
    -- One count for all models of a credential, rather than one for each offer.
    is_shared boolean not null default false,
    origin text not null default 'published'
        constraint provider_allowances_origin_ck check (origin in ('published', 'learned')),
    source text not null default '',
    stated_on date,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index provider_allowances_uq
    on platform.provider_allowances (organization_id, provider_id, offer_id, meter, time_window) nulls not distinct
    where deleted_at is null;
create index provider_allowances_by_provider on platform.provider_allowances (provider_id);
create index provider_allowances_by_offer on platform.provider_allowances (offer_id);

-- Sealed keys: XChaCha20-Poly1305 under a key of their own, which is wrapped by the sealing key `sealing_key_id`
-- names. Both are bound to this row, its owner and the origin (scheme, host, port) of the provider's base_url: moved
-- to another row, or sent to another host, they do not open.
create table platform.provider_credentials (
    id uuid constraint provider_credentials_pk primary key,
    organization_id uuid constraint provider_credentials_organization_fk references identity.organizations (id),
    provider_id uuid not null constraint provider_credentials_provider_fk references platform.providers (id),
    name text not null default 'default'
        constraint provider_credentials_name_ck check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    -- Lower is tried first.
    position integer not null default 0,
    sealing_key_id text not null
        constraint provider_credentials_sealing_key_id_ck check (sealing_key_id ~ '^[0-9a-f]{16}$'),
    sealed_key bytea not null,
    sealed_secret bytea not null,
    is_enabled boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index provider_credentials_name_uq
    on platform.provider_credentials (organization_id, provider_id, name) nulls not distinct
    where deleted_at is null;
create index provider_credentials_by_provider on platform.provider_credentials (provider_id);
create index provider_credentials_by_sealing_key on platform.provider_credentials (sealing_key_id);

create table platform.model_aliases (
    id uuid constraint model_aliases_pk primary key,
    organization_id uuid constraint model_aliases_organization_fk references identity.organizations (id),
    name text not null constraint model_aliases_name_ck check (name ~ '^[^[:space:][:cntrl:]]{1,200}$'),
    is_enabled boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index model_aliases_name_uq on platform.model_aliases (organization_id, name) nulls not distinct
    where deleted_at is null;

-- The models an alias stands for, in the order they are tried.
create table platform.alias_targets (
    alias_id uuid not null constraint alias_targets_alias_fk references platform.model_aliases (id),
    position integer not null constraint alias_targets_position_ck check (position >= 0),
    organization_id uuid constraint alias_targets_organization_fk references identity.organizations (id),
    model_id uuid not null constraint alias_targets_model_fk references platform.models (id),
    created_at timestamptz not null default now(),
    constraint alias_targets_pk primary key (alias_id, position),
    constraint alias_targets_model_uq unique (alias_id, model_id)
);
create index alias_targets_by_model on platform.alias_targets (model_id);
create index alias_targets_by_organization on platform.alias_targets (organization_id) where organization_id is not null;

do $$
declare
    name text;
begin
    foreach name in array array[
        'providers', 'models', 'offers', 'price_books', 'offer_prices', 'provider_allowances', 'model_aliases',
        'alias_targets'] loop
        call platform.protect_shared_table(('platform.' || name)::regclass);
    end loop;
    -- Not even the names of the platform's keys are anybody's business.
    call platform.protect_tenant_table('platform.provider_credentials');

    foreach name in array array[
        'providers', 'models', 'offers', 'provider_allowances', 'provider_credentials', 'model_aliases'] loop
        call platform.keep_updated_at(('platform.' || name)::regclass);
    end loop;

    foreach name in array array[
        'providers', 'models', 'offers', 'offer_prices', 'provider_allowances', 'provider_credentials',
        'model_aliases', 'alias_targets'] loop
        execute format(
            'create trigger announce after insert or update or delete on platform.%I '
            'for each statement execute function platform.announce_transaction(''catalog'')', name);
    end loop;
end
$$;

create trigger check_provider before insert or update on platform.offers
    for each row execute function platform.check_owner('platform.providers', 'provider_id', 'usable');
create trigger check_model before insert or update on platform.offers
    for each row execute function platform.check_owner('platform.models', 'model_id', 'usable');
create trigger check_offer before insert or update on platform.offer_prices
    for each row execute function platform.check_owner('platform.offers', 'offer_id', 'same');
create trigger check_price_book before insert or update on platform.offer_prices
    for each row execute function platform.check_owner('platform.price_books', 'price_book_id', 'same');
create trigger check_provider before insert or update on platform.provider_allowances
    for each row execute function platform.check_owner('platform.providers', 'provider_id', 'usable');
create trigger check_offer before insert or update on platform.provider_allowances
    for each row execute function platform.check_owner('platform.offers', 'offer_id', 'same');
create trigger check_provider before insert or update on platform.provider_credentials
    for each row execute function platform.check_owner('platform.providers', 'provider_id', 'usable');
create trigger check_alias before insert or update on platform.alias_targets
    for each row execute function platform.check_owner('platform.model_aliases', 'alias_id', 'same');
create trigger check_model before insert or update on platform.alias_targets
    for each row execute function platform.check_owner('platform.models', 'model_id', 'usable');

grant select, insert, update on platform.providers, platform.models, platform.offers, platform.price_books,
    platform.offer_prices, platform.provider_allowances, platform.model_aliases to synaxis_admin;
grant select, insert, delete on platform.alias_targets to synaxis_admin;
-- The ciphertext goes in; only the definer's snapshot takes it out.
grant select (id, organization_id, provider_id, name, position, sealing_key_id, is_enabled, created_at, updated_at,
    deleted_at), insert, update on platform.provider_credentials to synaxis_admin;
grant select on platform.providers, platform.models, platform.offers, platform.price_books, platform.offer_prices,
    platform.provider_allowances, platform.model_aliases, platform.alias_targets to synaxis_agent;

-- Everything the data path reads of the catalog, at one instant, with the number of the last change it contains.
-- Rows that are deleted, or hang on a deleted one, are not in it; disabled ones are, marked, and the deleted offers
-- are counted, so that a reader can tell a catalog that was emptied by accident from one that was switched off.
create function platform.snapshot() returns jsonb
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object(
        'seq', (select coalesce(max(c.seq), 0) from platform.changes c),
        'retired_offers', (select count(*) from platform.offers o where o.deleted_at is not null),
        'providers', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'id', p.id, 'organization_id', p.organization_id, 'name', p.name, 'dialect', p.dialect,
                'base_url', p.base_url, 'quirks', p.quirks, 'deadlines', p.deadlines,
                'trains_on_data', p.trains_on_data, 'is_enabled', p.is_enabled) order by p.id), '[]')
            from platform.providers p
            where p.deleted_at is null),
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
            where n.deleted_at is null and n.is_enabled))
$$;
alter function platform.snapshot() owner to synaxis_definer;
grant execute on function platform.snapshot() to synaxis_proxy, synaxis_admin, synaxis_agent;

reset role;
