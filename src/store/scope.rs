//! `Scope` / `OrgTx`: whose rows a query may touch.

use std::ops::{Deref, DerefMut};

use super::postgres::{Conn, Postgres, StoreError, Tx};
use crate::base::OrganizationId;

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

impl Postgres {
    /// Begins a transaction that sees and writes the rows of the platform itself, and no organization's.
    ///
    /// # Errors
    /// When Postgres cannot be reached in time.
    pub async fn begin_for_platform(&self) -> Result<Tx, StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!("select set_config('app.platform', 'on', true)")
            .fetch_one(&mut *tx)
            .await?;
        Ok(tx)
    }

    /// Begins a transaction for one organization.
    ///
    /// # Errors
    /// When Postgres cannot be reached in time.
    pub async fn begin_for(&self, scope: Scope) -> Result<OrgTx, StoreError> {
        let mut tx = self.begin().await?;
        let organization = scope.organization().to_string();
        // Local to the transaction: a pooled connection must not carry it to the next user.
        sqlx::query!(
            "select set_config('app.organization_id', $1, true)",
            organization
        )
        .fetch_one(&mut *tx)
        .await?;
        Ok(OrgTx { tx, scope })
    }
}
