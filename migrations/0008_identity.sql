-- Why: people at the door: sessions, refresh tokens, one-time tokens, second factors, sign-in through an
-- organization's own provider, and the keys that sign. What belongs to a person is seen under `app.user_id` alone;
-- what must be found before the person is known is found by the definer's functions.

set local role synaxis_owner;

-- The person whose own rows this transaction may touch; null when none was set.
create function platform.current_person() returns uuid
    language sql stable
    return nullif(current_setting('app.user_id', true), '')::uuid;
grant execute on function platform.current_person() to public;

-- Lets a table's rows be seen only by the person they belong to and by the definer's functions.
create procedure platform.protect_person_table(person_table regclass)
    language plpgsql as $$
begin
    execute format('alter table %s enable row level security', person_table);
    execute format('alter table %s force row level security', person_table);
    execute format(
        'create policy person on %s using (user_id = platform.current_person()) with check (user_id = platform.current_person())',
        person_table);
    execute format('create policy definer on %s to synaxis_definer using (true) with check (true)', person_table);
end
$$;

-- Lets a table's rows be seen by the definer's functions only.
create procedure platform.protect_hidden_table(hidden_table regclass)
    language plpgsql as $$
begin
    execute format('alter table %s enable row level security', hidden_table);
    execute format('alter table %s force row level security', hidden_table);
    execute format('create policy definer on %s to synaxis_definer using (true) with check (true)', hidden_table);
end
$$;

-- What an organization asks of its members' passwords. A short one needs the second factor.
alter table identity.organization_settings
    add column password_min_length int
        constraint organization_settings_password_min_length_ck check (password_min_length between 8 and 128),
    add column password_history int not null default 0
        constraint organization_settings_password_history_ck check (password_history between 0 and 10),
    add column mfa_required boolean not null default false,
    add constraint organization_settings_short_password_ck check (password_min_length >= 15 or mfa_required);

-- An organization's own way to sign its members in.
create table identity.identity_providers (
    id uuid constraint identity_providers_pk primary key,
    organization_id uuid not null
        constraint identity_providers_organization_fk references identity.organizations (id),
    name text not null constraint identity_providers_name_ck check (char_length(name) between 1 and 100),
    issuer text not null constraint identity_providers_issuer_ck check (issuer ~ '^https?://' and char_length(issuer) <= 500),
    client_id text not null constraint identity_providers_client_id_ck check (char_length(client_id) between 1 and 300),
    sealing_key_id text not null
        constraint identity_providers_sealing_key_id_ck check (sealing_key_id ~ '^[0-9a-f]{16}$'),
    sealed_key bytea not null,
    sealed_secret bytea not null,
    scopes text[] not null default '{openid,email,profile}'
        constraint identity_providers_scopes_ck check (cardinality(scopes) between 1 and 20),
    -- Empty: addresses of any domain.
    email_domains text[] not null default '{}'
        constraint identity_providers_email_domains_ck check (cardinality(email_domains) <= 100),
    -- What somebody becomes who is no member yet; null turns them away.
    admits_as text constraint identity_providers_admits_as_ck check (admits_as in ('member', 'guest')),
    is_enabled boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint identity_providers_of_organization_uq unique (organization_id, id)
);
create unique index identity_providers_name_uq on identity.identity_providers (organization_id, lower(name))
    where deleted_at is null;
create index identity_providers_by_creation on identity.identity_providers (organization_id, created_at desc, id desc)
    where deleted_at is null;
create index identity_providers_by_sealing_key on identity.identity_providers (sealing_key_id);

-- One sign-in of one person; also the family of its refresh tokens.
create table identity.sessions (
    id uuid constraint sessions_pk primary key,
    user_id uuid not null constraint sessions_user_fk references identity.users (id),
    method text not null constraint sessions_method_ck check (method in ('password', 'oidc')),
    has_second_factor boolean not null default false,
    -- Signed in by this organization's provider: the session reaches no other.
    organization_id uuid,
    identity_provider_id uuid,
    address text not null constraint sessions_address_ck check (char_length(address) <= 64),
    user_agent text not null default '' constraint sessions_user_agent_ck check (char_length(user_agent) <= 400),
    last_used_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    end_reason text constraint sessions_end_reason_ck
        check (end_reason in ('signed_out', 'ended', 'signed_out_everywhere', 'password_changed', 'token_reused', 'person_deleted')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint sessions_of_user_uq unique (user_id, id),
    constraint sessions_end_ck check ((ended_at is null) = (end_reason is null)),
    constraint sessions_method_provider_ck check ((method = 'oidc') = (identity_provider_id is not null)),
    constraint sessions_provider_fk foreign key (organization_id, identity_provider_id)
        references identity.identity_providers (organization_id, id) match full
);
create index sessions_by_user on identity.sessions (user_id, created_at desc, id desc);
create index sessions_by_provider on identity.sessions (organization_id, identity_provider_id);
create index sessions_by_expiry on identity.sessions (expires_at);

create table identity.refresh_tokens (
    id uuid constraint refresh_tokens_pk primary key,
    user_id uuid not null constraint refresh_tokens_user_fk references identity.users (id),
    session_id uuid not null,
    -- SHA-256; 256 random bits need no slower hash.
    token_hash bytea not null constraint refresh_tokens_token_hash_ck check (length(token_hash) = 32),
    expires_at timestamptz not null,
    used_at timestamptz,
    -- Who used it: SHA-256 of address and user agent. The same client may repeat a lost answer.
    used_by bytea constraint refresh_tokens_used_by_ck check (length(used_by) = 32),
    created_at timestamptz not null default now(),
    constraint refresh_tokens_token_hash_uq unique (token_hash),
    constraint refresh_tokens_session_fk foreign key (user_id, session_id) references identity.sessions (user_id, id)
);
create index refresh_tokens_by_session on identity.refresh_tokens (user_id, session_id);
create index refresh_tokens_by_expiry on identity.refresh_tokens (expires_at);

-- What is sent by mail or handed out between two steps of a sign-in: single use, short-lived.
create table identity.one_time_tokens (
    id uuid constraint one_time_tokens_pk primary key,
    user_id uuid not null constraint one_time_tokens_user_fk references identity.users (id),
    purpose text not null constraint one_time_tokens_purpose_ck
        check (purpose in ('verify_email', 'change_email', 'reset_password', 'second_factor')),
    token_hash bytea not null constraint one_time_tokens_token_hash_ck check (length(token_hash) = 32),
    -- The address it proves; the address it was sent to.
    email text not null constraint one_time_tokens_email_ck check (char_length(email) <= 320),
    expires_at timestamptz not null,
    used_at timestamptz,
    created_at timestamptz not null default now(),
    constraint one_time_tokens_token_hash_uq unique (token_hash)
);
create index one_time_tokens_by_user on identity.one_time_tokens (user_id, purpose);
create index one_time_tokens_by_expiry on identity.one_time_tokens (expires_at);

-- Whom an organization's provider calls by which name.
create table identity.external_logins (
    id uuid constraint external_logins_pk primary key,
    user_id uuid not null constraint external_logins_user_fk references identity.users (id),
    organization_id uuid not null,
    identity_provider_id uuid not null,
    subject text not null constraint external_logins_subject_ck check (char_length(subject) between 1 and 255),
    created_at timestamptz not null default now(),
    constraint external_logins_subject_uq unique (identity_provider_id, subject),
    constraint external_logins_provider_fk foreign key (organization_id, identity_provider_id)
        references identity.identity_providers (organization_id, id)
);
create index external_logins_by_user on identity.external_logins (user_id);
create index external_logins_by_provider on identity.external_logins (organization_id, identity_provider_id);

create table identity.mfa_factors (
    id uuid constraint mfa_factors_pk primary key,
    user_id uuid not null constraint mfa_factors_user_fk references identity.users (id),
    kind text not null default 'totp' constraint mfa_factors_kind_ck check (kind = 'totp'),
    sealing_key_id text not null constraint mfa_factors_sealing_key_id_ck check (sealing_key_id ~ '^[0-9a-f]{16}$'),
    sealed_key bytea not null,
    sealed_secret bytea not null,
    -- Null: enrolled, but no code was shown yet; it asks for nothing.
    confirmed_at timestamptz,
    -- The last time step whose code was taken; it and all before it are spent.
    last_step bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index mfa_factors_uq on identity.mfa_factors (user_id) where deleted_at is null;
create index mfa_factors_by_user on identity.mfa_factors (user_id);
create index mfa_factors_by_sealing_key on identity.mfa_factors (sealing_key_id);

create table identity.recovery_codes (
    id uuid constraint recovery_codes_pk primary key,
    user_id uuid not null constraint recovery_codes_user_fk references identity.users (id),
    code_hash bytea not null constraint recovery_codes_code_hash_ck check (length(code_hash) = 32),
    used_at timestamptz,
    created_at timestamptz not null default now(),
    constraint recovery_codes_uq unique (user_id, code_hash)
);

create table identity.password_history (
    id uuid constraint password_history_pk primary key,
    user_id uuid not null constraint password_history_user_fk references identity.users (id),
    password_hash text not null constraint password_history_form_ck check (password_hash like '$argon2id$%'),
    created_at timestamptz not null default now()
);
create index password_history_by_user on identity.password_history (user_id, created_at desc);

-- Wrong guesses in a row, by account and source. The account may not exist: it is guarded all the same.
create table identity.sign_in_guards (
    account_hash bytea not null constraint sign_in_guards_account_hash_ck check (length(account_hash) = 32),
    source text not null constraint sign_in_guards_source_ck check (char_length(source) <= 64),
    failures int not null default 0 constraint sign_in_guards_failures_ck check (failures >= 0),
    last_failed_at timestamptz not null default now(),
    constraint sign_in_guards_pk primary key (account_hash, source)
);
create index sign_in_guards_by_time on identity.sign_in_guards (last_failed_at);

create table audit.sign_in_attempts (
    id uuid not null,
    at timestamptz not null,
    account_hash bytea not null constraint sign_in_attempts_account_hash_ck check (length(account_hash) = 32),
    -- Null: nobody has that account.
    user_id uuid constraint sign_in_attempts_user_fk references identity.users (id),
    method text not null constraint sign_in_attempts_method_ck check (method in ('password', 'second_factor', 'oidc')),
    outcome text not null constraint sign_in_attempts_outcome_ck check (outcome in
        ('signed_in', 'second_factor_needed', 'wrong', 'locked', 'not_verified', 'suspended')),
    address text not null constraint sign_in_attempts_address_ck check (char_length(address) <= 64),
    user_agent text not null default '' constraint sign_in_attempts_user_agent_ck check (char_length(user_agent) <= 400),
    constraint sign_in_attempts_pk primary key (id, at)
) partition by range (at);
create index sign_in_attempts_by_time on audit.sign_in_attempts (at desc, id desc);
create index sign_in_attempts_by_user on audit.sign_in_attempts (user_id, at desc);
create index sign_in_attempts_by_account on audit.sign_in_attempts (account_hash, at desc);

-- One signs; those before it verify until they retire; the next is published before it signs.
create table platform.signing_keys (
    id uuid constraint signing_keys_pk primary key,
    algorithm text not null default 'EdDSA' constraint signing_keys_algorithm_ck check (algorithm = 'EdDSA'),
    public_key bytea not null constraint signing_keys_public_key_ck check (length(public_key) = 32),
    sealing_key_id text not null constraint signing_keys_sealing_key_id_ck check (sealing_key_id ~ '^[0-9a-f]{16}$'),
    sealed_key bytea not null,
    sealed_secret bytea not null,
    signs_from timestamptz not null,
    -- From then on it verifies nothing.
    retires_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint signing_keys_public_key_uq unique (public_key)
);
create index signing_keys_by_retirement on platform.signing_keys (retires_at);
create index signing_keys_by_sealing_key on platform.signing_keys (sealing_key_id);

call platform.keep_updated_at('identity.identity_providers');
call platform.keep_updated_at('identity.sessions');
call platform.keep_updated_at('identity.mfa_factors');
call platform.keep_updated_at('platform.signing_keys');

call platform.protect_tenant_table('identity.identity_providers');
call platform.protect_person_table('identity.sessions');
call platform.protect_person_table('identity.refresh_tokens');
call platform.protect_person_table('identity.one_time_tokens');
call platform.protect_person_table('identity.external_logins');
call platform.protect_person_table('identity.mfa_factors');
call platform.protect_person_table('identity.recovery_codes');
call platform.protect_hidden_table('identity.password_history');
call platform.protect_hidden_table('identity.sign_in_guards');
call platform.protect_hidden_table('audit.sign_in_attempts');

-- A person sees and changes themselves, whoever they are a member of.
create policy self_is_seen on identity.users for select using (id = platform.current_person());
create policy self_is_changed on identity.users for update using (id = platform.current_person());

grant select, insert, update on identity.identity_providers, identity.sessions, identity.refresh_tokens,
    identity.one_time_tokens, identity.mfa_factors, identity.recovery_codes to synaxis_admin;
grant select, insert, delete on identity.external_logins to synaxis_admin;
grant delete on identity.recovery_codes to synaxis_admin;
grant select, insert, update (retires_at) on platform.signing_keys to synaxis_admin;

-- A sign-in changes nothing that a proxy knows.
drop trigger announce on identity.users;
create trigger announce after update of status, is_platform_admin, deleted_at or delete on identity.users
    for each row execute function platform.announce_row('user');

-- Makes the partitions of this month and `ahead` more.
create function audit.ensure_sign_in_partitions(ahead int default 3) returns int
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    made int := 0;
    month timestamp := date_trunc('month', now() at time zone 'UTC');
    partition text;
begin
    perform pg_advisory_xact_lock(hashtext('synaxis sign-in partitions'));
    for step in 0..ahead loop
        partition := 'sign_in_attempts_' || to_char(month, 'YYYY_MM');
        if to_regclass('audit.' || partition) is null then
            execute format('create table audit.%I (like audit.sign_in_attempts including defaults including constraints)', partition);
            execute format('alter table audit.%I enable row level security', partition);
            execute format('alter table audit.%I force row level security', partition);
            execute format('revoke all on audit.%I from synaxis_definer', partition);
            execute format('alter table audit.sign_in_attempts attach partition audit.%I for values from (%L) to (%L)',
                partition, month at time zone 'UTC', (month + interval '1 month') at time zone 'UTC');
            made := made + 1;
        end if;
        month := month + interval '1 month';
    end loop;
    return made;
end
$$;
grant execute on function audit.ensure_sign_in_partitions(int) to synaxis_definer, synaxis_admin, synaxis_agent;

-- Drops the partitions that ended before `oldest`.
create function audit.drop_sign_in_partitions(oldest timestamptz) returns int
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    dropped int := 0;
    partition text;
begin
    for partition in
        select c.relname
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'audit.sign_in_attempts'::regclass
    loop
        if to_date(right(partition, 7), 'YYYY_MM') + interval '1 month' <= oldest at time zone 'UTC' then
            execute format('drop table audit.%I', partition);
            dropped := dropped + 1;
        end if;
    end loop;
    return dropped;
end
$$;
grant execute on function audit.drop_sign_in_partitions(timestamptz) to synaxis_admin, synaxis_agent;

create function audit.record_sign_in(id uuid, at timestamptz, account_hash bytea, user_id uuid, method text, outcome text,
        address text, user_agent text) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if to_regclass('audit.sign_in_attempts_' || to_char(record_sign_in.at at time zone 'UTC', 'YYYY_MM')) is null then
        perform audit.ensure_sign_in_partitions();
    end if;
    insert into audit.sign_in_attempts (id, at, account_hash, user_id, method, outcome, address, user_agent)
    values (record_sign_in.id, record_sign_in.at, record_sign_in.account_hash, record_sign_in.user_id,
        record_sign_in.method, record_sign_in.outcome, record_sign_in.address, record_sign_in.user_agent);
end
$$;
alter function audit.record_sign_in(uuid, timestamptz, bytea, uuid, text, text, text, text) owner to synaxis_definer;
grant execute on function audit.record_sign_in(uuid, timestamptz, bytea, uuid, text, text, text, text) to synaxis_admin;

-- Takes the guard of an account and source, so that guesses are judged one after the other.
create function identity.take_guard(account_hash bytea, source text, out failures int, out last_failed_at timestamptz)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into identity.sign_in_guards (account_hash, source) values (take_guard.account_hash, take_guard.source)
    on conflict do nothing;
    select g.failures, g.last_failed_at into take_guard.failures, take_guard.last_failed_at
    from identity.sign_in_guards g
    where g.account_hash = take_guard.account_hash and g.source = take_guard.source
    for update;
end
$$;
alter function identity.take_guard(bytea, text) owner to synaxis_definer;

-- Counts a guess before it is judged: guesses made at once cannot slip past each other.
create function identity.count_guess(account_hash bytea, source text, at timestamptz) returns int
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update identity.sign_in_guards g
    set failures = g.failures + 1, last_failed_at = count_guess.at
    where g.account_hash = count_guess.account_hash and g.source = count_guess.source
    returning g.failures
$$;
alter function identity.count_guess(bytea, text, timestamptz) owner to synaxis_definer;

-- Takes one guess back that was never judged.
create function identity.uncount_guess(account_hash bytea, source text) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update identity.sign_in_guards g
    set failures = greatest(g.failures - 1, 0)
    where g.account_hash = uncount_guess.account_hash and g.source = uncount_guess.source
$$;
alter function identity.uncount_guess(bytea, text) owner to synaxis_definer;

-- Forgets the wrong guesses about an account: from one source, or from all.
create function identity.clear_guards(account_hash bytea, source text) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from identity.sign_in_guards g
    where g.account_hash = clear_guards.account_hash and (clear_guards.source is null or g.source = clear_guards.source)
$$;
alter function identity.clear_guards(bytea, text) owner to synaxis_definer;
grant execute on function identity.take_guard(bytea, text), identity.count_guess(bytea, text, timestamptz),
    identity.uncount_guess(bytea, text), identity.clear_guards(bytea, text) to synaxis_admin;

-- Makes a person who has not proved their address.
create function identity.register_user(id uuid, email text, display_name text, password_hash text) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into identity.users (id, email, display_name, password_hash, status)
    values (register_user.id, register_user.email, register_user.display_name, register_user.password_hash, 'pending')
$$;
alter function identity.register_user(uuid, text, text, text) owner to synaxis_definer;

-- What a sign-in must know of the person with an address, or of the person with an id.
create function identity.find_person(known_email text, known_id uuid)
    returns table (id uuid, email text, display_name text, password_hash text, status text, token_version int,
        is_platform_admin boolean, has_second_factor boolean)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select u.id, u.email, u.display_name, u.password_hash, u.status, u.token_version, u.is_platform_admin,
        exists (select from identity.mfa_factors f
            where f.user_id = u.id and f.confirmed_at is not null and f.deleted_at is null)
    from identity.users u
    where u.deleted_at is null
        and (lower(u.email) = lower(find_person.known_email) or u.id = find_person.known_id)
$$;
alter function identity.find_person(text, uuid) owner to synaxis_definer;

-- What a person's organizations ask of their sign-in, and which they are.
create function identity.terms_of(user_id uuid)
    returns table (organizations uuid[], access_token_lifetime_s int, password_min_length int, password_history int,
        mfa_required boolean)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(o.id order by o.id), '{}'), min(s.access_token_lifetime_s), max(coalesce(s.password_min_length, 15)),
        coalesce(max(s.password_history), 0), coalesce(bool_or(s.mfa_required), false)
    from identity.organization_memberships m
    join identity.organizations o on o.id = m.organization_id and o.deleted_at is null
    join identity.organization_settings s on s.organization_id = o.id
    where m.user_id = terms_of.user_id and m.deleted_at is null
$$;
alter function identity.terms_of(uuid) owner to synaxis_definer;

create function identity.note_sign_in(user_id uuid, at timestamptz) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update identity.users u set last_sign_in_at = note_sign_in.at where u.id = note_sign_in.user_id
$$;
alter function identity.note_sign_in(uuid, timestamptz) owner to synaxis_definer;

-- The address is proved: the person may sign in. With another address than theirs, it becomes theirs.
create function identity.prove_email(user_id uuid, email text, at timestamptz) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update identity.users u
    set email = prove_email.email, email_verified_at = prove_email.at,
        status = case when u.status = 'pending' then 'active' else u.status end
    where u.id = prove_email.user_id and u.deleted_at is null
$$;
alter function identity.prove_email(uuid, text, timestamptz) owner to synaxis_definer;

-- Gives a person another password: every token made before it ends.
create function identity.set_password(id uuid, user_id uuid, password_hash text) returns int
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into identity.password_history (id, user_id, password_hash)
    select set_password.id, u.id, u.password_hash
    from identity.users u
    where u.id = set_password.user_id and u.password_hash is not null;
    update identity.users u
    set password_hash = set_password.password_hash, token_version = u.token_version + 1
    where u.id = set_password.user_id and u.deleted_at is null
    returning u.token_version
$$;
alter function identity.set_password(uuid, uuid, text) owner to synaxis_definer;

-- Keeps the same password under a dearer hash, unless it was changed meanwhile.
create function identity.rehash_password(user_id uuid, earlier text, password_hash text) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update identity.users u set password_hash = rehash_password.password_hash
    where u.id = rehash_password.user_id and u.password_hash = rehash_password.earlier
$$;
alter function identity.rehash_password(uuid, text, text) owner to synaxis_definer;

create function identity.earlier_passwords(user_id uuid, batch int)
    returns setof text
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select h.password_hash
    from identity.password_history h
    where h.user_id = earlier_passwords.user_id
    order by h.created_at desc
    limit batch
$$;
alter function identity.earlier_passwords(uuid, int) owner to synaxis_definer;

-- Ends every right that tokens made so far carry.
create function identity.raise_token_version(user_id uuid) returns int
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update identity.users u set token_version = u.token_version + 1
    where u.id = raise_token_version.user_id
    returning u.token_version
$$;
alter function identity.raise_token_version(uuid) owner to synaxis_definer;

-- Whose refresh token that is; spent ones are found too, since their use is what gives a thief away.
create function identity.find_refresh_token(token_hash bytea) returns table (id uuid, user_id uuid)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select t.id, t.user_id from identity.refresh_tokens t where t.token_hash = find_refresh_token.token_hash
$$;
alter function identity.find_refresh_token(bytea) owner to synaxis_definer;

create function identity.find_one_time_token(token_hash bytea, at timestamptz)
    returns table (id uuid, user_id uuid, purpose text, email text)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select t.id, t.user_id, t.purpose, t.email
    from identity.one_time_tokens t
    join identity.users u on u.id = t.user_id and u.deleted_at is null
    where t.token_hash = find_one_time_token.token_hash and t.used_at is null and find_one_time_token.at < t.expires_at
$$;
alter function identity.find_one_time_token(bytea, timestamptz) owner to synaxis_definer;

-- What a request's session may still do, and whether `organization` asks for a second factor.
create function identity.session_standing(session_id uuid, user_id uuid, organization uuid, at timestamptz)
    returns table (organization_id uuid, has_second_factor boolean, mfa_required boolean, signed_in_at timestamptz)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.organization_id, s.has_second_factor, coalesce(o.mfa_required, false), s.created_at
    from identity.sessions s
    left join identity.organization_settings o on o.organization_id = session_standing.organization
    where s.id = session_standing.session_id and s.user_id = session_standing.user_id
        and s.ended_at is null and session_standing.at < s.expires_at
$$;
alter function identity.session_standing(uuid, uuid, uuid, timestamptz) owner to synaxis_definer;

-- The provider that signs an organization's members in: the one asked for, else its oldest.
create function identity.find_identity_provider(slug text, provider uuid)
    returns table (organization_id uuid, identity_provider_id uuid)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select p.organization_id, p.id
    from identity.organizations o
    join identity.identity_providers p on p.organization_id = o.id
    where o.slug = find_identity_provider.slug and o.deleted_at is null and o.status = 'active'
        and p.is_enabled and p.deleted_at is null
        and (find_identity_provider.provider is null or p.id = find_identity_provider.provider)
    order by p.created_at, p.id
    limit 1
$$;
alter function identity.find_identity_provider(text, uuid) owner to synaxis_definer;

create function identity.find_external_login(identity_provider_id uuid, subject text) returns uuid
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select e.user_id
    from identity.external_logins e
    join identity.users u on u.id = e.user_id and u.deleted_at is null
    where e.identity_provider_id = find_external_login.identity_provider_id and e.subject = find_external_login.subject
$$;
alter function identity.find_external_login(uuid, text) owner to synaxis_definer;

-- The organizations nobody would own without this person.
create function identity.solely_owned_by(user_id uuid) returns setof uuid
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select m.organization_id
    from identity.organization_memberships m
    join identity.organizations o on o.id = m.organization_id and o.deleted_at is null
    where m.user_id = solely_owned_by.user_id and m.role = 'owner' and m.deleted_at is null
        and not exists (select from identity.organization_memberships other
            where other.organization_id = m.organization_id and other.role = 'owner' and other.deleted_at is null
                and other.user_id <> m.user_id)
$$;
alter function identity.solely_owned_by(uuid) owner to synaxis_definer;

-- Takes out of the books what tells who a person was. What they did stays, under an id that names nobody.
create function identity.erase_person(user_id uuid, at timestamptz) returns void
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
    delete from audit.sign_in_attempts a where a.user_id = erase_person.user_id;
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
alter function identity.erase_person(uuid, timestamptz) owner to synaxis_definer;

-- All that is held about a person, for them to read.
create function identity.export_person(user_id uuid) returns jsonb
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
        'sessions', (select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'method', s.method, 'address', s.address,
                'user_agent', s.user_agent, 'created_at', s.created_at, 'last_used_at', s.last_used_at,
                'ended_at', s.ended_at, 'end_reason', s.end_reason) order by s.created_at), '[]')
            from identity.sessions s where s.user_id = u.id),
        'external_logins', (select coalesce(jsonb_agg(jsonb_build_object('organization_id', e.organization_id,
                'subject', e.subject, 'created_at', e.created_at) order by e.created_at), '[]')
            from identity.external_logins e where e.user_id = u.id),
        'second_factors', (select coalesce(jsonb_agg(jsonb_build_object('kind', f.kind, 'confirmed_at', f.confirmed_at)
                order by f.created_at), '[]')
            from identity.mfa_factors f where f.user_id = u.id and f.deleted_at is null),
        'sign_in_attempts', (select coalesce(jsonb_agg(jsonb_build_object('at', a.at, 'method', a.method,
                'outcome', a.outcome, 'address', a.address, 'user_agent', a.user_agent) order by a.at), '[]')
            from audit.sign_in_attempts a where a.user_id = u.id),
        'actions', (select coalesce(jsonb_agg(jsonb_build_object('at', l.at, 'organization_id', l.organization_id,
                'action', l.action, 'target_kind', l.target_kind, 'target_id', l.target_id) order by l.at), '[]')
            from audit.audit_logs l where l.actor_kind = 'user' and l.actor_id = u.id))
    from identity.users u
    where u.id = export_person.user_id and u.deleted_at is null
$$;
alter function identity.export_person(uuid) owner to synaxis_definer;

-- Second factors that another key than the current one seals, whoever they belong to.
create function identity.factors_sealed_by_others(current_key text, batch int) returns table (user_id uuid, id uuid)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select f.user_id, f.id
    from identity.mfa_factors f
    where f.sealing_key_id <> current_key and f.deleted_at is null
    order by f.id
    limit batch
$$;
alter function identity.factors_sealed_by_others(text, int) owner to synaxis_definer;

-- Identity providers whose secret another key than the current one seals, whoever they belong to.
create function identity.providers_sealed_by_others(current_key text, batch int)
    returns table (organization_id uuid, id uuid)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select p.organization_id, p.id
    from identity.identity_providers p
    where p.sealing_key_id <> current_key and p.deleted_at is null
    order by p.id
    limit batch
$$;
alter function identity.providers_sealed_by_others(text, int) owner to synaxis_definer;

-- Forgets what has run out: tokens, guards, and sessions that ended long ago.
create function identity.prune(at timestamptz) returns bigint
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
    delete from identity.sessions s
    where least(s.expires_at, coalesce(s.ended_at, s.expires_at)) < prune.at - interval '90 days'
        and not exists (select from identity.refresh_tokens t where t.user_id = s.user_id and t.session_id = s.id);
    get diagnostics these = row_count;
    return gone + these;
end
$$;
alter function identity.prune(timestamptz) owner to synaxis_definer;

grant execute on function identity.register_user(uuid, text, text, text), identity.find_person(text, uuid),
    identity.terms_of(uuid), identity.note_sign_in(uuid, timestamptz), identity.prove_email(uuid, text, timestamptz),
    identity.set_password(uuid, uuid, text), identity.rehash_password(uuid, text, text),
    identity.earlier_passwords(uuid, int), identity.raise_token_version(uuid), identity.find_refresh_token(bytea),
    identity.find_one_time_token(bytea, timestamptz), identity.session_standing(uuid, uuid, uuid, timestamptz),
    identity.find_identity_provider(text, uuid), identity.find_external_login(uuid, text),
    identity.solely_owned_by(uuid), identity.erase_person(uuid, timestamptz), identity.export_person(uuid),
    identity.factors_sealed_by_others(text, int), identity.providers_sealed_by_others(text, int),
    identity.prune(timestamptz)
    to synaxis_admin;

select audit.ensure_sign_in_partitions();

reset role;
