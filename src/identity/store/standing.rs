//! How a person stands now, asked once per request: what a token once said may have been taken back.

use crate::{
    base::{GroupId, OrganizationId, UserId},
    identity::Standing,
    store::{Conn, StoreError},
    tenancy::{Permissions, Rank},
};

/// How a person stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersonStanding {
    /// May they sign in at all?
    pub standing: Standing,
    /// What their tokens must say.
    pub token_version: i32,
    /// May they change the platform itself?
    pub is_platform_admin: bool,
    /// What they are in the organization asked about.
    pub membership: Option<Membership>,
}

/// What a person is in one organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Is the organization served?
    pub is_active: bool,
    /// Their rank.
    pub rank: Rank,
    /// All they may do.
    pub permissions: Permissions,
}

/// Returns how a person stands, also in an organization, and there in one of its groups; `None` when there is no such
/// person.
///
/// # Errors
/// When Postgres does not answer.
pub async fn find(
    conn: &mut Conn,
    person: UserId,
    organization: Option<OrganizationId>,
    group: Option<GroupId>,
) -> Result<Option<PersonStanding>, StoreError> {
    let row = sqlx::query!(
        r#"select status as "status!", token_version as "token_version!", is_platform_admin as "is_platform_admin!",
                  organization_status, rank, permissions as "permissions!"
           from identity.person_standing($1, $2, $3)"#,
        person.uuid(),
        organization.map(OrganizationId::uuid),
        group.map(GroupId::uuid),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let ranks = [Rank::Owner, Rank::Admin, Rank::Member, Rank::Guest];
        let rank = ranks
            .into_iter()
            .find(|rank| Some(rank.word()) == row.rank.as_deref());
        let is_active = row.organization_status.as_deref() == Some("active");
        PersonStanding {
            standing: Standing::of(&row.status),
            token_version: row.token_version,
            is_platform_admin: row.is_platform_admin,
            membership: rank.map(|rank| Membership {
                is_active,
                rank,
                permissions: Permissions::of_names(&row.permissions),
            }),
        }
    }))
}
