//! What the sweeps are given because the API cannot make it, or because a schema does not tell what fits.

use serde_json::{Value, json};
use synaxis::base::{Clock, RequestId};

use super::world::{Ids, Tenant};
use crate::{identity::people::Visitor, stack::admin::TestAdmin};

/// Lets somebody run the platform.
pub async fn make_platform_admin(admin: &TestAdmin, visitor: &Visitor) {
    let mut books = admin.database.connect().await;
    sqlx::query("update identity.users set is_platform_admin = true where id = $1::uuid")
        .bind(&visitor.user_id)
        .execute(&mut books)
        .await
        .expect("a platform admin");
}

/// Makes somebody a member.
pub async fn join(admin: &TestAdmin, organization: &str, user: &str, rank: &str) {
    let mut books = admin.database.connect().await;
    sqlx::query(
        "insert into identity.organization_memberships (id, organization_id, user_id, role)
         values (gen_random_uuid(), $1::uuid, $2::uuid, $3)",
    )
    .bind(organization)
    .bind(user)
    .bind(rank)
    .execute(&mut books)
    .await
    .expect("a member");
}

/// The organization somebody made when they registered.
pub async fn organization_of(admin: &TestAdmin, user: &str) -> String {
    let mut books = admin.database.connect().await;
    sqlx::query_scalar("select organization_id::text from identity.organization_memberships where user_id = $1::uuid")
        .bind(user)
        .fetch_one(&mut books)
        .await
        .expect("an organization")
}

/// What no operation makes but something else does.
pub async fn ids(admin: &TestAdmin, tenant: &Tenant) -> Ids {
    let mut books = admin.database.connect().await;
    let request = RequestId::new(Clock::System.now());
    sqlx::query(
        "insert into operations.usage_entries (request_id, at, organization_id, api_key_id, requested_model, status,
             finish, is_estimated, is_stream, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
             reasoning_tokens, cost_nano_usd, saved_nano_usd, price_book, duration_ms, attempts)
         values ($1, $2, $3::uuid, $1, 'swift', 200, 'complete', false, false, 1, 0, 0, 1, 0, 0, 0, '', 5, '[]')",
    )
    .bind(request.uuid())
    .bind(request.at().utc())
    .bind(&tenant.id)
    .execute(&mut books)
    .await
    .expect("an entry");
    [
        ("request_id".to_owned(), request.to_string()),
        ("session_id".to_owned(), tenant.owner.session_id.clone()),
        ("user_id".to_owned(), tenant.owner.user_id.clone()),
    ]
    .into()
}

/// What only follows from what was made.
pub async fn later(admin: &TestAdmin, tenant: &Tenant, ids: &Ids) -> Ids {
    let Some(offer) = ids.get("offer_id") else {
        return Ids::new();
    };
    let mut books = admin.database.connect().await;
    let id: String = sqlx::query_scalar(
        "with book as (
             insert into platform.price_books (id, organization_id, version, content_hash)
             values (gen_random_uuid(), $1::uuid, '00000000000000aa', sha256(convert_to($1, 'utf8')))
             returning id)
         insert into platform.quarantined_prices (id, organization_id, offer_id, price_book_id, reason, input, output)
         select gen_random_uuid(), $1::uuid, $2::uuid, book.id, 'jump', 1000, 1000 from book
         returning id::text",
    )
    .bind(&tenant.id)
    .bind(offer)
    .fetch_one(&mut books)
    .await
    .expect("a held price");
    [("quarantined_price_id".to_owned(), id)].into()
}

/// Fields of a body that a schema does not tell, or not enough of. Ids are put in by their names, or in braces.
pub fn fields(operation: &str) -> Value {
    match operation {
        "set_price" | "set_platform_price" => {
            json!({"amounts": {"input_nano_usd": 2, "output_nano_usd": 3}})
        }
        "create_offer" => json!({"tier": "paid"}),
        "create_substitute" | "create_platform_substitute" => {
            json!({"model_id": "{model_id}", "substitute_id": "{other_model_id}"})
        }
        _ => json!({}),
    }
}

/// Parameters that name what belongs to the platform or to a person, which other sweeps cover.
pub const NAMED_ELSEWHERE: [&str; 0] = [];

/// What a rank may do in any organization.
pub async fn permissions(admin: &TestAdmin, rank: &str) -> Vec<String> {
    let mut books = admin.database.connect().await;
    sqlx::query_scalar(
        "select p.permission from identity.role_permissions p
         join identity.roles r on r.id = p.role_id
         where r.organization_id is null and r.name = $1",
    )
    .bind(rank)
    .fetch_all(&mut books)
    .await
    .expect("permissions")
}

/// What there must be two of: the operation that makes it, the second's name, and the parameter that names it.
pub const OTHERS: [(&str, &str, &str); 1] = [("create_model", "sample-other", "other_model_id")];
