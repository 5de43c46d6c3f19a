//! What somebody is permitted: whose, of what, per which window, and how strictly.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::base::{ApiKeyId, CredentialId, GroupId, ModelId, OfferId, OrganizationId, UserId};

/// Whose use a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Subject {
    /// A whole tenant.
    Organization(OrganizationId),
    /// A team.
    Group(GroupId),
    /// A person.
    User(UserId),
    /// A key.
    Key(ApiKeyId),
    /// A key's use of one model.
    KeyModel(ApiKeyId, ModelId),
    /// A provider's key, all models together.
    Credential(CredentialId),
    /// A provider's key (or none), one offer.
    CredentialOffer(Option<CredentialId>, OfferId),
    /// An organization's part of what a provider's key gives several of them; one offer's, or all of the key.
    Share(OrganizationId, Option<CredentialId>, Option<OfferId>),
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// Calls.
    Requests,
    /// Tokens read.
    InputTokens,
    /// Tokens written.
    OutputTokens,
    /// Tokens read and written.
    TotalTokens,
    /// Money.
    NanoUsd,
    /// Calls in flight at once.
    Concurrent,
    /// A provider's credits: nano-dollars of its own price, whoever pays them. Only allowances count them.
    #[serde(skip)]
    Credits,
}

/// The stretch of time a limit covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Any 60 seconds.
    Minute,
    /// Any 60 minutes.
    Hour,
    /// A calendar day in the limit's zone.
    Day,
    /// A calendar month in the limit's zone.
    Month,
    /// This instant: for calls in flight.
    Instant,
    /// Any 24 hours. Only allowances have it.
    #[serde(skip)]
    RollingDay,
    /// Any 30 days. Only allowances have it.
    #[serde(skip)]
    RollingMonth,
}

/// Whether the true use may pass the amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// Never: an upper bound is held.
    Hard,
    /// A little: the expected use is held, an overrun is counted and charged.
    Soft,
}

/// Whether a limit refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It refuses.
    Enforce,
    /// It counts what it would have refused.
    Shadow,
}

/// What somebody is permitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The limit's id, or the allowance's it was made from.
    pub id: Uuid,
    /// Whose use it counts.
    pub subject: Subject,
    /// What it counts.
    pub meter: Meter,
    /// Over which time.
    pub window: Window,
    /// How much: calls, tokens or nano-dollars.
    pub amount: u64,
    /// Whether the true use may pass the amount.
    pub enforcement: Enforcement,
    /// Whether it refuses.
    pub mode: Mode,
    /// Where its day begins.
    pub zone: Tz,
}

/// The largest number a counter can hold exactly; whatever is larger counts as this much.
pub const COUNTABLE: u64 = (1 << 53) - 1;

/// What a call used, or may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// Calls: 1, or 0 when nothing reached an upstream.
    pub requests: u64,
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Money, in nano-dollars.
    pub cost_nano_usd: u64,
    /// What it comes to by the provider's own price, in nano-dollars, whether or not anybody pays it.
    pub list_nano_usd: u64,
}

impl Actual {
    /// Returns what a call used whose earlier attempts used `failed`: one call, however many attempts.
    #[must_use]
    pub const fn after(self, failed: Self) -> Self {
        Self {
            requests: self.requests,
            input: self.input.saturating_add(failed.input),
            output: self.output.saturating_add(failed.output),
            cost_nano_usd: self.cost_nano_usd.saturating_add(failed.cost_nano_usd),
            list_nano_usd: self.list_nano_usd.saturating_add(failed.list_nano_usd),
        }
    }

    /// Returns what two calls used together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            ..self.after(other)
        }
    }
}

impl Meter {
    /// Returns how much of `actual` this meter counts. What is in flight is counted while it is held, never after.
    #[must_use]
    pub const fn of(self, actual: &Actual) -> u64 {
        match self {
            Self::Requests => actual.requests,
            Self::InputTokens => actual.input,
            Self::OutputTokens => actual.output,
            Self::TotalTokens => actual.input.saturating_add(actual.output),
            Self::NanoUsd => actual.cost_nano_usd,
            Self::Concurrent => 0,
            Self::Credits => actual.list_nano_usd,
        }
    }
}

impl Limit {
    /// Returns how much of this limit a call must hold that is expected to use one amount and bounded by another.
    #[must_use]
    pub const fn hold(&self, expected: &Actual, bound: &Actual) -> u64 {
        match (self.meter, self.enforcement) {
            (Meter::Concurrent, _) => 1,
            (meter, Enforcement::Hard) => meter.of(bound),
            (meter, Enforcement::Soft) => meter.of(expected),
        }
    }

    /// Says whether the caller asked for it with this call: its id is made from the caller's word, as ids of version 8
    /// are, rather than kept in the books.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        self.id.get_version_num() == 8
    }

    /// Says whether a call holds what its answer is expected to be of this, rather than the most it can be.
    #[must_use]
    pub const fn expects_output(&self) -> bool {
        matches!(self.enforcement, Enforcement::Soft)
            && matches!(
                self.meter,
                Meter::OutputTokens | Meter::TotalTokens | Meter::NanoUsd | Meter::Credits
            )
    }

    /// Says whether a call must be bounded before it may hold any of this: hard, and of tokens written or money.
    #[must_use]
    pub const fn needs_bounded_output(&self) -> bool {
        matches!(self.enforcement, Enforcement::Hard)
            && matches!(self.mode, Mode::Enforce)
            && matches!(
                self.meter,
                Meter::OutputTokens | Meter::TotalTokens | Meter::NanoUsd | Meter::Credits
            )
    }

    /// Returns the part of one organization in this allowance: it refuses nothing, and tells who has how much of it.
    #[must_use]
    pub const fn share_of(&self, organization: OrganizationId) -> Option<Self> {
        let subject = match self.subject {
            Subject::Credential(credential) => Subject::Share(organization, Some(credential), None),
            Subject::CredentialOffer(credential, offer) => {
                Subject::Share(organization, credential, Some(offer))
            }
            _ => return None,
        };
        Some(Self {
            subject,
            amount: COUNTABLE,
            ..*self
        })
    }

    /// Says whether it is an organization's part of an allowance.
    #[must_use]
    pub const fn is_share(&self) -> bool {
        matches!(self.subject, Subject::Share(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(meter: Meter, enforcement: Enforcement) -> Limit {
        Limit {
            id: Uuid::nil(),
            subject: Subject::Organization(OrganizationId(Uuid::nil())),
            meter,
            window: Window::Minute,
            amount: 1,
            enforcement,
            mode: Mode::Enforce,
            zone: Tz::UTC,
        }
    }

    #[test]
    fn a_hard_limit_holds_the_bound_and_a_soft_one_the_expected() {
        let expected = Actual {
            requests: 1,
            input: 10,
            output: 20,
            cost_nano_usd: 3,
            list_nano_usd: 4,
        };
        let bound = Actual {
            requests: 1,
            input: 40,
            output: 90,
            cost_nano_usd: 9,
            list_nano_usd: 12,
        };

        for (meter, hard, soft) in [
            (Meter::Requests, 1, 1),
            (Meter::InputTokens, 40, 10),
            (Meter::OutputTokens, 90, 20),
            (Meter::TotalTokens, 130, 30),
            (Meter::NanoUsd, 9, 3),
            (Meter::Credits, 12, 4),
            (Meter::Concurrent, 1, 1),
        ] {
            assert_eq!(
                limit(meter, Enforcement::Hard).hold(&expected, &bound),
                hard
            );
            assert_eq!(
                limit(meter, Enforcement::Soft).hold(&expected, &bound),
                soft
            );
        }
    }

    #[test]
    fn a_second_attempt_adds_tokens_and_money_but_no_call() {
        let failed = Actual {
            requests: 1,
            input: 10,
            output: 5,
            cost_nano_usd: 7,
            list_nano_usd: 8,
        };
        let last = Actual {
            requests: 1,
            input: 10,
            output: 20,
            cost_nano_usd: 9,
            list_nano_usd: 9,
        };

        let all = last.after(failed);

        assert_eq!(
            all,
            Actual {
                requests: 1,
                input: 20,
                output: 25,
                cost_nano_usd: 16,
                list_nano_usd: 17,
            }
        );
    }
}
