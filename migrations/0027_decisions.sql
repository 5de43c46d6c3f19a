-- Why: every call's entry says why it went where it went, and people may ask what would become of a call with a key.

set local role synaxis_owner;

-- Why the offer was taken, in one word; the strategy, where one was set; and the offers as they were ranked, where
-- that is not what anybody would expect.
alter table operations.usage_entries
    add column routed_by text constraint usage_entries_routed_by_ck check (char_length(routed_by) <= 40),
    add column strategy_id uuid,
    add column ranked_offer_ids uuid[];

-- What a key of the current organization grants, without what its secret is made of.
create function operations.grant_of_key(wanted uuid) returns jsonb
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select operations.grant_by_public_id(k.public_id)
        || jsonb_build_object('secret_hash', (select jsonb_agg(0) from generate_series(0, 31)))
    from operations.api_keys k
    where k.organization_id = platform.current_organization() and k.id = wanted
$$;
alter function operations.grant_of_key(uuid) owner to synaxis_definer;
grant execute on function operations.grant_of_key(uuid) to synaxis_admin;

-- As before, and with the decision. A later definition keeps it by naming these columns, too.
do $$
declare
    body text := pg_get_functiondef('operations.ingest(json)'::regprocedure);
begin
    body := replace(body, 'alternative_offer_id, alternative_price_book, held_nano_usd)',
        'alternative_offer_id, alternative_price_book, held_nano_usd, routed_by, strategy_id, ranked_offer_ids)');
    body := replace(body, E'o.held_nano_usd)', E'o.held_nano_usd, o.routed_by, o.strategy_id, o.ranked_offer_ids)');
    if position('o.ranked_offer_ids)' in body) = 0 or position('held_nano_usd, routed_by' in body) = 0 then
        raise exception 'operations.ingest is not what it was';
    end if;
    execute body;
end
$$;

reset role;
