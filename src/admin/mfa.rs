//! The second factor: set up, shown at sign-in, taken away.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Plane,
    auth::{TokensView, answer},
    error::ApiError,
    extract::{Created, Json, NoContent, Person, Visitor},
    openapi::Problems,
};
use crate::{
    base::Secret,
    control::identity::second_factor::{self, FactorRefused, FactorStanding, Shown},
};

/// A code of the second factor, or a recovery code: one of the two.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowFactor {
    /// Six digits from the app.
    #[garde(length(chars, max = 16))]
    code: Option<String>,
    /// One of the recovery codes; it counts once.
    #[garde(skip)]
    recovery_code: Option<Secret>,
}

/// The second step of a sign-in.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondStep {
    /// What the first step answered.
    #[garde(skip)]
    mfa_token: Secret,
    /// Six digits from the app.
    #[garde(length(chars, max = 16))]
    code: Option<String>,
    /// One of the recovery codes; it counts once.
    #[garde(skip)]
    recovery_code: Option<Secret>,
    /// Whether the refresh token comes as a cookie that scripts cannot read, instead of in the body.
    #[serde(default)]
    #[garde(skip)]
    cookie: bool,
}

/// The first code of a new second factor.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstCode {
    /// Six digits from the app.
    #[garde(length(chars, max = 16))]
    code: String,
}

/// How the second factor stands.
#[derive(Serialize, ToSchema)]
pub struct FactorView {
    /// Is it asked for at sign-in?
    is_set_up: bool,
    /// How many recovery codes are left.
    recovery_codes_left: i64,
}

/// What the app must know; shown once.
#[derive(Serialize, ToSchema)]
pub struct EnrolmentView {
    /// The shared secret, in base 32.
    secret: String,
    /// The same as an `otpauth` address, to be shown as a picture.
    otpauth_url: String,
}

/// Recovery codes; shown once.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodesView {
    /// Each counts once, in place of a code from the app.
    recovery_codes: Vec<String>,
}

/// Show the second factor
///
/// Ends a sign-in whose password was right.
#[utoipa::path(
    post,
    path = "/api/v1/auth/mfa",
    tag = "sign-in",
    request_body = SecondStep,
    responses((status = 200, description = "The person is in.", body = TokensView), Problems)
)]
pub async fn show_second_factor(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    Json(body): Json<SecondStep>,
) -> Result<Response, ApiError> {
    let shown = shown(body.code, body.recovery_code)?;
    let tokens = second_factor::sign_in(&plane.door, &body.mfa_token, &shown, &visit).await?;
    Ok(answer(tokens, body.cookie, &visit.now, |view| view).into_response())
}

/// Tell how the second factor stands
#[utoipa::path(
    get,
    path = "/api/v1/me/mfa",
    tag = "me",
    responses((status = 200, description = "How it stands.", body = FactorView), Problems)
)]
pub async fn show_mfa(
    State(plane): State<Plane>,
    person: Person,
) -> Result<Json<FactorView>, ApiError> {
    let FactorStanding {
        is_set_up,
        recovery_codes_left,
    } = second_factor::standing(&plane.door, person.id).await?;
    Ok(Json(FactorView {
        is_set_up,
        recovery_codes_left,
    }))
}

/// Begin to set up a second factor
///
/// It asks for nothing until its first code is shown.
#[utoipa::path(
    post,
    path = "/api/v1/me/mfa/totp",
    tag = "me",
    responses((status = 201, description = "What the app must know.", body = EnrolmentView), Problems)
)]
pub async fn enrol_totp(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    person: Person,
) -> Result<Created<Json<EnrolmentView>>, ApiError> {
    let enrolment = second_factor::enrol(&plane.door, person.id, &visit).await?;
    let view = EnrolmentView {
        secret: enrolment.seed.expose().to_owned(),
        otpauth_url: enrolment.url.expose().to_owned(),
    };
    Ok(Created("/api/v1/me/mfa".to_owned(), Json(view)))
}

/// End setting up the second factor
///
/// With its first code. From now on it is asked for at sign-in.
#[utoipa::path(
    post,
    path = "/api/v1/me/mfa/totp/confirm",
    tag = "me",
    request_body = FirstCode,
    responses((status = 200, description = "The recovery codes.", body = RecoveryCodesView), Problems)
)]
pub async fn confirm_totp(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    person: Person,
    Json(body): Json<FirstCode>,
) -> Result<Json<RecoveryCodesView>, ApiError> {
    let whose = (person.id, person.session);
    let codes = second_factor::confirm(&plane.door, whose, &body.code, &visit).await;
    codes.map(view).map_err(own_code)
}

/// Take the second factor away
#[utoipa::path(
    post,
    path = "/api/v1/me/mfa/totp/disable",
    tag = "me",
    request_body = ShowFactor,
    responses((status = 204, description = "It is no longer asked for."), Problems)
)]
pub async fn disable_totp(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    person: Person,
    Json(body): Json<ShowFactor>,
) -> Result<NoContent, ApiError> {
    let shown = shown(body.code, body.recovery_code)?;
    let disabled = second_factor::disable(&plane.door, person.id, &shown, &visit).await;
    disabled.map(|()| NoContent).map_err(own_code)
}

/// Make new recovery codes
///
/// Those before no longer count.
#[utoipa::path(
    post,
    path = "/api/v1/me/recovery-codes",
    tag = "me",
    request_body = ShowFactor,
    responses((status = 200, description = "The recovery codes.", body = RecoveryCodesView), Problems)
)]
pub async fn renew_recovery_codes(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    person: Person,
    Json(body): Json<ShowFactor>,
) -> Result<Json<RecoveryCodesView>, ApiError> {
    let shown = shown(body.code, body.recovery_code)?;
    let codes = second_factor::renew_codes(&plane.door, person.id, &shown, &visit).await;
    codes.map(view).map_err(own_code)
}

fn shown(code: Option<String>, recovery_code: Option<Secret>) -> Result<Shown, ApiError> {
    match (code, recovery_code) {
        (Some(code), None) => Ok(Shown::Code(code)),
        (None, Some(code)) => Ok(Shown::Recovery(code)),
        _ => Err(ApiError::invalid(
            "code",
            "give either code or recovery_code",
        )),
    }
}

fn view(codes: Vec<Secret>) -> Json<RecoveryCodesView> {
    let codes = codes.iter().map(|code| code.expose().to_owned());
    Json(RecoveryCodesView {
        recovery_codes: codes.collect(),
    })
}

impl From<FactorRefused> for ApiError {
    fn from(error: FactorRefused) -> Self {
        match error {
            FactorRefused::IsSetUp => Self::conflict("second_factor_is_set_up", error.to_string()),
            FactorRefused::IsMissing => {
                Self::conflict("second_factor_is_missing", error.to_string())
            }
            FactorRefused::WrongCode => {
                crate::control::identity::sign_in::SignInRefused::Wrong.into()
            }
            FactorRefused::NotSealed(_) | FactorRefused::NotOpened(_) => {
                Self::internal("a second factor cannot be read", &error)
            }
            FactorRefused::Refused(refused) => refused.into(),
        }
    }
}

/// Says to somebody who is signed in why their code was not taken: 401 would tell them that they are not.
fn own_code(refused: FactorRefused) -> ApiError {
    match refused {
        FactorRefused::WrongCode => ApiError::unprocessable("wrong_code", refused.to_string()),
        other => other.into(),
    }
}
