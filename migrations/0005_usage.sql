-- Why: the books. One entry per call that began an attempt, booked exactly once however often it is sent,
-- and an hourly roll-up that moves in the same transaction, so that the two can never disagree.

set local role synaxis_owner;

-- The moment in a UUIDv7, to the millisecond.
create function operations.moment_of(id uuid) returns timestamptz
    language sql immutable strict parallel safe
    return to_timestamp(('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint::float8 / 1000);

-- The smallest UUIDv7 of a moment.
create function operations.first_id_at(at timestamptz) returns uuid
    language sql immutable strict parallel safe
    return rpad(lpad(to_hex((extract(epoch from at at time zone 'UTC') * 1000)::bigint), 12, '0') || '7', 32, '0')::uuid;

-- How much is known of a call: nothing but its intent, an estimate, the truth.
create function operations.certainty(finish text, is_estimated boolean) returns int
    language sql immutable parallel safe
    return case when finish = 'abandoned' then 0 when is_estimated then 1 else 2 end;

grant execute on function operations.moment_of(uuid), operations.first_id_at(timestamptz),
    operations.certainty(text, boolean) to synaxis_definer;

-- Every call that began an attempt. The ids are history: what they name may be renamed, moved or deleted,
-- so nothing here is a foreign key.
create table operations.usage_entries (
    request_id uuid not null,
    at timestamptz not null,
    organization_id uuid not null,
    group_id uuid,
    user_id uuid,
    api_key_id uuid not null,
    client_request_id text,
    tags jsonb,
    requested_model text not null,
    model_id uuid,
    offer_id uuid,
    provider_id uuid,
    status smallint not null,
    finish text not null,
    is_estimated boolean not null,
    is_stream boolean not null,
    input_tokens bigint not null,
    cached_tokens bigint not null,
    cache_write_tokens bigint not null,
    output_tokens bigint not null,
    reasoning_tokens bigint not null,
    cost_nano_usd bigint not null,
    saved_nano_usd bigint not null,
    price_book text not null,
    first_byte_ms int,
    duration_ms int not null,
    attempts jsonb not null,
    constraint usage_entries_pk primary key (request_id, at),
    constraint usage_entries_at_is_in_the_id
        check (substr(request_id::text, 15, 1) = '7' and at = operations.moment_of(request_id)),
    -- Zero: the caller saw none.
    constraint usage_entries_status check (status between 0 and 999),
    constraint usage_entries_finish
        check (finish in ('complete', 'client_gone', 'upstream_cut', 'failed', 'refused_upstream', 'abandoned')),
    constraint usage_entries_abandoned_is_estimated check (finish <> 'abandoned' or is_estimated),
    constraint usage_entries_tokens
        check (least(input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens) >= 0),
    constraint usage_entries_money check (least(cost_nano_usd, saved_nano_usd) >= 0)
) partition by range (at);
create index usage_entries_by_organization on operations.usage_entries (organization_id, at);
create index usage_entries_by_group on operations.usage_entries (group_id, at) where group_id is not null;
create index usage_entries_by_user on operations.usage_entries (user_id, at) where user_id is not null;
create index usage_entries_by_api_key on operations.usage_entries (api_key_id, at);
create index usage_entries_by_offer on operations.usage_entries (offer_id, at) where offer_id is not null;
call platform.protect_tenant_table('operations.usage_entries');
grant select on operations.usage_entries to synaxis_admin, synaxis_agent;

-- The same calls per hour (UTC) and per whatever reports and limits ask by.
create table operations.usage_hourly (
    organization_id uuid not null,
    hour timestamptz not null,
    api_key_id uuid not null,
    group_id uuid,
    user_id uuid,
    model_id uuid,
    offer_id uuid,
    provider_id uuid,
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
    constraint usage_hourly_key unique nulls not distinct
        (organization_id, hour, api_key_id, group_id, user_id, model_id, offer_id, provider_id)
-- Its rows are written over and over: room on the page keeps the indexes out of it.
) with (fillfactor = 70);
create index usage_hourly_by_api_key on operations.usage_hourly (api_key_id, hour);
create index usage_hourly_by_group on operations.usage_hourly (group_id, hour) where group_id is not null;
create index usage_hourly_by_user on operations.usage_hourly (user_id, hour) where user_id is not null;
create index usage_hourly_by_offer on operations.usage_hourly (offer_id, hour) where offer_id is not null;
create index usage_hourly_by_provider on operations.usage_hourly (provider_id, hour) where provider_id is not null;
call platform.protect_tenant_table('operations.usage_hourly');
grant select on operations.usage_hourly to synaxis_admin, synaxis_agent;

-- Makes the month that `at` lies in. Runs as the owner: only a table's owner may attach a partition to it.
create function operations.ensure_usage_partition(at timestamptz) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    month timestamptz := date_trunc('month', at, 'UTC');
    name text := 'usage_entries_' || to_char(month at time zone 'UTC', 'YYYY_MM');
begin
    if exists (select from pg_inherits where inhrelid = to_regclass('operations.' || name)) then
        return;
    end if;
    if at is null or at < '2020-01-01' or at > now() + interval '1 year' then
        raise exception 'no month of the books holds %', at using errcode = 'datetime_field_overflow';
    end if;
    perform pg_advisory_xact_lock(hashtext('synaxis usage partitions'));
    if exists (select from pg_inherits where inhrelid = to_regclass('operations.' || name)) then
        return;
    end if;
    -- Made aside and attached: `partition of` would stop every reader and writer of the table.
    execute format('create table operations.%I (like operations.usage_entries including defaults including constraints)', name);
    execute format('alter table operations.%I enable row level security', name);
    execute format('alter table operations.%I force row level security', name);
    execute format('revoke all on operations.%I from synaxis_definer', name);
    execute format(
        'alter table operations.usage_entries attach partition operations.%I for values from (%L) to (%L)',
        name, month, month + interval '1 month');
end
$$;
grant execute on function operations.ensure_usage_partition(timestamptz) to synaxis_definer;

-- Makes this month and the `ahead` months after it; nothing when they are there.
create function operations.ensure_usage_partitions(ahead int default 3) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform operations.ensure_usage_partition(date_trunc('month', now(), 'UTC') + n * interval '1 month')
    from generate_series(0, least(ahead, 11)) n;
end
$$;
grant execute on function operations.ensure_usage_partitions(int) to synaxis_proxy, synaxis_admin, synaxis_agent;
select operations.ensure_usage_partitions();

-- Books entries, each exactly once; returns how many rows it added or replaced. `entries` is an array of
-- objects with the columns of usage_entries. A row that knows more of its call replaces one that knows less,
-- and the roll-up moves by the difference: in whatever order rows come, and however often, the end is the same.
create function operations.ingest(entries json) returns int
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
            output_tokens, reasoning_tokens, cost_nano_usd, saved_nano_usd, price_book, first_byte_ms, duration_ms, attempts)
            = (o.organization_id, o.group_id, o.user_id, o.api_key_id, o.client_request_id, o.tags, o.requested_model,
            o.model_id, o.offer_id, o.provider_id, o.status, o.finish, o.is_estimated, o.is_stream, o.input_tokens,
            o.cached_tokens, o.cache_write_tokens, o.output_tokens, o.reasoning_tokens, o.cost_nano_usd, o.saved_nano_usd,
            o.price_book, o.first_byte_ms, o.duration_ms, o.attempts)
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
alter function operations.ingest(json) owner to synaxis_definer;
grant execute on function operations.ingest(json) to synaxis_proxy;

-- What was spent under each of some limits, for a ledger that lost its counters or never had them.
--
-- `limits`: [{"id", "subject": {"kind", "id"}, "meter", "from", "to"}], subject and meter as `quota::Limit` writes
-- them, `from` and `to` in milliseconds since 1970; a `to` within the last minute or ahead means until now.
-- Answers [{"id", "spent"}] in their order. A tenant's subject counts the organization's own rows only. Entries do
-- not know their credential: all calls of its provider (of the offer) count, everybody's unless the credential is
-- an organization's own. That may be too much, never too little.
create function operations.spent(organization uuid, limits jsonb) returns jsonb
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    answer jsonb := '[]';
    asked jsonb;
    ids jsonb;
    whose text;
    per_hour text;
    per_entry text;
    owner uuid;
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
        whose := case asked -> 'subject' ->> 'kind'
            when 'organization' then 'organization_id = $1'
            when 'group' then 'organization_id = $1 and group_id = $2'
            when 'user' then 'organization_id = $1 and user_id = $2'
            when 'key' then 'organization_id = $1 and api_key_id = $2'
            when 'key_model' then 'organization_id = $1 and api_key_id = $2 and model_id = $3'
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
            into spent using owner, (ids ->> 0)::uuid, (ids ->> 1)::uuid, provider, first_hour, last_hour;
        -- The ids are bounded too: where no index leads to the subject, the primary key leads to the hour.
        for lower, upper in values (begins, least(first_hour, ends)), (last_hour, ends) loop
            continue when lower >= upper;
            -- The ids are bounded too: where no index leads to the subject, the primary key leads to the time.
            execute format('select sum(%s) from operations.usage_entries where %s'
                ' and at >= $5 and at < $6 and request_id >= operations.first_id_at($5)', per_entry, whose)
                into more using owner, (ids ->> 0)::uuid, (ids ->> 1)::uuid, provider, lower, upper;
            spent := coalesce(spent, 0) + coalesce(more, 0);
        end loop;
        answer := answer || jsonb_build_object('id', asked -> 'id', 'spent', coalesce(spent, 0));
    end loop;
    return answer;
end
$$;
alter function operations.spent(uuid, jsonb) owner to synaxis_definer;
grant execute on function operations.spent(uuid, jsonb) to synaxis_proxy, synaxis_admin;

reset role;
