//! `OwnerTx`: whose part of a shared table a transaction may change: the platform's, or one organization's.

use std::ops::{Deref, DerefMut};

use super::postgres::{Conn, Postgres, StoreError, Tx};
use crate::base::OrganizationId;

/// A transaction in which Postgres itself lets one owner's rows be changed; dropped, it is rolled back.
///
/// An organization's also reads what the platform shares with everybody.
#[derive(Debug)]
pub struct OwnerTx {
    tx: Tx,
    owner: Option<OrganizationId>,
}

impl OwnerTx {
    /// Returns whose rows may be changed; `None` is the platform.
    #[must_use]
    pub const fn owner(&self) -> Option<OrganizationId> {
        self.owner
    }

    /// Keeps what was written.
    ///
    /// # Errors
    /// When Postgres refuses or is gone; nothing was kept then.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}

impl Deref for OwnerTx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.tx
    }
}

impl DerefMut for OwnerTx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.tx
    }
}

impl Postgres {
    /// Begins a transaction for one organization or, as `None`, for the platform.
    ///
    /// Who may act for the platform is decided before.
    ///
    /// # Errors
    /// When Postgres cannot be reached in time.
    pub async fn begin_for_owner(
        &self,
        owner: Option<OrganizationId>,
    ) -> Result<OwnerTx, StoreError> {
        let mut tx = self.begin().await?;
        let organization = owner.map(|id| id.to_string()).unwrap_or_default();
        let platform = if owner.is_none() { "on" } else { "" };
        sqlx::query!(
            "
            select set_config('app.organization_id', $1, true) as organization,
                set_config('app.platform', $2, true) as platform
            ",
            organization,
            platform,
        )
        .fetch_one(&mut *tx)
        .await?;
        Ok(OwnerTx { tx, owner })
    }
}
