//! Another sealing key: what signs people in goes on, and the earlier key can be retired whatever it sealed.

use reqwest::Method;
use serde_json::json;
use sqlx::Row;
use synaxis::{
    base::{IdentityProviderId, OrganizationId, Secret},
    identity::store::provider,
    store::{Vault, seal::Sealed},
};

use super::{
    people::{Visitor, newcomer, tell},
    second_factor::{first_step, second_step, set_up},
};
use crate::{
    stack::{SEALING_KEY, admin::TestAdmin, eventually},
    tenancy::crew::organization_of,
};

/// The next sealing key.
const NEXT_KEY: &str = "Zx8wQ1nB5vC2mK7jH4gF9dS3aP6oI0uY";
/// What an issuer knows us by.
const CLIENT_SECRET: &str = "a secret of ours and theirs";

/// An organization's provider, made over the API.
async fn provide(admin: &TestAdmin, owner: &Visitor, issuer: &str) -> (String, IdentityProviderId) {
    let organization = organization_of(admin, owner).await;
    let body =
        json!({"name": "sso", "issuer": issuer, "client_id": "us", "client_secret": CLIENT_SECRET});
    let path = format!("/api/v1/organizations/{organization}/identity-providers");
    let made = tell(admin, owner, Method::POST, &path, &body).await;
    let id = made.expect(201).json()["id"].clone();
    (organization, serde_json::from_value(id).expect("an id"))
}

/// The provider's secret as it is sealed now.
async fn sealed(admin: &TestAdmin, id: IdentityProviderId) -> Sealed {
    let mut books = admin.database.connect().await;
    let row = sqlx::query(
        "select sealing_key_id, sealed_key, sealed_secret from identity.identity_providers where id = $1",
    )
    .bind(id.uuid())
    .fetch_one(&mut books)
    .await
    .expect("a provider");
    Sealed {
        sealing_key_id: row.get(0),
        sealed_key: row.get(1),
        sealed_secret: row.get(2),
    }
}

#[tokio::test]
async fn second_factors_and_the_secrets_of_deleted_providers_outlive_the_key_that_sealed_them() {
    let mut admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;
    let (app, _) = set_up(&admin, &ada).await;
    let issuer = "https://127.0.0.1:9/";
    let (company, with_it) = provide(&admin, &ada, issuer).await;
    let bob = newcomer(&admin, "bob@example.com").await;
    let (theirs, alone) = provide(&admin, &bob, issuer).await;
    let path = format!("/api/v1/organizations/{theirs}/identity-providers/{alone}");
    tell(&admin, &bob, Method::DELETE, &path, &json!(null))
        .await
        .expect(204);
    let path = format!("/api/v1/organizations/{company}");
    tell(&admin, &ada, Method::DELETE, &path, &json!(null))
        .await
        .expect(204);
    let old = sealed(&admin, with_it).await.sealing_key_id;
    assert_eq!(
        sealed(&admin, alone).await.sealed_secret,
        b"",
        "what cannot come back is wiped"
    );

    admin.kill();
    let both = [
        ("SECURITY__SEALING_KEY", NEXT_KEY),
        ("SECURITY__PREVIOUS_SEALING_KEYS", SEALING_KEY),
    ];
    let between = admin.another(&both).await;
    eventually("the old key seals nothing and is retired", async || {
        let mut books = admin.database.connect().await;
        sqlx::query_scalar("select retired_at is not null from platform.sealing_keys where id = $1")
            .bind(&old)
            .fetch_one(&mut books)
            .await
            .expect("a key")
    })
    .await;
    drop(between);
    let after = admin.another(&[("SECURITY__SEALING_KEY", NEXT_KEY)]).await;

    let token = first_step(&after, &ada.email).await;
    let code = json!({"code": app.code()});
    let entered = second_step(&after, &token, &code).await.expect(200).json();
    let ada = Visitor::of(&ada.email, &entered);
    let path = format!("/api/v1/organizations/{company}/restore");
    tell(&after, &ada, Method::POST, &path, &json!(null))
        .await
        .expect(200);
    let vault = Vault::new(&Secret::new(NEXT_KEY.to_owned())).expect("a vault");
    let company: OrganizationId = company.parse().expect("an id");
    let place = provider::place(company, with_it, issuer);
    let opened = vault.open(&sealed(&after, with_it).await, place);
    assert_eq!(opened.expect("a secret").expose(), CLIENT_SECRET);
}
