//! `Scope` / `OrgTx` / `PersonTx`: whose rows a query may touch.

use std::ops::{Deref, DerefMut};

use uuid::Uuid;

use super::postgres::{Conn, Postgres, StoreError, Tx};
use crate::base::{OrganizationId, UserId};

/// The one organization whose rows a query may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope(OrganizationId);

impl Scope {
    /// Limits what follows to one organization.
    #[must_use]
    pub const fn of(organization: OrganizationId) -> Self {
        Self(organization)
    }

    /// Returns the organization.
    #[must_use]
    pub const fn organization(self) -> OrganizationId {
        self.0
    }
}

/// A transaction in which Postgres itself shows one organization's rows only; dropped, it is rolled back.
#[derive(Debug)]
pub struct OrgTx {
    tx: Tx,
    scope: Scope,
}

impl OrgTx {
    /// Returns whose transaction this is.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// Keeps what was written.
    ///
    /// # Errors
    /// When Postgres refuses or is gone; nothing was kept then.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}

impl OrgTx {
    /// Goes on as one person, whose own rows are shown beside the organization's.
    ///
    /// # Errors
    /// When Postgres is gone.
    pub async fn go_on_as(self, person: UserId) -> Result<PersonTx, StoreError> {
        PersonTx::of(self.tx, person).await
    }
}

impl Deref for OrgTx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.tx
    }
}

impl DerefMut for OrgTx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.tx
    }
}

/// Whose rows a transaction sees and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whose {
    /// The platform's own, which are no organization's.
    Platform,
    /// One organization's.
    Organization(OrganizationId),
}

impl Whose {
    /// Returns the organization; `None` is the platform.
    #[must_use]
    pub fn organization(self) -> Option<Uuid> {
        match self {
            Self::Platform => None,
            Self::Organization(id) => Some(id.uuid()),
        }
    }

    /// Shows `tx` those rows.
    async fn show(self, tx: &mut Tx) -> Result<(), StoreError> {
        // Local to the transaction: a pooled connection must not carry it to the next user.
        match self {
            Self::Platform => {
                sqlx::query!("select set_config('app.platform', 'on', true)")
                    .fetch_one(&mut **tx)
                    .await?;
            }
            Self::Organization(organization) => {
                sqlx::query!(
                    "select set_config('app.organization_id', $1, true)",
                    organization.to_string()
                )
                .fetch_one(&mut **tx)
                .await?;
            }
        }
        Ok(())
    }
}

impl From<Option<Uuid>> for Whose {
    fn from(organization: Option<Uuid>) -> Self {
        organization.map_or(Self::Platform, |id| Self::Organization(id.into()))
    }
}

impl Postgres {
    /// Begins a transaction for one organization.
    ///
    /// # Errors
    /// When Postgres cannot be reached in time.
    pub async fn begin_for(&self, scope: Scope) -> Result<OrgTx, StoreError> {
        let tx = self
            .begin_as(Whose::Organization(scope.organization()))
            .await?;
        Ok(OrgTx { tx, scope })
    }

    /// Begins a transaction that sees and writes the rows of the platform itself, and no organization's.
    ///
    /// # Errors
    /// When Postgres cannot be reached in time.
    pub async fn begin_for_platform(&self) -> Result<Tx, StoreError> {
        self.begin_as(Whose::Platform).await
    }

    /// Begins a transaction for either.
    ///
    /// # Errors
    /// When Postgres cannot be reached in time.
    pub async fn begin_as(&self, whose: Whose) -> Result<Tx, StoreError> {
        let mut tx = self.begin().await?;
        whose.show(&mut tx).await?;
        Ok(tx)
    }

    /// Begins a transaction that writes nothing and sees one instant, however long it reads.
    ///
    /// # Errors
    /// When Postgres cannot be reached in time.
    pub async fn look_at(&self, whose: Whose) -> Result<Tx, StoreError> {
        let mut tx = self.begin_reading().await?;
        whose.show(&mut tx).await?;
        Ok(tx)
    }
}

/// A transaction in which Postgres itself shows one person's own rows; dropped, it is rolled back.
#[derive(Debug)]
pub struct PersonTx {
    tx: Tx,
    person: UserId,
}

impl PersonTx {
    /// Narrows a transaction to the person it has found.
    ///
    /// # Errors
    /// When Postgres is gone.
    pub async fn of(mut tx: Tx, person: UserId) -> Result<Self, StoreError> {
        sqlx::query!(
            "select set_config('app.user_id', $1, true)",
            person.to_string()
        )
        .fetch_one(&mut *tx)
        .await?;
        Ok(Self { tx, person })
    }

    /// Returns whose transaction this is.
    #[must_use]
    pub const fn person(&self) -> UserId {
        self.person
    }

    /// Also shows the rows of one organization, or of none again.
    ///
    /// # Errors
    /// When Postgres is gone.
    pub async fn look_at(
        &mut self,
        organization: Option<OrganizationId>,
    ) -> Result<(), StoreError> {
        let organization = organization.map(|id| id.to_string()).unwrap_or_default();
        sqlx::query!(
            "select set_config('app.organization_id', $1, true)",
            organization
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Keeps what was written.
    ///
    /// # Errors
    /// When Postgres refuses or is gone; nothing was kept then.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}

impl Deref for PersonTx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.tx
    }
}

impl DerefMut for PersonTx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.tx
    }
}

impl Postgres {
    /// Begins a transaction for one person.
    ///
    /// # Errors
    /// When Postgres cannot be reached in time.
    pub async fn begin_as_person(&self, person: UserId) -> Result<PersonTx, StoreError> {
        PersonTx::of(self.begin().await?, person).await
    }
}
