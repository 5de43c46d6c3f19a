-- Why: what every operation of the admin API has in common: answers given once per idempotency key, and how often
-- somebody may try. Both are reached through functions only; no service reads the tables.

set local role synaxis_owner;

-- One POST that asked to be done once. The answer is sealed: it may hold a secret that is shown once.
create table operations.idempotency_keys (
    id uuid constraint idempotency_keys_pk primary key,
    -- A digest of who asks: a person, or an address where nobody is signed in.
    caller bytea not null constraint idempotency_keys_caller_ck check (length(caller) = 32),
    key text not null constraint idempotency_keys_key_ck check (char_length(key) between 1 and 255),
    -- A keyed digest of method, path and body.
    fingerprint bytea not null constraint idempotency_keys_fingerprint_ck check (length(fingerprint) = 32),
    -- Until when the request that came first is believed to be at work.
    held_until timestamptz not null,
    sealing_key_id text,
    sealed_key bytea,
    sealed_answer bytea,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    constraint idempotency_keys_uq unique (caller, key),
    constraint idempotency_keys_answer_ck
        check (num_nulls(sealing_key_id, sealed_key, sealed_answer) in (0, 3))
);
create index idempotency_keys_by_expiry on operations.idempotency_keys (expires_at);

alter table operations.idempotency_keys enable row level security;
alter table operations.idempotency_keys force row level security;
create policy definer on operations.idempotency_keys to synaxis_definer using (true) with check (true);

-- Takes a key for a request that begins, or tells what became of the one that had it: `mine`, `busy`, `other`, `kept`.
create function operations.claim_idempotency_key(id uuid, caller bytea, key text, fingerprint bytea, hold interval, keep interval)
    returns table (outcome text, kept_id uuid, sealing_key_id text, sealed_key bytea, sealed_answer bytea)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    kept operations.idempotency_keys;
begin
    -- Every claim takes a few that have expired with it.
    delete from operations.idempotency_keys k
    where k.id in (
        select e.id from operations.idempotency_keys e
        where e.expires_at < now()
        order by e.expires_at
        limit 20
        for update skip locked);
    insert into operations.idempotency_keys as k (id, caller, key, fingerprint, held_until, expires_at)
    values (claim_idempotency_key.id, claim_idempotency_key.caller, claim_idempotency_key.key,
        claim_idempotency_key.fingerprint, now() + hold, now() + keep)
    on conflict on constraint idempotency_keys_uq do update
        set id = excluded.id, fingerprint = excluded.fingerprint, held_until = excluded.held_until,
            expires_at = excluded.expires_at, created_at = now(), sealing_key_id = null, sealed_key = null,
            sealed_answer = null
        where k.expires_at < now() or (k.sealed_answer is null and k.held_until < now());
    if found then
        return query select 'mine', claim_idempotency_key.id, null::text, null::bytea, null::bytea;
        return;
    end if;
    select * into kept from operations.idempotency_keys k
    where k.caller = claim_idempotency_key.caller and k.key = claim_idempotency_key.key;
    return query select
        case
            -- It ended and gave the key back between the two statements.
            when kept.id is null then 'busy'
            when kept.fingerprint <> claim_idempotency_key.fingerprint then 'other'
            when kept.sealed_answer is null then 'busy'
            else 'kept'
        end,
        kept.id, kept.sealing_key_id, kept.sealed_key, kept.sealed_answer;
end
$$;
alter function operations.claim_idempotency_key(uuid, bytea, text, bytea, interval, interval) owner to synaxis_definer;
grant execute on function operations.claim_idempotency_key(uuid, bytea, text, bytea, interval, interval) to synaxis_admin;

-- Keeps the answer of the request that holds the key.
create function operations.keep_idempotent_answer(id uuid, sealing_key_id text, sealed_key bytea, sealed_answer bytea) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    update operations.idempotency_keys k
    set sealing_key_id = keep_idempotent_answer.sealing_key_id, sealed_key = keep_idempotent_answer.sealed_key,
        sealed_answer = keep_idempotent_answer.sealed_answer
    where k.id = keep_idempotent_answer.id and k.sealed_answer is null
$$;
alter function operations.keep_idempotent_answer(uuid, text, bytea, bytea) owner to synaxis_definer;
grant execute on function operations.keep_idempotent_answer(uuid, text, bytea, bytea) to synaxis_admin;

-- Gives a key back whose request came to nothing, so that it may be tried again.
create function operations.release_idempotency_key(id uuid) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    delete from operations.idempotency_keys k where k.id = release_idempotency_key.id and k.sealed_answer is null
$$;
alter function operations.release_idempotency_key(uuid) owner to synaxis_definer;
grant execute on function operations.release_idempotency_key(uuid) to synaxis_admin;

-- When the next try of somebody at something is due if they keep to their rate; a burst may be ahead of it.
-- Lost in a crash of Postgres, which only forgives.
create unlogged table operations.tries (
    -- A digest of what is tried and by whom, or at whose account.
    subject bytea constraint tries_pk primary key constraint tries_subject_ck check (length(subject) = 32),
    due_at timestamptz not null
);
create index tries_by_due_at on operations.tries (due_at);

alter table operations.tries enable row level security;
alter table operations.tries force row level security;
create policy definer on operations.tries to synaxis_definer using (true) with check (true);

-- Counts one try; returns how long to wait when it is one too many, which is not counted then. `pace` is the time
-- between tries at the steady rate, `burst` how many may come at once.
create function operations.count_try(subject bytea, pace interval, burst int) returns interval
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    wait interval;
begin
    delete from operations.tries t
    where t.subject in (
        select e.subject from operations.tries e
        where e.due_at < clock_timestamp()
        order by e.due_at
        limit 20
        for update skip locked);
    insert into operations.tries as t (subject, due_at) values (count_try.subject, clock_timestamp() + pace)
    on conflict on constraint tries_pk do update set due_at = greatest(t.due_at, clock_timestamp()) + pace
        where greatest(t.due_at, clock_timestamp()) + pace <= clock_timestamp() + pace * burst;
    if found then
        return null;
    end if;
    select t.due_at + pace - (clock_timestamp() + pace * burst) into wait
    from operations.tries t where t.subject = count_try.subject;
    return greatest(wait, interval '0');
end
$$;
alter function operations.count_try(bytea, interval, int) owner to synaxis_definer;
grant execute on function operations.count_try(bytea, interval, int) to synaxis_admin;

reset role;
