//! Members, and what became of them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::noun;
use crate::{
    base::{GroupId, Moment, Page, Paging, UserId},
    store::{OrgTx, StoreError},
    tenancy::{Member, Rank, Switches},
};

struct MemberRow {
    id: Uuid,
    user_id: Uuid,
    email: String,
    display_name: String,
    status: String,
    role: String,
    primary_group_id: Option<Uuid>,
    auto_optimization: Option<bool>,
    last_sign_in_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<MemberRow> for Member {
    type Error = StoreError;

    fn try_from(row: MemberRow) -> Result<Self, StoreError> {
        Ok(Self {
            user_id: row.user_id.into(),
            email: row.email,
            display_name: row.display_name,
            status: noun(row.status)?,
            rank: noun(row.role)?,
            primary_group_id: row.primary_group_id.map(GroupId),
            auto_optimization: row.auto_optimization,
            last_sign_in_at: row.last_sign_in_at.map(Moment::from),
            membership_id: row.id,
            joined_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        })
    }
}

/// What members are looked for by.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemberFilter<'a> {
    /// Of one rank.
    pub rank: Option<Rank>,
    /// In one group.
    pub group: Option<GroupId>,
    /// Part of a name or address.
    pub search: Option<&'a str>,
}

/// Returns members of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list_members(
    tx: &mut OrgTx,
    filter: MemberFilter<'_>,
    paging: Paging,
) -> Result<Page<Member>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query_as!(
        MemberRow,
        "select m.id, m.user_id, u.email, u.display_name, u.status, m.role, m.primary_group_id, m.auto_optimization,
             u.last_sign_in_at, m.created_at, m.updated_at
         from identity.organization_memberships m
         join identity.users u on u.id = m.user_id
         where m.organization_id = $1 and m.deleted_at is null
             and ($6::text is null or m.role = $6)
             and ($7::uuid is null or m.primary_group_id = $7 or exists (
                 select from identity.group_memberships g
                 where g.organization_id = $1 and g.group_id = $7 and g.user_id = m.user_id and g.deleted_at is null))
             and ($8::text is null or strpos(lower(u.email), lower($8)) > 0
                 or strpos(lower(u.display_name), lower($8)) > 0)
             and ($3::uuid is null
                 or case when $4 then (m.created_at, m.id) < ($2, $3) else (m.created_at, m.id) > ($2, $3) end)
         order by case when $4 then m.created_at end desc, case when $4 then m.id end desc, m.created_at, m.id
         limit $5",
        organization,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
        filter.rank.map(Rank::word),
        filter.group.map(GroupId::uuid),
        filter.search,
    )
    .fetch_all(&mut **tx)
    .await?;
    let members = rows.into_iter().map(Member::try_from);
    let members = members.collect::<Result<Vec<_>, _>>()?;
    Ok(paging.page(members, |member| (member.joined_at, member.membership_id)))
}

/// Returns one member of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_member(tx: &mut OrgTx, user: UserId) -> Result<Option<Member>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query_as!(
        MemberRow,
        "select m.id, m.user_id, u.email, u.display_name, u.status, m.role, m.primary_group_id, m.auto_optimization,
             u.last_sign_in_at, m.created_at, m.updated_at
         from identity.organization_memberships m
         join identity.users u on u.id = m.user_id
         where m.organization_id = $1 and m.user_id = $2 and m.deleted_at is null",
        organization,
        user.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(Member::try_from).transpose()
}

/// Returns one member of this transaction's organization, and keeps others from changing them until the end.
///
/// # Errors
/// When Postgres does not answer.
pub async fn lock_member(tx: &mut OrgTx, user: UserId) -> Result<Option<Member>, StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "select id from identity.organization_memberships
         where organization_id = $1 and user_id = $2 for no key update",
        organization,
        user.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    find_member(tx, user).await
}

/// Makes a person a member, again when they were one before; their primary group is the default one. Says whether
/// they were none.
///
/// # Errors
/// `organization_settings_users_bound` when there may be no more members.
pub async fn admit_member(
    tx: &mut OrgTx,
    id: Uuid,
    user: UserId,
    rank: Rank,
) -> Result<bool, StoreError> {
    let organization = tx.scope().organization().uuid();
    let done = sqlx::query!(
        "insert into identity.organization_memberships as m (id, organization_id, user_id, role, primary_group_id)
         values ($1, $2, $3, $4, (
             select g.id from identity.groups g
             where g.organization_id = $2 and g.is_default and g.deleted_at is null))
         on conflict on constraint organization_memberships_once do update
         set deleted_at = null, created_at = now(), role = excluded.role, primary_group_id = excluded.primary_group_id,
             auto_optimization = null
         where m.deleted_at is not null",
        id,
        organization,
        user.uuid(),
        rank.word(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Writes what may change of a membership.
///
/// # Errors
/// `organization_memberships_one_owner` when nobody would be left to own the organization,
/// `organization_memberships_primary_group` when there is no such group.
pub async fn update_member(tx: &mut OrgTx, member: &Member) -> Result<Moment, StoreError> {
    let organization = tx.scope().organization().uuid();
    let updated_at = sqlx::query_scalar!(
        "update identity.organization_memberships
         set role = $3, primary_group_id = $4, auto_optimization = $5
         where organization_id = $1 and user_id = $2 and deleted_at is null
         returning updated_at",
        organization,
        member.user_id.uuid(),
        member.rank.word(),
        member.primary_group_id.map(GroupId::uuid),
        member.auto_optimization,
    )
    .fetch_one(&mut **tx)
    .await?;
    keep_one_owner(tx).await?;
    Ok(updated_at.into())
}

/// Ends a membership, with the groups, roles and limits that hung on it.
///
/// # Errors
/// `organization_memberships_one_owner` when nobody would be left to own the organization.
pub async fn remove_member(tx: &mut OrgTx, user: UserId) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "with groups as (
             update identity.group_memberships set deleted_at = now()
             where organization_id = $1 and user_id = $2 and deleted_at is null
         ), roles as (
             update identity.role_assignments set deleted_at = now()
             where organization_id = $1 and user_id = $2 and deleted_at is null
         ), limits as (
             update operations.limits set deleted_at = now()
             where organization_id = $1 and user_id = $2 and deleted_at is null
         )
         update identity.organization_memberships set deleted_at = now()
         where organization_id = $1 and user_id = $2 and deleted_at is null",
        organization,
        user.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    keep_one_owner(tx).await
}

/// Has Postgres say now, not at the commit, whether an owner is left.
async fn keep_one_owner(tx: &mut OrgTx) -> Result<(), StoreError> {
    sqlx::query!("set constraints identity.keep_one_owner immediate")
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Returns the switches that decide for a member, at every height; `None` when there is no such member.
///
/// # Errors
/// When Postgres does not answer.
pub async fn switches_of_member(
    tx: &mut OrgTx,
    user: UserId,
) -> Result<Option<Switches>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query!(
        r#"select m.auto_optimization as "user", g.auto_optimization as "group?", s.auto_optimization as organization
           from identity.organization_memberships m
           join identity.organization_settings s on s.organization_id = m.organization_id
           left join identity.groups g on g.organization_id = m.organization_id and g.id = m.primary_group_id
               and g.deleted_at is null
           where m.organization_id = $1 and m.user_id = $2 and m.deleted_at is null"#,
        organization,
        user.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| Switches {
        user: row.user,
        group: row.group,
        organization: row.organization,
    }))
}
