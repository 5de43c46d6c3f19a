//! Rules every table, view, function and role keeps; a new one that forgets fails here.

use std::collections::BTreeSet;

use super::fixture::{OURS, fill, number, run, tenant_tables};
use crate::stack::database::TestDatabase;

/// Every rule about the schema, as a query that returns what breaks it.
const RULES: &[(&str, &str)] = &[
    (
        "every table of tenants is protected, also from its owner",
        "select c.oid::regclass::text
         from pg_class c
         join pg_namespace n on n.oid = c.relnamespace
         join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped
         where n.nspname in ('platform', 'identity', 'operations', 'audit') and c.relkind in ('r', 'p')
             and not (c.relrowsecurity and c.relforcerowsecurity
                 and (c.relispartition or exists (select from pg_policy p where p.polrelid = c.oid)))",
    ),
    (
        "nobody is granted a partition",
        "select c.oid::regclass || ' to ' || a.grantee::regrole
         from pg_class c, aclexplode(c.relacl) a
         where c.relispartition and c.relkind in ('r', 'p') and a.grantee <> c.relowner",
    ),
    (
        "a view shows its reader's rows, not its owner's",
        "select c.oid::regclass::text
         from pg_class c
         join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('platform', 'identity', 'operations', 'audit') and c.relkind in ('v', 'm')
             and not coalesce('security_invoker=true' = any (c.reloptions), false)",
    ),
    (
        "no service is above the rules, and none owns anything",
        "select r.rolname
         from pg_roles r
         where r.rolname like 'synaxis\\_%' and (r.rolsuper or r.rolbypassrls or r.rolcreaterole
             or (r.rolname not in ('synaxis_owner', 'synaxis_definer')
                 and exists (select from pg_class c where c.relowner = r.oid)))",
    ),
    (
        "a function that acts for another fixes where it looks names up",
        "select p.oid::regprocedure::text
         from pg_proc p
         join pg_namespace n on n.oid = p.pronamespace
         where n.nspname in ('platform', 'identity', 'operations', 'audit') and p.prosecdef
             and not coalesce(array_to_string(p.proconfig, ' ') like 'search_path=pg_catalog, pg_temp', false)",
    ),
    (
        "a function that acts for another belongs to the definer or to the tables' owner, never to whoever migrates",
        "select p.oid::regprocedure::text
         from pg_proc p
         join pg_namespace n on n.oid = p.pronamespace
         where n.nspname in ('platform', 'identity', 'operations', 'audit')
             and p.proowner::regrole::text not in ('synaxis_definer', 'synaxis_owner')",
    ),
    (
        "a function is nobody's until it is granted",
        "select p.oid::regprocedure::text
         from pg_proc p
         join pg_namespace n on n.oid = p.pronamespace
         where n.nspname in ('platform', 'identity', 'operations', 'audit')
             and (p.proacl is null or exists (select from aclexplode(p.proacl) a where a.grantee = 0))
             and p.proname not in ('current_organization', 'current_person', 'speaks_for_platform')
             and p.prokind <> 'p'",
    ),
    (
        "what a policy lets through it lets through for a reason",
        "select p.polrelid::regclass || ' ' || p.polname
         from pg_policy p
         join pg_attribute a on a.attrelid = p.polrelid and a.attname = 'organization_id' and not a.attisdropped
         where p.polroles <> array['synaxis_definer'::regrole::oid]
             and coalesce(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
                 !~ 'current_organization|organization_id IS NULL|current_person'",
    ),
    (
        "nobody but the owner empties a table, which no policy holds up",
        "select c.oid::regclass || ' by ' || r.rolname
         from pg_class c
         join pg_namespace n on n.oid = c.relnamespace, pg_roles r
         where n.nspname in ('platform', 'identity', 'operations', 'audit') and c.relkind in ('r', 'p')
             and r.rolname in ('synaxis_proxy', 'synaxis_admin', 'synaxis_agent', 'synaxis_auditor', 'synaxis_definer')
             and has_table_privilege(r.oid, c.oid, 'truncate')",
    ),
    (
        "what names a row of a tenant names its tenant too, or a trigger looks",
        "select f.conrelid::regclass || ' ' || f.conname
         from pg_constraint f
         join pg_class c on c.oid = f.conrelid and not c.relispartition
         join pg_namespace n on n.oid = c.relnamespace
         join pg_attribute own on own.attrelid = f.conrelid and own.attname = 'organization_id' and not own.attisdropped
         join pg_attribute far on far.attrelid = f.confrelid and far.attname = 'organization_id' and not far.attisdropped
         where f.contype = 'f' and n.nspname in ('platform', 'identity', 'operations', 'audit')
             and not own.attnum = any (f.conkey)
             and not exists (
                 select from pg_trigger t
                 join pg_proc p on p.oid = t.tgfoid
                 join pg_attribute a on a.attrelid = f.conrelid and a.attnum = f.conkey[1]
                 where t.tgrelid = f.conrelid
                     and (p.proname = 'check_owner' and encode(t.tgargs, 'escape') like '%' || a.attname || '%'
                         or p.proname = 'check_role_assignment' and a.attname = 'role_id'))",
    ),
    (
        "a tenant cannot learn by a collision what another has",
        "select i.indexrelid::regclass::text
         from pg_index i
         join pg_class c on c.oid = i.indrelid and not c.relispartition
         join pg_namespace n on n.oid = c.relnamespace
         join pg_attribute own on own.attrelid = c.oid and own.attname = 'organization_id' and not own.attisdropped
         where n.nspname in ('platform', 'identity', 'operations', 'audit') and i.indisunique
             and not own.attnum = any (i.indkey::smallint[])
             -- Ids and hashes are drawn at random or known only to those who may know.
             and exists (
                 select from unnest(i.indkey::smallint[]) k
                 left join pg_attribute a on a.attrelid = c.oid and a.attnum = k
                 where k = 0 or a.atttypid not in ('uuid'::regtype, 'bytea'::regtype, 'timestamptz'::regtype))
             and i.indexrelid::regclass::text <> all (array[
                 -- Drawn by us.
                 'operations.api_keys_public_id_uq', 'operations.usage_moves_pk',
                 -- Led by the id of a row that is the tenant's own.
                 'platform.alias_targets_pk', 'operations.discovered_models_uq', 'operations.ledger_postings_pk', 'operations.ledger_moves_pk',
                 'identity.external_logins_subject_uq'])",
    ),
    (
        "only the definer's policies let every row through",
        "select p.polrelid::regclass || ' ' || p.polname
         from pg_policy p
         where pg_get_expr(p.polqual, p.polrelid) = 'true' and p.polroles <> array['synaxis_definer'::regrole::oid]",
    ),
];

#[tokio::test]
async fn the_schema_keeps_its_own_rules() {
    let database = TestDatabase::start().await;
    let mut superuser = database.connect().await;

    for (rule, query) in RULES {
        let broken: Vec<String> = sqlx::query_scalar(*query)
            .fetch_all(&mut superuser)
            .await
            .expect(rule);
        assert_eq!(broken, Vec::<String>::new(), "{rule}");
    }
}

#[tokio::test]
async fn every_foreign_key_has_an_index() {
    let database = TestDatabase::start().await;
    let mut superuser = database.connect().await;

    let bare: Vec<String> = sqlx::query_scalar(
        "select f.conrelid::regclass || ' ' || f.conname
         from pg_constraint f
         join pg_class c on c.oid = f.conrelid and not c.relispartition
         join pg_namespace n on n.oid = f.connamespace
         where f.contype = 'f' and n.nspname in ('platform', 'identity', 'operations', 'audit')
             and not exists (
                 select from pg_index i
                 where i.indrelid = f.conrelid
                     and (i.indkey::smallint[])[0:cardinality(f.conkey) - 1] @> f.conkey)",
    )
    .fetch_all(&mut superuser)
    .await
    .expect("the catalogue answers");

    assert_eq!(bare, Vec::<String>::new());
}

/// What somebody may forget, and the rule that notices.
const FORGOTTEN: [(&str, &str); 7] = [
    (
        "create table operations.forgotten (id uuid primary key, organization_id uuid not null)",
        "every table of tenants is protected, also from its owner",
    ),
    (
        "create table operations.forgotten (id uuid primary key, organization_id uuid not null);
         alter table operations.forgotten enable row level security;
         alter table operations.forgotten force row level security",
        "every table of tenants is protected, also from its owner",
    ),
    (
        "do $$ begin execute format('grant select on %s to synaxis_admin',
             (select inhrelid::regclass from pg_inherits where inhparent = 'operations.events'::regclass limit 1)); end $$",
        "nobody is granted a partition",
    ),
    (
        "create view operations.forgotten as select * from operations.api_keys",
        "a view shows its reader's rows, not its owner's",
    ),
    (
        "alter table operations.alerts owner to synaxis_agent",
        "no service is above the rules, and none owns anything",
    ),
    (
        "create policy forgotten on operations.alerts for select to synaxis_admin using (true)",
        "only the definer's policies let every row through",
    ),
    (
        "create table operations.forgotten (id uuid primary key, organization_id uuid not null,
             api_key_id uuid constraint forgotten_api_key_fk references operations.api_keys (id))",
        "what names a row of a tenant names its tenant too, or a trigger looks",
    ),
];

#[tokio::test]
async fn a_rule_that_is_forgotten_is_noticed() {
    let database = TestDatabase::start().await;
    let mut superuser = database.connect().await;

    for (statement, rule) in FORGOTTEN {
        let (_, query) = RULES
            .iter()
            .find(|(name, _)| *name == rule)
            .expect("a rule of that name");
        run(&mut superuser, "begin").await;
        run(&mut superuser, statement).await;
        let broken: Vec<String> = sqlx::query_scalar(*query)
            .fetch_all(&mut superuser)
            .await
            .expect(rule);
        run(&mut superuser, "rollback").await;
        assert_eq!(broken.len(), 1, "{statement}: {broken:?}");
    }
}

#[tokio::test]
async fn the_tests_know_a_row_of_every_table_that_has_an_organization() {
    let database = TestDatabase::start().await;
    let mut superuser = database.connect().await;
    fill(&mut superuser, OURS).await;

    let mut bare = BTreeSet::new();
    for (table, column) in tenant_tables(&mut superuser).await {
        let query = format!("select count(*) from {table} where {column} = '{OURS}'");
        if number(&mut superuser, &query).await == 0 {
            bare.insert(table);
        }
    }

    assert_eq!(
        bare,
        BTreeSet::new(),
        "add a row to tests/it/isolation/tenant.sql"
    );
}
