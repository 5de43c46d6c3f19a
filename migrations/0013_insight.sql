-- Why: what people ask of the books: reports over ten million entries and lists of calls within a tenth of a second,
-- receipts that can be computed again, and which of our processes are alive.

set local role synaxis_owner;

-- With these a saving can be computed again: the paid offer a call was measured against, and the version of its price.
alter table operations.usage_entries
    add column alternative_offer_id uuid,
    add column alternative_price_book text;

-- Lists of calls: by model, by the caller's own id, and what did not go as it should.
create index usage_entries_by_model on operations.usage_entries (organization_id, model_id, at) where model_id is not null;
create index usage_entries_by_client_request on operations.usage_entries (organization_id, client_request_id, at)
    where client_request_id is not null;
create index usage_entries_by_trouble on operations.usage_entries (organization_id, at)
    where status >= 400 or status = 0 or is_estimated or finish <> 'complete';

-- Movements of the entries that the coarse roll-ups do not contain yet. A report adds them, so that it is true at any
-- moment; `fold_usage` empties the table every few seconds.
create table operations.usage_moves (
    id bigint generated always as identity constraint usage_moves_pk primary key,
    like operations.usage_hourly,
    price_book text,
    alternative_offer_id uuid,
    alternative_price_book text
);
create index usage_moves_by_organization on operations.usage_moves (organization_id);
call platform.protect_tenant_table('operations.usage_moves');

-- The hourly roll-up, per day (UTC).
create table operations.usage_daily (like operations.usage_hourly) with (fillfactor = 70);
alter table operations.usage_daily rename column hour to day;
alter table operations.usage_daily add constraint usage_daily_key unique nulls not distinct
    (organization_id, day, api_key_id, group_id, user_id, model_id, offer_id, provider_id);
create index usage_daily_by_api_key on operations.usage_daily (api_key_id, day);
create index usage_daily_by_group on operations.usage_daily (group_id, day) where group_id is not null;
create index usage_daily_by_user on operations.usage_daily (user_id, day) where user_id is not null;
create index usage_daily_by_model on operations.usage_daily (organization_id, model_id, day);
create index usage_daily_by_provider on operations.usage_daily (organization_id, provider_id, day);
create index usage_daily_by_offer on operations.usage_daily (organization_id, offer_id, day);
call platform.protect_tenant_table('operations.usage_daily');

-- One side of the same calls: what one value of one dimension came to in an hour or a day. Without an organization
-- it is everybody's.
create table operations.usage_totals (
    organization_id uuid,
    grain text not null constraint usage_totals_grain_ck check (grain in ('hour', 'day')),
    dimension text not null constraint usage_totals_dimension_ck
        check (dimension in ('total', 'organization', 'group', 'user', 'key', 'model', 'provider', 'offer')),
    at timestamptz not null,
    value uuid,
    requests bigint not null,
    failed_requests bigint not null,
    estimated_requests bigint not null,
    streamed_requests bigint not null,
    input_tokens bigint not null,
    cached_tokens bigint not null,
    cache_write_tokens bigint not null,
    output_tokens bigint not null,
    reasoning_tokens bigint not null,
    cost_nano_usd bigint not null,
    saved_nano_usd bigint not null,
    duration_ms bigint not null,
    first_byte_ms bigint not null,
    first_bytes bigint not null,
    constraint usage_totals_key unique nulls not distinct (organization_id, grain, dimension, at, value)
) with (fillfactor = 70);
-- Across organizations: who uses a model, a provider, an offer?
create index usage_totals_by_value on operations.usage_totals (dimension, value, grain, at)
    where organization_id is not null and dimension in ('model', 'provider', 'offer');
call platform.protect_tenant_table('operations.usage_totals');

-- What each line of the price books came to in a day (UTC), and against which line it was measured. The lines of
-- what was booked before this table are not known.
create table operations.usage_receipts (
    organization_id uuid not null,
    day timestamptz not null,
    model_id uuid,
    offer_id uuid,
    price_book text,
    alternative_offer_id uuid,
    alternative_price_book text,
    requests bigint not null,
    input_tokens bigint not null,
    cached_tokens bigint not null,
    cache_write_tokens bigint not null,
    output_tokens bigint not null,
    reasoning_tokens bigint not null,
    cost_nano_usd bigint not null,
    saved_nano_usd bigint not null,
    constraint usage_receipts_key unique nulls not distinct
        (organization_id, day, model_id, offer_id, price_book, alternative_offer_id, alternative_price_book)
) with (fillfactor = 70);
call platform.protect_tenant_table('operations.usage_receipts');

grant select on operations.usage_moves, operations.usage_daily, operations.usage_totals, operations.usage_receipts
    to synaxis_admin, synaxis_agent;

-- Whoever writes entries moves the coarse roll-ups, even an `ingest` that began before this migration. Argument: the
-- sign with which `moved` counts.
create function operations.note_usage_moves() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    sign constant bigint := tg_argv[0];
begin
    insert into operations.usage_moves (organization_id, hour, api_key_id, group_id, user_id, model_id, offer_id, provider_id,
        price_book, alternative_offer_id, alternative_price_book,
        requests, failed_requests, estimated_requests, streamed_requests, input_tokens, cached_tokens,
        cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, duration_ms,
        first_byte_ms, first_bytes)
    select m.organization_id, date_trunc('hour', m.at, 'UTC') as hour, m.api_key_id, m.group_id, m.user_id, m.model_id,
        m.offer_id, m.provider_id, m.price_book, m.alternative_offer_id, m.alternative_price_book,
        sign * count(*),
        sign * count(*) filter (where m.status >= 400 or m.status = 0),
        sign * count(*) filter (where m.is_estimated),
        sign * count(*) filter (where m.is_stream),
        sign * sum(m.input_tokens), sign * sum(m.cached_tokens), sign * sum(m.cache_write_tokens),
        sign * sum(m.output_tokens), sign * sum(m.reasoning_tokens),
        sign * sum(m.cost_nano_usd), sign * sum(m.saved_nano_usd),
        sign * sum(m.duration_ms), sign * coalesce(sum(m.first_byte_ms), 0), sign * count(m.first_byte_ms)
    from moved m
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;
    return null;
end
$$;
alter function operations.note_usage_moves() owner to synaxis_definer;
grant execute on function operations.note_usage_moves() to synaxis_owner;
create trigger note_added after insert on operations.usage_entries
    referencing new table as moved for each statement execute function operations.note_usage_moves('1');
create trigger note_replacing after update on operations.usage_entries
    referencing new table as moved for each statement execute function operations.note_usage_moves('1');
create trigger note_replaced after update on operations.usage_entries
    referencing old table as moved for each statement execute function operations.note_usage_moves('-1');

-- Takes up to `batch` movements into the coarse roll-ups; returns how many. One at a time: whoever comes second takes
-- none.
create function operations.fold_usage(batch int default 10000) returns int
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    taken int;
begin
    if not pg_try_advisory_xact_lock(hashtext('synaxis fold usage')) then
        return 0;
    end if;
    -- Compiling the statement takes longer than running it.
    perform set_config('jit', 'off', true);
    with moves as materialized (
        delete from operations.usage_moves m
        where m.id in (select n.id from operations.usage_moves n order by n.id limit batch)
        returning m.*
    ), daily as (
        insert into operations.usage_daily as d
        select organization_id, date_trunc('day', hour, 'UTC'), api_key_id, group_id, user_id, model_id, offer_id, provider_id,
            sum(requests), sum(failed_requests), sum(estimated_requests), sum(streamed_requests), sum(input_tokens),
            sum(cached_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
            sum(cost_nano_usd), sum(saved_nano_usd), sum(duration_ms), sum(first_byte_ms), sum(first_bytes)
        from moves
        group by 1, 2, 3, 4, 5, 6, 7, 8
        -- What is asked together lies together.
        order by 1, 2, 3, 4, 5, 6, 7, 8
        on conflict (organization_id, day, api_key_id, group_id, user_id, model_id, offer_id, provider_id) do update
        set requests = d.requests + excluded.requests,
            failed_requests = d.failed_requests + excluded.failed_requests,
            estimated_requests = d.estimated_requests + excluded.estimated_requests,
            streamed_requests = d.streamed_requests + excluded.streamed_requests,
            input_tokens = d.input_tokens + excluded.input_tokens,
            cached_tokens = d.cached_tokens + excluded.cached_tokens,
            cache_write_tokens = d.cache_write_tokens + excluded.cache_write_tokens,
            output_tokens = d.output_tokens + excluded.output_tokens,
            reasoning_tokens = d.reasoning_tokens + excluded.reasoning_tokens,
            cost_nano_usd = d.cost_nano_usd + excluded.cost_nano_usd,
            saved_nano_usd = d.saved_nano_usd + excluded.saved_nano_usd,
            duration_ms = d.duration_ms + excluded.duration_ms,
            first_byte_ms = d.first_byte_ms + excluded.first_byte_ms,
            first_bytes = d.first_bytes + excluded.first_bytes
    ), hours as materialized (
        select side.organization_id, side.dimension, m.hour, side.value,
            sum(m.requests) as requests, sum(m.failed_requests) as failed_requests,
            sum(m.estimated_requests) as estimated_requests, sum(m.streamed_requests) as streamed_requests,
            sum(m.input_tokens) as input_tokens, sum(m.cached_tokens) as cached_tokens,
            sum(m.cache_write_tokens) as cache_write_tokens, sum(m.output_tokens) as output_tokens,
            sum(m.reasoning_tokens) as reasoning_tokens, sum(m.cost_nano_usd) as cost_nano_usd,
            sum(m.saved_nano_usd) as saved_nano_usd, sum(m.duration_ms) as duration_ms,
            sum(m.first_byte_ms) as first_byte_ms, sum(m.first_bytes) as first_bytes
        from moves m
        cross join lateral (values
            (m.organization_id, 'total', null::uuid),
            (m.organization_id, 'group', m.group_id),
            (m.organization_id, 'user', m.user_id),
            (m.organization_id, 'key', m.api_key_id),
            (m.organization_id, 'model', m.model_id),
            (m.organization_id, 'provider', m.provider_id),
            (m.organization_id, 'offer', m.offer_id),
            (null, 'total', null),
            (null, 'organization', m.organization_id),
            (null, 'model', m.model_id),
            (null, 'provider', m.provider_id),
            (null, 'offer', m.offer_id)
        ) side (organization_id, dimension, value)
        group by 1, 2, 3, 4
    ), totals as (
        insert into operations.usage_totals as t
        select organization_id, 'hour', dimension, hour, value,
            requests, failed_requests, estimated_requests, streamed_requests, input_tokens, cached_tokens,
            cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, duration_ms,
            first_byte_ms, first_bytes
        from hours
        -- Keys and people are many: their hours are asked of the hourly roll-up.
        where dimension not in ('user', 'key')
        union all
        select organization_id, 'day', dimension, date_trunc('day', hour, 'UTC'), value,
            sum(requests), sum(failed_requests), sum(estimated_requests), sum(streamed_requests), sum(input_tokens),
            sum(cached_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
            sum(cost_nano_usd), sum(saved_nano_usd), sum(duration_ms), sum(first_byte_ms), sum(first_bytes)
        from hours
        group by 1, 2, 3, 4, 5
        order by 1, 2, 3, 4, 5
        on conflict (organization_id, grain, dimension, at, value) do update
        set requests = t.requests + excluded.requests,
            failed_requests = t.failed_requests + excluded.failed_requests,
            estimated_requests = t.estimated_requests + excluded.estimated_requests,
            streamed_requests = t.streamed_requests + excluded.streamed_requests,
            input_tokens = t.input_tokens + excluded.input_tokens,
            cached_tokens = t.cached_tokens + excluded.cached_tokens,
            cache_write_tokens = t.cache_write_tokens + excluded.cache_write_tokens,
            output_tokens = t.output_tokens + excluded.output_tokens,
            reasoning_tokens = t.reasoning_tokens + excluded.reasoning_tokens,
            cost_nano_usd = t.cost_nano_usd + excluded.cost_nano_usd,
            saved_nano_usd = t.saved_nano_usd + excluded.saved_nano_usd,
            duration_ms = t.duration_ms + excluded.duration_ms,
            first_byte_ms = t.first_byte_ms + excluded.first_byte_ms,
            first_bytes = t.first_bytes + excluded.first_bytes
    ), receipts as (
        insert into operations.usage_receipts as r
        select organization_id, date_trunc('day', hour, 'UTC'), model_id, offer_id, price_book, alternative_offer_id,
            alternative_price_book, sum(requests), sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens),
            sum(output_tokens), sum(reasoning_tokens), sum(cost_nano_usd), sum(saved_nano_usd)
        from moves
        group by 1, 2, 3, 4, 5, 6, 7
        on conflict (organization_id, day, model_id, offer_id, price_book, alternative_offer_id, alternative_price_book)
        do update
        set requests = r.requests + excluded.requests,
            input_tokens = r.input_tokens + excluded.input_tokens,
            cached_tokens = r.cached_tokens + excluded.cached_tokens,
            cache_write_tokens = r.cache_write_tokens + excluded.cache_write_tokens,
            output_tokens = r.output_tokens + excluded.output_tokens,
            reasoning_tokens = r.reasoning_tokens + excluded.reasoning_tokens,
            cost_nano_usd = r.cost_nano_usd + excluded.cost_nano_usd,
            saved_nano_usd = r.saved_nano_usd + excluded.saved_nano_usd
    )
    select count(*) into taken from moves;
    return taken;
end
$$;
alter function operations.fold_usage(int) owner to synaxis_definer;
grant execute on function operations.fold_usage(int) to synaxis_owner, synaxis_admin, synaxis_agent;

-- What is booked already. Nobody books meanwhile: the changed table is locked. Row security binds its owner too.
alter table operations.usage_hourly no force row level security;
alter table operations.usage_moves no force row level security;
insert into operations.usage_moves (organization_id, hour, api_key_id, group_id, user_id, model_id, offer_id, provider_id,
    requests, failed_requests, estimated_requests, streamed_requests, input_tokens, cached_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, duration_ms, first_byte_ms, first_bytes)
select * from operations.usage_hourly;
alter table operations.usage_hourly force row level security;
alter table operations.usage_moves force row level security;
do $$
begin
    while operations.fold_usage(100000) > 0 loop
    end loop;
end
$$;

-- As before, and with what an entry was measured against.
create or replace function operations.ingest(entries json) returns int
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    offered operations.usage_entries[];
    added uuid[];
    replaced operations.usage_entries[] := '{}';
begin
    -- Sorted by id, here and below: callers that send the same rows wait for each other, never in a ring.
    offered := array(
        select distinct on (r.request_id) r
        from json_populate_recordset(null::operations.usage_entries, entries) r
        order by r.request_id, operations.certainty(r.finish, r.is_estimated) desc
    );
    perform operations.ensure_usage_partition(m.month)
    from (select distinct date_trunc('month', o.at, 'UTC') as month from unnest(offered) o) m;

    with fresh as (
        insert into operations.usage_entries
        select o.*
        from unnest(offered) o
        order by o.request_id
        on conflict do nothing
        returning request_id
    )
    select coalesce(array_agg(f.request_id), '{}') into added from fresh f;

    -- A statement of its own: it must see what the insert waited for.
    if cardinality(added) < cardinality(offered) then
        replaced := array(
            select b
            from operations.usage_entries b
            join unnest(offered) o on o.request_id = b.request_id and o.at = b.at
            where operations.certainty(b.finish, b.is_estimated) < operations.certainty(o.finish, o.is_estimated)
            order by b.request_id
            for update of b
        );
        update operations.usage_entries b
        set (organization_id, group_id, user_id, api_key_id, client_request_id, tags, requested_model, model_id, offer_id,
            provider_id, status, finish, is_estimated, is_stream, input_tokens, cached_tokens, cache_write_tokens,
            output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, price_book, first_byte_ms, duration_ms, attempts,
            alternative_offer_id, alternative_price_book)
            = (o.organization_id, o.group_id, o.user_id, o.api_key_id, o.client_request_id, o.tags, o.requested_model,
            o.model_id, o.offer_id, o.provider_id, o.status, o.finish, o.is_estimated, o.is_stream, o.input_tokens,
            o.cached_tokens, o.cache_write_tokens, o.output_tokens, o.reasoning_tokens, o.cost_nano_usd, o.saved_nano_usd,
            o.price_book, o.first_byte_ms, o.duration_ms, o.attempts, o.alternative_offer_id, o.alternative_price_book)
        from unnest(offered) o
        join unnest(replaced) r on r.request_id = o.request_id
        where b.request_id = o.request_id and b.at = o.at;
    end if;

    insert into operations.usage_hourly as h
    select m.organization_id, date_trunc('hour', m.at, 'UTC') as hour, m.api_key_id, m.group_id, m.user_id, m.model_id,
        m.offer_id, m.provider_id,
        sum(m.sign),
        sum(m.sign * (m.status >= 400 or m.status = 0)::int),
        sum(m.sign * m.is_estimated::int),
        sum(m.sign * m.is_stream::int),
        sum(m.sign * m.input_tokens), sum(m.sign * m.cached_tokens), sum(m.sign * m.cache_write_tokens),
        sum(m.sign * m.output_tokens), sum(m.sign * m.reasoning_tokens),
        sum(m.sign * m.cost_nano_usd), sum(m.sign * m.saved_nano_usd),
        sum(m.sign * m.duration_ms), sum(m.sign * coalesce(m.first_byte_ms, 0)), sum(m.sign * (m.first_byte_ms is not null)::int)
    from (
        select 1::bigint as sign, o.* from unnest(offered) o join unnest(added) a on a = o.request_id
        union all
        select 1, o.* from unnest(offered) o join unnest(replaced) r on r.request_id = o.request_id
        union all
        select -1, r.* from unnest(replaced) r
    ) m
    group by 1, 2, 3, 4, 5, 6, 7, 8
    order by 1, 2, 3, 4, 5, 6, 7, 8
    on conflict (organization_id, hour, api_key_id, group_id, user_id, model_id, offer_id, provider_id) do update
    set requests = h.requests + excluded.requests,
        failed_requests = h.failed_requests + excluded.failed_requests,
        estimated_requests = h.estimated_requests + excluded.estimated_requests,
        streamed_requests = h.streamed_requests + excluded.streamed_requests,
        input_tokens = h.input_tokens + excluded.input_tokens,
        cached_tokens = h.cached_tokens + excluded.cached_tokens,
        cache_write_tokens = h.cache_write_tokens + excluded.cache_write_tokens,
        output_tokens = h.output_tokens + excluded.output_tokens,
        reasoning_tokens = h.reasoning_tokens + excluded.reasoning_tokens,
        cost_nano_usd = h.cost_nano_usd + excluded.cost_nano_usd,
        saved_nano_usd = h.saved_nano_usd + excluded.saved_nano_usd,
        duration_ms = h.duration_ms + excluded.duration_ms,
        first_byte_ms = h.first_byte_ms + excluded.first_byte_ms,
        first_bytes = h.first_bytes + excluded.first_bytes;
    return cardinality(added) + cardinality(replaced);
end
$$;

-- What was used between `begins` and `ends`, whole hours both, by one dimension and in steps of a zone's calendar;
-- and one row, `is_total`, of everything. Without an organization it is everybody's, and reads the totals only.
--
-- `dimension`: none, organization, group, user, key, model, provider, offer, tier. `step`: none, hour, day, month.
-- `filters`: {"group": id, "user": …, "key": …, "model": …, "provider": …, "offer": …, "tier": "free"}.
-- Whole days (UTC) that lie in one step come from the daily roll-ups, what sticks out from the hourly ones. An hour
-- belongs to the step in which it begins.
create function operations.usage_report(
    organization uuid, dimension text, step text, zone text, begins timestamptz, ends timestamptz, filters jsonb)
    returns table (bucket timestamptz, value uuid, tier text, is_total boolean,
        requests bigint, failed_requests bigint, estimated_requests bigint, streamed_requests bigint,
        input_tokens bigint, cached_tokens bigint, cache_write_tokens bigint, output_tokens bigint,
        reasoning_tokens bigint, cost_nano_usd bigint, saved_nano_usd bigint, duration_ms bigint,
        first_byte_ms bigint, first_bytes bigint)
    language plpgsql stable set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    columns constant jsonb := '{"organization": "organization_id", "group": "group_id", "user": "user_id",
        "key": "api_key_id", "model": "model_id", "provider": "provider_id", "offer": "offer_id"}';
    metrics constant text := 'u.requests, u.failed_requests, u.estimated_requests, u.streamed_requests, u.input_tokens, u.cached_tokens,
        u.cache_write_tokens, u.output_tokens, u.reasoning_tokens, u.cost_nano_usd, u.saved_nano_usd, u.duration_ms,
        u.first_byte_ms, u.first_bytes';
    sums constant text := 'coalesce(sum(t.requests), 0)::bigint, coalesce(sum(t.failed_requests), 0)::bigint,
        coalesce(sum(t.estimated_requests), 0)::bigint, coalesce(sum(t.streamed_requests), 0)::bigint,
        coalesce(sum(t.input_tokens), 0)::bigint, coalesce(sum(t.cached_tokens), 0)::bigint,
        coalesce(sum(t.cache_write_tokens), 0)::bigint, coalesce(sum(t.output_tokens), 0)::bigint,
        coalesce(sum(t.reasoning_tokens), 0)::bigint, coalesce(sum(t.cost_nano_usd), 0)::bigint,
        coalesce(sum(t.saved_nano_usd), 0)::bigint, coalesce(sum(t.duration_ms), 0)::bigint,
        coalesce(sum(t.first_byte_ms), 0)::bigint, coalesce(sum(t.first_bytes), 0)::bigint';
    -- A tier is a side of its offer.
    side constant text := case dimension when 'tier' then 'offer' when 'none' then null else dimension end;
    whose constant text := case when organization is null then 'true' else 'u.organization_id = $1' end;
    filter text;
    narrowed text[] := '{}';
    wanted text := '';
    wanted_total text := '';
    condition text;
    sides text[];
    days timestamptz[];
    hours timestamptz[];
    day_steps timestamptz[];
    hour_steps timestamptz[];
    total text;
    total_value text := 'null::uuid';
    value_of text := 'null::uuid';
    grain text;
    place int;
    are_hours_detailed boolean := false;
    pieces text[] := '{}';
begin
    for filter in select f from jsonb_object_keys(filters) f loop
        condition := case filter
            when 'tier' then format('in (select o.id from platform.offers o where o.tier = %L)', filters ->> 'tier')
            else format('= %L::uuid', filters ->> filter) end;
        filter := case filter when 'tier' then 'offer' else filter end;
        narrowed := narrowed || filter;
        wanted := wanted || format(' and u.%I %s', columns ->> filter, condition);
        wanted_total := wanted_total || format(' and u.value %s', condition);
    end loop;

    select coalesce(array_agg(d.day) filter (where d.is_whole), '{}'),
        coalesce(array_agg(date_trunc(d.unit, d.day, zone)) filter (where d.is_whole), '{}'),
        coalesce(array_agg(h.hour) filter (where not d.is_whole), '{}'),
        coalesce(array_agg(date_trunc(d.unit, h.hour, zone)) filter (where not d.is_whole), '{}')
    into days, day_steps, hours, hour_steps
    from (
        select day, nullif(step, 'none') as unit,
            step <> 'hour' and begins <= day and day + interval '24 hours' <= ends
            and (step = 'none' or date_trunc(step, day, zone) = date_trunc(step, day + interval '23 hours', zone)) as is_whole
        from generate_series(date_trunc('day', begins, 'UTC'), ends - interval '1 hour', interval '24 hours') day
    ) d
    cross join lateral generate_series(
        greatest(d.day, begins),
        case when d.is_whole then d.day else least(d.day + interval '23 hours', ends - interval '1 hour') end,
        interval '1 hour') h (hour);

    -- The totals know one side of a call, and which organizations have some model, provider or offer.
    select coalesce(array_agg(distinct s), '{}') into sides
    from unnest(narrowed || side) s
    where s is not null and (s <> 'organization' or organization is null);
    if side is not null then
        value_of := 'u.' || (columns ->> side);
        total_value := case when side = 'organization' and (organization is not null or sides <> array[side])
            then 'u.organization_id' else 'u.value' end;
    end if;
    if organization is null and side = 'organization' and cardinality(sides) = 2
        and narrowed <@ array['model', 'provider', 'offer'] then
        total := format('u.dimension = %L and u.organization_id is not null', narrowed[1]);
    elsif cardinality(sides) < 2 then
        total := format('u.dimension = %L and %s', coalesce(sides[1], 'total'),
            case when organization is null then 'u.organization_id is null' else whose end);
    elsif organization is null then
        raise exception 'the totals cannot answer this' using errcode = 'invalid_parameter_value';
    end if;

    for grain, place in values ('day', 2), ('hour', 4) loop
        continue when cardinality(case grain when 'day' then days else hours end) = 0;
        if total is not null and (grain = 'day' or coalesce(sides[1], 'total') not in ('user', 'key')) then
            pieces := pieces || format('select s.step, %1$s as value, %2$s from operations.usage_totals u'
                ' join unnest($%3$s, $%4$s) s (at, step) on s.at = u.at'
                ' where u.grain = %5$L and u.at >= $6 and u.at < $7 and %6$s',
                total_value, metrics, place, place + 1, grain, total || wanted_total);
        else
            are_hours_detailed := are_hours_detailed or grain = 'hour';
            pieces := pieces || format('select s.step, %1$s as value, %2$s from operations.%3$s u'
                ' join unnest($%4$s, $%5$s) s (at, step) on s.at = u.%6$s'
                ' where u.%6$s >= $6 and u.%6$s < $7 and %7$s',
                value_of, metrics, case grain when 'day' then 'usage_daily' else 'usage_hourly' end, place, place + 1,
                grain, whose || wanted);
        end if;
    end loop;
    pieces := pieces || (format('select date_trunc(%L, u.hour, $8) as step, %s as value, %s from operations.usage_moves u'
        ' where u.hour >= $6 and u.hour < $7 and %s',
        nullif(step, 'none'), value_of, metrics, whose || wanted)
        -- The hourly roll-up contains every movement already.
        || case when are_hours_detailed then ' and u.hour <> all ($4)' else '' end);

    return query execute format(
        'select t.step, %1$s, %2$s, grouping(t.step) = 1, %3$s from (%4$s) t %5$s'
        ' group by grouping sets ((t.step%6$s), ())'
        ' having sum(t.requests) <> 0 or sum(t.cost_nano_usd) <> 0 or grouping(t.step) = 1',
        case when dimension in ('none', 'tier') then 'null::uuid' else 't.value' end,
        case dimension when 'tier' then 'o.tier' else 'null' end,
        sums,
        array_to_string(pieces, ' union all '),
        case dimension when 'tier' then 'left join platform.offers o on o.id = t.value' else '' end,
        case dimension when 'tier' then ', o.tier' when 'none' then '' else ', t.value' end)
    using organization, days, day_steps, hours, hour_steps, begins, ends, zone;
end
$$;
grant execute on function operations.usage_report(uuid, text, text, text, timestamptz, timestamptz, jsonb)
    to synaxis_admin, synaxis_agent, synaxis_definer;

-- The same across organizations; the sidecar asks for its platform role before it calls this.
create function operations.platform_usage_report(
    organization uuid, dimension text, step text, zone text, begins timestamptz, ends timestamptz, filters jsonb)
    returns table (bucket timestamptz, value uuid, tier text, is_total boolean,
        requests bigint, failed_requests bigint, estimated_requests bigint, streamed_requests bigint,
        input_tokens bigint, cached_tokens bigint, cache_write_tokens bigint, output_tokens bigint,
        reasoning_tokens bigint, cost_nano_usd bigint, saved_nano_usd bigint, duration_ms bigint,
        first_byte_ms bigint, first_bytes bigint)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select * from operations.usage_report(organization, dimension, step, zone, begins, ends, filters)
$$;
alter function operations.platform_usage_report(uuid, text, text, text, timestamptz, timestamptz, jsonb)
    owner to synaxis_definer;
grant execute on function operations.platform_usage_report(uuid, text, text, text, timestamptz, timestamptz, jsonb)
    to synaxis_admin;

-- What the values of a dimension are called; the deleted ones too, for history names them.
create function operations.usage_names(dimension text, ids uuid[]) returns table (id uuid, name text)
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    case dimension
        when 'organization' then
            return query select o.id, o.display_name from identity.organizations o where o.id = any(ids);
        when 'group' then
            return query select g.id, g.name from identity.groups g where g.id = any(ids);
        when 'user' then
            return query select u.id, coalesce(nullif(u.display_name, ''), u.email) from identity.users u where u.id = any(ids);
        when 'key' then
            return query select k.id, k.name from operations.api_keys k where k.id = any(ids);
        when 'model' then
            return query select m.id, m.name from platform.models m where m.id = any(ids);
        when 'provider' then
            return query select p.id, p.name from platform.providers p where p.id = any(ids);
        when 'offer' then
            return query select o.id, p.name || '/' || o.upstream_name
                from platform.offers o join platform.providers p on p.id = o.provider_id
                where o.id = any(ids);
        else
    end case;
end
$$;
grant execute on function operations.usage_names(text, uuid[]) to synaxis_admin, synaxis_agent, synaxis_definer;
create function operations.platform_usage_names(dimension text, ids uuid[]) returns table (id uuid, name text)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select * from operations.usage_names(dimension, ids)
$$;
alter function operations.platform_usage_names(text, uuid[]) owner to synaxis_definer;
grant execute on function operations.platform_usage_names(text, uuid[]) to synaxis_admin;

-- Where the roll-ups of some hours, or of the days they lie in, say something else than what they were made of. A row
-- is a bug: `is_expected` tells what should be there from what is. Organization by organization: that is how indexes lead.
create function operations.usage_faults(begins timestamptz, ends timestamptz)
    returns table (roll_up text, is_expected boolean, organization_id uuid, at timestamptz, difference jsonb)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with entered as materialized (
        select e.organization_id, date_trunc('hour', e.at, 'UTC') as hour, e.api_key_id, e.group_id, e.user_id, e.model_id,
            e.offer_id, e.provider_id,
            count(*) as requests, count(*) filter (where e.status >= 400 or e.status = 0) as failed_requests,
            count(*) filter (where e.is_estimated) as estimated_requests,
            count(*) filter (where e.is_stream) as streamed_requests,
            sum(e.input_tokens) as input_tokens, sum(e.cached_tokens) as cached_tokens,
            sum(e.cache_write_tokens) as cache_write_tokens, sum(e.output_tokens) as output_tokens,
            sum(e.reasoning_tokens) as reasoning_tokens, sum(e.cost_nano_usd) as cost_nano_usd,
            sum(e.saved_nano_usd) as saved_nano_usd, sum(e.duration_ms) as duration_ms,
            coalesce(sum(e.first_byte_ms), 0) as first_byte_ms, count(e.first_byte_ms) as first_bytes
        from operations.usage_entries e
        where e.at >= begins and e.at < ends
            and e.request_id >= operations.first_id_at(begins) and e.request_id < operations.first_id_at(ends)
        group by 1, 2, 3, 4, 5, 6, 7, 8
    ), hourly as materialized (
        select h.*
        from identity.organizations o
        cross join lateral (
            select * from operations.usage_hourly h
            where h.organization_id = o.id
                and h.hour >= date_trunc('day', begins, 'UTC') and h.hour < date_trunc('day', ends, 'UTC') + interval '24 hours'
            offset 0) h
    ), booked as materialized (
        select h.* from hourly h
        where h.hour >= begins and h.hour < ends and (h.requests <> 0 or h.cost_nano_usd <> 0)
    ), moving as materialized (
        select organization_id, date_trunc('day', hour, 'UTC') as day, api_key_id, group_id, user_id, model_id, offer_id, provider_id,
            requests, failed_requests, estimated_requests, streamed_requests, input_tokens, cached_tokens,
            cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, duration_ms,
            first_byte_ms, first_bytes
        from operations.usage_moves
        where hour >= date_trunc('day', begins, 'UTC') and hour < date_trunc('day', ends, 'UTC') + interval '24 hours'
    ), expected_days as materialized (
        select organization_id, date_trunc('day', hour, 'UTC') as day, api_key_id, group_id, user_id, model_id, offer_id, provider_id,
            sum(requests) as requests, sum(failed_requests) as failed_requests,
            sum(estimated_requests) as estimated_requests, sum(streamed_requests) as streamed_requests,
            sum(input_tokens) as input_tokens, sum(cached_tokens) as cached_tokens,
            sum(cache_write_tokens) as cache_write_tokens, sum(output_tokens) as output_tokens,
            sum(reasoning_tokens) as reasoning_tokens, sum(cost_nano_usd) as cost_nano_usd,
            sum(saved_nano_usd) as saved_nano_usd, sum(duration_ms) as duration_ms,
            sum(first_byte_ms) as first_byte_ms, sum(first_bytes) as first_bytes
        from hourly
        group by 1, 2, 3, 4, 5, 6, 7, 8
    ), days as materialized (
        select organization_id, day, api_key_id, group_id, user_id, model_id, offer_id, provider_id,
            sum(requests) as requests, sum(failed_requests) as failed_requests,
            sum(estimated_requests) as estimated_requests, sum(streamed_requests) as streamed_requests,
            sum(input_tokens) as input_tokens, sum(cached_tokens) as cached_tokens,
            sum(cache_write_tokens) as cache_write_tokens, sum(output_tokens) as output_tokens,
            sum(reasoning_tokens) as reasoning_tokens, sum(cost_nano_usd) as cost_nano_usd,
            sum(saved_nano_usd) as saved_nano_usd, sum(duration_ms) as duration_ms,
            sum(first_byte_ms) as first_byte_ms, sum(first_bytes) as first_bytes
        from (
            select d.*
            from identity.organizations o
            cross join lateral (
                select * from operations.usage_daily d
                where d.organization_id = o.id
                    and d.day >= date_trunc('day', begins, 'UTC') and d.day < date_trunc('day', ends, 'UTC') + interval '24 hours'
                offset 0) d
            union all
            select * from moving
        ) d
        group by 1, 2, 3, 4, 5, 6, 7, 8
    ), expected_totals as materialized (
        select d.organization_id, d.day, side.dimension, side.value, sum(d.requests) as requests,
            sum(d.input_tokens + d.output_tokens) as tokens, sum(d.cost_nano_usd) as cost_nano_usd, sum(d.saved_nano_usd) as saved_nano_usd
        from days d
        cross join lateral (values ('total', null::uuid), ('group', d.group_id), ('model', d.model_id),
            ('provider', d.provider_id), ('offer', d.offer_id), ('user', d.user_id), ('key', d.api_key_id)) side (dimension, value)
        group by 1, 2, 3, 4
    ), totals as materialized (
        select organization_id, day, dimension, value, sum(requests) as requests, sum(tokens) as tokens,
            sum(cost_nano_usd) as cost_nano_usd, sum(saved_nano_usd) as saved_nano_usd
        from (
            select t.organization_id, t.at as day, t.dimension, t.value, t.requests, t.input_tokens + t.output_tokens as tokens,
                t.cost_nano_usd, t.saved_nano_usd
            from identity.organizations o
            cross join unnest(array['total', 'group', 'model', 'provider', 'offer', 'user', 'key']) side
            cross join lateral (
                select * from operations.usage_totals t
                where t.organization_id = o.id and t.grain = 'day' and t.dimension = side
                    and t.at >= date_trunc('day', begins, 'UTC') and t.at < date_trunc('day', ends, 'UTC') + interval '24 hours'
                offset 0) t
            union all
            select m.organization_id, m.day, side.dimension, side.value, m.requests, m.input_tokens + m.output_tokens,
                m.cost_nano_usd, m.saved_nano_usd
            from moving m
            cross join lateral (values ('total', null::uuid), ('group', m.group_id), ('model', m.model_id),
                ('provider', m.provider_id), ('offer', m.offer_id), ('user', m.user_id), ('key', m.api_key_id)) side (dimension, value)
        ) t
        group by 1, 2, 3, 4
    )
    select 'hour', true, f.organization_id, f.hour, to_jsonb(f) from (select * from entered except select * from booked) f
    union all
    select 'hour', false, f.organization_id, f.hour, to_jsonb(f) from (select * from booked except select * from entered) f
    union all
    select 'day', true, f.organization_id, f.day, to_jsonb(f) from (select * from expected_days except select * from days) f
    union all
    select 'day', false, f.organization_id, f.day, to_jsonb(f) from (select * from days except select * from expected_days) f
    union all
    select 'total', true, f.organization_id, f.day, to_jsonb(f) from (select * from expected_totals except select * from totals) f
    union all
    select 'total', false, f.organization_id, f.day, to_jsonb(f) from (select * from totals except select * from expected_totals) f
$$;
alter function operations.usage_faults(timestamptz, timestamptz) owner to synaxis_definer;
grant execute on function operations.usage_faults(timestamptz, timestamptz) to synaxis_admin, synaxis_agent;

-- How many movements wait to be taken in; counting ends at a hundred thousand.
create function operations.waiting_moves() returns bigint
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select count(*) from (select from operations.usage_moves limit 100000) waiting
$$;
alter function operations.waiting_moves() owner to synaxis_definer;
grant execute on function operations.waiting_moves() to synaxis_admin, synaxis_agent;

-- The processes that serve: each writes its row every few seconds, and takes it away when it ends well.
create table platform.nodes (
    id uuid constraint nodes_pk primary key,
    kind text not null constraint nodes_kind_ck check (kind in ('proxy', 'admin')),
    host text not null constraint nodes_host_ck check (char_length(host) <= 255),
    version text not null constraint nodes_version_ck check (char_length(version) <= 100),
    -- The last change its snapshot contains, and when that was read; null where there is no snapshot.
    snapshot_seq bigint,
    snapshot_taken_at timestamptz,
    started_at timestamptz not null,
    seen_at timestamptz not null default now()
);
-- Rows of processes that were killed go after a day.
create function platform.beat(
    id uuid, kind text, host text, version text, snapshot_seq bigint, snapshot_taken_at timestamptz, started_at timestamptz)
    returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from platform.nodes n where n.seen_at < now() - interval '1 day';
    insert into platform.nodes as n (id, kind, host, version, snapshot_seq, snapshot_taken_at, started_at)
    values (beat.id, beat.kind, left(beat.host, 255), left(beat.version, 100), beat.snapshot_seq, beat.snapshot_taken_at, beat.started_at)
    on conflict on constraint nodes_pk do update
    set snapshot_seq = excluded.snapshot_seq, snapshot_taken_at = excluded.snapshot_taken_at, seen_at = now()
$$;
alter function platform.beat(uuid, text, text, text, bigint, timestamptz, timestamptz) owner to synaxis_definer;
create function platform.leave(id uuid) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from platform.nodes n where n.id = leave.id
$$;
alter function platform.leave(uuid) owner to synaxis_definer;
grant execute on function platform.beat(uuid, text, text, text, bigint, timestamptz, timestamptz), platform.leave(uuid)
    to synaxis_proxy, synaxis_admin;

-- Every process, the youngest first. A snapshot is behind when the catalog has changed since the change it ends with.
create function platform.all_nodes()
    returns table (id uuid, kind text, host text, version text, snapshot_seq bigint, snapshot_taken_at timestamptz,
        started_at timestamptz, seen_at timestamptz, silent_ms bigint, is_behind boolean)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select n.id, n.kind, n.host, n.version, n.snapshot_seq, n.snapshot_taken_at, n.started_at, n.seen_at,
        (extract(epoch from clock_timestamp() - n.seen_at) * 1000)::bigint,
        exists (select from platform.changes c where c.seq > n.snapshot_seq and c.kind = 'catalog')
    from platform.nodes n
    order by n.started_at desc, n.id desc
$$;
alter function platform.all_nodes() owner to synaxis_definer;
grant execute on function platform.all_nodes() to synaxis_admin;

reset role;
