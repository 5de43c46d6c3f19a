-- Why: proxies prefer the offers that organizations' routes name and order offers as their strategies say, within a
-- second of a change.

set local role synaxis_owner;

create trigger announce after insert or update or delete on operations.routes
    for each statement execute function platform.announce_transaction('catalog');
create trigger announce after insert or update or delete on operations.routing_strategies
    for each statement execute function platform.announce_transaction('catalog');

-- A key that takes over from one with a strategy of its own has that strategy too: proxies must hear of it.
create function operations.announce_heir() returns trigger language plpgsql as $$
begin
    if exists (
        select from operations.routing_strategies s
        where s.organization_id = new.organization_id and s.api_key_id = new.lineage_id and s.deleted_at is null) then
        perform platform.announce('catalog', null);
    end if;
    return null;
end
$$;
grant execute on function operations.announce_heir() to synaxis_admin, synaxis_agent, synaxis_definer;
create trigger announce_heir after insert on operations.api_keys
    for each row when (new.lineage_id is not null) execute function operations.announce_heir();

-- What everybody wants of the order of offers, at one instant: routes, and strategies with all they hold for.
create function operations.routing_snapshot() returns jsonb
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object(
        'routes', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'id', r.id, 'organization_id', r.organization_id, 'model_id', r.model_id, 'offer_id', r.offer_id,
                'is_pinned', r.is_pinned) order by r.id), '[]')
            from operations.routes r
            where r.deleted_at is null),
        'strategies', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'id', s.id, 'organization_id', s.organization_id, 'subject', s.subject_kind, 'group_id', s.group_id,
                -- Of a rotated key it holds for the whole chain of keys.
                'keys', (
                    select coalesce(jsonb_agg(k.id), '[]')
                    from operations.api_keys k
                    where k.organization_id = s.organization_id and (k.id = s.api_key_id or k.lineage_id = s.api_key_id)),
                -- An alias of the platform that the organization has another of by the same name is out of its reach.
                'alias', (
                    select a.name
                    from platform.model_aliases a
                    where a.id = s.alias_id and a.deleted_at is null and not exists (
                        select from platform.model_aliases o
                        where a.organization_id is null and o.organization_id = s.organization_id and o.name = a.name
                            and o.deleted_at is null and o.is_enabled)),
                'kind', s.kind, 'weights', s.weights, 'max_cost_per_million', s.max_cost_per_million_nano_usd,
                'max_latency_ms', s.max_latency_ms, 'min_success_percent', s.min_success_percent,
                'is_paid_allowed', s.is_paid_allowed) order by s.id), '[]')
            from operations.routing_strategies s
            where s.deleted_at is null))
$$;
alter function operations.routing_snapshot() owner to synaxis_definer;
grant execute on function operations.routing_snapshot() to synaxis_proxy, synaxis_admin, synaxis_agent;

reset role;
