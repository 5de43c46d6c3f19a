-- Why: what people were still owed: letters that outlive the process that was to send them, one announcement for an
-- organization that goes or comes back, sealing keys that can be retired whatever they sealed, sign-ins their
-- organizations may see, registrations that cannot be taken over, and exports that tell what was used.

set local role synaxis_owner;

-- Secrets of identity providers that `current_key` does not seal, also of those that went with their organization and
-- may come back with it; whoever asks at the same time gets others.
create function identity.providers_to_rewrap(current_key text, batch int, after uuid)
    returns table (id uuid, organization_id uuid, issuer text, sealing_key_id text, sealed_key bytea, sealed_secret bytea)
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select p.id, p.organization_id, p.issuer, p.sealing_key_id, p.sealed_key, p.sealed_secret
    from identity.identity_providers p
    where p.sealing_key_id <> current_key and length(p.sealed_secret) > 0 and after < p.id
    order by p.id
    limit batch
    for update skip locked
$$;
alter function identity.providers_to_rewrap(text, int, uuid) owner to synaxis_definer;

-- Puts a provider's secret back as it was sealed anew.
create function identity.rewrap_provider(wanted uuid, key_id text, key bytea, secret bytea) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    update identity.identity_providers p
    set sealing_key_id = key_id, sealed_key = key, sealed_secret = secret
    where p.id = wanted
$$;
alter function identity.rewrap_provider(uuid, text, bytea, bytea) owner to synaxis_definer;

-- Second factors that `current_key` does not seal. One that was taken away never comes back.
create function identity.factors_to_rewrap(current_key text, batch int, after uuid)
    returns table (id uuid, sealing_key_id text, sealed_key bytea, sealed_secret bytea)
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select f.id, f.sealing_key_id, f.sealed_key, f.sealed_secret
    from identity.mfa_factors f
    where f.sealing_key_id <> current_key and f.deleted_at is null and after < f.id
    order by f.id
    limit batch
    for update skip locked
$$;
alter function identity.factors_to_rewrap(text, int, uuid) owner to synaxis_definer;

-- Puts a second factor back as it was sealed anew.
create function identity.rewrap_factor(wanted uuid, key_id text, key bytea, secret bytea) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    update identity.mfa_factors f
    set sealing_key_id = key_id, sealed_key = key, sealed_secret = secret
    where f.id = wanted
$$;
alter function identity.rewrap_factor(uuid, text, bytea, bytea) owner to synaxis_definer;

-- The version of a provider is what people wrote, not what seals its secret.
drop trigger keep_updated_at on identity.identity_providers;
create trigger keep_updated_at
    before update of name, issuer, client_id, scopes, email_domains, admits_as, is_enabled, deleted_at
    on identity.identity_providers for each row execute function platform.touch_updated_at();

-- Letters that wait to be sent. What they say holds codes that let people in, so it is sealed, and it goes with the
-- sending: a letter that was sent leaves no row, one that was given up leaves an empty one.
create table identity.letters (
    id uuid constraint letters_pk primary key,
    subject text not null constraint letters_subject_ck check (char_length(subject) between 1 and 200),
    sealing_key_id text not null constraint letters_sealing_key_id_ck check (sealing_key_id ~ '^[0-9a-f]{16}$'),
    sealed_key bytea not null,
    sealed_secret bytea not null,
    -- How often somebody took it to send it.
    tries int not null default 0 constraint letters_tries_ck check (tries >= 0),
    -- When it is to be tried next; while somebody sends it, when they count as gone.
    due_at timestamptz not null default now(),
    -- What it says no longer counts then.
    useful_until timestamptz not null,
    given_up_at timestamptz,
    -- Why the last try failed, as one word.
    fault text constraint letters_fault_ck check (char_length(fault) <= 60),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint letters_given_up_ck check (given_up_at is null or length(sealed_secret) = 0)
);
create index letters_by_due on identity.letters (due_at, id) where given_up_at is null;
create index letters_by_end on identity.letters (given_up_at) where given_up_at is not null;
create index letters_by_sealing_key on identity.letters (sealing_key_id) where given_up_at is null;
call platform.protect_hidden_table('identity.letters');
call platform.keep_updated_at('identity.letters');

-- Writes a letter, in the transaction that causes it.
create function identity.post_letter(id uuid, subject text, sealing_key_id text, sealed_key bytea, sealed_secret bytea,
        useful_for interval) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into identity.letters (id, subject, sealing_key_id, sealed_key, sealed_secret, useful_until)
    values (post_letter.id, post_letter.subject, post_letter.sealing_key_id, post_letter.sealed_key,
        post_letter.sealed_secret, now() + post_letter.useful_for)
$$;
alter function identity.post_letter(uuid, text, text, bytea, bytea, interval) owner to synaxis_definer;

-- Takes letters that are due, for `lease`: whoever has not said by then what became of one counts as gone. The time
-- is the server's: sidecars whose clocks disagree must not take the same letter.
create function identity.take_letters(batch int, lease interval)
    returns table (id uuid, sealing_key_id text, sealed_key bytea, sealed_secret bytea, tries int)
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    with due as (
        select l.id from identity.letters l
        where l.given_up_at is null and l.due_at <= clock_timestamp()
        order by l.due_at, l.id
        limit batch
        for update skip locked
    )
    update identity.letters l
    set tries = l.tries + 1, due_at = clock_timestamp() + lease
    from due
    where l.id = due.id
    returning l.id, l.sealing_key_id, l.sealed_key, l.sealed_secret, l.tries
$$;
alter function identity.take_letters(int, interval) owner to synaxis_definer;

-- A letter was sent: it goes. `tries` says whose it was; somebody else may have taken it since.
create function identity.forget_letter(sent uuid, tries int) returns void
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    delete from identity.letters l where l.id = sent and l.tries = forget_letter.tries
$$;
alter function identity.forget_letter(uuid, int) owner to synaxis_definer;

-- A letter was not sent: it waits for `pause`, or is given up and emptied when there is none, or it would come too late.
-- Answers whether it was given up.
create function identity.put_letter_back(kept uuid, tries int, fault text, pause interval) returns boolean
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    update identity.letters l
    set fault = put_letter_back.fault,
        due_at = clock_timestamp() + coalesce(pause, interval '0'),
        given_up_at = case when is_over then clock_timestamp() end,
        sealed_key = case when is_over then '' else l.sealed_key end,
        sealed_secret = case when is_over then '' else l.sealed_secret end
    from (
        select w.id, pause is null or w.useful_until <= clock_timestamp() + pause as is_over
        from identity.letters w where w.id = kept) w
    where l.id = w.id and l.tries = put_letter_back.tries and l.given_up_at is null
    returning w.is_over
$$;
alter function identity.put_letter_back(uuid, int, text, interval) owner to synaxis_definer;

-- How many letters wait, for how long the oldest has, and how many were given up of late.
create function identity.letters_standing(out waiting bigint, out oldest_s bigint, out given_up bigint)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select count(*) filter (where l.given_up_at is null),
        coalesce(extract(epoch from now() - min(l.created_at) filter (where l.given_up_at is null)), 0)::bigint,
        count(*) filter (where l.given_up_at is not null)
    from identity.letters l
$$;
alter function identity.letters_standing() owner to synaxis_definer;

-- How much each key seals, whoever's it is.
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
        select f.sealing_key_id, count(*) from identity.mfa_factors f where f.deleted_at is null group by 1
        union all
        select l.sealing_key_id, count(*) from identity.letters l where l.given_up_at is null group by 1
        union all
        select s.sealing_key_id, count(*) from platform.signing_keys s
        where s.retires_at is null or now() < s.retires_at group by 1
    ) u
    group by u.id
$$;

-- One announcement per row. Arguments: the kind, and the column that names what changed (default `id`). While an
-- organization goes or comes back whole, its one announcement stands for them all.
create or replace function platform.announce_row() returns trigger language plpgsql as $$
declare
    changed jsonb;
begin
    if current_setting('synaxis.announced_whole', true) = pg_current_xact_id()::text then
        return null;
    end if;
    changed := to_jsonb(coalesce(new, old));
    perform platform.announce(tg_argv[0], (changed ->> coalesce(tg_argv[1], 'id'))::uuid);
    return null;
end
$$;

-- A limit announces the one it limits, so that whoever holds the old one reads it again.
create or replace function operations.announce_limit() returns trigger language plpgsql as $$
declare
    changed operations.limits := coalesce(new, old);
begin
    if current_setting('synaxis.announced_whole', true) = pg_current_xact_id()::text
        and changed.subject_kind <> 'credential' then
        return null;
    end if;
    case changed.subject_kind
        when 'organization' then perform platform.announce('organization', changed.organization_id);
        when 'group' then perform platform.announce('group', changed.group_id);
        when 'user' then perform platform.announce('user', changed.user_id);
        when 'key', 'key_model' then
            perform platform.announce('api_key', k.id)
            from operations.api_keys k
            where k.organization_id = changed.organization_id
                and (k.id = changed.api_key_id or k.lineage_id = changed.api_key_id);
        when 'credential' then
            if current_setting('synaxis.announced_catalog', true) is distinct from pg_current_xact_id()::text then
                perform platform.announce('catalog', null);
                perform set_config('synaxis.announced_catalog', pg_current_xact_id()::text, true);
            end if;
    end case;
    return null;
end
$$;

-- Says once that the organization of this transaction changed as a whole: every key of it is read again. What its
-- rows would announce themselves until the transaction ends is left unsaid. Granted to nobody.
create function identity.announce_whole(organization uuid) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform platform.announce('organization', organization);
    perform set_config('synaxis.announced_whole', pg_current_xact_id()::text, true);
end
$$;
alter function identity.announce_whole(uuid) owner to synaxis_definer;

-- Deletes the organization of this transaction and all that belongs to it, as of one moment that nothing else has.
-- Answers that moment; null when there is nothing to delete.
create or replace function identity.delete_organization() returns timestamptz
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    organization uuid := platform.current_organization();
    moment timestamptz := clock_timestamp();
    owned regclass;
begin
    perform from identity.organizations o where o.id = organization and o.deleted_at is null for update;
    if not found then
        return null;
    end if;
    perform identity.announce_whole(organization);
    update identity.organizations o set deleted_at = moment where o.id = organization;
    for owned in select t from identity.tables_of_organizations() t loop
        execute format('update %s set deleted_at = $1 where organization_id = $2 and deleted_at is null', owned)
            using moment, organization;
    end loop;
    return moment;
end
$$;

-- Brings back what the organization of this transaction lost when it was deleted, and nothing that was deleted before.
-- Answers whether there was anything to bring back.
create or replace function identity.restore_organization() returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    organization uuid := platform.current_organization();
    moment timestamptz;
    owned regclass;
begin
    select o.deleted_at into moment from identity.organizations o
    where o.id = organization and o.deleted_at is not null for update;
    if not found then
        return false;
    end if;
    perform identity.announce_whole(organization);
    for owned in select t from identity.tables_of_organizations() t loop
        execute format('update %s set deleted_at = null where organization_id = $2 and deleted_at = $1', owned)
            using moment, organization;
    end loop;
    if not exists (
        select from identity.organization_memberships m join identity.users u on u.id = m.user_id and u.deleted_at is null
        where m.organization_id = organization and m.role = 'owner' and m.deleted_at is null
    ) and exists (
        select from identity.organization_memberships m where m.organization_id = organization and m.deleted_at is null
    ) then
        raise exception 'nobody is left to own it' using errcode = 'check_violation',
            constraint = 'organization_memberships_one_owner';
    end if;
    update identity.organizations o set deleted_at = null where o.id = organization;
    return true;
end
$$;

drop trigger announce on operations.organization_providers;
create trigger announce after insert or update or delete on operations.organization_providers
    for each statement execute function platform.announce_transaction('catalog');
drop trigger announce on operations.organization_credentials;
create trigger announce after insert or update or delete on operations.organization_credentials
    for each statement execute function platform.announce_transaction('catalog');

-- What an organization may see of its members' sign-ins: those of who was a member then, and of no account that
-- nobody has. What one organization's provider let in is told to that organization only.
create table audit.member_sign_ins (
    organization_id uuid not null constraint member_sign_ins_organization_fk references identity.organizations (id),
    id uuid not null,
    at timestamptz not null,
    user_id uuid not null constraint member_sign_ins_user_fk references identity.users (id),
    method text not null constraint member_sign_ins_method_ck check (method in ('password', 'second_factor', 'oidc')),
    outcome text not null constraint member_sign_ins_outcome_ck check (outcome in
        ('signed_in', 'second_factor_needed', 'wrong', 'locked', 'not_verified', 'suspended')),
    address text not null constraint member_sign_ins_address_ck check (char_length(address) <= 64),
    user_agent text not null constraint member_sign_ins_user_agent_ck check (char_length(user_agent) <= 400),
    constraint member_sign_ins_pk primary key (organization_id, id, at)
) partition by range (at);
create index member_sign_ins_by_time on audit.member_sign_ins (organization_id, at, id);
create index member_sign_ins_by_member on audit.member_sign_ins (organization_id, user_id, at, id);
create index member_sign_ins_by_user on audit.member_sign_ins (user_id);
call platform.protect_tenant_table('audit.member_sign_ins');
grant select on audit.member_sign_ins to synaxis_admin;
select platform.make_months();

-- Writes down who tried to sign in, for the person and for their organizations; with `only_for`, for that one.
create function audit.record_sign_in(id uuid, at timestamptz, account_hash bytea, user_id uuid, method text, outcome text,
        address text, user_agent text, only_for uuid) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    month text := to_char(record_sign_in.at at time zone 'UTC', 'YYYY_MM');
begin
    if to_regclass('audit.sign_in_attempts_' || month) is null then
        perform audit.ensure_sign_in_partitions();
    end if;
    insert into audit.sign_in_attempts (id, at, account_hash, user_id, method, outcome, address, user_agent)
    values (record_sign_in.id, record_sign_in.at, record_sign_in.account_hash, record_sign_in.user_id,
        record_sign_in.method, record_sign_in.outcome, record_sign_in.address, record_sign_in.user_agent);
    if to_regclass('audit.member_sign_ins_' || month) is null then
        perform platform.make_month('audit.member_sign_ins', date_trunc('month', record_sign_in.at, 'UTC'));
    end if;
    insert into audit.member_sign_ins (organization_id, id, at, user_id, method, outcome, address, user_agent)
    select m.organization_id, record_sign_in.id, record_sign_in.at, m.user_id, record_sign_in.method,
        record_sign_in.outcome, record_sign_in.address, record_sign_in.user_agent
    from identity.organization_memberships m
    where m.user_id = record_sign_in.user_id and m.deleted_at is null
        and (only_for is null or m.organization_id = only_for);
end
$$;
alter function audit.record_sign_in(uuid, timestamptz, bytea, uuid, text, text, text, text, uuid) owner to synaxis_definer;

-- For processes of the version before.
create or replace function audit.record_sign_in(id uuid, at timestamptz, account_hash bytea, user_id uuid, method text,
        outcome text, address text, user_agent text) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    select audit.record_sign_in(id, at, account_hash, user_id, method, outcome, address, user_agent, null)
$$;
grant execute on function audit.record_sign_in(uuid, timestamptz, bytea, uuid, text, text, text, text, uuid)
    to synaxis_admin, synaxis_definer;

-- What was written down so far.
select platform.make_month('audit.member_sign_ins', m.begins)
from platform.months() m where m.parent = 'audit.sign_in_attempts'::regclass;
insert into audit.member_sign_ins (organization_id, id, at, user_id, method, outcome, address, user_agent)
select m.organization_id, a.id, a.at, a.user_id, a.method, a.outcome, a.address, a.user_agent
from audit.sign_in_attempts a
join identity.organization_memberships m on m.user_id = a.user_id and m.created_at <= a.at
    and (m.deleted_at is null or a.at < m.deleted_at)
where a.method <> 'oidc';

-- The passwords of those who registered with one address before anybody proved it: more than one, since the account
-- itself holds that of the only one. Whoever proves the address says which is theirs.
create table identity.registrations (
    id uuid constraint registrations_pk primary key,
    user_id uuid not null constraint registrations_user_fk references identity.users (id),
    password_hash text not null constraint registrations_form_ck check (password_hash like '$argon2id$%'),
    created_at timestamptz not null default now()
);
create index registrations_by_user on identity.registrations (user_id, created_at, id);
call platform.protect_hidden_table('identity.registrations');

-- Somebody registers an address again that nobody proved: from now on the account has no password until somebody
-- does. The newest `most` are kept.
create function identity.register_again(id uuid, person uuid, password_hash text, most int) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    first_hash text;
begin
    select u.password_hash into first_hash from identity.users u
    where u.id = person and u.status = 'pending' and u.deleted_at is null for update;
    if not found then
        return;
    end if;
    insert into identity.registrations (id, user_id, password_hash, created_at)
    select gen_random_uuid(), person, first_hash, u.created_at from identity.users u
    where u.id = person and first_hash is not null;
    update identity.users u set password_hash = null where u.id = person and first_hash is not null;
    insert into identity.registrations (id, user_id, password_hash)
    values (register_again.id, person, register_again.password_hash);
    delete from identity.registrations r
    where r.user_id = person and r.id not in (
        select n.id from identity.registrations n where n.user_id = person
        order by n.created_at desc, n.id desc limit most);
end
$$;
alter function identity.register_again(uuid, uuid, text, int) owner to synaxis_definer;

-- The passwords of those who registered with a person's address, when they were several; the newest first.
create function identity.registered_passwords(person uuid) returns setof text
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select r.password_hash from identity.registrations r
    where r.user_id = person
    order by r.created_at desc, r.id desc
$$;
alter function identity.registered_passwords(uuid) owner to synaxis_definer;

-- Whoever proved the address said which password is theirs.
create function identity.settle_registration(person uuid, password_hash text) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update identity.users u set password_hash = settle_registration.password_hash
    where u.id = person and u.status = 'pending' and u.deleted_at is null
$$;
alter function identity.settle_registration(uuid, text) owner to synaxis_definer;

-- The address is proved: the person may sign in. With another address than theirs, it becomes theirs.
create or replace function identity.prove_email(user_id uuid, email text, at timestamptz) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from identity.registrations r where r.user_id = prove_email.user_id;
    update identity.users u
    set email = prove_email.email, email_verified_at = prove_email.at,
        status = case when u.status = 'pending' then 'active' else u.status end
    where u.id = prove_email.user_id and u.deleted_at is null
$$;

-- Takes out of the books what tells who a person was. What they did stays, under an id that names nobody.
create or replace function identity.erase_person(user_id uuid, at timestamptz) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update operations.api_keys k
    set revoked_at = erase_person.at, revoked_reason = 'the person was deleted'
    where k.user_id = erase_person.user_id and k.revoked_at is null and k.deleted_at is null;
    update identity.role_assignments a set deleted_at = erase_person.at
    where a.user_id = erase_person.user_id and a.deleted_at is null;
    update identity.group_memberships g set deleted_at = erase_person.at
    where g.user_id = erase_person.user_id and g.deleted_at is null;
    update identity.organization_memberships m set deleted_at = erase_person.at
    where m.user_id = erase_person.user_id and m.deleted_at is null;
    update identity.invitations i
    set email = i.id || '@erased.invalid',
        cancelled_at = case when num_nonnulls(i.accepted_at, i.declined_at, i.cancelled_at) = 0
            then erase_person.at else i.cancelled_at end
    where i.accepted_by = erase_person.user_id
        or lower(i.email) = (select lower(u.email) from identity.users u where u.id = erase_person.user_id);
    delete from identity.refresh_tokens t where t.user_id = erase_person.user_id;
    delete from identity.one_time_tokens t where t.user_id = erase_person.user_id;
    delete from identity.external_logins e where e.user_id = erase_person.user_id;
    delete from identity.recovery_codes c where c.user_id = erase_person.user_id;
    delete from identity.mfa_factors f where f.user_id = erase_person.user_id;
    delete from identity.password_history h where h.user_id = erase_person.user_id;
    delete from identity.registrations r where r.user_id = erase_person.user_id;
    delete from audit.sign_in_attempts a where a.user_id = erase_person.user_id;
    delete from audit.member_sign_ins s where s.user_id = erase_person.user_id;
    update identity.sessions s
    set address = '', user_agent = '', ended_at = coalesce(s.ended_at, erase_person.at),
        end_reason = coalesce(s.end_reason, 'person_deleted')
    where s.user_id = erase_person.user_id;
    update identity.users u
    set email = u.id || '@erased.invalid', display_name = '', password_hash = null, email_verified_at = null,
        last_sign_in_at = null, is_platform_admin = false, status = 'suspended', token_version = u.token_version + 1,
        deleted_at = erase_person.at
    where u.id = erase_person.user_id and u.deleted_at is null;
end
$$;

-- What one person did, in whichever organization.
create index audit_logs_by_person on audit.audit_logs (actor_id, at desc) where actor_kind = 'user';

-- All that is held about a person, for them to read. What may be without end is bounded, and says whether it is whole:
-- what they used as totals by day and key, of sign-ins and actions the last.
create or replace function identity.export_person(user_id uuid) returns jsonb
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select jsonb_build_object(
        'person', jsonb_build_object('id', u.id, 'email', u.email, 'display_name', u.display_name, 'status', u.status,
            'is_platform_admin', u.is_platform_admin, 'email_verified_at', u.email_verified_at,
            'last_sign_in_at', u.last_sign_in_at, 'created_at', u.created_at, 'updated_at', u.updated_at),
        'organizations', (select coalesce(jsonb_agg(jsonb_build_object('id', o.id, 'name', o.display_name,
                'role', m.role, 'joined_at', m.created_at, 'left_at', m.deleted_at) order by m.created_at), '[]')
            from identity.organization_memberships m join identity.organizations o on o.id = m.organization_id
            where m.user_id = u.id),
        'groups', (select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'name', g.name,
                'organization_id', g.organization_id, 'joined_at', gm.created_at, 'left_at', gm.deleted_at)
                order by gm.created_at), '[]')
            from identity.group_memberships gm join identity.groups g on g.id = gm.group_id
            where gm.user_id = u.id),
        'keys', (select coalesce(jsonb_agg(jsonb_build_object('id', k.id, 'name', k.name, 'public_id', k.public_id,
                'organization_id', k.organization_id, 'created_at', k.created_at, 'last_used_at', k.last_used_at,
                'revoked_at', k.revoked_at) order by k.created_at), '[]')
            from operations.api_keys k where k.user_id = u.id),
        'usage', (
            with days as (
                select (d.day at time zone 'UTC')::date as day, d.organization_id, d.api_key_id,
                    sum(d.requests)::bigint as requests, sum(d.failed_requests)::bigint as failed_requests,
                    sum(d.input_tokens)::bigint as input_tokens, sum(d.output_tokens)::bigint as output_tokens,
                    sum(d.cost_nano_usd)::bigint as cost_nano_usd
                from operations.usage_daily d
                where d.user_id = u.id and d.day >= date_trunc('day', now(), 'UTC') - interval '400 days'
                group by 1, 2, 3
                order by 1 desc, 2, 3
                limit 10001
            ), told as (select * from days order by day desc, organization_id, api_key_id limit 10000)
            select jsonb_build_object(
                'unit', 'totals by day (UTC) and key',
                'is_whole', (select count(*) <= 10000 from days) and not exists (
                    select from operations.usage_daily d
                    where d.user_id = u.id and d.day < date_trunc('day', now(), 'UTC') - interval '400 days'),
                'days', (select coalesce(jsonb_agg(jsonb_build_object('day', t.day, 'organization_id', t.organization_id,
                        'api_key_id', t.api_key_id, 'requests', t.requests, 'failed_requests', t.failed_requests,
                        'input_tokens', t.input_tokens, 'output_tokens', t.output_tokens,
                        'cost_nano_usd', t.cost_nano_usd) order by t.day, t.organization_id, t.api_key_id), '[]')
                    from told t))),
        'sessions', (select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'method', s.method, 'address', s.address,
                'user_agent', s.user_agent, 'has_second_factor', s.has_second_factor, 'created_at', s.created_at,
                'last_used_at', s.last_used_at, 'expires_at', s.expires_at, 'ended_at', s.ended_at,
                'end_reason', s.end_reason) order by s.created_at), '[]')
            from identity.sessions s where s.user_id = u.id),
        'external_logins', (select coalesce(jsonb_agg(jsonb_build_object('organization_id', e.organization_id,
                'subject', e.subject, 'created_at', e.created_at) order by e.created_at), '[]')
            from identity.external_logins e where e.user_id = u.id),
        'second_factors', (select coalesce(jsonb_agg(jsonb_build_object('kind', f.kind, 'confirmed_at', f.confirmed_at)
                order by f.created_at), '[]')
            from identity.mfa_factors f where f.user_id = u.id and f.deleted_at is null),
        'sign_in_attempts', (select coalesce(jsonb_agg(jsonb_build_object('at', a.at, 'method', a.method,
                'outcome', a.outcome, 'address', a.address, 'user_agent', a.user_agent) order by a.at), '[]')
            from (select * from audit.sign_in_attempts t where t.user_id = u.id order by t.at desc limit 10000) a),
        'actions', (select coalesce(jsonb_agg(jsonb_build_object('at', l.at, 'organization_id', l.organization_id,
                'action', l.action, 'target_kind', l.target_kind, 'target_id', l.target_id) order by l.at), '[]')
            from (select * from audit.audit_logs t where t.actor_kind = 'user' and t.actor_id = u.id
                order by t.at desc limit 10000) l),
        'is_whole', jsonb_build_object(
            'sign_in_attempts', not exists (
                select from audit.sign_in_attempts t where t.user_id = u.id offset 10000),
            'actions', not exists (
                select from audit.audit_logs t where t.actor_kind = 'user' and t.actor_id = u.id offset 10000)))
    from identity.users u
    where u.id = export_person.user_id and u.deleted_at is null
$$;

-- Forgets what has run out: tokens, guards, letters that were given up, and sessions that ended long ago.
create or replace function identity.prune(at timestamptz) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone bigint := 0;
    these bigint;
begin
    delete from identity.one_time_tokens t where t.expires_at < prune.at - interval '7 days';
    get diagnostics these = row_count;
    gone := gone + these;
    delete from identity.refresh_tokens t where t.expires_at < prune.at - interval '7 days';
    get diagnostics these = row_count;
    gone := gone + these;
    delete from identity.sign_in_guards g where g.last_failed_at < prune.at - interval '90 days';
    get diagnostics these = row_count;
    gone := gone + these;
    delete from identity.letters l where l.given_up_at < prune.at - interval '7 days';
    get diagnostics these = row_count;
    gone := gone + these;
    delete from identity.sessions s
    where least(s.expires_at, coalesce(s.ended_at, s.expires_at)) < prune.at - interval '90 days'
        and not exists (select from identity.refresh_tokens t where t.user_id = s.user_id and t.session_id = s.id);
    get diagnostics these = row_count;
    return gone + these;
end
$$;

grant execute on function identity.providers_to_rewrap(text, int, uuid),
    identity.rewrap_provider(uuid, text, bytea, bytea), identity.factors_to_rewrap(text, int, uuid),
    identity.rewrap_factor(uuid, text, bytea, bytea), identity.post_letter(uuid, text, text, bytea, bytea, interval),
    identity.take_letters(int, interval), identity.forget_letter(uuid, int),
    identity.put_letter_back(uuid, int, text, interval), identity.letters_standing(),
    identity.register_again(uuid, uuid, text, int), identity.registered_passwords(uuid),
    identity.settle_registration(uuid, text)
    to synaxis_admin;

reset role;
