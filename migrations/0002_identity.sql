-- Why: who there is: tenants with their settings, people, teams, memberships and roles.

set local role synaxis_owner;

create table identity.organizations (
    id uuid constraint organizations_pk primary key,
    slug text not null constraint organizations_slug_form check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    legal_name text not null constraint organizations_legal_name_length check (char_length(legal_name) between 1 and 200),
    display_name text not null constraint organizations_display_name_length check (char_length(display_name) between 1 and 200),
    status text not null default 'active'
        constraint organizations_status check (status in ('active', 'suspended', 'pending', 'deactivated')),
    plan_tier text not null default 'free' constraint organizations_plan_tier_length check (char_length(plan_tier) between 1 and 40),
    contact_email text constraint organizations_contact_email_length check (char_length(contact_email) <= 320),
    billing_email text constraint organizations_billing_email_length check (char_length(billing_email) <= 320),
    tax_id text constraint organizations_tax_id_length check (char_length(tax_id) <= 64),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index organizations_slug_unique on identity.organizations (slug) where deleted_at is null;
create index organizations_by_creation on identity.organizations (created_at desc, id desc) where deleted_at is null;

create table identity.organization_settings (
    organization_id uuid constraint organization_settings_pk primary key
        constraint organization_settings_organization references identity.organizations (id),
    -- What a new organization's limits are made from; the limits themselves live in operations.limits.
    seed_requests_per_minute bigint default 60
        constraint organization_settings_seed_requests check (seed_requests_per_minute > 0),
    seed_tokens_per_minute bigint default 100000
        constraint organization_settings_seed_tokens check (seed_tokens_per_minute > 0),
    default_max_output_tokens bigint not null default 4096
        constraint organization_settings_default_max_output check (default_max_output_tokens between 1 and 10000000),
    -- Null inherits from the platform, here as in groups and memberships.
    auto_optimization boolean default true,
    custom_providers_allowed boolean not null default true,
    max_users int constraint organization_settings_max_users check (max_users > 0),
    max_groups int constraint organization_settings_max_groups check (max_groups > 0),
    audit_retention_days int not null default 90
        constraint organization_settings_audit_retention check (audit_retention_days between 1 and 3650),
    -- Null is the gateway's own bound; a tenant may only lower it.
    body_limit_bytes bigint
        constraint organization_settings_body_limit check (body_limit_bytes between 1024 and 33554432),
    access_token_lifetime_s int not null default 600
        constraint organization_settings_access_token check (access_token_lifetime_s between 60 and 3600),
    allowed_origins text[] not null default '{}',
    degraded_mode text not null default 'refuse'
        constraint organization_settings_degraded_mode check (degraded_mode in ('refuse', 'local_share')),
    allows_training boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- A person may belong to several organizations, so the row belongs to none.
create table identity.users (
    id uuid constraint users_pk primary key,
    email text not null constraint users_email_form check (char_length(email) <= 320 and email ~ '^[^@\s]+@[^@\s]+$'),
    display_name text not null default '' constraint users_display_name_length check (char_length(display_name) <= 200),
    password_hash text constraint users_password_hash_form check (password_hash like '$argon2id$%'),
    status text not null default 'active' constraint users_status check (status in ('active', 'suspended', 'pending')),
    is_platform_admin boolean not null default false,
    email_verified_at timestamptz,
    -- Raised to end every session's rights at once.
    token_version int not null default 0,
    last_sign_in_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index users_email_unique on identity.users (lower(email)) where deleted_at is null;

create table identity.groups (
    id uuid constraint groups_pk primary key,
    organization_id uuid not null constraint groups_organization references identity.organizations (id),
    slug text not null constraint groups_slug_form check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name text not null constraint groups_name_length check (char_length(name) between 1 and 200),
    description text not null default '' constraint groups_description_length check (char_length(description) <= 2000),
    is_default boolean not null default false,
    auto_optimization boolean,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint groups_of_organization unique (organization_id, id)
);
create unique index groups_slug_unique on identity.groups (organization_id, slug) where deleted_at is null;
create unique index groups_one_default on identity.groups (organization_id) where is_default and deleted_at is null;

-- One row per person and organization for good: leaving sets deleted_at, coming back clears it.
create table identity.organization_memberships (
    id uuid constraint organization_memberships_pk primary key,
    organization_id uuid not null constraint organization_memberships_organization references identity.organizations (id),
    user_id uuid not null constraint organization_memberships_user references identity.users (id),
    role text not null default 'member'
        constraint organization_memberships_role check (role in ('owner', 'admin', 'member', 'guest')),
    primary_group_id uuid,
    auto_optimization boolean,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint organization_memberships_once unique (organization_id, user_id),
    constraint organization_memberships_primary_group
        foreign key (organization_id, primary_group_id) references identity.groups (organization_id, id)
);
create index organization_memberships_by_user on identity.organization_memberships (user_id);
create index organization_memberships_by_primary_group on identity.organization_memberships (organization_id, primary_group_id);

create table identity.group_memberships (
    id uuid constraint group_memberships_pk primary key,
    organization_id uuid not null constraint group_memberships_organization references identity.organizations (id),
    group_id uuid not null,
    user_id uuid not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint group_memberships_once unique (organization_id, group_id, user_id),
    -- Both together with the organization: a foreign group or person cannot be attached.
    constraint group_memberships_group
        foreign key (organization_id, group_id) references identity.groups (organization_id, id),
    constraint group_memberships_member
        foreign key (organization_id, user_id) references identity.organization_memberships (organization_id, user_id)
);
create index group_memberships_by_user on identity.group_memberships (organization_id, user_id);

-- Without an organization: a system role, which every organization may assign.
create table identity.roles (
    id uuid constraint roles_pk primary key,
    organization_id uuid constraint roles_organization references identity.organizations (id),
    name text not null constraint roles_name_form check (name ~ '^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$'),
    description text not null default '' constraint roles_description_length check (char_length(description) <= 2000),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index roles_name_unique on identity.roles (organization_id, name) nulls not distinct where deleted_at is null;

create table identity.role_permissions (
    role_id uuid not null constraint role_permissions_role references identity.roles (id),
    permission text not null constraint role_permissions_form check (permission ~ '^[a-z_]+:[a-z_]+$'),
    created_at timestamptz not null default now(),
    constraint role_permissions_pk primary key (role_id, permission)
);

create table identity.role_assignments (
    id uuid constraint role_assignments_pk primary key,
    organization_id uuid not null constraint role_assignments_organization references identity.organizations (id),
    user_id uuid not null,
    role_id uuid not null constraint role_assignments_role references identity.roles (id),
    -- Null: the role holds in the whole organization.
    group_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint role_assignments_member
        foreign key (organization_id, user_id) references identity.organization_memberships (organization_id, user_id),
    constraint role_assignments_group
        foreign key (organization_id, group_id) references identity.groups (organization_id, id)
);
create unique index role_assignments_unique on identity.role_assignments (organization_id, user_id, role_id, group_id)
    nulls not distinct where deleted_at is null;
create index role_assignments_by_role on identity.role_assignments (role_id);
create index role_assignments_by_group on identity.role_assignments (organization_id, group_id);

-- A foreign key alone would accept another tenant's own role.
create function identity.check_role_assignment() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (
        select from identity.roles r
        where r.id = new.role_id and (r.organization_id is null or r.organization_id = new.organization_id)
    ) then
        raise exception 'no such role' using errcode = 'foreign_key_violation', constraint = 'role_assignments_role';
    end if;
    return new;
end
$$;
alter function identity.check_role_assignment() owner to synaxis_definer;
create trigger check_role before insert or update of role_id, organization_id on identity.role_assignments
    for each row execute function identity.check_role_assignment();

-- Demoting or removing the last owner fails, also when two owners remove each other at once.
create function identity.keep_one_owner() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform from identity.organizations o where o.id = old.organization_id and o.deleted_at is null for update;
    if not found or exists (
        select from identity.organization_memberships m
        where m.organization_id = old.organization_id and m.role = 'owner' and m.deleted_at is null
    ) then
        return null;
    end if;
    raise exception 'an organization keeps one owner'
        using errcode = 'check_violation', constraint = 'organization_memberships_one_owner';
end
$$;
alter function identity.keep_one_owner() owner to synaxis_definer;
create constraint trigger keep_one_owner after update or delete on identity.organization_memberships
    deferrable initially deferred
    for each row when (old.role = 'owner' and old.deleted_at is null) execute function identity.keep_one_owner();

call platform.keep_updated_at('identity.organizations');
call platform.keep_updated_at('identity.organization_settings');
call platform.keep_updated_at('identity.users');
call platform.keep_updated_at('identity.groups');
call platform.keep_updated_at('identity.organization_memberships');
call platform.keep_updated_at('identity.group_memberships');
call platform.keep_updated_at('identity.roles');
call platform.keep_updated_at('identity.role_assignments');

call platform.protect_tenant_table('identity.organizations', 'id');
call platform.protect_tenant_table('identity.organization_settings');
call platform.protect_tenant_table('identity.groups');
call platform.protect_tenant_table('identity.organization_memberships');
call platform.protect_tenant_table('identity.group_memberships');
call platform.protect_tenant_table('identity.role_assignments');

-- A tenant sees the people who are its members, and changes them; it never makes one (identity.create_user does).
alter table identity.users enable row level security;
alter table identity.users force row level security;
create policy members_are_seen on identity.users for select using (exists (
    select from identity.organization_memberships m
    where m.user_id = users.id and m.organization_id = platform.current_organization()));
create policy members_are_changed on identity.users for update using (exists (
    select from identity.organization_memberships m
    where m.user_id = users.id and m.organization_id = platform.current_organization() and m.deleted_at is null));
create policy definer on identity.users to synaxis_definer using (true) with check (true);

alter table identity.roles enable row level security;
alter table identity.roles force row level security;
create policy system_roles_are_seen on identity.roles for select using (organization_id is null);
create policy tenant on identity.roles
    using (organization_id = platform.current_organization())
    with check (organization_id = platform.current_organization());
create policy definer on identity.roles to synaxis_definer using (true) with check (true);

alter table identity.role_permissions enable row level security;
alter table identity.role_permissions force row level security;
create policy visible_roles_are_seen on identity.role_permissions for select using (exists (
    select from identity.roles r where r.id = role_id));
create policy tenant on identity.role_permissions
    using (exists (select from identity.roles r where r.id = role_id and r.organization_id = platform.current_organization()))
    with check (exists (select from identity.roles r where r.id = role_id and r.organization_id = platform.current_organization()));
create policy definer on identity.role_permissions to synaxis_definer using (true) with check (true);

create trigger announce after insert or update or delete on identity.organizations
    for each row execute function platform.announce_row('organization');
create trigger announce after insert or update or delete on identity.organization_settings
    for each row execute function platform.announce_row('organization', 'organization_id');
create trigger announce after insert or update or delete on identity.groups
    for each row execute function platform.announce_row('group');
create trigger announce after update or delete on identity.users
    for each row execute function platform.announce_row('user');
create trigger announce after insert or update or delete on identity.organization_memberships
    for each row execute function platform.announce_row('user', 'user_id');
create trigger announce after insert or update or delete on identity.group_memberships
    for each row execute function platform.announce_row('user', 'user_id');

grant select, insert, update on identity.organizations, identity.organization_settings, identity.groups,
    identity.organization_memberships, identity.group_memberships, identity.roles, identity.role_assignments
    to synaxis_admin;
grant select, insert, delete on identity.role_permissions to synaxis_admin;
-- Neither the password's hash nor the platform's own right: sign-in reads the one, the operator gives the other.
grant select (id, email, display_name, status, is_platform_admin, email_verified_at, token_version, last_sign_in_at,
        created_at, updated_at, deleted_at),
    update (display_name, status, token_version)
    on identity.users to synaxis_admin;

-- Makes a person. A unique index hit by a tenant would tell it who is known elsewhere, so tenants do not insert.
create function identity.create_user(id uuid, email text, display_name text, password_hash text) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into identity.users (id, email, display_name, password_hash)
    values (create_user.id, create_user.email, create_user.display_name, create_user.password_hash)
$$;
alter function identity.create_user(uuid, text, text, text) owner to synaxis_definer;
grant execute on function identity.create_user(uuid, text, text, text) to synaxis_admin;

-- Gives the platform's own right; granted to no service.
create function identity.make_platform_admin(id uuid) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update identity.users u set is_platform_admin = true where u.id = make_platform_admin.id
$$;
alter function identity.make_platform_admin(uuid) owner to synaxis_definer;

-- Every person, oldest first, for operators; granted to no service.
create function identity.all_users(after uuid, batch int)
    returns table (id uuid, email text, display_name text, status text, is_platform_admin boolean, created_at timestamptz)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select u.id, u.email, u.display_name, u.status, u.is_platform_admin, u.created_at
    from identity.users u
    where u.deleted_at is null and (after is null or u.id > after)
    order by u.id
    limit batch
$$;
alter function identity.all_users(uuid, int) owner to synaxis_definer;

-- Every organization, oldest first; the sidecar asks for its platform role before it calls this.
create function identity.all_organizations(after uuid, batch int)
    returns table (id uuid, slug text, display_name text, status text, plan_tier text, created_at timestamptz)
    language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select o.id, o.slug, o.display_name, o.status, o.plan_tier, o.created_at
    from identity.organizations o
    where o.deleted_at is null and (after is null or o.id > after)
    order by o.id
    limit batch
$$;
alter function identity.all_organizations(uuid, int) owner to synaxis_definer;
grant execute on function identity.all_organizations(uuid, int) to synaxis_admin;

reset role;
