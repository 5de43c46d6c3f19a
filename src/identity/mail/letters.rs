//! What we write to people.

use std::time::Duration;

use super::Letter;
use crate::base::Secret;

/// How long a letter that only tells something is worth sending.
const WORTH_TELLING: Duration = Duration::from_hours(3 * 24);

/// Asks somebody who registered to prove their address.
#[must_use]
pub fn verify_email(to: &str, code: &Secret, lifetime: Duration, public_url: &str) -> Letter {
    letter(
        to,
        lifetime,
        "Confirm your e-mail address",
        &format!(
            "somebody, we hope you, registered at {public_url} with this address.\n\n\
             {}\
             It counts for one day. If you are asked for a password with it, give the one you chose when you registered.\n\
             If it was not you, do nothing: without the code the account stays closed.",
            code_lines(code, public_url, "verify-email"),
        ),
    )
}

/// Tells somebody who registered again that they have an account.
#[must_use]
pub fn already_registered(to: &str, public_url: &str) -> Letter {
    letter(
        to,
        WORTH_TELLING,
        "You already have an account",
        &format!(
            "somebody, perhaps you, registered at {public_url} with this address, which has an account already.\n\n\
             Sign in with it. If you forgot the password, ask there for another.\n\
             If it was not you, do nothing: nothing has changed."
        ),
    )
}

/// Asks somebody to prove the address they want to have.
#[must_use]
pub fn change_email(to: &str, code: &Secret, lifetime: Duration, public_url: &str) -> Letter {
    letter(
        to,
        lifetime,
        "Confirm your new e-mail address",
        &format!(
            "this address is to become the one of an account at {public_url}.\n\n\
             {}\
             It counts for one day. If you did not ask for this, do nothing.",
            code_lines(code, public_url, "verify-email"),
        ),
    )
}

/// Tells the old address that another took its place.
#[must_use]
pub fn email_changed(to: &str, public_url: &str) -> Letter {
    letter(
        to,
        WORTH_TELLING,
        "Your e-mail address was changed",
        &format!(
            "your account at {public_url} now has another e-mail address.\n\n\
             If it was not you, tell whoever runs it at once."
        ),
    )
}

/// Lets somebody choose another password.
#[must_use]
pub fn reset_password(to: &str, code: &Secret, lifetime: Duration, public_url: &str) -> Letter {
    letter(
        to,
        lifetime,
        "Choose another password",
        &format!(
            "somebody, we hope you, asked for another password at {public_url}.\n\n\
             {}\
             It counts for one hour. If it was not you, do nothing: your password stays as it is.",
            code_lines(code, public_url, "reset-password"),
        ),
    )
}

/// Tells somebody that their password is another now.
#[must_use]
pub fn password_changed(to: &str, public_url: &str) -> Letter {
    letter(
        to,
        WORTH_TELLING,
        "Your password was changed",
        &format!(
            "the password of your account at {public_url} was changed, and your other sessions were ended.\n\n\
             If it was not you, ask there for another password at once."
        ),
    )
}

/// Asks somebody to join an organization.
#[must_use]
pub fn invitation(
    to: &str,
    organization: &str,
    token: &Secret,
    lifetime: Duration,
    public_url: &str,
) -> Letter {
    // A name somebody chose must not look like a line of ours.
    let organization: String = organization
        .chars()
        .filter(|letter| !letter.is_control())
        .collect();
    letter(
        to,
        lifetime,
        "You are invited to join an organization",
        &format!(
            "you are invited to join {organization} at {public_url}.\n\n\
             With an account, sign in and accept there, or send this to POST {public_url}/api/v1/invitations/accept;\n\
             without one, choose a password at POST {public_url}/api/v1/invitations/register:\n\n    {}\n\n\
             If you do not know them, do nothing.",
            token.expose(),
        ),
    )
}

fn code_lines(code: &Secret, public_url: &str, operation: &str) -> String {
    format!(
        "Your code, for the page that asks for it or for POST {public_url}/api/v1/auth/{operation}:\n\n    {}\n\n",
        code.expose()
    )
}

fn letter(to: &str, useful_for: Duration, subject: &'static str, text: &str) -> Letter {
    Letter {
        to: to.to_owned(),
        subject,
        useful_for,
        text: format!("Hello,\n\n{text}\n\nSynaxis\n"),
    }
}
