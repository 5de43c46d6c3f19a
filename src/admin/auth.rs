//! The door: register, prove an address, sign in, carry on, sign out.

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane, cookie,
    error::ApiError,
    extract::{Json, NoContent, Person, Visitor},
    openapi::Problems,
};
use crate::{
    base::{Moment, Secret, SessionId, UserId},
    control::identity::{
        proof::{self, NotProved},
        refresh,
        register::{self, Applicant, RegisterRefused},
        sessions,
        sign_in::{self, Entry, SignInRefused, Tokens},
    },
    identity::{password::PasswordRefused, session::EndReason},
};

/// The least time an answer takes that must not tell whether an account exists.
const EVEN_TIME: Duration = Duration::from_millis(400);

/// An account that is wanted.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Where mail reaches the person; it must be proved before they can sign in.
    #[garde(email, length(max = 320))]
    email: String,
    /// 15 characters or more, and none that guessers try first.
    #[garde(skip)]
    password: Secret,
    /// The name people read.
    #[serde(default)]
    #[garde(length(chars, max = 200))]
    display_name: String,
    /// The organization to make; its owner is the person. Absent for those who are invited into one.
    #[garde(length(chars, min = 1, max = 200))]
    organization_name: Option<String>,
}

/// A mail was sent if there was reason to.
#[derive(Serialize, ToSchema)]
pub struct Accepted {
    /// Always `mail_sent_if_known`.
    status: &'static str,
}

/// The address of an account.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// Where mail reaches the person.
    #[garde(email, length(max = 320))]
    pub(super) email: String,
}

/// What came by mail.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MailedCode {
    /// The code from the letter.
    #[garde(skip)]
    token: Secret,
    /// The password chosen when registering: needed when several people registered with the address, checked whenever
    /// it is given for a new account.
    #[garde(skip)]
    password: Option<Secret>,
}

/// What a person signs in with.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The account's address.
    #[garde(length(max = 320))]
    email: String,
    /// The account's password.
    #[garde(skip)]
    password: Secret,
    /// Whether the refresh token comes as a cookie that scripts cannot read, instead of in the body.
    #[serde(default)]
    #[garde(skip)]
    cookie: bool,
}

/// A refresh token to be spent.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The token; absent when it comes as the cookie.
    #[garde(skip)]
    refresh_token: Option<Secret>,
    /// Whether the next one comes as a cookie.
    #[serde(default)]
    #[garde(skip)]
    cookie: bool,
}

/// What a signed-in person carries.
#[derive(Serialize, ToSchema)]
pub struct TokensView {
    /// Sent as `Authorization: Bearer` with every request.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// How long the access token counts, in seconds.
    expires_in_s: u64,
    /// Spent once at `refresh` for the next two; null when it was set as a cookie.
    refresh_token: Option<String>,
    /// Until when the refresh token counts.
    refresh_expires_at: Moment,
    /// The session.
    session_id: SessionId,
    /// The person.
    user_id: UserId,
    /// An organization of the person asks for a second factor, which is not set up: it stays closed until it is.
    second_factor_missing: bool,
}

/// How a right password is answered.
#[derive(Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum LoginView {
    /// The person is in.
    SignedIn(TokensView),
    /// The second factor is missing: show it at `/api/v1/auth/mfa`.
    SecondFactorNeeded(SecondStepView),
}

/// What the second step needs.
#[derive(Serialize, ToSchema)]
pub struct SecondStepView {
    /// Says that the password was right.
    mfa_token: String,
    /// How long it counts, in seconds.
    expires_in_s: u64,
}

impl Accepted {
    pub(super) fn answer() -> Response {
        let status = "mail_sent_if_known";
        (StatusCode::ACCEPTED, Json(Self { status })).into_response()
    }
}

/// Register
///
/// The answer is the same whether or not the address is known; a letter tells.
#[utoipa::path(
    post,
    path = "/api/v1/auth/register",
    tag = "sign-in",
    request_body = Register,
    responses((status = 202, description = "A letter is on its way.", body = Accepted), Problems)
)]
pub async fn register(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    Json(body): Json<Register>,
) -> Result<Response, ApiError> {
    let applicant = Applicant {
        email: body.email,
        password: body.password,
        display_name: body.display_name,
        organization: body.organization_name,
    };
    evenly(register::register(&plane.door, applicant, &visit)).await?;
    Ok(Accepted::answer())
}

/// Prove an address
///
/// With the code from the letter: that of a new account, or the new one of an old account.
#[utoipa::path(
    post,
    path = "/api/v1/auth/verify-email",
    tag = "sign-in",
    request_body = MailedCode,
    responses((status = 204, description = "The address is proved."), Problems)
)]
pub async fn verify_email(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    Json(body): Json<MailedCode>,
) -> Result<NoContent, ApiError> {
    proof::verify(&plane.door, &body.token, body.password, &visit).await?;
    Ok(NoContent)
}

/// Send the letter again
///
/// The answer is the same whether or not an account waits for its address to be proved.
#[utoipa::path(
    post,
    path = "/api/v1/auth/resend-verification",
    tag = "sign-in",
    request_body = Address,
    responses((status = 202, description = "A letter is on its way, if an account waits for it.", body = Accepted), Problems)
)]
pub async fn resend_verification(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    Json(body): Json<Address>,
) -> Result<Response, ApiError> {
    evenly(proof::resend(&plane.door, &body.email, &visit)).await?;
    Ok(Accepted::answer())
}

/// Sign in
///
/// With address and password. Wrong guesses are slowed down from the fifth on, for their source only.
#[utoipa::path(
    post,
    path = "/api/v1/auth/login",
    tag = "sign-in",
    request_body = Login,
    responses((status = 200, description = "The person is in, or the second factor is missing.", body = LoginView), Problems)
)]
pub async fn login(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    Json(body): Json<Login>,
) -> Result<Response, ApiError> {
    let entry = sign_in::with_password(&plane.door, &body.email, body.password, &visit).await?;
    match entry {
        Entry::SignedIn(tokens) => Ok(answer(tokens, body.cookie, &visit.now, LoginView::SignedIn)),
        Entry::SecondFactorNeeded(step) => {
            let view = SecondStepView {
                mfa_token: step.token.expose().to_owned(),
                expires_in_s: step.lifetime.as_secs(),
            };
            Ok(Json(LoginView::SecondFactorNeeded(view)).into_response())
        }
    }
}

/// Carry a session on
///
/// Spends the refresh token, of the body or of the cookie, for the next two. One that comes back ends its session.
#[utoipa::path(
    post,
    path = "/api/v1/auth/refresh",
    tag = "sign-in",
    request_body = Refresh,
    responses((status = 200, description = "The next two tokens.", body = TokensView), Problems)
)]
pub async fn refresh(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    headers: HeaderMap,
    Json(body): Json<Refresh>,
) -> Result<Response, ApiError> {
    let token = body
        .refresh_token
        .or_else(|| cookie::refresh_token(&headers));
    let token = token.ok_or_else(|| ApiError::invalid("refresh_token", "is missing"))?;
    let tokens = refresh::refresh(&plane.door, &token, &visit).await?;
    Ok(answer(tokens, body.cookie, &visit.now, |view| view))
}

/// Sign out
///
/// Ends the session of the access token, and takes the cookie back.
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout",
    tag = "sign-in",
    responses((status = 204, description = "The session is over."), Problems)
)]
pub async fn logout(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    person: Person,
) -> Result<Response, ApiError> {
    let (id, session) = (person.id, person.session);
    sessions::end(&plane.door, id, session, EndReason::SignedOut, &visit).await?;
    Ok(cookie::clearing(NoContent.into_response()))
}

/// Answers with tokens, the refresh token as a cookie where that was asked for.
pub(super) fn answer<T: Serialize>(
    tokens: Tokens,
    as_cookie: bool,
    now: &Moment,
    shape: impl FnOnce(TokensView) -> T,
) -> Response {
    let lifetime = tokens.refresh_expires_at.since(*now);
    let refresh_token = tokens.refresh_token.clone();
    let view = TokensView {
        access_token: tokens.access_token.expose().to_owned(),
        token_type: "Bearer",
        expires_in_s: tokens.access_lifetime.as_secs(),
        refresh_token: (!as_cookie).then(|| tokens.refresh_token.expose().to_owned()),
        refresh_expires_at: tokens.refresh_expires_at,
        session_id: tokens.session,
        user_id: tokens.person,
        second_factor_missing: tokens.is_second_factor_missing,
    };
    let response = Json(shape(view)).into_response();
    match as_cookie {
        true => cookie::setting(response, &refresh_token, lifetime),
        false => response,
    }
}

/// Takes the same time whatever it finds, as long as it is not very slow.
pub(super) async fn evenly<T>(work: impl Future<Output = T>) -> T {
    let (done, ()) = tokio::join!(work, tokio::time::sleep(EVEN_TIME));
    done
}

fn refused(status: StatusCode, code: &'static str, error: &dyn std::error::Error) -> ApiError {
    ApiError::Refused {
        status,
        code,
        message: error.to_string(),
    }
}

impl From<SignInRefused> for ApiError {
    fn from(error: SignInRefused) -> Self {
        match error {
            SignInRefused::Wrong => {
                refused(StatusCode::UNAUTHORIZED, "invalid_credentials", &error)
            }
            SignInRefused::NotVerified => {
                refused(StatusCode::FORBIDDEN, "email_not_verified", &error)
            }
            SignInRefused::Suspended => refused(StatusCode::FORBIDDEN, "account_suspended", &error),
            SignInRefused::Locked(locked) => Self::TooManyRequests {
                retry_after: locked.wait,
            },
            SignInRefused::Busy(_) => busy(),
            SignInRefused::NotSigned(error) => {
                tracing::error!(%error, "nobody can sign in");
                Self::Unavailable
            }
            SignInRefused::Store(error) => error.into(),
        }
    }
}

impl From<NotProved> for ApiError {
    fn from(error: NotProved) -> Self {
        match error {
            NotProved::WrongCode => Self::unprocessable("invalid_code", error.to_string()),
            NotProved::PasswordNeeded => Self::unprocessable("password_needed", error.to_string()),
            NotProved::WrongPassword => Self::unprocessable("wrong_password", error.to_string()),
            NotProved::EmailTaken => Self::conflict("email_taken", error.to_string()),
            NotProved::Busy(_) => busy(),
            NotProved::Store(error) => error.into(),
        }
    }
}

impl From<RegisterRefused> for ApiError {
    fn from(error: RegisterRefused) -> Self {
        match error {
            RegisterRefused::Closed => {
                refused(StatusCode::FORBIDDEN, "registration_closed", &error)
            }
            RegisterRefused::WrongEmail => Self::invalid("email", error.to_string()),
            RegisterRefused::Password(refused) => password_fault("password", &refused),
            RegisterRefused::Organization(refused) => {
                Self::invalid("organization_name", refused.to_string())
            }
            RegisterRefused::EmailTaken => Self::conflict("email_taken", error.to_string()),
            RegisterRefused::Busy(_) => busy(),
            RegisterRefused::Store(error) => error.into(),
        }
    }
}

/// Says what is wrong with a password.
pub(super) fn password_fault(field: &str, refused: &PasswordRefused) -> ApiError {
    ApiError::invalid(field, refused.to_string())
}

/// Too many passwords are being hashed.
pub(super) const fn busy() -> ApiError {
    ApiError::TooManyRequests {
        retry_after: Duration::from_secs(1),
    }
}
