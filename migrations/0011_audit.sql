-- Why: each row of the audit log now carries where the change came from, and hangs on the row before it by a keyed
-- hash, so that whoever changes the books past us cannot do it unseen. The key never comes here: the process that
-- makes a change asks for the end of the chain, computes the hash and appends.

set local role synaxis_owner;

alter table audit.audit_logs
    add column address inet,
    add column request_id uuid,
    add column user_agent text constraint audit_logs_user_agent_ck check (char_length(user_agent) between 1 and 120),
    -- Names the key of `hash`.
    add column key_id text constraint audit_logs_key_id_ck check (key_id ~ '^[0-9a-f]{16}$'),
    add constraint audit_logs_keyed_ck check ((hash is null) = (key_id is null));
create index audit_logs_by_action on audit.audit_logs (organization_id, action, at desc, id desc);
create index audit_logs_by_actor on audit.audit_logs (organization_id, actor_id, at desc, id desc);

alter table audit.chain_heads
    -- Rows up to this one are older than the chain and have no hash.
    add column unchained bigint not null default 0 constraint chain_heads_unchained_ck check (unchained >= 0),
    -- Rows up to this one went past their retention. The chain goes on from `pruned_hash`; `pruned_mac` says that it
    -- was us who let them go.
    add column pruned_seq bigint not null default 0 constraint chain_heads_pruned_seq_ck check (pruned_seq >= 0),
    add column pruned_hash bytea constraint chain_heads_pruned_hash_ck check (length(pruned_hash) = 32),
    add column pruned_key_id text constraint chain_heads_pruned_key_id_ck check (pruned_key_id ~ '^[0-9a-f]{16}$'),
    add column pruned_mac bytea constraint chain_heads_pruned_mac_ck check (length(pruned_mac) = 32),
    -- The last row that a signed checkpoint outside the database vouches for.
    add column checkpoint_seq bigint not null default 0 constraint chain_heads_checkpoint_seq_ck check (checkpoint_seq >= 0);

-- The one data change: what is there was written without a hash.
alter table audit.chain_heads no force row level security;
update audit.chain_heads set unchained = seq;
alter table audit.chain_heads force row level security;

alter table audit.chain_heads
    add constraint chain_heads_hashed_ck check ((hash is not null) = (seq > unchained)),
    add constraint chain_heads_pruned_ck check (
        (pruned_seq > 0) = (pruned_mac is not null) and (pruned_mac is null) = (pruned_key_id is null)
        and (pruned_hash is not null) = (pruned_seq > unchained) and pruned_seq <= seq);

-- Locks the end of this transaction's chain until commit and says what the next row hangs on. `written` is `details`
-- as the row will show them, since that is what is hashed.
create function audit.next_link(details jsonb)
    returns table (organization_id uuid, seq bigint, at timestamptz, previous bytea, unchained bigint, written text)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    organization uuid := platform.current_organization();
    head audit.chain_heads;
    moment timestamptz;
begin
    -- Locked, so that the order of `seq` is the order of commits.
    for attempt in 1..2 loop
        if organization is null then
            select h.* into head from audit.chain_heads h where h.organization_id is null for update;
        else
            select h.* into head from audit.chain_heads h where h.organization_id = organization for update;
        end if;
        exit when found;
        insert into audit.chain_heads (organization_id, seq) values (organization, 0) on conflict do nothing;
    end loop;
    -- Never before the row before: rows leave by time, and must leave in the order of the chain.
    moment := greatest(clock_timestamp(), head.updated_at);
    if to_regclass('audit.audit_logs_' || to_char(moment at time zone 'UTC', 'YYYY_MM')) is null then
        perform audit.ensure_partitions();
    end if;
    return query select organization, head.seq + 1, moment, head.hash, head.unchained, details::text;
end
$$;
alter function audit.next_link(jsonb) owner to synaxis_definer;
grant execute on function audit.next_link(jsonb) to synaxis_admin, synaxis_agent;

-- Writes one row at the end of this transaction's chain, as `audit.next_link` said.
create function audit.append(id uuid, seq bigint, at timestamptz, actor_kind text, actor_id uuid, action text,
    target_kind text, target_id uuid, details jsonb, address inet, request_id uuid, user_agent text, key_id text, hash bytea)
    returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    organization uuid := platform.current_organization();
    moved int;
begin
    if organization is null then
        update audit.chain_heads h set seq = append.seq, hash = append.hash, updated_at = append.at
        where h.organization_id is null and h.seq = append.seq - 1 and h.updated_at <= append.at;
    else
        update audit.chain_heads h set seq = append.seq, hash = append.hash, updated_at = append.at
        where h.organization_id = organization and h.seq = append.seq - 1 and h.updated_at <= append.at;
    end if;
    get diagnostics moved = row_count;
    if moved <> 1 or append.at > clock_timestamp() + interval '1 minute' then
        raise exception 'this is not the end of the chain' using errcode = 'serialization_failure';
    end if;
    insert into audit.audit_logs (id, at, organization_id, seq, actor_kind, actor_id, action, target_kind, target_id,
        details, address, request_id, user_agent, key_id, hash)
    values (append.id, append.at, organization, append.seq, append.actor_kind, append.actor_id, append.action,
        append.target_kind, append.target_id, append.details, append.address, append.request_id, append.user_agent,
        append.key_id, append.hash);
end
$$;
alter function audit.append(uuid, bigint, timestamptz, text, uuid, text, text, uuid, jsonb, inet, uuid, text, text, bytea)
    owner to synaxis_definer;
grant execute on function
    audit.append(uuid, bigint, timestamptz, text, uuid, text, text, uuid, jsonb, inet, uuid, text, text, bytea)
    to synaxis_admin, synaxis_agent;
-- What it wrote had no hash: better that an older process fails than that it leaves a hole.
drop function audit.record(uuid, text, uuid, text, text, uuid, jsonb);

-- Every chain there is, also those nothing was written to; what checkpoints are made of and verifiers begin with.
create function audit.all_chains() returns table (organization_id uuid, seq bigint, hash bytea)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select o.id, coalesce(h.seq, 0), h.hash
    from identity.organizations o
    left join audit.chain_heads h on h.organization_id = o.id
    union all
    select null, coalesce(h.seq, 0), h.hash
    from (values (true)) platform (is_there)
    left join audit.chain_heads h on h.organization_id is null
$$;
alter function audit.all_chains() owner to synaxis_definer;
grant execute on function audit.all_chains() to synaxis_admin, synaxis_agent, synaxis_auditor;

-- Notes what a checkpoint outside the database now vouches for.
create function audit.note_checkpoint(organizations uuid[], seqs bigint[]) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update audit.chain_heads h
    set checkpoint_seq = greatest(h.checkpoint_seq, c.seq)
    from unnest(organizations, seqs) c (organization_id, seq)
    -- The platform as an id of its own: null equals nothing.
    where coalesce(h.organization_id, '00000000-0000-0000-0000-000000000000')
            = coalesce(c.organization_id, '00000000-0000-0000-0000-000000000000')
        and c.seq <= h.seq
$$;
alter function audit.note_checkpoint(uuid[], bigint[]) owner to synaxis_definer;
grant execute on function audit.note_checkpoint(uuid[], bigint[]) to synaxis_agent;

reset role;
