//! Another password: for who forgot it, and for who knows it.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Plane,
    auth::{Accepted, Address, TokensView, answer, evenly, password_fault},
    error::ApiError,
    extract::{Json, NoContent, Person, Visitor},
    openapi::Problems,
};
use crate::{
    base::Secret,
    control::identity::{
        passwords::{self, PasswordNotSet},
        sign_in::SignInRefused,
    },
};

/// Another password for whoever has the code.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetPassword {
    /// The code from the letter.
    #[garde(skip)]
    token: Secret,
    /// The password to have from now on.
    #[garde(skip)]
    new_password: Secret,
}

/// Another password for whoever knows the present one.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The present password.
    #[garde(skip)]
    current_password: Secret,
    /// The password to have from now on.
    #[garde(skip)]
    new_password: Secret,
    /// Whether the refresh token comes as a cookie that scripts cannot read, instead of in the body.
    #[serde(default)]
    #[garde(skip)]
    cookie: bool,
}

/// Ask for another password
///
/// The answer is the same whether or not somebody has the address; a letter with a code tells.
#[utoipa::path(
    post,
    path = "/api/v1/auth/forgot-password",
    tag = "sign-in",
    request_body = Address,
    responses((status = 202, description = "A letter is on its way, if somebody has the address.", body = Accepted), Problems)
)]
pub async fn forgot_password(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    Json(body): Json<Address>,
) -> Result<Response, ApiError> {
    evenly(passwords::forgot(&plane.door, &body.email, &visit)).await?;
    Ok(Accepted::answer())
}

/// Choose another password
///
/// With the code from the letter. Every session ends, and wrong guesses are forgotten.
#[utoipa::path(
    post,
    path = "/api/v1/auth/reset-password",
    tag = "sign-in",
    request_body = ResetPassword,
    responses((status = 204, description = "The new password counts."), Problems)
)]
pub async fn reset_password(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    Json(body): Json<ResetPassword>,
) -> Result<NoContent, ApiError> {
    passwords::reset(&plane.door, &body.token, body.new_password, &visit).await?;
    Ok(NoContent)
}

/// Change the password
///
/// Every other session ends; this one goes on with the tokens of the answer.
#[utoipa::path(
    post,
    path = "/api/v1/me/password",
    tag = "me",
    request_body = ChangePassword,
    responses((status = 200, description = "The new password counts; the tokens to go on with.", body = TokensView), Problems)
)]
pub async fn change_password(
    State(plane): State<Plane>,
    Visitor(visit): Visitor,
    person: Person,
    Json(body): Json<ChangePassword>,
) -> Result<Response, ApiError> {
    let whose = (person.id, person.session);
    let (present, new) = (body.current_password, body.new_password);
    let tokens = passwords::change(&plane.door, whose, present, new, &visit).await?;
    Ok(answer(tokens, body.cookie, &visit.now, |view| view).into_response())
}

impl From<PasswordNotSet> for ApiError {
    fn from(error: PasswordNotSet) -> Self {
        match error {
            PasswordNotSet::WrongCode => Self::unprocessable("invalid_code", error.to_string()),
            PasswordNotSet::Password(refused) => password_fault("new_password", &refused),
            PasswordNotSet::Refused(refused) => own_password(refused),
        }
    }
}

/// Says to somebody who is signed in why their password was not taken: 401 would tell them that they are not.
pub(super) fn own_password(refused: SignInRefused) -> ApiError {
    match refused {
        SignInRefused::Wrong => ApiError::Refused {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: "wrong_password",
            message: "the present password is wrong".to_owned(),
        },
        other => other.into(),
    }
}
