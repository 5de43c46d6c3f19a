//! What happens is told live: in order, to those who may know, and to nobody else.

mod outbox;

use synaxis::{
    audit::{Actor, By},
    base::{Clock, OrganizationId},
    control::organizations::{self, NewOrganization},
    realtime::Event,
    store::Postgres,
};

/// Makes an organization without people.
async fn organization(postgres: &Postgres, name: &str) -> OrganizationId {
    let new = NewOrganization {
        name: name.to_owned(),
        ..NewOrganization::default()
    };
    let by = By::new(Actor::Operator, Clock::System.now());
    let made = organizations::create(postgres, new, by).await;
    made.expect("an organization").id
}

/// An event whose message tells it from others.
fn alert(message: &str) -> Event {
    Event::SecurityAlert {
        alert_type: "test".to_owned(),
        severity: "warning".to_owned(),
        message: message.to_owned(),
        detected_at: Clock::System.now(),
    }
}
