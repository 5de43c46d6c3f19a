-- Why: who changed what. The row is written in the transaction of the change: no row, no change.

set local role synaxis_owner;

create table audit.audit_logs (
    id uuid not null,
    at timestamptz not null default clock_timestamp(),
    -- Null: the platform itself.
    organization_id uuid constraint audit_logs_organization_fk references identity.organizations (id),
    -- Without gaps inside one organization.
    seq bigint not null constraint audit_logs_seq_ck check (seq > 0),
    actor_kind text not null constraint audit_logs_actor_kind_ck
        check (actor_kind in ('user', 'api_key', 'operator', 'agent', 'system')),
    actor_id uuid,
    action text not null constraint audit_logs_action_ck check (action ~ '^[a-z_]+\.[a-z_]+$'),
    target_kind text not null constraint audit_logs_target_kind_ck check (target_kind ~ '^[a-z_]+$'),
    target_id uuid,
    details jsonb not null default '{}' constraint audit_logs_details_ck check (jsonb_typeof(details) = 'object'),
    -- Links the row to the one before; null until the chain is keyed.
    hash bytea constraint audit_logs_hash_ck check (length(hash) = 32),
    constraint audit_logs_pk primary key (id, at)
) partition by range (at);
create index audit_logs_by_time on audit.audit_logs (organization_id, at desc, id desc);
create index audit_logs_by_seq on audit.audit_logs (organization_id, seq);
create index audit_logs_by_target on audit.audit_logs (organization_id, target_id, at desc);

-- The last row of each organization's chain.
create table audit.chain_heads (
    organization_id uuid constraint chain_heads_organization_fk references identity.organizations (id),
    seq bigint not null,
    hash bytea constraint chain_heads_hash_ck check (length(hash) = 32),
    updated_at timestamptz not null default now(),
    constraint chain_heads_uq unique nulls not distinct (organization_id)
);

call platform.protect_tenant_table('audit.audit_logs');
call platform.protect_tenant_table('audit.chain_heads');

-- Nobody changes or takes back what was written.
revoke update, delete on audit.audit_logs from synaxis_definer;
revoke delete on audit.chain_heads from synaxis_definer;
grant select on audit.audit_logs, audit.chain_heads to synaxis_admin, synaxis_auditor;

-- Makes the partitions of this month and `ahead` more. Runs as the tables' owner: only it may attach one.
create function audit.ensure_partitions(ahead int default 3) returns int
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    made int := 0;
    month timestamp := date_trunc('month', now() at time zone 'UTC');
    partition text;
begin
    perform pg_advisory_xact_lock(hashtext('synaxis audit partitions'));
    for step in 0..ahead loop
        partition := 'audit_logs_' || to_char(month, 'YYYY_MM');
        if to_regclass('audit.' || partition) is null then
            -- Made alone, then attached: attaching does not wait for readers and writers of the parent.
            execute format('create table audit.%I (like audit.audit_logs including defaults including constraints)', partition);
            execute format('alter table audit.%I enable row level security', partition);
            execute format('alter table audit.%I force row level security', partition);
            execute format('revoke all on audit.%I from synaxis_definer', partition);
            execute format('alter table audit.audit_logs attach partition audit.%I for values from (%L) to (%L)',
                partition, month at time zone 'UTC', (month + interval '1 month') at time zone 'UTC');
            made := made + 1;
        end if;
        month := month + interval '1 month';
    end loop;
    return made;
end
$$;
grant execute on function audit.ensure_partitions(int) to synaxis_definer, synaxis_agent;

-- Writes one row about the organization of this transaction, or about the platform when it has none.
create function audit.record(id uuid, actor_kind text, actor_id uuid, action text, target_kind text, target_id uuid, details jsonb)
    returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    organization uuid := platform.current_organization();
    written timestamptz;
    place bigint;
begin
    -- The head is locked until commit, so that the order of `seq` is the order of commits.
    insert into audit.chain_heads as head (organization_id, seq) values (organization, 1)
    on conflict on constraint chain_heads_uq do update set seq = head.seq + 1, updated_at = now()
    returning head.seq into place;
    written := clock_timestamp();
    if to_regclass('audit.audit_logs_' || to_char(written at time zone 'UTC', 'YYYY_MM')) is null then
        perform audit.ensure_partitions();
    end if;
    insert into audit.audit_logs (id, at, organization_id, seq, actor_kind, actor_id, action, target_kind, target_id, details)
    values (record.id, written, organization, place, record.actor_kind, record.actor_id, record.action, record.target_kind,
        record.target_id, record.details);
    return place;
end
$$;
alter function audit.record(uuid, text, uuid, text, text, uuid, jsonb) owner to synaxis_definer;
grant execute on function audit.record(uuid, text, uuid, text, text, uuid, jsonb) to synaxis_admin, synaxis_agent;

select audit.ensure_partitions();

reset role;
