//! Roles: the ranks' are everybody's, an organization's own are never more than their maker has.

use serde_json::{Value, json};

use super::crew::{Crew, column};

#[tokio::test]
async fn the_ranks_are_roles_that_nobody_changes() {
    let crew = Crew::start().await;

    let roles = crew
        .get(&crew.owner, "/roles?order=asc")
        .await
        .expect(200)
        .json();

    let names = column(&roles, "name");
    for rank in ["owner", "admin", "member", "guest"] {
        assert!(names.iter().any(|name| name == rank), "{names:?}");
    }
    let owner = roles["data"].as_array().expect("rows");
    let owner = owner
        .iter()
        .find(|role| role["name"] == "owner")
        .expect("the owner's");
    let path = format!("/roles/{}", owner["id"].as_str().expect("an id"));
    let changed = crew
        .patch(&crew.owner, &path, json!({"permissions": []}))
        .await;
    let deleted = crew.delete(&crew.owner, &path).await;
    let given = json!({"user_id": crew.owner.user_id, "role_id": owner["id"]});
    let given = crew.post(&crew.owner, "/role-assignments", given).await;
    for refused in [changed, deleted, given] {
        assert_eq!(refused.expect(409).code(), "system_role");
    }
}

#[tokio::test]
async fn a_role_adds_to_a_rank_and_ends_with_its_assignment() {
    let crew = Crew::start().await;
    let guest = crew.hire("guest@example.com", "guest").await;
    crew.get(&guest, "/members").await.expect(403);
    let body = json!({"name": "people-reader", "permissions": ["members:read"]});
    let role = crew.make("/roles", body).await;
    let given = json!({"user_id": guest.user_id, "role_id": role});

    let assignment = crew.make("/role-assignments", given.clone()).await;

    crew.get(&guest, "/members").await.expect(200);
    let twice = crew.post(&crew.owner, "/role-assignments", given).await;
    assert_eq!(twice.expect(409).code(), "already_assigned");
    let path = format!("/roles/{role}");
    crew.patch(&crew.owner, &path, json!({"permissions": ["usage:read"]}))
        .await
        .expect(200);
    crew.get(&guest, "/members").await.expect(403);
    crew.patch(&crew.owner, &path, json!({"permissions": ["members:read"]}))
        .await
        .expect(200);
    crew.get(&guest, "/members").await.expect(200);
    crew.delete(&crew.owner, &format!("/role-assignments/{assignment}"))
        .await
        .expect(204);
    crew.get(&guest, "/members").await.expect(403);
    crew.get(&crew.owner, &format!("/role-assignments/{assignment}"))
        .await
        .expect(404);
}

#[tokio::test]
async fn nobody_makes_gives_or_changes_a_role_that_permits_more_than_they_may() {
    let crew = Crew::start().await;
    let admin = crew.hire("admin@example.com", "admin").await;
    let mighty = json!({"name": "mighty", "permissions": ["organization:delete", "members:read"]});
    let role = crew.make("/roles", mighty.clone()).await;
    let path = format!("/roles/{role}");

    let made = crew
        .post(
            &admin,
            "/roles",
            json!({"name": "mighty-too", "permissions": ["organization:delete"]}),
        )
        .await;
    let given = json!({"user_id": admin.user_id, "role_id": role});
    let given = crew.post(&admin, "/role-assignments", given).await;
    let widened = crew
        .make(
            "/roles",
            json!({"name": "meek", "permissions": ["members:read"]}),
        )
        .await;
    let widened = format!("/roles/{widened}");
    let widened = crew.patch(&admin, &widened, mighty).await;
    let narrowed = crew.patch(&admin, &path, json!({"permissions": []})).await;
    let deleted = crew.delete(&admin, &path).await;

    for refused in [made, given, widened, narrowed, deleted] {
        assert_eq!(refused.status, 403, "{}", refused.text);
    }
    // Whoever may assign roles and nothing else assigns those that permit no more.
    let body = json!({"name": "clerk", "permissions": ["roles:read", "roles:write"]});
    let clerks = crew.make("/roles", body).await;
    let clerk = crew.hire("clerk@example.com", "guest").await;
    crew.make(
        "/role-assignments",
        json!({"user_id": clerk.user_id, "role_id": clerks}),
    )
    .await;
    let own = json!({"name": "more", "permissions": ["keys:all"]});
    crew.post(&clerk, "/roles", own).await.expect(403);
    let own = json!({"name": "less", "permissions": ["roles:read"]});
    crew.post(&clerk, "/roles", own).await.expect(201);
}

#[tokio::test]
async fn a_role_in_a_group_counts_there_and_nowhere_else() {
    let crew = Crew::start().await;
    let lead = crew.hire("lead@example.com", "member").await;
    let other = crew.hire("other@example.com", "member").await;
    let own = crew.make("/groups", json!({"name": "Own"})).await;
    let foreign = crew.make("/groups", json!({"name": "Foreign"})).await;
    let body = json!({"name": "lead", "permissions": ["groups:write"]});
    let role = crew.make("/roles", body).await;

    crew.make(
        "/role-assignments",
        json!({"user_id": lead.user_id, "role_id": role, "group_id": own}),
    )
    .await;

    let seat = |group: &str| format!("/groups/{group}/members/{}", other.user_id);
    crew.put(&lead, &seat(&own), Value::Null).await.expect(204);
    crew.patch(&lead, &format!("/groups/{own}"), json!({"name": "Mine"}))
        .await
        .expect(200);
    crew.put(&lead, &seat(&foreign), Value::Null)
        .await
        .expect(403);
    crew.post(&lead, "/groups", json!({"name": "Another"}))
        .await
        .expect(403);
}
