//! An organization with an owner at the API, and whoever they hire.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    identity::people::{PASSWORD, Visitor, login, mailed_code, newcomer},
    stack::{
        TestStack,
        admin::{Reply, TestAdmin},
    },
};

/// An organization with an owner.
pub struct Crew {
    pub admin: TestAdmin,
    pub owner: Visitor,
    pub organization: String,
}

impl Crew {
    pub async fn start() -> Self {
        Self::at(TestAdmin::start().await).await
    }

    /// On the books that a stack's proxies serve from.
    pub async fn beside(stack: &TestStack) -> Self {
        Self::at(TestAdmin::beside(stack).await).await
    }

    async fn at(admin: TestAdmin) -> Self {
        let owner = newcomer(&admin, "owner@example.com").await;
        let organization = organization_of(&admin, &owner).await;
        Self {
            admin,
            owner,
            organization,
        }
    }

    /// Asks as somebody, below the organization's path.
    pub async fn ask(&self, who: &Visitor, method: Method, path: &str, body: &Value) -> Reply {
        let path = format!("/api/v1/organizations/{}{path}", self.organization);
        ask(&self.admin, who, method, &path, body).await
    }

    pub async fn get(&self, who: &Visitor, path: &str) -> Reply {
        self.ask(who, Method::GET, path, &Value::Null).await
    }

    pub async fn post(&self, who: &Visitor, path: &str, body: Value) -> Reply {
        self.ask(who, Method::POST, path, &body).await
    }

    pub async fn patch(&self, who: &Visitor, path: &str, body: Value) -> Reply {
        self.ask(who, Method::PATCH, path, &body).await
    }

    pub async fn put(&self, who: &Visitor, path: &str, body: Value) -> Reply {
        self.ask(who, Method::PUT, path, &body).await
    }

    pub async fn delete(&self, who: &Visitor, path: &str) -> Reply {
        self.ask(who, Method::DELETE, path, &Value::Null).await
    }

    /// The id of what a POST as the owner made.
    pub async fn make(&self, path: &str, body: Value) -> String {
        let made = self.post(&self.owner, path, body).await.expect(201);
        id_of(&made.json())
    }

    /// Invites somebody new, who joins and signs in.
    pub async fn hire(&self, email: &str, role: &str) -> Visitor {
        let token = self.invite(email, role).await;
        let body = json!({"token": token, "password": PASSWORD, "display_name": email});
        let path = "/api/v1/invitations/register";
        self.admin.post(path, &body).await.expect(200);
        login(&self.admin, email).await
    }

    /// Invites somebody and returns the token from their mail.
    pub async fn invite(&self, email: &str, role: &str) -> String {
        self.make("/invitations", json!({"email": email, "role": role}))
            .await;
        invited(&self.admin, email).await
    }

    /// Gives somebody the platform's own right.
    pub async fn crown(&self, who: &Visitor) {
        let mut books = self.admin.database.connect().await;
        sqlx::query("update identity.users set is_platform_admin = true where id = $1::text::uuid")
            .bind(&who.user_id)
            .execute(&mut books)
            .await
            .expect("an update");
    }

    /// The actions of the organization's audit log, oldest first.
    pub async fn trail(&self) -> Vec<String> {
        let mut books = self.admin.database.connect().await;
        let query = "select action from audit.audit_logs where organization_id = $1::text::uuid order by seq";
        let rows = sqlx::query_scalar::<_, String>(query)
            .bind(&self.organization)
            .fetch_all(&mut books)
            .await;
        rows.expect("a trail")
    }
}

/// Asks as somebody; a body of null is none.
pub async fn ask(
    admin: &TestAdmin,
    who: &Visitor,
    method: Method,
    path: &str,
    body: &Value,
) -> Reply {
    let request = admin.request(method, path).token(&who.access_token);
    match body {
        Value::Null => request.send().await,
        body => request.json(body).send().await,
    }
}

/// The token in somebody's invitation.
pub async fn invited(admin: &TestAdmin, email: &str) -> String {
    mailed_code(admin, email, "You are invited to join an organization").await
}

/// The organization somebody is in.
pub async fn organization_of(admin: &TestAdmin, who: &Visitor) -> String {
    let path = "/api/v1/organizations";
    let listed = ask(admin, who, Method::GET, path, &Value::Null).await;
    id_of(&listed.expect(200).json()["data"][0])
}

pub fn id_of(thing: &Value) -> String {
    thing["id"].as_str().expect("an id").to_owned()
}

/// What a list's rows hold in one field.
pub fn column(list: &Value, field: &str) -> Vec<String> {
    let rows = list["data"].as_array().expect("rows");
    rows.iter()
        .map(|row| row[field].as_str().unwrap_or_default().to_owned())
        .collect()
}
