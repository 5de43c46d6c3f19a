//! Limits, as the API shows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    base::{ApiKeyId, CredentialId, GroupId, LimitId, ModelId, Moment, UserId},
    control::{balance::Balance, store::KeptLimit},
    quota::{
        Limit,
        limit::{Enforcement, Meter, Mode, Subject, Window},
    },
    store::Scope,
};

/// Whose use a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LimitSubject {
    /// The whole organization.
    Organization {},
    /// A group.
    Group {
        /// Which.
        group_id: GroupId,
    },
    /// A member.
    User {
        /// Who.
        user_id: UserId,
    },
    /// A key, and those that take over from it.
    Key {
        /// Which: the first of its chain of rotations.
        key_id: ApiKeyId,
    },
    /// A key's use of one model.
    KeyModel {
        /// Which key.
        key_id: ApiKeyId,
        /// Which model.
        model_id: ModelId,
    },
    /// The organization's own key at a provider.
    Credential {
        /// Which.
        credential_id: CredentialId,
    },
}

impl LimitSubject {
    /// Returns the subject in the organization of `scope`.
    pub(super) const fn subject(self, scope: Scope) -> Subject {
        match self {
            Self::Organization {} => Subject::Organization(scope.organization()),
            Self::Group { group_id } => Subject::Group(group_id),
            Self::User { user_id } => Subject::User(user_id),
            Self::Key { key_id } => Subject::Key(key_id),
            Self::KeyModel { key_id, model_id } => Subject::KeyModel(key_id, model_id),
            Self::Credential { credential_id } => Subject::Credential(credential_id),
        }
    }

    /// Shows a subject; `None` for what no organization limits.
    const fn of(subject: Subject) -> Option<Self> {
        Some(match subject {
            Subject::Organization(_) => Self::Organization {},
            Subject::Group(group_id) => Self::Group { group_id },
            Subject::User(user_id) => Self::User { user_id },
            Subject::Key(key_id) => Self::Key { key_id },
            Subject::KeyModel(key_id, model_id) => Self::KeyModel { key_id, model_id },
            Subject::Credential(credential_id) => Self::Credential { credential_id },
            Subject::CredentialOffer(..) | Subject::Share(..) => return None,
        })
    }
}

/// A limit.
#[derive(Serialize, ToSchema)]
pub struct LimitView {
    /// Its id.
    id: LimitId,
    /// Whose use it counts.
    subject: Option<LimitSubject>,
    /// What is counted.
    meter: Meter,
    /// Over which time.
    window: Window,
    /// How much: calls, tokens or nano-dollars.
    amount: u64,
    /// Whether the true use may pass the amount.
    enforcement: Enforcement,
    /// Whether it refuses.
    mode: Mode,
    /// Where its day begins.
    zone: String,
    /// When it was made.
    created_at: Moment,
    /// When it was last changed.
    updated_at: Moment,
}

impl From<KeptLimit> for LimitView {
    fn from(kept: KeptLimit) -> Self {
        let limit = kept.limit;
        Self {
            id: limit.id.into(),
            subject: LimitSubject::of(limit.subject),
            meter: limit.meter,
            window: limit.window,
            amount: limit.amount,
            enforcement: limit.enforcement,
            mode: limit.mode,
            zone: limit.zone.name().to_owned(),
            created_at: kept.created_at,
            updated_at: kept.updated_at,
        }
    }
}

/// A limit and what is left of it.
#[derive(Serialize, ToSchema)]
pub struct BalanceView {
    /// The limit.
    id: LimitId,
    /// Whose use it counts.
    subject: Option<LimitSubject>,
    /// What is counted.
    meter: Meter,
    /// Over which time.
    window: Window,
    /// How much: calls, tokens or nano-dollars.
    amount: u64,
    /// Whether the true use may pass the amount.
    enforcement: Enforcement,
    /// Whether it refuses.
    mode: Mode,
    /// How much is used; null for calls in flight, which are not booked.
    spent: Option<u64>,
    /// How much is left; null for calls in flight.
    remaining: Option<u64>,
    /// When all of it is there again; null for windows that slide.
    resets_at: Option<Moment>,
}

impl From<Balance> for BalanceView {
    fn from(balance: Balance) -> Self {
        let remaining = balance.remaining();
        let Limit {
            id,
            subject,
            meter,
            window,
            amount,
            enforcement,
            mode,
            ..
        } = balance.limit;
        Self {
            id: id.into(),
            subject: LimitSubject::of(subject),
            meter,
            window,
            amount,
            enforcement,
            mode,
            spent: balance.spent,
            remaining,
            resets_at: balance.resets_at,
        }
    }
}

/// Every limit that holds, the nearest first.
#[derive(Serialize, ToSchema)]
pub struct HoldingView {
    /// The limits.
    pub(super) data: Vec<BalanceView>,
}
