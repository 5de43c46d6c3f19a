-- Why: providers give credits too, some allowances come back piece by piece rather than at midnight, and what a
-- provider's answers say of an allowance counts more than what its pages say.

set local role synaxis_owner;

alter table platform.provider_allowances
    drop constraint provider_allowances_meter_ck,
    add constraint provider_allowances_meter_ck check (meter in ('requests', 'tokens', 'credits')),
    -- A day is any 24 hours, a month any 30 days.
    add column is_rolling boolean not null default false,
    -- What the provider's answers say, beside what is published: it counts while it is fresh.
    add column told_amount bigint
        constraint provider_allowances_told_amount_ck check (told_amount between 0 and 9007199254740991),
    add column told_at timestamptz,
    add constraint provider_allowances_told_ck check (num_nonnulls(told_amount, told_at) in (0, 2));

-- Two functions grow by a few words each; the rest of them stays whatever an earlier file made it.
do $$
declare
    change record;
    body text;
begin
    for change in
        select * from (values
            ('platform.snapshot()'::regprocedure,
                $old$'amount', a.amount,$old$,
                $new$'amount', case when a.told_at > now() - interval '30 days' then a.told_amount else a.amount end,$new$),
            ('platform.snapshot()'::regprocedure,
                $old$'is_shared', a.is_shared$old$,
                $new$'is_shared', a.is_shared, 'is_rolling', a.is_rolling$new$),
            ('operations.spent(uuid, jsonb)'::regprocedure,
                $old$when 'concurrent' then '0'$old$,
                -- By today's price: the books keep what was paid, and credits are not paid.
                $new$when 'credits' then 'operations.list_price(offer_id, input_tokens, output_tokens)'
            when 'concurrent' then '0'$new$)
        ) as changes (function, old, new)
    loop
        body := pg_get_functiondef(change.function);
        if position(change.old in body) = 0 then
            raise exception '% does not say %', change.function, change.old;
        end if;
        execute replace(body, change.old, change.new);
    end loop;
end
$$;

-- What so many tokens come to by an offer's own price, in nano-dollars, whoever pays.
create function operations.list_price(offer uuid, input bigint, output bigint) returns numeric
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((
        select ceil((input::numeric * p.input + output::numeric * p.output) / 1000000)
        from platform.offer_prices p
        where p.offer_id = offer and p.valid_from <= now() and (p.valid_to is null or p.valid_to > now())
        order by p.valid_from desc, p.id desc
        limit 1), 0)
$$;
revoke execute on function operations.list_price(uuid, bigint, bigint) from public;
grant execute on function operations.list_price(uuid, bigint, bigint) to synaxis_definer;

reset role;
