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

-- Writes down what providers' answers say of their allowances: of known ones how much they are, of others that there
-- are any. Returns how many rows say something new. Item: {id, allowance | offer, meter, window, amount}.
create function platform.learn_allowances(told jsonb) returns bigint
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    with told as (
        select t.* from jsonb_to_recordset(told)
            as t (id uuid, allowance uuid, offer uuid, meter text, "window" text, amount bigint)
    ), known as (
        update platform.provider_allowances a set told_amount = t.amount, told_at = now()
        from told t
        where a.id = t.allowance and a.deleted_at is null
            and (a.told_amount is distinct from t.amount or a.told_at < now() - interval '1 day')
        returning a.id
    ), unknown as (
        insert into platform.provider_allowances as a
            (id, organization_id, provider_id, offer_id, meter, amount, time_window, origin, source, told_amount, told_at)
        select t.id, o.organization_id, o.provider_id, o.id, t.meter, t.amount, t."window", 'learned',
            'the provider''s answers', t.amount, now()
        from told t
        join platform.offers o on o.id = t.offer and o.deleted_at is null
        where t.allowance is null
        on conflict (organization_id, provider_id, offer_id, meter, time_window) where deleted_at is null
        do update set told_amount = excluded.told_amount, told_at = excluded.told_at
        where a.told_amount is distinct from excluded.told_amount
        returning a.id
    )
    select (select count(*) from known) + (select count(*) from unknown)
$$;
alter function platform.learn_allowances(jsonb) owner to synaxis_definer;
grant select, insert, update on platform.provider_allowances to synaxis_definer;
revoke execute on function platform.learn_allowances(jsonb) from public;
grant execute on function platform.learn_allowances(jsonb) to synaxis_admin;

reset role;
