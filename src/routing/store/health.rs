//! What the books know of the health of offers.

use crate::{
    base::{CredentialId, Moment, OfferId},
    store::{OrgTx, StoreError},
};

/// An offer that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Out {
    /// Which.
    pub offer: OfferId,
    /// With which credential; `None` with any.
    pub credential: Option<CredentialId>,
    /// Until when.
    pub out_until: Moment,
}

/// Returns every offer this transaction may see that is out at `now`.
///
/// # Errors
/// When Postgres does not answer.
pub async fn known(tx: &mut OrgTx, now: Moment) -> Result<Vec<Out>, StoreError> {
    let rows = sqlx::query!(
        r#"select offer_id, credential_id, out_until as "out_until!"
           from operations.offer_health
           where state = 'out' and out_until > $1"#,
        now.utc(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let out = rows.into_iter().map(|row| Out {
        offer: row.offer_id.into(),
        credential: row.credential_id.map(CredentialId::from),
        out_until: row.out_until.into(),
    });
    Ok(out.collect())
}
