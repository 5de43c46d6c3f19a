//! The switch that decides whether agents may change somebody's routes, over the API.

use serde_json::{Value, json};

use super::crew::Crew;

const SAYS: [Option<bool>; 3] = [None, Some(true), Some(false)];

#[tokio::test]
async fn the_first_of_person_group_and_organization_that_says_so_decides_in_all_27_cases() {
    let crew = Crew::start().await;
    let member = crew.hire("member@example.com", "member").await;
    let group = crew.make("/groups", json!({"name": "Search"})).await;
    let primary = json!({"primary_group_id": group});
    crew.patch(
        &crew.owner,
        &format!("/members/{}", member.user_id),
        primary,
    )
    .await
    .expect(200);
    let (person, team) = (
        format!("/members/{}/auto-optimization", member.user_id),
        format!("/groups/{group}"),
    );
    for organization in SAYS {
        crew.patch(
            &crew.owner,
            "/settings",
            json!({"auto_optimization": organization}),
        )
        .await
        .expect(200);
        for of_group in SAYS {
            crew.patch(&crew.owner, &team, json!({"auto_optimization": of_group}))
                .await
                .expect(200);
            for user in SAYS {
                // Everybody sets their own.
                crew.put(&member, &person, json!({"user": user}))
                    .await
                    .expect(200);

                let told = crew.get(&member, &person).await.expect(200).json();

                let expected = match (user, of_group, organization) {
                    (Some(value), _, _) => (value, "user"),
                    (None, Some(value), _) => (value, "group"),
                    (None, None, Some(value)) => (value, "organization"),
                    (None, None, None) => (true, "platform"),
                };
                assert_eq!(
                    told,
                    json!({
                        "effective": expected.0, "source": expected.1,
                        "user": user, "group": of_group, "organization": organization,
                    })
                );
            }
        }
    }
}

#[tokio::test]
async fn somebody_elses_switch_is_for_those_who_may_change_members() {
    let crew = Crew::start().await;
    let member = crew.hire("member@example.com", "member").await;
    let guest = crew.hire("guest@example.com", "guest").await;
    let path = format!("/members/{}/auto-optimization", member.user_id);

    crew.get(&guest, &path).await.expect(403);
    crew.put(&guest, &path, json!({"user": false}))
        .await
        .expect(403);
    crew.put(&member, &path, json!({})).await.expect(400);
    crew.put(&crew.owner, &path, json!({"user": false}))
        .await
        .expect(200);

    let told = crew.get(&member, &path).await.expect(200).json();
    assert_eq!(
        (&told["effective"], &told["source"]),
        (&json!(false), &json!("user"))
    );
    let groups = crew.get(&guest, "/groups").await.expect(200).json();
    let group = groups["data"][0]["id"].as_str().expect("an id");
    let told = crew
        .get(&guest, &format!("/groups/{group}/auto-optimization"))
        .await;
    let told = told.expect(200).json();
    assert_eq!(
        (&told["source"], &told["user"]),
        (&json!("organization"), &Value::Null)
    );
}
