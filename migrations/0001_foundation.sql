-- Why: what every later migration stands on: the four schemas, the service roles, the tenant policy,
-- the change feed that tells proxies and sidecars what they must read again.

-- Roles belong to the whole cluster: two databases may be migrated at once.
select pg_advisory_xact_lock(hashtext('synaxis roles'));

do $$
declare
    name text;
begin
    foreach name in array array['synaxis_owner', 'synaxis_definer'] loop
        if not exists (select from pg_roles where rolname = name) then
            execute format('create role %I nologin', name);
        end if;
    end loop;
    -- The service roles may log in once `synaxis migrate` has given them a password.
    foreach name in array array['synaxis_proxy', 'synaxis_admin', 'synaxis_agent', 'synaxis_auditor'] loop
        if not exists (select from pg_roles where rolname = name) then
            execute format('create role %I nologin', name);
        end if;
    end loop;
    -- The owner hands its functions to the definer, so it must be able to become it.
    if not pg_has_role('synaxis_owner', 'synaxis_definer', 'member') then
        grant synaxis_definer to synaxis_owner;
    end if;
end
$$;

alter role synaxis_proxy set statement_timeout = '2s';
alter role synaxis_admin set statement_timeout = '5s';
-- A failed statement must not put its values into the server's log.
alter role synaxis_proxy set log_parameter_max_length_on_error = 0;
alter role synaxis_admin set log_parameter_max_length_on_error = 0;

create schema platform authorization synaxis_owner;
create schema identity authorization synaxis_owner;
create schema operations authorization synaxis_owner;
create schema audit authorization synaxis_owner;

set local role synaxis_owner;

grant usage, create on schema platform, identity, operations, audit to synaxis_definer;
grant usage on schema platform, identity, operations, audit to synaxis_proxy, synaxis_admin, synaxis_agent;
grant usage on schema audit to synaxis_auditor;

-- The definer's functions read and write across tenants; nothing else does.
alter default privileges for role synaxis_owner in schema platform, identity, operations, audit
    grant select, insert, update, delete on tables to synaxis_definer;
alter default privileges for role synaxis_owner in schema platform, identity, operations, audit
    grant usage on sequences to synaxis_definer;
-- A function is nobody's until it is granted.
alter default privileges for role synaxis_owner revoke execute on functions from public;
alter default privileges for role synaxis_definer revoke execute on functions from public;

-- The organization whose rows this transaction may touch; null when none was set.
create function platform.current_organization() returns uuid
    language sql stable
    return nullif(current_setting('app.organization_id', true), '')::uuid;
grant execute on function platform.current_organization() to public;

-- Lets a table's rows be seen only by their own organization and by the definer's functions.
create procedure platform.protect_tenant_table(tenant_table regclass, organization_column text default 'organization_id')
    language plpgsql as $$
begin
    execute format('alter table %s enable row level security', tenant_table);
    execute format('alter table %s force row level security', tenant_table);
    execute format(
        'create policy tenant on %s using (%I = platform.current_organization()) with check (%I = platform.current_organization())',
        tenant_table, organization_column, organization_column);
    execute format('create policy definer on %s to synaxis_definer using (true) with check (true)', tenant_table);
end
$$;

create function platform.touch_updated_at() returns trigger language plpgsql as $$
begin
    new.updated_at := now();
    return new;
end
$$;

create procedure platform.keep_updated_at(mutable_table regclass) language plpgsql as $$
begin
    execute format(
        'create trigger keep_updated_at before update on %s for each row execute function platform.touch_updated_at()',
        mutable_table);
end
$$;

-- What changed, in the order it was committed; readers catch up from the last `seq` they saw.
create table platform.changes (
    seq bigint generated always as identity constraint changes_pk primary key,
    at timestamptz not null default now(),
    kind text not null,
    id uuid
);
create index changes_by_time on platform.changes (at);

create function platform.announce(kind text, id uuid) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    written bigint;
begin
    -- One writer at a time until commit, so that `seq` is also the order in which readers can see the rows.
    perform pg_advisory_xact_lock(hashtext('synaxis changes'));
    insert into platform.changes (kind, id) values (announce.kind, announce.id) returning seq into written;
    perform pg_notify('synaxis_changes', written || ' ' || announce.kind || ' ' || coalesce(announce.id::text, '-'));
end
$$;
alter function platform.announce(text, uuid) owner to synaxis_definer;
grant execute on function platform.announce(text, uuid) to synaxis_owner, synaxis_admin, synaxis_agent;

-- One announcement per row. Arguments: the kind, and the column that names what changed (default `id`).
create function platform.announce_row() returns trigger language plpgsql as $$
declare
    changed jsonb := to_jsonb(coalesce(new, old));
begin
    perform platform.announce(tg_argv[0], (changed ->> coalesce(tg_argv[1], 'id'))::uuid);
    return null;
end
$$;

-- One announcement per statement, for tables that are read again as a whole. Argument: the kind.
create function platform.announce_statement() returns trigger language plpgsql as $$
begin
    perform platform.announce(tg_argv[0], null);
    return null;
end
$$;
grant execute on function platform.announce_row(), platform.announce_statement() to synaxis_admin, synaxis_agent, synaxis_definer;

create function platform.changes_since(last_seq bigint, batch int default 1000)
    returns table (seq bigint, kind text, id uuid)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select c.seq, c.kind, c.id from platform.changes c where c.seq > last_seq order by c.seq limit batch
$$;
alter function platform.changes_since(bigint, int) owner to synaxis_definer;
grant execute on function platform.changes_since(bigint, int) to synaxis_proxy, synaxis_admin, synaxis_agent;

create function platform.last_change() returns bigint
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(max(c.seq), 0) from platform.changes c
$$;
alter function platform.last_change() owner to synaxis_definer;
grant execute on function platform.last_change() to synaxis_proxy, synaxis_admin, synaxis_agent;

reset role;
