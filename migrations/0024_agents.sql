-- Why: agents wake by rows: once a tick whoever leads, at once when somebody asks, never longer than their deadline.

set local role synaxis_owner;

alter table platform.agent_schedules
    -- The latest tick that was looked at; null until somebody led. What was missed before is not made up for.
    add column ticked_at timestamptz,
    -- The run that was asked for: its id is known before it begins.
    add column nudged_run uuid,
    add column nudged_by text constraint agent_schedules_nudged_by_ck check (nudged_by in ('nudge', 'person')),
    add column deadline_s int not null default 300
        constraint agent_schedules_deadline_ck check (deadline_s between 1 and 3600),
    -- It looks and reports, and changes nothing.
    add column is_dry boolean not null default false,
    -- When somebody last changed it; `updated_at` also moves with every tick.
    add column edited_at timestamptz not null default now(),
    add constraint agent_schedules_nudge_ck check (num_nonnulls(nudged_at, nudged_run, nudged_by) in (0, 3));
grant update (ticked_at, nudged_run, nudged_by, deadline_s, is_dry, edited_at) on platform.agent_schedules to synaxis_admin;

-- Tells whoever leads that a schedule is another, or that somebody asks for a run.
create function platform.announce_schedule() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_notify('synaxis_agents', new.agent);
    return null;
end
$$;
create trigger announce_schedule
    after insert or update of cron, zone, is_paused, nudged_at, deadline_s, is_dry on platform.agent_schedules
    for each row execute function platform.announce_schedule();

create index agent_runs_running on operations.agent_runs (at) where outcome = 'running';

-- Forgets answers that nobody can ask for again; returns how many.
create function operations.prune_idempotency_keys(batch int) returns int
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    with gone as (
        delete from operations.idempotency_keys k
        where k.id in (
            select e.id from operations.idempotency_keys e
            where e.expires_at < now()
            order by e.expires_at
            limit least(batch, 10000)
            for update skip locked)
        returning 1)
    select count(*)::int from gone
$$;
alter function operations.prune_idempotency_keys(int) owner to synaxis_definer;
grant execute on function operations.prune_idempotency_keys(int), identity.prune(timestamptz) to synaxis_agent;

insert into platform.agent_schedules (id, agent, cron, deadline_s)
values
    (gen_random_uuid(), 'health_monitoring', '*/2 * * * *', 110),
    (gen_random_uuid(), 'cost_optimization', '*/15 * * * *', 600),
    (gen_random_uuid(), 'model_discovery', '0 2 * * *', 1800),
    (gen_random_uuid(), 'security_audit', '0 */6 * * *', 1800),
    (gen_random_uuid(), 'maintenance', '0 * * * *', 3000)
on conflict do nothing;

reset role;
