//! Members: an owner always stays, and nobody gives or takes more than they have.

use reqwest::Method;
use serde_json::{Value, json};

use super::crew::{Crew, ask, column};

#[tokio::test]
async fn an_organization_always_keeps_an_owner() {
    let crew = Crew::start().await;
    let own = format!("/members/{}", crew.owner.user_id);

    let demoted = crew
        .patch(&crew.owner, &own, json!({"role": "member"}))
        .await;
    let removed = crew.delete(&crew.owner, &own).await;
    let left = crew.post(&crew.owner, "/leave", Value::Null).await;

    for refused in [demoted, removed, left] {
        assert_eq!(refused.expect(409).code(), "last_owner");
    }
    let second = crew.hire("second@example.com", "owner").await;
    crew.patch(&crew.owner, &own, json!({"role": "member"}))
        .await
        .expect(200);
    let last = crew
        .delete(&second, &format!("/members/{}", second.user_id))
        .await;
    assert_eq!(last.expect(409).code(), "last_owner");
}

#[tokio::test]
async fn two_owners_who_demote_each_other_at_once_leave_one() {
    let crew = Crew::start().await;
    let second = crew.hire("second@example.com", "owner").await;
    let (first_path, second_path) = (
        format!("/members/{}", crew.owner.user_id),
        format!("/members/{}", second.user_id),
    );
    for _ in 0..5 {
        let demote = json!({"role": "admin"});
        let (one, other) = tokio::join!(
            crew.patch(&crew.owner, &second_path, demote.clone()),
            crew.patch(&second, &first_path, demote.clone()),
        );

        let done = [one.status, other.status];
        assert_eq!(
            done.iter().filter(|status| **status == 200).count(),
            1,
            "{done:?}"
        );
        let owners = crew
            .get(&crew.owner, "/members?role=owner")
            .await
            .expect(200)
            .json();
        let left = column(&owners, "user_id");
        assert_eq!(left.len(), 1, "{owners}");
        let (standing, fallen) = if left[0] == second.user_id {
            (&second, &first_path)
        } else {
            (&crew.owner, &second_path)
        };
        crew.patch(standing, fallen, json!({"role": "owner"}))
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn nobody_gives_or_takes_a_rank_above_their_own_or_raises_themselves() {
    let crew = Crew::start().await;
    let admin = crew.hire("admin@example.com", "admin").await;
    let member = crew.hire("member@example.com", "member").await;
    let path = |who: &str| format!("/members/{who}");
    let attempts = [
        (&admin, &crew.owner.user_id, json!({"role": "member"})),
        (&admin, &admin.user_id, json!({"role": "owner"})),
        (&admin, &member.user_id, json!({"role": "owner"})),
        (&member, &member.user_id, json!({"role": "admin"})),
        (&member, &admin.user_id, json!({"role": "guest"})),
    ];

    for (who, whom, change) in attempts {
        let refused = crew.patch(who, &path(whom), change.clone()).await;
        assert_eq!(refused.status, 403, "{} {change}", who.email);
    }

    let removed = crew.delete(&admin, &path(&crew.owner.user_id)).await;
    assert_eq!(removed.status, 403);
    let invited = json!({"email": "boss@example.com", "role": "owner"});
    assert_eq!(crew.post(&admin, "/invitations", invited).await.status, 403);
    crew.patch(&admin, &path(&member.user_id), json!({"role": "admin"}))
        .await
        .expect(200);
    crew.patch(&admin, &path(&admin.user_id), json!({"role": "member"}))
        .await
        .expect(200);
    let again = crew
        .patch(&admin, &path(&member.user_id), json!({"role": "guest"}))
        .await;
    assert_eq!(again.status, 403, "what was given up is gone at once");
}

#[tokio::test]
async fn whoever_leaves_loses_their_rights_and_keys_at_once_and_rejoining_brings_back_neither() {
    let crew = Crew::start().await;
    let member = crew.hire("member@example.com", "admin").await;
    let made = json!({"name": "mine", "user_id": member.user_id});
    let key = crew.make("/keys", made).await;
    crew.get(&member, "/members").await.expect(200);

    crew.delete(&crew.owner, &format!("/members/{}", member.user_id))
        .await
        .expect(204);

    crew.get(&member, "/members").await.expect(404);
    let view = crew
        .get(&crew.owner, &format!("/keys/{key}"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&view["state"], &view["revoked_reason"]),
        (&json!("revoked"), &json!("the member left"))
    );
    let token = crew.invite("member@example.com", "guest").await;
    let path = "/api/v1/invitations/accept";
    ask(
        &crew.admin,
        &member,
        Method::POST,
        path,
        &json!({"token": token}),
    )
    .await
    .expect(200);
    crew.get(&member, "/members").await.expect(403);
    crew.get(&member, "/groups").await.expect(200);
    let view = crew
        .get(&crew.owner, &format!("/keys/{key}"))
        .await
        .expect(200)
        .json();
    assert_eq!(view["state"], "revoked");
}

#[tokio::test]
async fn members_are_found_by_rank_group_and_name_and_come_in_pages() {
    let crew = Crew::start().await;
    for (email, role) in [
        ("a@example.com", "member"),
        ("b@example.com", "guest"),
        ("c@example.com", "member"),
    ] {
        crew.hire(email, role).await;
    }
    let emails = async |query: &str| {
        let listed = crew.get(&crew.owner, &format!("/members?{query}")).await;
        column(&listed.expect(200).json(), "email")
    };

    assert_eq!(
        emails("role=member&order=asc").await,
        ["a@example.com", "c@example.com"]
    );
    assert_eq!(emails("search=B%40EX").await, ["b@example.com"]);
    assert_eq!(emails("search=%25").await, Vec::<String>::new());

    let mut seen = Vec::new();
    let mut path = "/members?order=asc&limit=3".to_owned();
    loop {
        let page = crew.get(&crew.owner, &path).await.expect(200).json();
        seen.extend(column(&page, "email"));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/members?order=asc&limit=3&cursor={cursor}");
    }
    assert_eq!(
        seen,
        [
            "owner@example.com",
            "a@example.com",
            "b@example.com",
            "c@example.com"
        ]
    );
}

#[tokio::test]
async fn a_group_has_members_until_it_is_deleted_and_the_default_one_stays() {
    let crew = Crew::start().await;
    let member = crew.hire("member@example.com", "member").await;
    let group = crew.make("/groups", json!({"name": "Search"})).await;
    let seat = format!("/groups/{group}/members/{}", member.user_id);
    crew.put(&crew.owner, &seat, Value::Null).await.expect(204);
    crew.put(&crew.owner, &seat, Value::Null).await.expect(204);
    let primary = json!({"primary_group_id": group});
    crew.patch(
        &crew.owner,
        &format!("/members/{}", member.user_id),
        primary,
    )
    .await
    .expect(200);
    let key = crew
        .make("/keys", json!({"name": "ci", "group_id": group}))
        .await;
    let listed = crew
        .get(&crew.owner, &format!("/groups/{group}/members"))
        .await
        .expect(200);
    assert_eq!(column(&listed.json(), "email"), ["member@example.com"]);

    crew.delete(&crew.owner, &format!("/groups/{group}"))
        .await
        .expect(204);

    let groups = crew.get(&crew.owner, "/groups").await.expect(200).json();
    assert_eq!(column(&groups, "slug"), ["default"]);
    let default = groups["data"][0]["id"].clone();
    let view = crew
        .get(&crew.owner, &format!("/members/{}", member.user_id))
        .await;
    assert_eq!(view.expect(200).json()["primary_group_id"], default);
    let view = crew
        .get(&crew.owner, &format!("/keys/{key}"))
        .await
        .expect(200)
        .json();
    assert_eq!(view["state"], "revoked");
    let path = format!("/groups/{}", default.as_str().expect("an id"));
    assert_eq!(
        crew.delete(&crew.owner, &path).await.expect(409).code(),
        "default_group"
    );
    // The name is free again.
    crew.make("/groups", json!({"name": "Search"})).await;
}
