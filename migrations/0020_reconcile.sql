-- Why: counters are held against the books from time to time, and whoever does it must know which limits there are.

set local role synaxis_owner;

-- Limits of money and of calls whose windows are days and months, `batch` of them behind `after` in the order of their
-- ids: [{"organization_id", "limit"}], a limit as `quota::Limit` reads it. The books know exactly what these count.
create function operations.calendar_limits(after uuid, batch int) returns jsonb
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
        where c.id > after and c.deleted_at is null and c.meter in ('nano_usd', 'requests')
            and c.time_window in ('day', 'month')
            and c.subject_kind in ('organization', 'group', 'user', 'key', 'key_model')
        order by c.id
        limit batch
    ) l
$$;
alter function operations.calendar_limits(uuid, int) owner to synaxis_definer;
grant execute on function operations.calendar_limits(uuid, int) to synaxis_proxy;

reset role;
