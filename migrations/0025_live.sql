-- Why: events in the order they were committed, so that who resumes loses none; audit records and warnings of quotas
-- become events; tickets open sockets; alerts are delivered once whoever dies; and their secrets outlive a sealing key.

set local role synaxis_owner;

-- Counts events as they are committed.
create sequence operations.event_order as bigint;
grant usage on sequence operations.event_order to synaxis_definer;

-- Null until the transaction commits; nobody sees it before.
alter table operations.events add column seq bigint;
create index events_by_order on operations.events (seq);

-- A fresh UUIDv7 whose time part is `at`.
create function platform.fresh_id(at timestamptz default clock_timestamp()) returns uuid
    language sql volatile set search_path = pg_catalog, pg_temp as $$
    select encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                placing substring(int8send(floor(extract(epoch from at) * 1000)::bigint) from 3) from 1 for 6),
            52, 1), 53, 1), 'hex')::uuid
$$;
grant execute on function platform.fresh_id(timestamptz) to synaxis_definer, synaxis_admin, synaxis_agent;

-- Gives an event its place. Runs at the very end of the transaction, when all its other locks are taken: writers of
-- events wait for each other's commits only, and never in a ring.
create function operations.order_event() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    place bigint;
begin
    perform pg_advisory_xact_lock(hashtext('synaxis events'));
    place := nextval('operations.event_order');
    update operations.events e set seq = place where e.id = new.id and e.at = new.at;
    perform pg_notify('synaxis_events', place::text);
    return null;
end
$$;
alter function operations.order_event() owner to synaxis_definer;
grant execute on function operations.order_event() to synaxis_owner;
create constraint trigger order_event after insert on operations.events
    deferrable initially deferred for each row execute function operations.order_event();

-- Writes an event in the transaction of what happened; answers its id.
create function operations.emit_event(organization uuid, kind text, data jsonb) returns uuid
    language sql volatile set search_path = pg_catalog, pg_temp as $$
    with moment as materialized (select clock_timestamp() as at)
    insert into operations.events (id, at, organization_id, kind, data)
    select platform.fresh_id(m.at), m.at, emit_event.organization, emit_event.kind, emit_event.data from moment m
    returning id
$$;
grant execute on function operations.emit_event(uuid, text, jsonb) to synaxis_definer, synaxis_admin, synaxis_agent;

-- The events after `last`, everybody's, in the order they were committed.
create function operations.events_since(last bigint, batch int)
    returns table (seq bigint, id uuid, at timestamptz, organization_id uuid, kind text, data text)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select e.seq, e.id, e.at, e.organization_id, e.kind, e.data::text
    from operations.events e
    where e.seq > last
    order by e.seq
    limit batch
$$;
alter function operations.events_since(bigint, int) owner to synaxis_definer;
grant execute on function operations.events_since(bigint, int) to synaxis_admin;

-- The events of some organizations (and of the platform) after `last` and not after `final`, no older than `keep`.
create function operations.events_between(organizations uuid[], last bigint, final bigint, keep interval, batch int)
    returns table (seq bigint, id uuid, at timestamptz, organization_id uuid, kind text, data text)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select e.seq, e.id, e.at, e.organization_id, e.kind, e.data::text
    from operations.events e
    where e.seq > last and e.seq <= final and e.at > now() - keep
        and (e.organization_id is null or e.organization_id = any (organizations))
    order by e.seq
    limit batch
$$;
alter function operations.events_between(uuid[], bigint, bigint, interval, int) owner to synaxis_definer;
grant execute on function operations.events_between(uuid[], bigint, bigint, interval, int) to synaxis_admin;

-- The place of the last event there is; zero before the first.
create function operations.last_event() returns bigint
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(max(e.seq), 0) from operations.events e
$$;
alter function operations.last_event() owner to synaxis_definer;
grant execute on function operations.last_event() to synaxis_admin;

-- The place of an event no older than `keep`; null when there is none.
create function operations.place_of_event(wanted uuid, keep interval) returns bigint
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select e.seq from operations.events e where e.id = wanted and e.at > now() - keep
$$;
alter function operations.place_of_event(uuid, interval) owner to synaxis_definer;
grant execute on function operations.place_of_event(uuid, interval) to synaxis_admin;

-- Every record of the audit log is an event.
create function audit.emit_record() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform operations.emit_event(new.organization_id, 'AuditEvent', jsonb_build_object(
        'id', new.id, 'action', new.action, 'entity_type', new.target_kind,
        'performed_by', coalesce(new.actor_id::text, new.actor_kind), 'performed_at', new.at));
    return null;
end
$$;
alter function audit.emit_record() owner to synaxis_definer;
grant execute on function audit.emit_record() to synaxis_owner;
create trigger emit_record after insert on audit.audit_logs
    for each row execute function audit.emit_record();

-- When somebody was last warned that so much of a limit is used. No foreign key: limits come and go.
create table operations.quota_warnings (
    organization_id uuid not null constraint quota_warnings_organization_fk references identity.organizations (id),
    limit_id uuid not null,
    percent smallint not null constraint quota_warnings_percent_ck check (percent in (80, 95, 100)),
    at timestamptz not null,
    constraint quota_warnings_pk primary key (organization_id, limit_id, percent)
);
call platform.protect_tenant_table('operations.quota_warnings');

-- Takes warnings of proxies: each becomes an event, once for each limit, mark and window, whoever saw it first.
-- `since` is when the window began that is so full. Answers how many were new.
create function operations.ingest_warnings(warnings json) returns int
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    told int;
begin
    with seen as (
        select distinct on (l.organization_id, l.id, w.percent)
            l.organization_id, l.id, l.subject_kind, l.meter, l.amount, w.percent, w.used, w.at, w.since
        from json_to_recordset(warnings) w (limit_id uuid, percent smallint, used bigint, at timestamptz, since timestamptz)
        join operations.limits l on l.id = w.limit_id and l.deleted_at is null
        order by l.organization_id, l.id, w.percent, w.at
    ), fresh as (
        insert into operations.quota_warnings as q (organization_id, limit_id, percent, at)
        select s.organization_id, s.id, s.percent, s.at from seen s
        order by s.organization_id, s.id, s.percent
        on conflict (organization_id, limit_id, percent) do update set at = excluded.at
        where q.at < (select s.since from seen s
            where s.organization_id = q.organization_id and s.id = q.limit_id and s.percent = q.percent)
        returning q.organization_id, q.limit_id, q.percent
    )
    select count(operations.emit_event(s.organization_id, 'QuotaWarning', jsonb_build_object(
        'limit_id', s.id, 'subject', s.subject_kind, 'meter', s.meter, 'used', s.used, 'amount', s.amount,
        'percent', s.percent)))
    into told
    from fresh f
    join seen s on s.organization_id = f.organization_id and s.id = f.limit_id and s.percent = f.percent;
    return told;
end
$$;
alter function operations.ingest_warnings(json) owner to synaxis_definer;
grant execute on function operations.ingest_warnings(json) to synaxis_proxy;

-- What opens one socket, once, soon.
create table identity.event_tickets (
    hash bytea constraint event_tickets_pk primary key constraint event_tickets_hash_ck check (length(hash) = 32),
    user_id uuid not null,
    session_id uuid not null,
    token_version int not null,
    expires_at timestamptz not null,
    constraint event_tickets_user_fk foreign key (user_id) references identity.users (id)
);
create index event_tickets_by_user on identity.event_tickets (user_id);
create index event_tickets_by_end on identity.event_tickets (expires_at);
call platform.protect_hidden_table('identity.event_tickets');

-- Keeps a ticket. Those that ran out go, and one person's oldest where they have very many.
create function identity.issue_event_ticket(hash bytea, user_id uuid, session_id uuid, token_version int, lifetime interval)
    returns timestamptz
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    until timestamptz := clock_timestamp() + lifetime;
begin
    delete from identity.event_tickets t where t.expires_at < clock_timestamp();
    delete from identity.event_tickets t where t.hash in (
        select o.hash from identity.event_tickets o
        where o.user_id = issue_event_ticket.user_id order by o.expires_at desc offset 99);
    insert into identity.event_tickets (hash, user_id, session_id, token_version, expires_at)
    values (issue_event_ticket.hash, issue_event_ticket.user_id, issue_event_ticket.session_id,
        issue_event_ticket.token_version, until);
    return until;
end
$$;
alter function identity.issue_event_ticket(bytea, uuid, uuid, int, interval) owner to synaxis_definer;

-- Takes a ticket; whoever comes second finds none.
create function identity.take_event_ticket(wanted bytea)
    returns table (user_id uuid, session_id uuid, token_version int)
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    with taken as (
        delete from identity.event_tickets t where t.hash = wanted
        returning t.user_id, t.session_id, t.token_version, t.expires_at
    )
    select t.user_id, t.session_id, t.token_version from taken t where clock_timestamp() < t.expires_at
$$;
alter function identity.take_event_ticket(bytea) owner to synaxis_definer;
grant execute on function identity.issue_event_ticket(bytea, uuid, uuid, int, interval),
    identity.take_event_ticket(bytea) to synaxis_admin;

-- What a delivery tells of its alert.
alter table operations.alert_deliveries
    add column about text not null default 'raised' constraint alert_deliveries_about_ck check (about in ('raised', 'resolved'));
grant insert on operations.alert_deliveries to synaxis_admin;
create index alerts_open_by_time on operations.alerts (organization_id, last_seen_at desc, id desc)
    where resolved_at is null and deleted_at is null;

-- Who tells whom: a webhook's secret goes in and is opened by whoever sends.
create trigger check_sealing_key before insert or update of sealing_key_id on operations.alert_channels
    for each row execute function platform.check_sealing_key('sealing_key_id');
drop trigger keep_updated_at on operations.alert_channels;
create trigger keep_updated_at
    before update of name, kind, target, kinds, min_severity, is_enabled, deleted_at
    on operations.alert_channels for each row execute function platform.touch_updated_at();

-- Takes deliveries that are due, for `lease`: whoever has not said by then what became of one counts as gone. The time
-- is the server's: sidecars whose clocks disagree must not take the same.
create function operations.take_deliveries(batch int, lease interval)
    returns table (id uuid, at timestamptz, attempts smallint, about text, organization_id uuid, alert_id uuid,
        alert_kind text, severity text, message text, details jsonb, occurrences int, raised_at timestamptz,
        resolved_at timestamptz, channel_id uuid, channel_kind text, target text, sealing_key_id text, sealed_key bytea,
        sealed_secret bytea, is_wanted boolean)
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    with due as (
        select d.id, d.at from operations.alert_deliveries d
        where d.state = 'pending' and d.next_attempt_at <= clock_timestamp()
        order by d.next_attempt_at, d.id
        limit batch
        for update skip locked
    ), taken as (
        update operations.alert_deliveries d
        set attempts = d.attempts + 1, next_attempt_at = clock_timestamp() + lease
        from due
        where d.id = due.id and d.at = due.at
        returning d.id, d.at, d.attempts, d.about, d.organization_id, d.alert_id, d.channel_id
    )
    select t.id, t.at, t.attempts, t.about, t.organization_id, t.alert_id, a.kind, a.severity, a.message, a.details,
        a.occurrences, a.created_at, a.resolved_at, t.channel_id, c.kind, c.target, c.sealing_key_id, c.sealed_key,
        c.sealed_secret, c.is_enabled and c.deleted_at is null and a.deleted_at is null
    from taken t
    join operations.alerts a on a.id = t.alert_id
    join operations.alert_channels c on c.id = t.channel_id
$$;
alter function operations.take_deliveries(int, interval) owner to synaxis_definer;

-- Notes what became of try `tried` of a delivery: without a pause and a fault it arrived, with a pause it waits, with
-- a fault alone it is given up. False when somebody else has it by now.
create function operations.note_delivery(wanted uuid, made_at timestamptz, tried smallint, pause interval,
        status smallint, fault text) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update operations.alert_deliveries d
    set state = case when fault is null then 'delivered' when pause is null then 'given_up' else 'pending' end,
        next_attempt_at = case when fault is not null then clock_timestamp() + pause end,
        delivered_at = case when fault is null then clock_timestamp() end,
        last_status = status, last_fault = left(fault, 500)
    where d.id = wanted and d.at = made_at and d.state = 'pending' and d.attempts = tried;
    return found;
end
$$;
alter function operations.note_delivery(uuid, timestamptz, smallint, interval, smallint, text) owner to synaxis_definer;

-- A webhook's secret as it is sealed, of a channel this transaction may see.
create function operations.sealed_channel(wanted uuid)
    returns table (sealing_key_id text, sealed_key bytea, sealed_secret bytea)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select c.sealing_key_id, c.sealed_key, c.sealed_secret
    from operations.alert_channels c
    where c.id = wanted and c.deleted_at is null and c.sealing_key_id is not null
        and (c.organization_id = platform.current_organization()
            or c.organization_id is null and platform.speaks_for_platform())
$$;
alter function operations.sealed_channel(uuid) owner to synaxis_definer;

-- Channels that `current_key` does not seal, also those that went with their organization and may come back.
create function operations.channels_to_rewrap(current_key text, batch int, after uuid)
    returns table (id uuid, organization_id uuid, target text, sealing_key_id text, sealed_key bytea, sealed_secret bytea)
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select c.id, c.organization_id, c.target, c.sealing_key_id, c.sealed_key, c.sealed_secret
    from operations.alert_channels c
    where c.sealing_key_id <> current_key and after < c.id
    order by c.id
    limit batch
    for update skip locked
$$;
alter function operations.channels_to_rewrap(text, int, uuid) owner to synaxis_definer;

-- Puts a channel's secret back as it was sealed anew.
create function operations.rewrap_channel(wanted uuid, key_id text, key bytea, secret bytea) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    update operations.alert_channels c
    set sealing_key_id = key_id, sealed_key = key, sealed_secret = secret
    where c.id = wanted
$$;
alter function operations.rewrap_channel(uuid, text, bytea, bytea) owner to synaxis_definer;
grant execute on function operations.take_deliveries(int, interval),
    operations.note_delivery(uuid, timestamptz, smallint, interval, smallint, text),
    operations.sealed_channel(uuid), operations.channels_to_rewrap(text, int, uuid),
    operations.rewrap_channel(uuid, text, bytea, bytea) to synaxis_admin;

-- As before, and what channels are sealed with.
create or replace function platform.sealing_key_uses() returns table (id text, uses bigint)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select u.id, sum(u.uses)::bigint
    from (
        select k.sealing_key_id as id, count(*) as uses from platform.provider_credentials k
        where length(k.sealed_secret) > 0 group by 1
        union all
        select k.pending_sealing_key_id, count(*) from platform.provider_credentials k
        where k.pending_sealing_key_id is not null group by 1
        union all
        select p.sealing_key_id, count(*) from identity.identity_providers p
        where length(p.sealed_secret) > 0 group by 1
        union all
        select c.sealing_key_id, count(*) from operations.alert_channels c
        where c.sealing_key_id is not null group by 1
        union all
        select f.sealing_key_id, count(*) from identity.mfa_factors f where f.deleted_at is null group by 1
        union all
        select l.sealing_key_id, count(*) from identity.letters l where l.given_up_at is null group by 1
        union all
        select s.sealing_key_id, count(*) from platform.signing_keys s
        where s.retires_at is null or now() < s.retires_at group by 1
    ) u
    group by u.id
$$;

reset role;
