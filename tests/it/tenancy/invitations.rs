//! Invitations: sent, answered once, run out, taken back.

use reqwest::Method;
use serde_json::{Value, json};

use super::crew::{Crew, ask, column, id_of, invited};
use crate::identity::people::{PASSWORD, newcomer, try_login};

const ACCEPT: &str = "/api/v1/invitations/accept";
const REGISTER: &str = "/api/v1/invitations/register";

#[tokio::test]
async fn somebody_new_accepts_with_a_password_and_is_a_member_with_a_proved_address() {
    let crew = Crew::start().await;
    let group = crew.make("/groups", json!({"name": "Search"})).await;
    let body = json!({"email": "new@example.com", "role": "admin", "group_id": group});
    crew.make("/invitations", body).await;
    let token = invited(&crew.admin, "new@example.com").await;
    let shown = crew
        .admin
        .post("/api/v1/invitations/show", &json!({"token": token}))
        .await;
    let shown = shown.expect(200).json();
    assert_eq!(
        (&shown["state"], &shown["role"]),
        (&json!("open"), &json!("admin"))
    );
    assert_eq!(shown["has_account"], false);

    let weak = json!({"token": token, "password": "short"});
    crew.admin.post(REGISTER, &weak).await.expect(400);
    let body = json!({"token": token, "password": PASSWORD});
    crew.admin.post(REGISTER, &body).await.expect(200);

    try_login(&crew.admin, "new@example.com", PASSWORD)
        .await
        .expect(200);
    let listed = crew
        .get(&crew.owner, "/members?role=admin")
        .await
        .expect(200);
    assert_eq!(column(&listed.json(), "email"), ["new@example.com"]);
    let listed = crew
        .get(&crew.owner, &format!("/groups/{group}/members"))
        .await
        .expect(200);
    assert_eq!(column(&listed.json(), "email"), ["new@example.com"]);
    let again = crew.admin.post(REGISTER, &body).await;
    assert_eq!(again.expect(409).code(), "account_exists");
    let trail = crew.trail().await;
    for action in ["invitation.create", "invitation.accept", "user.register"] {
        assert!(
            trail.iter().any(|written| written == action),
            "{action}: {trail:?}"
        );
    }
}

#[tokio::test]
async fn somebody_known_accepts_when_signed_in_and_nobody_else_can() {
    let crew = Crew::start().await;
    let known = newcomer(&crew.admin, "known@example.com").await;
    let thief = newcomer(&crew.admin, "thief@example.com").await;
    let token = crew.invite("Known@Example.com", "member").await;
    let body = json!({"token": token});

    let stolen = ask(&crew.admin, &thief, Method::POST, ACCEPT, &body).await;
    let registered = json!({"token": token, "password": PASSWORD});
    let registered = crew.admin.post(REGISTER, &registered).await;
    crew.admin.post(ACCEPT, &body).await.expect(401);

    assert_eq!(stolen.expect(409).code(), "invitation_to_another");
    assert_eq!(registered.expect(409).code(), "account_exists");
    ask(&crew.admin, &known, Method::POST, ACCEPT, &body)
        .await
        .expect(200);
    crew.get(&known, "/members").await.expect(200);
    let again = ask(&crew.admin, &known, Method::POST, ACCEPT, &body).await;
    assert_eq!(again.expect(409).code(), "invitation_closed");
    crew.get(&thief, "/members").await.expect(404);
}

#[tokio::test]
async fn ones_own_invitations_are_listed_and_answered_without_the_letter() {
    let crew = Crew::start().await;
    let known = newcomer(&crew.admin, "known@example.com").await;
    let path = "/api/v1/me/invitations";
    let mine = async || {
        let listed = ask(&crew.admin, &known, Method::GET, path, &Value::Null).await;
        listed.expect(200).json()
    };
    crew.make("/invitations", json!({"email": "known@example.com"}))
        .await;
    let first = id_of(&mine().await["data"][0]);

    let decline = format!("{path}/{first}/decline");
    ask(&crew.admin, &known, Method::POST, &decline, &Value::Null)
        .await
        .expect(204);

    assert_eq!(mine().await["data"], json!([]));
    crew.make(
        "/invitations",
        json!({"email": "known@example.com", "role": "guest"}),
    )
    .await;
    let second = id_of(&mine().await["data"][0]);
    let owners = format!("{path}/{second}/accept");
    ask(
        &crew.admin,
        &crew.owner,
        Method::POST,
        &owners,
        &Value::Null,
    )
    .await
    .expect(404);
    ask(&crew.admin, &known, Method::POST, &owners, &Value::Null)
        .await
        .expect(200);
    let states = crew
        .get(&crew.owner, "/invitations?order=asc")
        .await
        .expect(200)
        .json();
    assert_eq!(column(&states, "state"), ["declined", "accepted"]);
}

#[tokio::test]
async fn an_invitation_sent_again_no_longer_counts_by_its_old_letter() {
    let crew = Crew::start().await;
    let known = newcomer(&crew.admin, "known@example.com").await;
    let accept = async |token: &str| {
        ask(
            &crew.admin,
            &known,
            Method::POST,
            ACCEPT,
            &json!({"token": token}),
        )
        .await
    };
    let made = crew
        .post(
            &crew.owner,
            "/invitations",
            json!({"email": "known@example.com"}),
        )
        .await;
    let id = id_of(&made.expect(201).json());
    let first = invited(&crew.admin, "known@example.com").await;
    let twice = crew
        .post(
            &crew.owner,
            "/invitations",
            json!({"email": "KNOWN@example.com"}),
        )
        .await;
    assert_eq!(twice.expect(409).code(), "already_invited");

    crew.post(
        &crew.owner,
        &format!("/invitations/{id}/resend"),
        Value::Null,
    )
    .await
    .expect(200);
    let second = invited(&crew.admin, "known@example.com").await;

    accept(&first).await.expect(404);
    accept(&second).await.expect(200);
}

#[tokio::test]
async fn an_invitation_that_ran_out_is_sent_again_and_one_taken_back_is_not() {
    let crew = Crew::start().await;
    let known = newcomer(&crew.admin, "known@example.com").await;
    let accept = async |token: &str| {
        ask(
            &crew.admin,
            &known,
            Method::POST,
            ACCEPT,
            &json!({"token": token}),
        )
        .await
    };
    let body = json!({"email": "known@example.com"});
    let id = crew.make("/invitations", body.clone()).await;
    let first = invited(&crew.admin, "known@example.com").await;
    run_out(&crew).await;
    assert_eq!(
        accept(&first).await.expect(409).code(),
        "invitation_expired"
    );
    let listed = crew
        .get(&crew.owner, "/invitations?state=expired")
        .await
        .expect(200)
        .json();
    assert_eq!(column(&listed, "id"), [id.as_str()]);

    crew.post(
        &crew.owner,
        &format!("/invitations/{id}/resend"),
        Value::Null,
    )
    .await
    .expect(200);
    let second = invited(&crew.admin, "known@example.com").await;
    crew.delete(&crew.owner, &format!("/invitations/{id}"))
        .await
        .expect(204);

    assert_eq!(
        accept(&second).await.expect(409).code(),
        "invitation_closed"
    );
    let again = crew
        .post(
            &crew.owner,
            &format!("/invitations/{id}/resend"),
            Value::Null,
        )
        .await;
    assert_eq!(again.expect(409).code(), "invitation_closed");
    // The address is free for another.
    crew.make("/invitations", body).await;
}

/// Lets every open invitation run out.
async fn run_out(crew: &Crew) {
    let mut books = crew.admin.database.connect().await;
    sqlx::query("update identity.invitations set expires_at = now() - interval '1 minute'")
        .execute(&mut books)
        .await
        .expect("an update");
}

#[tokio::test]
async fn what_an_inviter_can_no_longer_give_is_not_given() {
    let crew = Crew::start().await;
    let admin = crew.hire("admin@example.com", "admin").await;
    let known = newcomer(&crew.admin, "known@example.com").await;
    let body = json!({"email": "known@example.com", "role": "admin"});
    crew.post(&admin, "/invitations", body).await.expect(201);
    let token = invited(&crew.admin, "known@example.com").await;

    let demoted = json!({"role": "member"});
    crew.patch(&crew.owner, &format!("/members/{}", admin.user_id), demoted)
        .await
        .expect(200);

    let body = json!({"token": token});
    ask(&crew.admin, &known, Method::POST, ACCEPT, &body)
        .await
        .expect(403);
    crew.get(&known, "").await.expect(404);
}

#[tokio::test]
async fn members_and_open_invitations_fill_an_organization_and_groups_do_too() {
    let crew = Crew::start().await;
    crew.crown(&crew.owner).await;
    let path = format!("/api/v1/platform/tenants/{}", crew.organization);
    let bounds = json!({"max_users": 3, "max_groups": 2});
    ask(&crew.admin, &crew.owner, Method::PATCH, &path, &bounds)
        .await
        .expect(200);
    crew.make("/groups", json!({"name": "Second"})).await;
    let group = crew
        .post(&crew.owner, "/groups", json!({"name": "Third"}))
        .await;
    assert_eq!(group.expect(409).code(), "max_groups_reached");
    let known = newcomer(&crew.admin, "known@example.com").await;
    let token = crew.invite("known@example.com", "member").await;
    crew.make("/invitations", json!({"email": "b@example.com"}))
        .await;

    let full = crew
        .post(
            &crew.owner,
            "/invitations",
            json!({"email": "c@example.com"}),
        )
        .await;

    assert_eq!(full.expect(409).code(), "max_users_reached");
    let narrower = json!({"max_users": 1});
    ask(&crew.admin, &crew.owner, Method::PATCH, &path, &narrower)
        .await
        .expect(200);
    let body = json!({"token": token});
    let late = ask(&crew.admin, &known, Method::POST, ACCEPT, &body).await;
    assert_eq!(late.expect(409).code(), "max_users_reached");
    let wider = json!({"max_users": null});
    ask(&crew.admin, &crew.owner, Method::PATCH, &path, &wider)
        .await
        .expect(200);
    ask(&crew.admin, &known, Method::POST, ACCEPT, &body)
        .await
        .expect(200);
}
