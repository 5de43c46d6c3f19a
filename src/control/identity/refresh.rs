//! Carrying a session on: a refresh token is spent once; one that comes back ends the session it belongs to.

use serde_json::json;

use super::{
    Door, Visit,
    sign_in::{SignInRefused, Tokens, issue},
    trail,
};
use crate::{
    audit::Event,
    base::Secret,
    identity::{
        Standing,
        opaque::hash_of,
        session::{EndReason, Session, Verdict, judge},
        store::{person, session, session::RefreshToken},
    },
    store::{PersonTx, StoreError},
};

/// Spends a refresh token for the next two.
///
/// # Errors
/// [`SignInRefused::Wrong`] for every token that does not count; see [`SignInRefused`].
pub async fn refresh(door: &Door, token: &Secret, visit: &Visit) -> Result<Tokens, SignInRefused> {
    let hash = hash_of(token).ok_or(SignInRefused::Wrong)?;
    let tx = door.postgres.begin().await?;
    let found = session::take_refresh_token(tx, hash).await?;
    let (tx, token) = found.ok_or(SignInRefused::Wrong)?;
    match judge(&token, &visit.client, visit.now) {
        Verdict::Refuse => Err(SignInRefused::Wrong),
        Verdict::EndFamily => {
            end_family(tx, &token, visit).await?;
            Err(SignInRefused::Wrong)
        }
        Verdict::CarryOn => carry_on(door, tx, &token, visit).await,
    }
}

async fn carry_on(
    door: &Door,
    mut tx: PersonTx,
    token: &RefreshToken,
    visit: &Visit,
) -> Result<Tokens, SignInRefused> {
    let id = tx.person();
    let person = person::find_by_id(&mut tx, id).await?;
    let person = person
        .filter(|person| person.standing == Standing::Active)
        .ok_or(SignInRefused::Wrong)?;
    session::spend_refresh_token(&mut tx, token, &visit.client, visit.now).await?;
    let terms = person::terms(&mut tx, person.id).await?;
    let carried = Session {
        id: token.session,
        expires_at: token.session_expires_at,
        ..Session::begin(token.by, &visit.client, &door.settings, visit.now)
    };
    let tokens = issue(door, &mut tx, &person, &terms, &carried, visit).await?;
    tx.commit().await?;
    Ok(tokens)
}

async fn end_family(
    mut tx: PersonTx,
    token: &RefreshToken,
    visit: &Visit,
) -> Result<(), StoreError> {
    let id = tx.person();
    session::end(&mut tx, token.session, EndReason::TokenReused, visit.now).await?;
    let terms = person::terms(&mut tx, id).await?;
    let event = Event {
        action: "session.token_reused",
        target_kind: "session",
        target_id: Some(token.session.uuid()),
        details: json!({}),
    };
    trail::record(&mut tx, &terms.organizations, visit.by(id), &event).await?;
    tracing::warn!(session = %token.session, "a spent refresh token came back: its session is ended");
    tx.commit().await
}
