-- Fills the other tables to the size they have where ten million calls come from: people, keys and what they may, the
-- catalog, the audit log. Runs after fill.sql.
-- Variables: organization, owner, sealing_key (the fingerprint of the key the sidecar seals with).

-- A moment of the last ninety days.
create function soak.sometime() returns timestamptz language sql volatile as $$
    select now() - random() * interval '90 days'
$$;

-- Whom the organization has, and what they may.
update identity.organization_memberships set created_at = soak.sometime();
update operations.api_keys set created_at = soak.sometime();
insert into identity.groups (id, organization_id, slug, name, created_at)
select gen_random_uuid(), :'organization', 'quiet-' || n, 'Quiet ' || n, soak.sometime() from generate_series(1, 180) n;
create table soak.members as
select row_number() over (order by u) as n, id from soak.people where organization_id = :'organization' and id <> :'owner';
create table soak.teams as
select row_number() over (order by slug) as n, id from identity.groups where organization_id = :'organization';
insert into identity.group_memberships (id, organization_id, group_id, user_id, created_at)
select gen_random_uuid(), :'organization', t.id, m.id, soak.sometime()
from soak.teams t join soak.members m on t.n = 1 or m.n % 200 = t.n % 200;
insert into identity.roles (id, organization_id, name, created_at)
select gen_random_uuid(), :'organization', 'role-' || n, soak.sometime() from generate_series(1, 200) n;
insert into identity.role_permissions (role_id, permission)
select r.id, p from identity.roles r cross join unnest(array['keys:read', 'usage:read', 'groups:read']) p
where r.organization_id = :'organization' and r.name like 'role-%';
insert into identity.role_assignments (id, organization_id, user_id, role_id, group_id, created_at)
select gen_random_uuid(), :'organization', m.id, r.id, case when m.n % 2 = 0 then t.id end, soak.sometime()
from soak.members m
join identity.roles r on r.organization_id = :'organization' and r.name = 'role-' || 1 + m.n % 200
join soak.teams t on t.n = 1 + m.n % 200;
insert into identity.invitations (id, organization_id, email, role, token_hash, expires_at, cancelled_at, declined_at, created_at)
select gen_random_uuid(), :'organization', 'guest-' || n || '@soak.example', 'member', sha256(('guest' || n)::bytea),
    now() + (n % 14 - 7) * interval '1 day', case n % 3 when 1 then now() end, case n % 3 when 2 then now() end, soak.sometime()
from generate_series(1, 5000) n;
insert into identity.identity_providers (id, organization_id, name, issuer, client_id, sealing_key_id, sealed_key, sealed_secret,
    created_at)
select gen_random_uuid(), :'organization', 'way ' || n, 'https://login-' || n || '.example', 'client', :'sealing_key', '\x00', '\x00',
    soak.sometime()
from generate_series(1, 50) n;

-- The owner is in many organizations, is asked into more, and signs in often.
insert into identity.organizations (id, slug, legal_name, display_name, created_at, status)
select gen_random_uuid(), 'quiet-' || n, 'Quiet ' || n, 'Quiet ' || n, soak.sometime(), case n % 20 when 0 then 'suspended' else 'active' end
from generate_series(1, 5000) n;
insert into identity.organization_memberships (id, organization_id, user_id, role, created_at)
select gen_random_uuid(), id, :'owner', 'member', soak.sometime() from identity.organizations where slug ~ '^quiet-\d?\d?\d$';
insert into identity.invitations (id, organization_id, email, role, token_hash, expires_at, created_at)
select gen_random_uuid(), id, 'owner@soak.example', 'member', sha256(slug::bytea), now() + interval '7 days', soak.sometime()
from identity.organizations where slug ~ '^quiet-1\d\d\d$';
insert into identity.sessions (id, user_id, method, address, user_agent, expires_at, ended_at, end_reason, created_at)
select gen_random_uuid(), :'owner', 'password', '192.0.2.' || n % 250, 'soak', now() + interval '7 days',
    case when n % 4 > 0 then now() end, case when n % 4 > 0 then 'signed_out' end, soak.sometime()
from generate_series(1, 2000) n;

-- Limits of everything, four for each subject.
create table soak.meters as
select * from (values ('requests', 'minute', 'hard'), ('total_tokens', 'minute', 'soft'), ('requests', 'day', 'hard'),
    ('nano_usd', 'month', 'hard')) m (meter, time_window, enforcement);
insert into operations.limits (id, organization_id, subject_kind, meter, time_window, enforcement, amount, created_at)
select gen_random_uuid(), :'organization', 'organization', meter, time_window, enforcement, 1000000000, soak.sometime()
from soak.meters on conflict do nothing;
insert into operations.limits (id, organization_id, subject_kind, group_id, meter, time_window, enforcement, amount, created_at)
select gen_random_uuid(), :'organization', 'group', t.id, meter, time_window, enforcement, 1000000, soak.sometime()
from soak.meters cross join soak.teams t;
insert into operations.limits (id, organization_id, subject_kind, user_id, meter, time_window, enforcement, amount, created_at)
select gen_random_uuid(), :'organization', 'user', m.id, meter, time_window, enforcement, 100000, soak.sometime()
from soak.meters cross join soak.members m;
insert into operations.limits (id, organization_id, subject_kind, api_key_id, meter, time_window, enforcement, amount, created_at)
select gen_random_uuid(), :'organization', 'key', k.id, meter, time_window, enforcement, 100000, soak.sometime()
from soak.meters cross join soak.keys k
where k.organization_id = :'organization';

-- The platform's catalog, and one that the organization has of its own.
create table soak.owners as
select * from (values (null::uuid, 'p', 200, 2000), (:'organization'::uuid, 'o', 50, 500)) o (id, letter, providers, models);
insert into platform.providers (id, organization_id, name, dialect, base_url, created_at)
select gen_random_uuid(), o.id, o.letter || 'vendor-' || n, 'openai', 'https://' || o.letter || n || '.example', soak.sometime()
from soak.owners o cross join lateral generate_series(1, o.providers) n;
insert into platform.models (id, organization_id, name, created_at)
select gen_random_uuid(), o.id, o.letter || 'thing-' || n, soak.sometime() from soak.owners o cross join lateral generate_series(1, o.models) n;
create table soak.things as
select m.id, m.organization_id, o.letter, o.providers, substr(m.name, 8)::int as n
from platform.models m join soak.owners o on o.id is not distinct from m.organization_id
where m.name like o.letter || 'thing-%';
insert into platform.offers (id, organization_id, provider_id, model_id, upstream_name, tier, abilities, created_at)
select gen_random_uuid(), t.organization_id, p.id, t.id, 'thing-' || t.n || '-' || kind, case kind when 0 then 'free' else 'paid' end,
    '{chat,streaming}', soak.sometime()
from soak.things t cross join generate_series(0, 2) kind
join platform.providers p on p.organization_id is not distinct from t.organization_id
    and p.name = t.letter || 'vendor-' || 1 + (t.n + kind) % t.providers;
create table soak.sold as
select o.id, o.organization_id, o.provider_id, o.model_id, o.tier, t.n, row_number() over (order by o.id) as place
from platform.offers o join soak.things t on t.id = o.model_id;
insert into platform.price_books (id, organization_id, version, content_hash, created_at)
select gen_random_uuid(), o.id, lpad(to_hex(n), 15, '0') || case o.letter when 'o' then 'a' else 'b' end,
    sha256((o.letter || n)::bytea), soak.sometime()
from soak.owners o cross join generate_series(1, 500) n;
insert into platform.offer_prices (id, organization_id, offer_id, price_book_id, input, output, valid_from, valid_to)
select gen_random_uuid(), s.organization_id, s.id, b.id, 100000000 + k, 300000000, now() - k * interval '10 days',
    case when k > 1 then now() - (k - 1) * interval '10 days' end
from soak.sold s cross join generate_series(1, 4) k
cross join lateral (
    select b.id from platform.price_books b
    where b.organization_id is not distinct from s.organization_id and b.version like lpad(to_hex(k), 15, '0') || '%' limit 1) b;
insert into platform.provider_allowances (id, organization_id, provider_id, offer_id, meter, amount, time_window, created_at)
select gen_random_uuid(), organization_id, provider_id, id, 'requests', 1000, 'day', soak.sometime() from soak.sold where tier = 'free';
insert into platform.provider_credentials (id, organization_id, provider_id, name, sealing_key_id, sealed_key, sealed_secret, created_at)
select gen_random_uuid(), p.organization_id, p.id, 'key-' || n, :'sealing_key', '\x00', '\x00', soak.sometime()
from platform.providers p cross join generate_series(1, 4) n where p.name like '_vendor-%';
insert into platform.model_aliases (id, organization_id, name, created_at)
select gen_random_uuid(), o.id, o.letter || 'alias-' || n, soak.sometime() from soak.owners o cross join generate_series(1, 500) n;
insert into platform.alias_targets (alias_id, position, organization_id, model_id)
select a.id, k, a.organization_id, t.id
from platform.model_aliases a cross join generate_series(0, 3) k
join soak.things t on t.organization_id is not distinct from a.organization_id and t.n = 1 + (substr(a.name, 8)::int + k) % 500;
insert into platform.model_substitutes (id, organization_id, model_id, substitute_id, created_at)
select gen_random_uuid(), t.organization_id, t.id, s.id, soak.sometime()
from soak.things t join soak.things s on s.organization_id is not distinct from t.organization_id and s.n = t.n % 500 + 1 and s.n <> t.n;
insert into platform.quarantined_prices (id, organization_id, offer_id, price_book_id, reason, input, output, status, decided_at,
    created_at)
select gen_random_uuid(), s.organization_id, s.id, f.price_book_id, 'jump', f.input * 20, f.output, d.status,
    case when d.status <> 'held' then now() end, soak.sometime()
from soak.sold s
join platform.offer_prices f on f.offer_id = s.id and f.valid_to is null
cross join unnest(array['held', 'released', 'rejected']) d (status)
where s.place % 5 = 0;
insert into operations.organization_models (id, organization_id, model_id, is_allowed, created_at)
select gen_random_uuid(), :'organization', id, n % 2 = 0, soak.sometime() from soak.things where organization_id is null;
insert into operations.organization_providers (id, organization_id, provider_id, created_at)
select gen_random_uuid(), :'organization', id, soak.sometime() from platform.providers where organization_id is null;
insert into operations.offer_health (id, organization_id, offer_id, state, reason, updated_at)
select gen_random_uuid(), s.organization_id, s.id, (array['healthy', 'healthy', 'degraded', 'out'])[1 + s.place % 4], '', soak.sometime()
from soak.sold s;
insert into platform.nodes (id, kind, host, version, started_at)
select gen_random_uuid(), 'proxy', 'proxy-' || n, '1', soak.sometime() from generate_series(1, 300) n;

-- What was done, and what weakens: the organization's own and the platform's.
select platform.make_month('audit.audit_logs', now() - n * interval '1 month') from generate_series(1, 3) n \g /dev/null
create table soak.logs as
select o.id as organization_id, c.begins, o.rows
from (values (:'organization'::uuid, 200000), (null, 50000)) o (id, rows)
cross join lateral (select coalesce(max(h.seq), 0) as begins from audit.chain_heads h where h.organization_id is not distinct from o.id) c;
insert into audit.audit_logs (id, at, organization_id, seq, actor_kind, actor_id, action, target_kind, target_id, details, address,
    user_agent, key_id, hash)
select gen_random_uuid(), now() - (l.rows - i.place) * (interval '89 days' / l.rows), l.organization_id, l.begins + i.place, 'user',
    coalesce(m.id, :'owner'), w.action, split_part(w.action, '.', 1), k.id, '{"name": "somebody", "change": [1, 2, 3]}', '192.0.2.1', 'soak',
    repeat('0', 16), sha256(i.place::text::bytea)
from soak.logs l cross join lateral generate_series(1, l.rows) i (place)
cross join lateral (select (array['key.created', 'key.revoked', 'member.changed', 'limit.set', 'group.changed', 'session.started'])[1 + i.place % 6]) w (action)
left join soak.members m on m.n = 1 + (i.place * 7) % 6000
left join soak.keys k on k.n = 1 + (i.place * 11) % 5000;
update audit.chain_heads h
set seq = l.begins + l.rows, hash = sha256(l.rows::text::bytea), updated_at = now()
from soak.logs l where l.organization_id is not distinct from h.organization_id;
insert into audit.security_findings (id, organization_id, kind, severity, fingerprint, message, resolved_at, created_at)
select gen_random_uuid(), l.organization_id, 'idle_key', (array['low', 'medium', 'high', 'critical'])[1 + n % 4], 'finding-' || n, 'A key sleeps.',
    case when n % 3 > 0 then now() end, soak.sometime()
from soak.logs l cross join lateral generate_series(1, l.rows / 20) n;
vacuum analyze;
