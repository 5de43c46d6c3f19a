-- Why: double entry. What was held for a call is settled, released or still open; what it cost upstream and what it
-- saved stand against each other. A row is one movement of one call, a column is one account, so that booking a call
-- writes one short row, and a check sees that every row adds up to zero.

set local role synaxis_owner;

-- Nothing ever wrote these: a row for every leg would cost more than the entry it belongs to.
drop table operations.ledger_postings;
drop table operations.ledger_accounts;

-- What was held for the call before it was known what it would cost. Null where nobody told.
alter table operations.usage_entries
    add column held_nano_usd bigint constraint usage_entries_held_ck check (held_nano_usd >= 0);

-- What every call's money did. A booking's ordinal is its certainty: what is known better is posted as the difference,
-- once. A refund's ordinal counts the call's refunds.
create table operations.ledger_postings (
    request_id uuid not null,
    -- When the call began.
    at timestamptz not null,
    movement text not null,
    ordinal smallint not null,
    organization_id uuid not null,
    posted_at timestamptz not null default now(),
    -- Where it comes from, below zero; what a call cost beyond what was held was reserved late.
    reserved_nano_usd bigint not null,
    -- Of calls whose end nobody knows.
    open_nano_usd bigint not null,
    settled_nano_usd bigint not null,
    released_nano_usd bigint not null,
    upstream_cost_nano_usd bigint not null,
    upstream_payable_nano_usd bigint not null,
    list_cost_nano_usd bigint not null,
    saved_nano_usd bigint not null,
    constraint ledger_postings_pk primary key (request_id, at, movement, ordinal),
    constraint ledger_postings_movement_ck check (movement in ('booking', 'refund')),
    constraint ledger_postings_ordinal_ck check (ordinal >= 0 and (movement <> 'booking' or ordinal <= 2)),
    constraint ledger_postings_balance_ck check (
        reserved_nano_usd + open_nano_usd + settled_nano_usd + released_nano_usd = 0
        and upstream_cost_nano_usd + upstream_payable_nano_usd = 0
        and list_cost_nano_usd + saved_nano_usd = 0),
    constraint ledger_postings_refund_ck check (movement <> 'refund' or (
        settled_nano_usd < 0 and released_nano_usd > 0 and upstream_cost_nano_usd = 0 and saved_nano_usd = 0
        and open_nano_usd = 0))
) partition by range (at);
create index ledger_postings_by_organization on operations.ledger_postings (organization_id, at);
create index ledger_postings_of_refunds on operations.ledger_postings (organization_id, at) where movement = 'refund';
call platform.protect_tenant_table('operations.ledger_postings');

-- What the accounts of an organization moved by on a day (UTC): their balance is the sum. It outlives the postings.
create table operations.ledger_accounts (
    organization_id uuid not null,
    day timestamptz not null,
    reserved_nano_usd bigint not null,
    open_nano_usd bigint not null,
    settled_nano_usd bigint not null,
    released_nano_usd bigint not null,
    upstream_cost_nano_usd bigint not null,
    upstream_payable_nano_usd bigint not null,
    list_cost_nano_usd bigint not null,
    saved_nano_usd bigint not null,
    constraint ledger_accounts_pk primary key (organization_id, day),
    constraint ledger_accounts_balance_ck check (
        reserved_nano_usd + open_nano_usd + settled_nano_usd + released_nano_usd = 0
        and upstream_cost_nano_usd + upstream_payable_nano_usd = 0
        and list_cost_nano_usd + saved_nano_usd = 0)
) with (fillfactor = 70);
call platform.protect_tenant_table('operations.ledger_accounts');

-- Movements the accounts do not contain yet: whoever books waits for nobody who books for the same organization.
create table operations.ledger_moves (
    id bigint generated always as identity constraint ledger_moves_pk primary key,
    like operations.ledger_accounts
);
create index ledger_moves_by_organization on operations.ledger_moves (organization_id);
call platform.protect_tenant_table('operations.ledger_moves');

grant select on operations.ledger_postings, operations.ledger_accounts, operations.ledger_moves
    to synaxis_admin, synaxis_agent;

-- What an entry comes to on the accounts.
create function operations.legs(finish text, held bigint, cost bigint, saved bigint)
    returns table (reserved bigint, open bigint, settled bigint, released bigint, upstream bigint, saving bigint)
    language sql immutable parallel safe as $$
    select -greatest(held, cost), case when finish = 'abandoned' then cost else 0 end,
        case when finish = 'abandoned' then 0 else cost end, greatest(held - cost, 0), cost, saved
$$;
grant execute on function operations.legs(text, bigint, bigint, bigint) to synaxis_definer;

-- Posts what was booked, whoever booked it.
create function operations.post_added() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    with posted as (
        insert into operations.ledger_postings (request_id, at, movement, ordinal, organization_id, reserved_nano_usd,
            open_nano_usd, settled_nano_usd, released_nano_usd, upstream_cost_nano_usd, upstream_payable_nano_usd,
            list_cost_nano_usd, saved_nano_usd)
        select m.request_id, m.at, 'booking', operations.certainty(m.finish, m.is_estimated), m.organization_id,
            l.reserved, l.open, l.settled, l.released, l.upstream, -l.upstream, -l.saving, l.saving
        from moved m
        cross join lateral operations.legs(m.finish, m.held_nano_usd, m.cost_nano_usd, m.saved_nano_usd) l
        returning *
    )
    insert into operations.ledger_moves (organization_id, day, reserved_nano_usd, open_nano_usd, settled_nano_usd,
        released_nano_usd, upstream_cost_nano_usd, upstream_payable_nano_usd, list_cost_nano_usd, saved_nano_usd)
    select p.organization_id, date_trunc('day', p.at, 'UTC'), sum(p.reserved_nano_usd), sum(p.open_nano_usd),
        sum(p.settled_nano_usd), sum(p.released_nano_usd), sum(p.upstream_cost_nano_usd),
        sum(p.upstream_payable_nano_usd), sum(p.list_cost_nano_usd), sum(p.saved_nano_usd)
    from posted p
    group by 1, 2;
    return null;
end
$$;
alter function operations.post_added() owner to synaxis_definer;

-- Posts by how much what is known now differs from what was known before.
create function operations.post_replaced() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    with posted as (
        insert into operations.ledger_postings (request_id, at, movement, ordinal, organization_id, reserved_nano_usd,
            open_nano_usd, settled_nano_usd, released_nano_usd, upstream_cost_nano_usd, upstream_payable_nano_usd,
            list_cost_nano_usd, saved_nano_usd)
        select m.request_id, m.at, 'booking', operations.certainty(m.finish, m.is_estimated), m.organization_id,
            l.reserved - k.reserved, l.open - k.open, l.settled - k.settled, l.released - k.released,
            l.upstream - k.upstream, k.upstream - l.upstream, k.saving - l.saving, l.saving - k.saving
        from moved m
        join known b on b.request_id = m.request_id and b.at = m.at
        cross join lateral operations.legs(m.finish, m.held_nano_usd, m.cost_nano_usd, m.saved_nano_usd) l
        cross join lateral operations.legs(b.finish, b.held_nano_usd, b.cost_nano_usd, b.saved_nano_usd) k
        returning *
    )
    insert into operations.ledger_moves (organization_id, day, reserved_nano_usd, open_nano_usd, settled_nano_usd,
        released_nano_usd, upstream_cost_nano_usd, upstream_payable_nano_usd, list_cost_nano_usd, saved_nano_usd)
    select p.organization_id, date_trunc('day', p.at, 'UTC'), sum(p.reserved_nano_usd), sum(p.open_nano_usd),
        sum(p.settled_nano_usd), sum(p.released_nano_usd), sum(p.upstream_cost_nano_usd),
        sum(p.upstream_payable_nano_usd), sum(p.list_cost_nano_usd), sum(p.saved_nano_usd)
    from posted p
    group by 1, 2;
    return null;
end
$$;
alter function operations.post_replaced() owner to synaxis_definer;
grant execute on function operations.post_added(), operations.post_replaced() to synaxis_owner;

create trigger post_added after insert on operations.usage_entries
    referencing new table as moved for each statement execute function operations.post_added();
create trigger post_replaced after update on operations.usage_entries
    referencing old table as known new table as moved for each statement execute function operations.post_replaced();

-- The month that holds `at`, of the entries and of what they post.
create or replace function operations.ensure_usage_partition(at timestamptz) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if at is null or at < '2020-01-01' or at > now() + interval '1 year' then
        raise exception 'no month of the books holds %', at using errcode = 'datetime_field_overflow';
    end if;
    -- The postings first: an entry never comes where its posting cannot follow.
    perform platform.make_month('operations.ledger_postings', at);
    perform platform.make_month('operations.usage_entries', at);
end
$$;

-- As before, and with what was held.
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
            alternative_offer_id, alternative_price_book, held_nano_usd)
            = (o.organization_id, o.group_id, o.user_id, o.api_key_id, o.client_request_id, o.tags, o.requested_model,
            o.model_id, o.offer_id, o.provider_id, o.status, o.finish, o.is_estimated, o.is_stream, o.input_tokens,
            o.cached_tokens, o.cache_write_tokens, o.output_tokens, o.reasoning_tokens, o.cost_nano_usd, o.saved_nano_usd,
            o.price_book, o.first_byte_ms, o.duration_ms, o.attempts, o.alternative_offer_id, o.alternative_price_book,
            o.held_nano_usd)
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

-- Takes up to `batch` movements into the accounts; returns how many. One at a time: whoever comes second takes none.
create function operations.fold_ledger(batch int default 10000) returns int
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    taken int;
begin
    if not pg_try_advisory_xact_lock(hashtext('synaxis fold ledger')) then
        return 0;
    end if;
    with moves as materialized (
        delete from operations.ledger_moves m
        where m.id in (select n.id from operations.ledger_moves n order by n.id limit batch)
        returning m.*
    ), accounts as (
        insert into operations.ledger_accounts as a
        select organization_id, day, sum(reserved_nano_usd), sum(open_nano_usd), sum(settled_nano_usd),
            sum(released_nano_usd), sum(upstream_cost_nano_usd), sum(upstream_payable_nano_usd),
            sum(list_cost_nano_usd), sum(saved_nano_usd)
        from moves
        group by 1, 2
        order by 1, 2
        on conflict (organization_id, day) do update
        set reserved_nano_usd = a.reserved_nano_usd + excluded.reserved_nano_usd,
            open_nano_usd = a.open_nano_usd + excluded.open_nano_usd,
            settled_nano_usd = a.settled_nano_usd + excluded.settled_nano_usd,
            released_nano_usd = a.released_nano_usd + excluded.released_nano_usd,
            upstream_cost_nano_usd = a.upstream_cost_nano_usd + excluded.upstream_cost_nano_usd,
            upstream_payable_nano_usd = a.upstream_payable_nano_usd + excluded.upstream_payable_nano_usd,
            list_cost_nano_usd = a.list_cost_nano_usd + excluded.list_cost_nano_usd,
            saved_nano_usd = a.saved_nano_usd + excluded.saved_nano_usd
    )
    select count(*) into taken from moves;
    return taken;
end
$$;
alter function operations.fold_ledger(int) owner to synaxis_definer;
grant execute on function operations.fold_ledger(int) to synaxis_admin, synaxis_agent;

-- Days that lie wholly within a stretch of time and whose accounts say something else than their postings.
create function operations.account_faults(begins timestamptz, ends timestamptz)
    returns table (fault text, organization_id uuid, request_id uuid, at timestamptz, difference jsonb)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with days as materialized (
        select g.day
        from generate_series(date_trunc('day', begins, 'UTC'), ends, interval '24 hours') g (day)
        where g.day >= begins and g.day + interval '24 hours' <= ends
    ), kept as materialized (
        select k.organization_id, k.day, sum(k.reserved_nano_usd) as reserved, sum(k.open_nano_usd) as open,
            sum(k.settled_nano_usd) as settled, sum(k.released_nano_usd) as released,
            sum(k.upstream_cost_nano_usd) as upstream, sum(k.saved_nano_usd) as saving
        from (
            select a.organization_id, a.day, a.reserved_nano_usd, a.open_nano_usd, a.settled_nano_usd, a.released_nano_usd,
                a.upstream_cost_nano_usd, a.saved_nano_usd
            from operations.ledger_accounts a
            union all
            select m.organization_id, m.day, m.reserved_nano_usd, m.open_nano_usd, m.settled_nano_usd, m.released_nano_usd,
                m.upstream_cost_nano_usd, m.saved_nano_usd
            from operations.ledger_moves m
        ) k
        where k.day in (select d.day from days d)
        group by 1, 2
    ), posted as materialized (
        select p.organization_id, date_trunc('day', p.at, 'UTC') as day, sum(p.reserved_nano_usd) as reserved,
            sum(p.open_nano_usd) as open, sum(p.settled_nano_usd) as settled, sum(p.released_nano_usd) as released,
            sum(p.upstream_cost_nano_usd) as upstream, sum(p.saved_nano_usd) as saving
        from operations.ledger_postings p
        where p.at >= (select min(d.day) from days d) and p.at < (select max(d.day) from days d) + interval '24 hours'
        group by 1, 2
    )
    select 'account', coalesce(k.organization_id, p.organization_id), null::uuid, coalesce(k.day, p.day),
        jsonb_build_object('account', to_jsonb(k), 'posted', to_jsonb(p))
    from kept k
    full join posted p on p.organization_id = k.organization_id and p.day = k.day
    where (k.reserved, k.open, k.settled, k.released, k.upstream, k.saving)
        is distinct from (p.reserved, p.open, p.settled, p.released, p.upstream, p.saving)
$$;
alter function operations.account_faults(timestamptz, timestamptz) owner to synaxis_definer;
grant execute on function operations.account_faults(timestamptz, timestamptz) to synaxis_admin, synaxis_agent;

-- Where the ledger is wrong; a row is a bug. Calls of a stretch of time are held against what they posted, and the
-- accounts of its whole days against the postings of those days. `fault`: `unbalanced`, a movement that is not zero in
-- all; `posted`, a call that posted something else than its entry says, or nothing; `orphan`, postings without an
-- entry; `account`, a day that says something else than its postings.
create function operations.ledger_faults(begins timestamptz, ends timestamptz)
    returns table (fault text, organization_id uuid, request_id uuid, at timestamptz, difference jsonb)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with posted as materialized (
        select p.organization_id, p.request_id, p.at,
            sum(p.reserved_nano_usd) as reserved, sum(p.open_nano_usd) as open,
            sum(p.settled_nano_usd) filter (where p.movement = 'booking') as settled,
            sum(p.released_nano_usd) filter (where p.movement = 'booking') as released,
            sum(p.upstream_cost_nano_usd) as upstream, sum(p.saved_nano_usd) as saving,
            bool_or(p.reserved_nano_usd + p.open_nano_usd + p.settled_nano_usd + p.released_nano_usd <> 0
                or p.upstream_cost_nano_usd + p.upstream_payable_nano_usd <> 0
                or p.list_cost_nano_usd + p.saved_nano_usd <> 0) as is_unbalanced
        from operations.ledger_postings p
        where p.at >= begins and p.at < ends
            and p.request_id >= operations.first_id_at(begins) and p.request_id < operations.first_id_at(ends)
        group by 1, 2, 3
    ), entered as materialized (
        select e.organization_id, e.request_id, e.at, l.*
        from operations.usage_entries e
        cross join lateral operations.legs(e.finish, e.held_nano_usd, e.cost_nano_usd, e.saved_nano_usd) l
        where e.at >= begins and e.at < ends
            and e.request_id >= operations.first_id_at(begins) and e.request_id < operations.first_id_at(ends)
    )
    select 'unbalanced', p.organization_id, p.request_id, p.at, to_jsonb(p) from posted p where p.is_unbalanced
    union all
    select 'posted', e.organization_id, e.request_id, e.at, jsonb_build_object('entry', to_jsonb(e), 'posted', to_jsonb(p))
    from entered e
    left join posted p on p.request_id = e.request_id and p.at = e.at
    where (p.organization_id, p.reserved, p.open, p.settled, p.released, p.upstream, p.saving)
        is distinct from (e.organization_id, e.reserved, e.open, e.settled, e.released, e.upstream, e.saving)
    union all
    select 'orphan', p.organization_id, p.request_id, p.at, to_jsonb(p)
    from posted p
    left join entered e on e.request_id = p.request_id and e.at = p.at
    where e.request_id is null
    union all
    select * from operations.account_faults(begins, ends)
$$;
alter function operations.ledger_faults(timestamptz, timestamptz) owner to synaxis_definer;
grant execute on function operations.ledger_faults(timestamptz, timestamptz) to synaxis_admin, synaxis_agent;

-- Gives back what a call was charged, or a part of it: all that is left when `amount` is null. The entry stays as it
-- is. Answers nothing when there is no such call; `given` is null when more was asked for than is left.
create function operations.refund(organization uuid, request uuid, amount bigint)
    returns table (given bigint, refunded bigint, remaining bigint)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    call operations.usage_entries;
    earlier int;
begin
    select e.* into call
    from operations.usage_entries e
    where e.request_id = request and e.at = operations.moment_of(request) and e.organization_id = organization
    for update;
    if not found then
        return;
    end if;
    select count(*), coalesce(sum(p.released_nano_usd), 0) into earlier, refunded
    from operations.ledger_postings p
    where p.request_id = call.request_id and p.at = call.at and p.movement = 'refund';
    remaining := greatest(call.cost_nano_usd - refunded, 0);
    if coalesce(amount, remaining) not between 1 and remaining then
        return next;
        return;
    end if;
    given := coalesce(amount, remaining);
    refunded := refunded + given;
    remaining := remaining - given;
    insert into operations.ledger_postings (request_id, at, movement, ordinal, organization_id, reserved_nano_usd,
        open_nano_usd, settled_nano_usd, released_nano_usd, upstream_cost_nano_usd, upstream_payable_nano_usd,
        list_cost_nano_usd, saved_nano_usd)
    values (call.request_id, call.at, 'refund', earlier, call.organization_id, 0, 0, -given, given, 0, 0, 0, 0);
    insert into operations.ledger_moves (organization_id, day, reserved_nano_usd, open_nano_usd, settled_nano_usd,
        released_nano_usd, upstream_cost_nano_usd, upstream_payable_nano_usd, list_cost_nano_usd, saved_nano_usd)
    values (call.organization_id, date_trunc('day', call.at, 'UTC'), 0, 0, -given, given, 0, 0, 0, 0);
    return next;
end
$$;
alter function operations.refund(uuid, uuid, bigint) owner to synaxis_definer;
grant execute on function operations.refund(uuid, uuid, bigint) to synaxis_admin;

-- As before, less what was given back.
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

-- What is booked already. Nobody books meanwhile: the changed table is locked.
select platform.make_months();
select platform.make_month('operations.ledger_postings', m.begins)
from (
    select (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]::timestamptz as begins
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'operations.usage_entries'::regclass
) m;
insert into operations.ledger_postings (request_id, at, movement, ordinal, organization_id, reserved_nano_usd,
    open_nano_usd, settled_nano_usd, released_nano_usd, upstream_cost_nano_usd, upstream_payable_nano_usd,
    list_cost_nano_usd, saved_nano_usd)
select e.request_id, e.at, 'booking', operations.certainty(e.finish, e.is_estimated), e.organization_id,
    l.reserved, l.open, l.settled, l.released, l.upstream, -l.upstream, -l.saving, l.saving
from operations.usage_entries e
cross join lateral operations.legs(e.finish, e.held_nano_usd, e.cost_nano_usd, e.saved_nano_usd) l;
insert into operations.ledger_accounts
select p.organization_id, date_trunc('day', p.at, 'UTC'), sum(p.reserved_nano_usd), sum(p.open_nano_usd),
    sum(p.settled_nano_usd), sum(p.released_nano_usd), sum(p.upstream_cost_nano_usd),
    sum(p.upstream_payable_nano_usd), sum(p.list_cost_nano_usd), sum(p.saved_nano_usd)
from operations.ledger_postings p
group by 1, 2
order by 1, 2;

reset role;
