-- Why: what is only ever added to must also go: months past their retention are dropped whole, an organization with a
-- shorter one is pruned inside them, one with a longer one takes its rows along. From the audit log rows go only once
-- a checkpoint outside the database vouches for them.
--
-- The functions that drop run as the tables' owner, who alone may; it sees all rows because it is a member of the
-- definer. Agents may call them, and each refuses what is not yet due.

set local role synaxis_owner;

-- How long one organization's rows are kept: the audit log as its settings say, everything else for as long, but at
-- least for the month that budgets are counted over.
create function platform.retention_days(audit_days int, is_audit boolean) returns int
    language sql immutable
    return case when is_audit then audit_days else greatest(audit_days, 32) end;
grant execute on function platform.retention_days(int, boolean) to synaxis_definer;

-- The organizations whose rows of a month that ended at `ends` are still to be kept.
create function platform.keepers_of(ends timestamptz, is_audit boolean) returns uuid[]
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(s.organization_id), '{}')
    from identity.organization_settings s
    where now() - make_interval(days => platform.retention_days(s.audit_retention_days, is_audit)) < ends
$$;
alter function platform.keepers_of(timestamptz, boolean) owner to synaxis_definer;
grant execute on function platform.keepers_of(timestamptz, boolean) to synaxis_owner;

-- The organizations whose rows go sooner than `default_days`, and after how many days.
create function platform.shorter_retentions(default_days int, is_audit boolean) returns table (organization_id uuid, days int)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.organization_id, platform.retention_days(s.audit_retention_days, is_audit)
    from identity.organization_settings s
    where platform.retention_days(s.audit_retention_days, is_audit) < default_days
$$;
alter function platform.shorter_retentions(int, boolean) owner to synaxis_definer;
grant execute on function platform.shorter_retentions(int, boolean) to synaxis_agent;

-- Every month of every table that is kept by month, with its bounds, oldest first.
create function platform.months() returns table (parent regclass, partition regclass, begins timestamptz, ends timestamptz)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select t.parent, i.inhrelid::regclass,
        (regexp_match(b.bound, 'FROM \(''([^'']+)''\)'))[1]::timestamptz,
        (regexp_match(b.bound, 'TO \(''([^'']+)''\)'))[1]::timestamptz
    from platform.tables_by_month() t (parent)
    join pg_inherits i on i.inhparent = t.parent
    join pg_class c on c.oid = i.inhrelid
    cross join lateral (select pg_get_expr(c.relpartbound, c.oid)) b (bound)
    order by 4, 1
$$;
grant execute on function platform.months() to synaxis_agent;

-- Drops a month, but for the rows of the organizations in `kept` (and of the platform, when it keeps its own): they
-- move into a month of the same bounds first. Granted to nobody.
create function platform.rewrite_month(partition regclass, kept uuid[], keeps_platform boolean) returns text
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    month record;
    name text := (select c.relname from pg_class c where c.oid = rewrite_month.partition);
    place text := (
        select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.oid = rewrite_month.partition);
    fresh text := format('%I.%I', place, name || '_kept');
    moved bigint := 0;
begin
    select * into strict month from platform.months() m where m.partition = rewrite_month.partition;
    perform pg_advisory_xact_lock(hashtext('synaxis partitions'));
    -- Rather tomorrow than to hold up whoever reads and writes.
    perform set_config('lock_timeout', '5s', true);
    if keeps_platform or cardinality(kept) > 0 then
        execute format('lock table %s in share row exclusive mode', month.partition);
        execute format('create table %s (like %s including defaults including constraints)', fresh, month.parent);
        execute format('insert into %s select r.* from %s r where r.at >= $1 and r.at < $2'
            ' and (r.organization_id = any ($3) or ($4 and r.organization_id is null))', fresh, month.parent)
            using month.begins, month.ends, kept, keeps_platform;
        get diagnostics moved = row_count;
    end if;
    execute format('drop table %s', month.partition);
    if moved = 0 then
        execute format('drop table if exists %s', fresh);
        return 'dropped';
    end if;
    execute format('alter table %s rename to %I', fresh, name);
    execute format('alter table %I.%I enable row level security', place, name);
    execute format('alter table %I.%I force row level security', place, name);
    execute format('revoke all on %I.%I from synaxis_definer', place, name);
    execute format('alter table %s attach partition %I.%I for values from (%L) to (%L)',
        month.parent, place, name, month.begins, month.ends);
    return 'rewritten';
end
$$;

-- Lets a month go that is past `default_days`, of any table but the audit log: `kept`, `dropped` or `rewritten`.
create function platform.retire_month(partition regclass, default_days int) returns text
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    month record;
    kept uuid[];
    has_tenants boolean;
    is_due boolean := true;
begin
    select * into strict month from platform.months() m where m.partition = retire_month.partition;
    if month.parent = 'audit.audit_logs'::regclass or default_days < 32 then
        raise exception 'this month does not go like that' using errcode = 'invalid_parameter_value';
    end if;
    if now() - make_interval(days => default_days) < month.ends then
        return 'kept';
    end if;
    kept := platform.keepers_of(month.ends, false);
    has_tenants := exists (
        select from pg_attribute a
        where a.attrelid = month.parent and a.attname = 'organization_id' and not a.attisdropped);
    if not has_tenants then
        return platform.rewrite_month(partition, '{}', false);
    end if;
    if cardinality(kept) > 0 then
        execute format('select exists (select from %s r where r.at >= $1 and r.at < $2'
            ' and coalesce(r.organization_id <> all ($3), true))', month.parent)
            into is_due using month.begins, month.ends, kept;
    end if;
    return case when is_due then platform.rewrite_month(partition, kept, false) else 'kept' end;
end
$$;
grant execute on function platform.retire_month(regclass, int) to synaxis_agent;

-- Deletes the oldest rows, about `batch` of them, that one organization wrote before `before`, from any table but the
-- audit log; returns how many.
create function platform.prune_rows(parent regclass, organization uuid, before timestamptz, batch int) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    edge timestamptz;
    pruned bigint;
begin
    if parent not in (select t from platform.tables_by_month() t) or parent = 'audit.audit_logs'::regclass
        or before > now() - interval '32 days' then
        raise exception 'these rows do not go like that' using errcode = 'invalid_parameter_value';
    end if;
    execute format('select max(b.at) from (select r.at from %s r where r.organization_id = $1 and r.at < $2'
        ' order by r.at limit $3) b', parent)
        into edge using organization, before, batch;
    execute format('delete from %s r where r.organization_id = $1 and r.at <= $2', parent) using organization, edge;
    get diagnostics pruned = row_count;
    return pruned;
end
$$;
grant execute on function platform.prune_rows(regclass, uuid, timestamptz, int) to synaxis_agent;

-- Where each chain of the audit log ends inside a month, and whether the month is past its retention; the platform's
-- own is kept for `default_days`.
create function audit.ends_of_month(partition regclass, default_days int)
    returns table (organization_id uuid, seq bigint, hash bytea, checkpoint_seq bigint, is_due boolean)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select e.organization_id, e.seq, e.hash, coalesce(h.checkpoint_seq, 0),
        m.ends <= now() - make_interval(days => coalesce(s.audit_retention_days, default_days))
    from platform.months() m
    cross join lateral (
        select distinct on (l.organization_id) l.organization_id, l.seq, l.hash
        from audit.audit_logs l
        where l.at >= m.begins and l.at < m.ends
        order by l.organization_id, l.seq desc) e
    left join audit.chain_heads h on coalesce(h.organization_id, '00000000-0000-0000-0000-000000000000')
        = coalesce(e.organization_id, '00000000-0000-0000-0000-000000000000')
    left join identity.organization_settings s on s.organization_id = e.organization_id
    where m.partition = ends_of_month.partition and m.parent = 'audit.audit_logs'::regclass
$$;
alter function audit.ends_of_month(regclass, int) owner to synaxis_definer;
grant execute on function platform.months() to synaxis_definer;
grant execute on function audit.ends_of_month(regclass, int) to synaxis_agent;

-- Notes that a chain begins after `seq`: a checkpoint must vouch for that row, and `mac` says that it was us.
-- Granted to nobody.
create function audit.move_beginning(organization uuid, seq bigint, hash bytea, key_id text, mac bytea) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update audit.chain_heads h
    set pruned_seq = move_beginning.seq, pruned_hash = move_beginning.hash, pruned_key_id = move_beginning.key_id,
        pruned_mac = move_beginning.mac
    where h.organization_id is not distinct from organization and h.pruned_seq < move_beginning.seq
        and move_beginning.seq <= h.checkpoint_seq;
    if not found then
        raise exception 'no checkpoint vouches for these rows' using errcode = 'object_not_in_prerequisite_state';
    end if;
end
$$;
alter function audit.move_beginning(uuid, bigint, bytea, text, bytea) owner to synaxis_definer;
grant execute on function audit.move_beginning(uuid, bigint, bytea, text, bytea) to synaxis_owner;

-- Lets a month of the audit log go for the chains that are named, each by its last row inside the month.
create function audit.retire_month(partition regclass, default_days int, organizations uuid[], seqs bigint[], key_id text,
    macs bytea[])
    returns text
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    chain record;
    kept uuid[] := '{}';
    keeps_platform boolean := false;
begin
    for chain in
        select e.*, g.seq as named_seq, g.mac
        from audit.ends_of_month(retire_month.partition, default_days) e
        left join unnest(organizations, seqs, macs) g (organization_id, seq, mac)
            on g.organization_id is not distinct from e.organization_id
    loop
        if chain.mac is null then
            kept := case when chain.organization_id is null then kept else kept || chain.organization_id end;
            keeps_platform := keeps_platform or chain.organization_id is null;
            continue;
        end if;
        if chain.named_seq <> chain.seq or not chain.is_due then
            raise exception 'these rows are not due' using errcode = 'object_not_in_prerequisite_state';
        end if;
        perform audit.move_beginning(chain.organization_id, chain.seq, chain.hash, retire_month.key_id, chain.mac);
    end loop;
    return platform.rewrite_month(partition, kept, keeps_platform);
end
$$;
grant execute on function audit.ends_of_month(regclass, int) to synaxis_owner;
grant execute on function audit.retire_month(regclass, int, uuid[], bigint[], text, bytea[]) to synaxis_agent;

-- Deletes the rows of one organization's chain up to `seq`, which are past its own retention; returns how many.
create function audit.prune(organization uuid, seq bigint, key_id text, mac bytea) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    last record;
    days int := (select s.audit_retention_days from identity.organization_settings s where s.organization_id = organization);
    pruned bigint;
begin
    select l.at, l.hash into strict last
    from audit.audit_logs l where l.organization_id = organization and l.seq = prune.seq;
    if days is null or last.at > now() - make_interval(days => days) then
        raise exception 'these rows are not due' using errcode = 'object_not_in_prerequisite_state';
    end if;
    perform audit.move_beginning(organization, prune.seq, last.hash, prune.key_id, prune.mac);
    delete from audit.audit_logs l where l.organization_id = organization and l.seq <= prune.seq;
    get diagnostics pruned = row_count;
    return pruned;
end
$$;
grant execute on function audit.prune(uuid, bigint, text, bytea) to synaxis_agent;
grant select on audit.audit_logs, audit.chain_heads to synaxis_agent;

-- Forgets changes older than `keep`; the last one stays, since its number says where the feed is.
create function platform.prune_changes(keep interval) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    pruned bigint;
begin
    if keep < interval '1 hour' then
        raise exception 'readers may still need these changes' using errcode = 'invalid_parameter_value';
    end if;
    delete from platform.changes c
    where c.at < now() - keep and c.seq < (select max(l.seq) from platform.changes l);
    get diagnostics pruned = row_count;
    return pruned;
end
$$;
alter function platform.prune_changes(interval) owner to synaxis_definer;
grant execute on function platform.prune_changes(interval) to synaxis_agent;

-- A reader that comes from before the oldest change there is may have missed some: it is told by a change of a kind
-- that no reader knows, and reads everything again.
create or replace function platform.changes_since(last_seq bigint, batch int default 1000)
    returns table (seq bigint, kind text, id uuid)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    (select c.seq, c.kind, c.id from platform.changes c where c.seq > last_seq order by c.seq limit batch)
    union all
    select o.seq, 'gap', null
    from (select min(f.seq) as seq from platform.changes f) o
    where last_seq + 1 < o.seq
    order by 1
$$;

reset role;
