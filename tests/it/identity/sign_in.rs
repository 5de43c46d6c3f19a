//! Signing in, guessing, and what stops it.

use std::time::Instant;

use super::people::{PASSWORD, login, newcomer, register, try_login};
use crate::stack::admin::TestAdmin;

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_equal_bytes_and_time() {
    let admin = TestAdmin::start().await;
    register(&admin, "ada@example.com").await;
    let ask = async |email: &str| {
        let began = Instant::now();
        let reply = try_login(&admin, email, "the kettle sings at dusk")
            .await
            .expect(401);
        (reply.text, began.elapsed())
    };

    let (known, known_took) = ask("ada@example.com").await;
    let (unknown, unknown_took) = ask("bob@example.com").await;

    assert_eq!(known, unknown);
    assert!(
        known_took < unknown_took * 4 && unknown_took < known_took * 4,
        "{known_took:?} {unknown_took:?}"
    );
}

#[tokio::test]
async fn the_keys_that_verify_are_published() {
    let admin = TestAdmin::start().await;
    let ada = newcomer(&admin, "ada@example.com").await;

    let set = admin.get("/.well-known/jwks.json").await.expect(200).json();

    let key = &set["keys"][0];
    assert_eq!(
        (&key["kty"], &key["alg"], &key["crv"]),
        (&"OKP".into(), &"EdDSA".into(), &"Ed25519".into())
    );
    let header = jsonwebtoken::decode_header(&ada.access_token).expect("a token");
    assert_eq!(header.kid.as_deref(), key["kid"].as_str());
    assert_eq!(login(&admin, "ada@example.com").await.user_id, ada.user_id);
    assert_ne!(PASSWORD, ada.access_token);
}
