//! The demo organization, its owner and its key: made once, found again by every later start.

use anyhow::Context;

use super::{
    Servers,
    state::{Kept, StateFolder, random_text},
};
use crate::{
    base::{OrganizationId, Secret, UserId},
    cli::{audit_key, operator},
    control::{
        keys::{self, KeyRefused, NewKey},
        organizations::{self, NewOrganization, OrganizationRefused, Start},
        users::{self, Reach, UserRefused},
    },
    keys::{KeyState, store::find_key, token},
    store::{
        Scope,
        postgres::{Postgres, Role, Settings},
    },
};

/// Letters that tell a demo tenant from the one somebody else made in the same database.
const SUFFIX_LETTERS: usize = 6;

/// Sees to it that the kept key opens the door, and makes what that takes.
///
/// # Errors
///
/// When the books cannot be read or written.
pub async fn ensure(
    folder: &StateFolder,
    servers: &Servers,
    kept: &mut Kept,
) -> anyhow::Result<()> {
    let postgres = operator::open(&owner_settings(servers), Role::Owner)?;
    audit_key::name_folder(&mut *postgres.acquire().await?, folder.root()).await?;
    let organization = kept
        .organization_id
        .as_deref()
        .and_then(|id| id.parse().ok());
    if let Some(organization) = organization {
        if is_active(&postgres, organization, kept).await? {
            return Ok(());
        }
        if let Some(api_key) = new_key(&postgres, organization).await? {
            kept.api_key = Some(api_key);
            return Ok(());
        }
    }
    let (organization, email) = new_tenant(&postgres, kept).await?;
    kept.organization_id = Some(organization.to_string());
    kept.owner_email = Some(email);
    kept.api_key = new_key(&postgres, organization).await?;
    postgres.close().await;
    Ok(())
}

fn owner_settings(servers: &Servers) -> Settings {
    Settings {
        url: Secret::new(servers.database_url.clone()),
        ..Settings::default()
    }
}

async fn is_active(
    postgres: &Postgres,
    organization: OrganizationId,
    kept: &Kept,
) -> anyhow::Result<bool> {
    let Some(presented) = kept.api_key.as_deref().and_then(token::parse) else {
        return Ok(false);
    };
    let mut tx = postgres.begin_for(Scope::of(organization)).await?;
    let key = find_key(&mut tx, &presented.public_id).await?;
    Ok(key.is_some_and(|key| key.state(operator::by().now) == KeyState::Active))
}

/// Makes a key without limits; none when the organization is not there.
async fn new_key(
    postgres: &Postgres,
    organization: OrganizationId,
) -> anyhow::Result<Option<String>> {
    let mut tx = postgres.begin_for(Scope::of(organization)).await?;
    let new = NewKey {
        name: "demo".to_owned(),
        ..NewKey::default()
    };
    match keys::create(&mut tx, new, operator::by()).await {
        Ok(created) => {
            tx.commit().await?;
            Ok(Some(created.api_key.expose().to_owned()))
        }
        Err(KeyRefused::NoOrganization) => Ok(None),
        Err(refused) => Err(refused).context("the demo key cannot be made"),
    }
}

/// Makes the owner and the organization, under other names when those of the demo are taken.
async fn new_tenant(postgres: &Postgres, kept: &Kept) -> anyhow::Result<(OrganizationId, String)> {
    if let Some(made) = named_tenant(postgres, kept, "").await? {
        return Ok(made);
    }
    let suffix: String = random_text()
        .to_ascii_lowercase()
        .chars()
        .take(SUFFIX_LETTERS)
        .collect();
    let made = named_tenant(postgres, kept, &format!("-{suffix}")).await?;
    made.context("the demo organization cannot be made: its names are taken")
}

/// Makes both with `suffix` to their names; none when a name is taken.
async fn named_tenant(
    postgres: &Postgres,
    kept: &Kept,
    suffix: &str,
) -> anyhow::Result<Option<(OrganizationId, String)>> {
    let email = format!("owner{suffix}@demo.example");
    let Some(owner) = new_owner(postgres, &email, kept).await? else {
        return Ok(None);
    };
    let new = NewOrganization {
        name: "Demo".to_owned(),
        slug: Some(format!("demo{suffix}")),
        start: Start::Unlimited,
        owner: Some(owner),
    };
    match organizations::create(postgres, new, operator::by()).await {
        Ok(created) => Ok(Some((created.id, email))),
        Err(OrganizationRefused::SlugTaken) => Ok(None),
        Err(refused) => Err(refused).context("the demo organization cannot be made"),
    }
}

async fn new_owner(
    postgres: &Postgres,
    email: &str,
    kept: &Kept,
) -> anyhow::Result<Option<UserId>> {
    let password = Secret::new(kept.owner_password.clone());
    match users::create(postgres, email, password, Reach::Tenant, operator::by()).await {
        Ok(owner) => Ok(Some(owner)),
        Err(UserRefused::EmailTaken) => Ok(None),
        Err(refused) => Err(refused).context("the demo owner cannot be made"),
    }
}
