//! Invitations, as those who invite and those who are invited find them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::noun;
use crate::{
    base::{GroupId, InvitationId, Moment, Page, Paging, UserId},
    store::{Conn, OrgTx, StoreError},
    tenancy::{Invitation, InvitationState, NewInvitation, Offered},
};

struct InvitationRow {
    id: Uuid,
    email: String,
    role: String,
    group_id: Option<Uuid>,
    invited_by: Option<Uuid>,
    expires_at: DateTime<Utc>,
    sent_at: Option<DateTime<Utc>>,
    accepted_at: Option<DateTime<Utc>>,
    accepted_by: Option<Uuid>,
    declined_at: Option<DateTime<Utc>>,
    cancelled_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<InvitationRow> for Invitation {
    type Error = StoreError;

    fn try_from(row: InvitationRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            email: row.email,
            rank: noun(row.role)?,
            group_id: row.group_id.map(GroupId),
            invited_by: row.invited_by.map(UserId),
            expires_at: row.expires_at.into(),
            sent_at: row.sent_at.map(Moment::from),
            accepted_at: row.accepted_at.map(Moment::from),
            accepted_by: row.accepted_by.map(UserId),
            declined_at: row.declined_at.map(Moment::from),
            cancelled_at: row.cancelled_at.map(Moment::from),
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        })
    }
}

/// Returns invitations of this transaction's organization, those in one state when `state` says so.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list_invitations(
    tx: &mut OrgTx,
    state: Option<InvitationState>,
    paging: Paging,
) -> Result<Page<Invitation>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let rows = sqlx::query_as!(
        InvitationRow,
        "select id, email, role, group_id, invited_by, expires_at, sent_at, accepted_at, accepted_by, declined_at,
             cancelled_at, created_at, updated_at
         from identity.invitations
         where organization_id = $1 and deleted_at is null
             and ($6::text is null or $6 = case
                 when accepted_at is not null then 'accepted'
                 when declined_at is not null then 'declined'
                 when cancelled_at is not null then 'cancelled'
                 when expires_at <= now() then 'expired'
                 else 'pending' end)
             and ($3::uuid is null
                 or case when $4 then (created_at, id) < ($2, $3) else (created_at, id) > ($2, $3) end)
         order by case when $4 then created_at end desc, case when $4 then id end desc, created_at, id
         limit $5",
        organization,
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
        state.map(super::word).transpose()?,
    )
    .fetch_all(&mut **tx)
    .await?;
    let invitations = rows.into_iter().map(Invitation::try_from);
    let invitations = invitations.collect::<Result<Vec<_>, _>>()?;
    Ok(paging.page(invitations, |one| (one.created_at, one.id.uuid())))
}

/// Returns one invitation of this transaction's organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_invitation(
    tx: &mut OrgTx,
    id: InvitationId,
) -> Result<Option<Invitation>, StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query_as!(
        InvitationRow,
        "select id, email, role, group_id, invited_by, expires_at, sent_at, accepted_at, accepted_by, declined_at,
             cancelled_at, created_at, updated_at
         from identity.invitations
         where organization_id = $1 and id = $2 and deleted_at is null",
        organization,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(Invitation::try_from).transpose()
}

/// Returns one invitation of this transaction's organization, and keeps others from answering it until the end.
///
/// # Errors
/// When Postgres does not answer.
pub async fn lock_invitation(
    tx: &mut OrgTx,
    id: InvitationId,
) -> Result<Option<Invitation>, StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "select id from identity.invitations where organization_id = $1 and id = $2 for no key update",
        organization,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    find_invitation(tx, id).await
}

/// Says whether somebody with this address is a member already, and how many members and open invitations there are.
///
/// # Errors
/// When Postgres does not answer.
pub async fn occupancy(tx: &mut OrgTx, email: &str) -> Result<(bool, u64), StoreError> {
    let organization = tx.scope().organization().uuid();
    let row = sqlx::query!(
        r#"select exists (
               select from identity.organization_memberships m
               join identity.users u on u.id = m.user_id
               where m.organization_id = $1 and m.deleted_at is null and lower(u.email) = lower($2)) as "is_member!",
           (select count(*) from identity.organization_memberships m
               where m.organization_id = $1 and m.deleted_at is null)
           + (select count(*) from identity.invitations i
               where i.organization_id = $1 and i.accepted_at is null and i.declined_at is null
                   and i.cancelled_at is null and i.deleted_at is null and i.expires_at > now()) as "taken!""#,
        organization,
        email,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok((row.is_member, super::count(row.taken)))
}

/// Writes an invitation of this transaction's organization. An older one to the same address that ran out is cancelled.
///
/// # Errors
/// `invitations_open_uq` when one is open, `invitations_group_fk` when there is no such group.
pub async fn insert_invitation(tx: &mut OrgTx, new: &NewInvitation<'_>) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "update identity.invitations set cancelled_at = now()
         where organization_id = $1 and lower(email) = lower($2) and accepted_at is null and declined_at is null
             and cancelled_at is null and deleted_at is null and expires_at <= now()",
        organization,
        new.email,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "insert into identity.invitations
             (id, organization_id, email, role, group_id, token_hash, invited_by, expires_at, sent_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, now())",
        new.id.uuid(),
        organization,
        new.email,
        new.rank.word(),
        new.group_id,
        new.token_hash.as_slice(),
        new.invited_by.map(UserId::uuid),
        new.expires_at.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives an invitation another token and more time.
///
/// # Errors
/// When Postgres does not answer.
pub async fn renew_invitation(
    tx: &mut OrgTx,
    id: InvitationId,
    token_hash: &[u8; 32],
    expires_at: Moment,
) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "update identity.invitations set token_hash = $3, expires_at = $4, sent_at = now()
         where organization_id = $1 and id = $2",
        organization,
        id.uuid(),
        token_hash.as_slice(),
        expires_at.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes that somebody joined.
///
/// # Errors
/// When Postgres does not answer.
pub async fn mark_accepted(
    tx: &mut OrgTx,
    id: InvitationId,
    user: UserId,
) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "update identity.invitations set accepted_at = now(), accepted_by = $3
         where organization_id = $1 and id = $2",
        organization,
        id.uuid(),
        user.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes that somebody said no.
///
/// # Errors
/// When Postgres does not answer.
pub async fn mark_declined(tx: &mut OrgTx, id: InvitationId) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "update identity.invitations set declined_at = now() where organization_id = $1 and id = $2",
        organization,
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes that an invitation was taken back.
///
/// # Errors
/// When Postgres does not answer.
pub async fn mark_cancelled(tx: &mut OrgTx, id: InvitationId) -> Result<(), StoreError> {
    let organization = tx.scope().organization().uuid();
    sqlx::query!(
        "update identity.invitations set cancelled_at = now() where organization_id = $1 and id = $2",
        organization,
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Returns the invitation whose token has this hash. Looks across tenants: which one it is, is the answer.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_by_token(
    conn: &mut Conn,
    token_hash: &[u8; 32],
) -> Result<Option<Offered>, StoreError> {
    let row = sqlx::query!(
        r#"select id as "id!", organization_id as "organization_id!", organization_name as "organization_name!",
                  email as "email!", role as "role!", group_id, invited_by, expires_at as "expires_at!: DateTime<Utc>",
                  is_open as "is_open!", account
           from identity.invitation_by_token($1)"#,
        token_hash.as_slice(),
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    Ok(Some(Offered {
        id: row.id.into(),
        organization_id: row.organization_id.into(),
        organization_name: row.organization_name,
        email: row.email,
        rank: noun(row.role)?,
        group_id: row.group_id.map(GroupId),
        invited_by: row.invited_by.map(UserId),
        expires_at: row.expires_at.into(),
        is_open: row.is_open,
        account: row.account.map(UserId),
    }))
}

/// Returns the open invitations to a person's own address, newest first; none until they have shown that it is theirs.
///
/// # Errors
/// When Postgres does not answer.
pub async fn invitations_of(conn: &mut Conn, person: UserId) -> Result<Vec<Offered>, StoreError> {
    let rows = sqlx::query!(
        r#"select id as "id!", organization_id as "organization_id!", organization_name as "organization_name!",
                  email as "email!", role as "role!", group_id, invited_by, expires_at as "expires_at!: DateTime<Utc>"
           from identity.invitations_of($1)"#,
        person.uuid(),
    )
    .fetch_all(conn)
    .await?;
    let mut offered = Vec::with_capacity(rows.len());
    for row in rows {
        offered.push(Offered {
            id: row.id.into(),
            organization_id: row.organization_id.into(),
            organization_name: row.organization_name,
            email: row.email,
            rank: noun(row.role)?,
            group_id: row.group_id.map(GroupId),
            invited_by: row.invited_by.map(UserId),
            expires_at: row.expires_at.into(),
            is_open: true,
            account: Some(person),
        });
    }
    Ok(offered)
}
