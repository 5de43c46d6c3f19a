//! Sessions and their refresh tokens in the books.

use crate::{
    base::{
        IdentityProviderId, Moment, OrganizationId, Page, Paging, RequestId, SessionId, UserId,
    },
    identity::{
        Client,
        opaque::Hash,
        session::{EndReason, Session, SignedInBy},
    },
    store::{Conn, PersonTx, StoreError, Tx},
};

/// Writes a session.
///
/// # Errors
/// When Postgres does not answer.
pub async fn insert(tx: &mut PersonTx, session: &Session) -> Result<(), StoreError> {
    let person = tx.person().uuid();
    let (method, organization, provider) = match session.by {
        SignedInBy::Password => ("password", None, None),
        SignedInBy::Provider(organization, provider) => {
            ("oidc", Some(organization.uuid()), Some(provider.uuid()))
        }
    };
    sqlx::query!(
        "insert into identity.sessions (id, user_id, method, organization_id, identity_provider_id, has_second_factor,
             address, user_agent, last_used_at, expires_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9)",
        session.id.uuid(),
        person,
        method,
        organization,
        provider,
        session.has_second_factor,
        session.address,
        session.user_agent,
        session.created_at.utc(),
        session.expires_at.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a request's session still may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// The one organization it reaches; `None` reaches all.
    pub only_in: Option<OrganizationId>,
    /// Does the organization asked about want a second factor that was not shown?
    pub lacks_second_factor: bool,
    /// When it began.
    pub signed_in_at: Moment,
}

impl OpenSession {
    /// Says whether the session reaches an organization.
    #[must_use]
    pub fn reaches(&self, organization: OrganizationId) -> bool {
        self.only_in.is_none_or(|only| only == organization)
    }
}

/// Finds a session that is not over, and whether it is good enough for an organization.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find_open(
    conn: &mut Conn,
    session: SessionId,
    person: UserId,
    organization: Option<OrganizationId>,
    now: Moment,
) -> Result<Option<OpenSession>, StoreError> {
    let row = sqlx::query!(
        r#"select organization_id, has_second_factor as "has_second_factor!", mfa_required as "mfa_required!",
                  signed_in_at as "signed_in_at!"
           from identity.session_standing($1, $2, $3, $4)"#,
        session.uuid(),
        person.uuid(),
        organization.map(OrganizationId::uuid),
        now.utc(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| OpenSession {
        only_in: row.organization_id.map(OrganizationId),
        // An organization's own provider has asked for whatever it thinks right.
        lacks_second_factor: row.mfa_required
            && !row.has_second_factor
            && row.organization_id.is_none(),
        signed_in_at: row.signed_in_at.into(),
    }))
}

/// Returns a page of the person's sessions that are not over.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list_open(
    tx: &mut PersonTx,
    paging: &Paging,
    now: Moment,
) -> Result<Page<Session>, StoreError> {
    let person = tx.person().uuid();
    let rows = sqlx::query!(
        "select id, organization_id, identity_provider_id, has_second_factor, address, user_agent, last_used_at,
                expires_at, created_at
         from identity.sessions
         where user_id = $1 and ended_at is null and $2 < expires_at
             and ($4::uuid is null
                 or case when $5 then (created_at, id) < ($3, $4) else (created_at, id) > ($3, $4) end)
         order by case when $5 then created_at end desc, case when $5 then id end desc, created_at, id
         limit $6",
        person,
        now.utc(),
        paging.after_at(),
        paging.after_id(),
        paging.is_descending(),
        paging.fetched(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let sessions = rows.into_iter().map(|row| Session {
        id: row.id.into(),
        by: by(row.organization_id, row.identity_provider_id),
        has_second_factor: row.has_second_factor,
        address: row.address,
        user_agent: row.user_agent,
        last_used_at: row.last_used_at.into(),
        expires_at: row.expires_at.into(),
        created_at: row.created_at.into(),
    });
    Ok(paging.page(sessions.collect(), |session| {
        (session.created_at, session.id.uuid())
    }))
}

fn by(organization: Option<uuid::Uuid>, provider: Option<uuid::Uuid>) -> SignedInBy {
    match (organization, provider) {
        (Some(organization), Some(provider)) => {
            SignedInBy::Provider(OrganizationId(organization), IdentityProviderId(provider))
        }
        _ => SignedInBy::Password,
    }
}

/// Ends a session of the person; says whether it was open.
///
/// # Errors
/// When Postgres does not answer.
pub async fn end(
    tx: &mut PersonTx,
    session: SessionId,
    reason: EndReason,
    now: Moment,
) -> Result<bool, StoreError> {
    let person = tx.person().uuid();
    let done = sqlx::query!(
        "update identity.sessions
         set ended_at = $3, end_reason = $4
         where user_id = $1 and id = $2 and ended_at is null",
        person,
        session.uuid(),
        now.utc(),
        reason.word(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends every session of the person but one; returns how many were open.
///
/// # Errors
/// When Postgres does not answer.
pub async fn end_all(
    tx: &mut PersonTx,
    but: Option<SessionId>,
    reason: EndReason,
    now: Moment,
) -> Result<u64, StoreError> {
    let person = tx.person().uuid();
    let done = sqlx::query!(
        "update identity.sessions
         set ended_at = $3, end_reason = $4
         where user_id = $1 and ended_at is null and id is distinct from $2",
        person,
        but.map(SessionId::uuid),
        now.utc(),
        reason.word(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Marks that the second factor was shown in a session.
///
/// # Errors
/// When Postgres does not answer.
pub async fn note_second_factor(tx: &mut PersonTx, session: SessionId) -> Result<(), StoreError> {
    let person = tx.person().uuid();
    sqlx::query!(
        "update identity.sessions set has_second_factor = true where user_id = $1 and id = $2",
        person,
        session.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes a refresh token.
///
/// # Errors
/// When Postgres does not answer.
pub async fn insert_refresh_token(
    tx: &mut PersonTx,
    session: SessionId,
    token: Hash,
    expires_at: Moment,
    now: Moment,
) -> Result<(), StoreError> {
    let person = tx.person().uuid();
    sqlx::query!(
        "insert into identity.refresh_tokens (id, user_id, session_id, token_hash, expires_at, created_at)
         values ($1, $2, $3, $4, $5, $6)",
        RequestId::new(now).uuid(),
        person,
        session.uuid(),
        token.as_slice(),
        expires_at.utc(),
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A refresh token, and how its session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Which one.
    pub id: uuid::Uuid,
    /// Of which session.
    pub session: SessionId,
    /// When it runs out.
    pub expires_at: Moment,
    /// When it was used, and by whom.
    pub used: Option<(Moment, Option<Hash>)>,
    /// When the session ends at the latest.
    pub session_expires_at: Moment,
    /// Is the session over already?
    pub is_over: bool,
    /// How the session was opened.
    pub by: SignedInBy,
}

/// Finds a refresh token, spent ones too, and narrows the transaction to its person.
///
/// # Errors
/// When Postgres does not answer.
pub async fn take_refresh_token(
    mut tx: Tx,
    token: Hash,
) -> Result<Option<(PersonTx, RefreshToken)>, StoreError> {
    let found = sqlx::query!(
        r#"select id as "id!", user_id as "user_id!" from identity.find_refresh_token($1)"#,
        token.as_slice(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let mut tx = PersonTx::of(tx, UserId(found.user_id)).await?;
    // Locked, so that of two at once one is the first.
    let row = sqlx::query!(
        "select t.id, t.session_id, t.expires_at, t.used_at, t.used_by, s.expires_at as session_expires_at, s.ended_at,
                s.organization_id, s.identity_provider_id
         from identity.refresh_tokens t
         join identity.sessions s on s.user_id = t.user_id and s.id = t.session_id
         where t.user_id = $1 and t.id = $2
         for update of t",
        found.user_id,
        found.id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    Ok(row.map(|row| {
        let used_by = row.used_by.and_then(|hash| Hash::try_from(hash).ok());
        let token = RefreshToken {
            id: row.id,
            session: row.session_id.into(),
            expires_at: row.expires_at.into(),
            used: row.used_at.map(|at| (at.into(), used_by)),
            session_expires_at: row.session_expires_at.into(),
            is_over: row.ended_at.is_some(),
            by: by(row.organization_id, row.identity_provider_id),
        };
        (tx, token)
    }))
}

/// Takes the worth of every refresh token of a session.
///
/// # Errors
/// When Postgres does not answer.
pub async fn end_refresh_tokens(
    tx: &mut PersonTx,
    session: SessionId,
    now: Moment,
) -> Result<(), StoreError> {
    let person = tx.person().uuid();
    sqlx::query!(
        "update identity.refresh_tokens
         set expires_at = $3
         where user_id = $1 and session_id = $2 and used_at is null and $3 < expires_at",
        person,
        session.uuid(),
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Marks a refresh token as spent, and its session as used.
///
/// # Errors
/// When Postgres does not answer.
pub async fn spend_refresh_token(
    tx: &mut PersonTx,
    token: &RefreshToken,
    client: &Client,
    now: Moment,
) -> Result<(), StoreError> {
    let person = tx.person().uuid();
    let fingerprint = client.fingerprint();
    sqlx::query!(
        "update identity.refresh_tokens
         set used_at = $3, used_by = $4
         where user_id = $1 and id = $2 and used_at is null",
        person,
        token.id,
        now.utc(),
        fingerprint.as_slice(),
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "update identity.sessions set last_used_at = $3 where user_id = $1 and id = $2",
        person,
        token.session.uuid(),
        now.utc(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
