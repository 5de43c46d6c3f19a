-- Fills an empty installation with synthetic calls, through the tables that real ones go through.
-- Variables: organization and owner (ids that exist), calls, days.

create schema soak;

-- Everything has one catalog: a free and two paid offers of each of 40 models, priced by four books in turn.
insert into platform.providers (id, name, dialect, base_url)
select gen_random_uuid(), 'provider-' || n, 'openai', 'https://provider-' || n || '.example' from generate_series(1, 12) n;
insert into platform.models (id, name) select gen_random_uuid(), 'model-' || n from generate_series(1, 40) n;
insert into platform.offers (id, provider_id, model_id, upstream_name, tier)
select gen_random_uuid(), p.id, m.id, m.name || '-' || kind, case kind when 0 then 'free' else 'paid' end
from platform.models m
cross join generate_series(0, 2) kind
join platform.providers p on p.name = 'provider-' || 1 + ((hashtext(m.name) & 1023) + kind * 5) % 12;
insert into platform.price_books (id, version, content_hash)
select gen_random_uuid(), lpad(to_hex(n), 16, '0'), sha256(n::text::bytea) from generate_series(1, 4) n;
insert into platform.offer_prices (id, offer_id, price_book_id, input, output, valid_from, valid_to)
select gen_random_uuid(), o.id, b.id, 50000000::bigint * (1 + (hashtext(o.upstream_name || b.version) & 63)),
    200000000::bigint * (1 + (hashtext(b.version || o.upstream_name) & 63)), now() - interval '100 days',
    case when b.version = lpad('4', 16, '0') then null else now() - interval '1 day' end
from platform.offers o cross join platform.price_books b;

-- Each model's offers with every book, and the cheapest paid offer they are measured against.
create table soak.lines as
select row_number() over (order by m.name, o.upstream_name, b.version) as n, m.id as model_id, m.name, o.provider_id, o.id as offer_id,
    o.tier, b.version, p.input, p.output, c.offer_id as alternative_offer_id, c.input as alternative_input,
    c.output as alternative_output
from platform.models m
join platform.offers o on o.model_id = m.id
cross join platform.price_books b
join platform.offer_prices p on p.offer_id = o.id and p.price_book_id = b.id
cross join lateral (
    select q.offer_id, q.input, q.output
    from platform.offers a
    join platform.offer_prices q on q.offer_id = a.id and q.price_book_id = b.id
    where a.model_id = m.id and a.tier = 'paid'
    order by q.input + q.output, q.offer_id
    limit 1) c;

-- Two hundred organizations: the first makes two calls in five, the others share the rest, ever less. Of the first
-- one's five thousand keys 150 are busy, and the others are used about once in nine days.
create table soak.organizations as
select n, case n when 1 then :'organization'::uuid else gen_random_uuid() end as id,
    case n when 1 then 0.4 else 0.6 / n / (select sum(1.0 / i) from generate_series(2, 200) i) end as share,
    case n when 1 then 5000 else greatest(2, 60 / n) end as keys, case n when 1 then 150 else greatest(2, 60 / n) end as busy
from generate_series(1, 200) n;
insert into identity.organizations (id, slug, legal_name, display_name)
select id, 'tenant-' || n, 'Tenant ' || n, 'Tenant ' || n from soak.organizations where n > 1;
create table soak.groups as
select gen_random_uuid() as id, o.id as organization_id, g from soak.organizations o cross join generate_series(0, 19) g;
insert into identity.groups (id, organization_id, slug, name) select id, organization_id, 'team-' || g, 'Team ' || g from soak.groups;
create table soak.people as
select case when o.n = 1 and u = 0 then :'owner'::uuid else gen_random_uuid() end as id, o.id as organization_id, o.n, u
from soak.organizations o cross join lateral generate_series(0, o.keys - 1) u;
insert into identity.users (id, email, display_name)
select id, 'person-' || n || '-' || u || '@soak.example', 'Person ' || u from soak.people where id <> :'owner';
insert into identity.organization_memberships (id, organization_id, user_id, role)
select gen_random_uuid(), organization_id, id, 'member' from soak.people where id <> :'owner';
create table soak.keys as
select row_number() over (order by o.n, k) as n, gen_random_uuid() as id, o.id as organization_id,
    case when k < o.busy then o.share / o.busy else 0 end as share, o.n as tenant, k,
    g.id as group_id, case when k % 4 > 0 then u.id end as user_id
from soak.organizations o
cross join lateral generate_series(0, o.keys - 1) k
join soak.groups g on g.organization_id = o.id and g.g = k % 20
join soak.people u on u.organization_id = o.id and u.u = k;
insert into operations.api_keys (id, organization_id, name, public_id, secret_hash, group_id, user_id)
select id, organization_id, 'key ' || k, substr(md5(id::text), 1, 16), sha256(id::text::bytea), group_id, user_id from soak.keys;

-- A call draws one of a million slots: busy keys have many, quiet ones have one.
create table soak.slots as
select row_number() over () - 1 as slot, k.n
from soak.keys k
cross join lateral generate_series(1, greatest(1, round(1000000 * k.share * 2 * (k.k % 10 + 1) / 11)::int));
create unique index on soak.slots (slot);
create unique index on soak.keys (n);
create unique index on soak.lines (n);
analyze soak.slots, soak.keys, soak.lines;

-- The calls of one day, as `operations.ingest` would have booked them.
create procedure soak.book_day(day timestamptz, calls int) language plpgsql as $$
declare
    slots int := (select count(*) from soak.slots);
begin
    perform operations.ensure_usage_partition(day);
    with drawn as materialized (
        select (random() * (slots - 1))::int as slot, (power(random(), 2) * 3)::int as model, (power(random(), 2) * 2)::int as kind,
            extract(epoch from day)::bigint * 1000 + (random() * 86399999)::bigint as ms,
            (random() * 20000)::bigint as input, (random() * 2000)::bigint as output, random() as luck, random() as finder,
            md5(random()::text) as chance
        from generate_series(1, calls)
        -- As they come in: calls of one time lie together.
        order by ms
    )
    insert into operations.usage_entries (request_id, at, organization_id, group_id, user_id, api_key_id, client_request_id,
        tags, requested_model, model_id, offer_id, provider_id, status, finish, is_estimated, is_stream, input_tokens,
        cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, price_book,
        first_byte_ms, duration_ms, attempts, alternative_offer_id, alternative_price_book)
    select i.id, operations.moment_of(i.id), k.organization_id, k.group_id, k.user_id, k.id,
        case when d.finder < 0.1 then 'mine-' || (d.finder * 1e7)::int end,
        null, l.name, l.model_id, l.offer_id, l.provider_id,
        case when d.luck < 0.98 then 200 else 502 end, case when d.luck < 0.98 then 'complete' else 'upstream_cut' end,
        d.luck > 0.99, d.luck < 0.4, d.input, 0, 0, d.output, 0, c.cost,
        greatest(0, (d.input * l.alternative_input + d.output * l.alternative_output + 999999) / 1000000 - c.cost),
        l.version, 150, 1000 + d.output,
        jsonb_build_array(jsonb_build_object('offer_id', l.offer_id, 'provider', 'p', 'outcome', 'ok', 'status', 200, 'ms', 900,
            'cost_nano_usd', 0)),
        l.alternative_offer_id, l.version
    from drawn d
    join soak.slots s on s.slot = d.slot
    join soak.keys k on k.n = s.n
    -- A key uses a handful of models.
    join soak.lines l on l.n = 1 + (k.n * 7 + d.model) % 40 * 12 + d.kind * 4 + extract(day from day)::int % 4
    cross join lateral (select (lpad(to_hex(d.ms), 12, '0') || '7' || substr(d.chance, 1, 3) || '8' || substr(d.chance, 4, 15))::uuid) i (id)
    cross join lateral (
        select case l.tier when 'free' then 0 else (d.input * l.input + d.output * l.output + 999999) / 1000000 end) c (cost);
    insert into operations.usage_hourly
    select organization_id, date_trunc('hour', at, 'UTC'), api_key_id, group_id, user_id, model_id, offer_id, provider_id,
        count(*), count(*) filter (where status >= 400 or status = 0), count(*) filter (where is_estimated),
        count(*) filter (where is_stream), sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens), sum(output_tokens),
        sum(reasoning_tokens), sum(cost_nano_usd), sum(saved_nano_usd), sum(duration_ms), sum(first_byte_ms), count(first_byte_ms)
    from operations.usage_entries
    where at >= day and at < day + interval '1 day'
    group by 1, 2, 3, 4, 5, 6, 7, 8
    order by 2;
    perform operations.fold_usage(10000000);
end
$$;

create procedure soak.book(calls int, days int) language plpgsql as $$
begin
    for ago in reverse days..1 loop
        call soak.book_day(date_trunc('day', now(), 'UTC') - ago * interval '1 day', calls / days);
        commit;
    end loop;
end
$$;
call soak.book(:calls, :days);
vacuum analyze;
