//! The tenant's limits and its books.

use synaxis::{
    audit::{Actor, AuditKeys, By},
    base::{Clock, OrganizationId, Secret},
    control::limits::{self, NewLimit, Terms},
    quota::limit::{Meter, Subject, Window},
    store::{
        Scope,
        postgres::{Postgres, Role, Settings},
    },
};

/// What no run can reach, of anything.
const OUT_OF_REACH: u64 = 1 << 50;

/// What the books say of one organization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Booked {
    /// Calls.
    pub(crate) rows: i64,
    /// Calls that came to their end.
    pub(crate) complete: i64,
    /// What the complete ones cost together.
    pub(crate) cost_nano_usd: i64,
}

/// Gives the organization limits of the kinds that real ones have.
pub(crate) async fn limit_organization(url: &str, organization: &str) -> anyhow::Result<()> {
    // Nobody verifies this chain.
    AuditKeys::new(&Secret::new("bench".repeat(7)))?.install();
    let organization: OrganizationId = organization.parse()?;
    let mut tx = open(url)?.begin_for(Scope::of(organization)).await?;
    let by = By::new(Actor::Operator, Clock::default().now());
    let kinds = [
        (Meter::Requests, Window::Minute),
        (Meter::TotalTokens, Window::Minute),
        (Meter::NanoUsd, Window::Month),
    ];
    for (meter, window) in kinds {
        let new = NewLimit {
            subject: Subject::Organization(organization),
            terms: Terms::usual(meter, window, OUT_OF_REACH),
        };
        limits::set(&mut tx, new, by).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Reads the books.
pub(crate) async fn read(url: &str, organization: &str) -> anyhow::Result<Booked> {
    let organization: OrganizationId = organization.parse()?;
    let mut conn = open(url)?.acquire().await?;
    let read = sqlx::query_as!(
        Booked,
        r#"select count(*) as "rows!",
            count(*) filter (where finish = 'complete') as "complete!",
            coalesce(sum(cost_nano_usd) filter (where finish = 'complete'), 0)::bigint as "cost_nano_usd!"
        from operations.usage_entries where organization_id = $1"#,
        organization.uuid()
    );
    Ok(read.fetch_one(&mut *conn).await?)
}

fn open(url: &str) -> anyhow::Result<Postgres> {
    let settings = Settings {
        url: Secret::new(url.to_owned()),
        ..Settings::default()
    };
    Ok(Postgres::connect(&settings, Role::Owner)?)
}
