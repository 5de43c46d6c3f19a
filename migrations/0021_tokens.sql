-- Why: what failed attempts read counts on limits of tokens, but the books added up the tokens of answers only: after a
-- loss such a limit began too low, and no counter of tokens could be held against the books.

set local role synaxis_owner;

-- Attempts that failed are few: those whose tokens the entry does not have are looked up, not rolled up.
create index usage_entries_by_charge on operations.usage_entries (organization_id, at) where attempts @? '$[*].charged';

-- The tokens that failed attempts were charged for and the entry's own do not contain.
create function operations.read_in_vain(attempts jsonb) returns numeric
    language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(sum((a.value -> 'charged' ->> 'input_tokens')::numeric), 0)
    from jsonb_array_elements(attempts) a
    where not coalesce((a.value -> 'charged' ->> 'in_entry')::boolean, false)
$$;
grant execute on function operations.read_in_vain(jsonb) to synaxis_definer;

-- As before, and of tokens also what failed attempts read.
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
        if asked ->> 'meter' in ('input_tokens', 'total_tokens') then
            execute format('select sum(operations.read_in_vain(attempts)) from operations.usage_entries where %s'
                ' and at >= $5 and at < $6 and attempts @? ''$[*].charged''', whose)
                into more using owner, (ids ->> 0)::uuid, (ids ->> 1)::uuid, provider, begins, ends, lineage;
            spent := spent + coalesce(more, 0);
        end if;
        if asked ->> 'meter' = 'nano_usd' and owner is not null then
            execute format('select sum(r.settled_nano_usd) from operations.usage_entries join ('
                'select p.request_id, p.at, p.settled_nano_usd from operations.ledger_postings p'
                ' where p.movement = ''refund'' and p.organization_id = $1 and p.at >= $5 and p.at < $6) r'
                ' using (request_id, at) where %s', whose)
                into more using owner, (ids ->> 0)::uuid, (ids ->> 1)::uuid, provider, begins, ends, lineage;
            spent := greatest(spent + coalesce(more, 0), 0);
        end if;
        answer := answer || jsonb_build_object('id', asked -> 'id', 'spent', coalesce(spent, 0));
    end loop;
    return answer;
end
$$;

-- Limits whose windows are days and months, `batch` of them behind `after` in the order of their ids:
-- [{"organization_id", "limit"}], a limit as `quota::Limit` reads it. The books know exactly what these count.
create or replace function operations.calendar_limits(after uuid, batch int) returns jsonb
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(jsonb_agg(jsonb_build_object(
        'organization_id', l.organization_id,
        'limit', jsonb_build_object(
            'id', l.id,
            'subject', jsonb_build_object('kind', l.subject_kind, 'id', case l.subject_kind
                when 'organization' then to_jsonb(l.organization_id)
                when 'group' then to_jsonb(l.group_id)
                when 'user' then to_jsonb(l.user_id)
                when 'key' then to_jsonb(l.api_key_id)
                else jsonb_build_array(l.api_key_id, l.model_id) end),
            'meter', l.meter, 'window', l.time_window, 'amount', l.amount, 'enforcement', l.enforcement, 'mode', l.mode,
            'zone', l.zone)) order by l.id), '[]')
    from (
        select *
        from operations.limits c
        where c.id > after and c.deleted_at is null and c.meter in ('requests', 'input_tokens', 'output_tokens', 'total_tokens', 'nano_usd')
            and c.time_window in ('day', 'month')
            and c.subject_kind in ('organization', 'group', 'user', 'key', 'key_model')
        order by c.id
        limit batch
    ) l
$$;

reset role;
