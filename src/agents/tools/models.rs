//! Takes in what providers list, puts offers out of use and back, and reads prices again.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use url::Url;

use super::{
    alert,
    provider::{self, Door},
};
use crate::{
    agents::{
        Fault, Mode, Waking,
        discovery::{
            Tally,
            compare::{Difference, Known, compare},
            store as books,
        },
    },
    alerts::{Alert, Severity},
    base::OrganizationId,
    catalog::{file, holdings::store::offers, listing::Listed},
    control::catalog::{
        prices::{self, Verdict},
        refused::CatalogRefused,
    },
    egress::{Guard, http::body_of},
    realtime::{Event, outbox},
    store::{Conn, StoreError},
    tenancy::Permission,
};

/// How long fetching a price book may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// The longest price book that is read.
const LONGEST: usize = 4 * 1024 * 1024;

/// Holds what a provider lists against its owner's offers: notes what is new with an event for each, and puts what is
/// missing out of use with an alert.
///
/// # Errors
/// When it is not permitted, or the books do not answer.
pub async fn take(
    waking: &Waking,
    door: &Door,
    listed: &[Listed],
    tally: &mut Tally,
) -> Result<(), Fault> {
    let mode = waking.permit(Permission::CatalogWrite)?;
    let mut tx = waking.postgres.begin_as(door.owner).await?;
    let known = books::known(&mut tx, door.owner, door.provider).await?;
    drop(tx);
    let difference = compare(listed, &known);
    if difference.is_doubtful {
        tally.doubted.push(door.provider_name.clone());
        return Ok(());
    }
    tally.taken_out += difference.missing.len();
    tally.taken_in += difference.back.len();
    if mode == Mode::Dry {
        tally.new += difference.new.len();
        return Ok(());
    }
    let owner = door.owner.organization().map(OrganizationId::from);
    for back in &difference.back {
        provider::enable(waking, owner, back.offer, true).await?;
    }
    tally.new += keep(waking, door, listed, &difference).await?;
    for missing in &difference.missing {
        provider::enable(waking, owner, missing.offer, false).await?;
    }
    Ok(())
}

/// Writes what follows from a list, in one transaction; returns how many models nobody had seen.
async fn keep(
    waking: &Waking,
    door: &Door,
    listed: &[Listed],
    difference: &Difference,
) -> Result<usize, Fault> {
    let mut tx = waking.postgres.begin_as(door.owner).await?;
    let new = books::note(
        &mut tx,
        door.owner,
        door.provider,
        &difference.new,
        waking.now,
    )
    .await?;
    for (id, name) in &new {
        let mut models = difference.new.iter();
        let told = models.find(|model| model.name == *name);
        let event = Event::ModelDiscovered {
            model_id: *id,
            canonical_id: name.clone(),
            display_name: told.map_or(name, |model| &model.display_name).clone(),
            provider_name: door.provider_name.clone(),
            is_available_to_organization: false,
        };
        outbox::emit(&mut tx, door.owner.organization().map(Into::into), &event).await?;
    }
    if !new.is_empty() {
        let names: Vec<_> = new.iter().map(|(_, name)| name).collect();
        let target = ("provider", Some(door.provider.uuid()));
        let details = json!({ "models": names });
        super::audit::record(waking, &mut tx, "model.discover", target, details).await?;
    }
    let names: Vec<String> = listed.iter().map(|model| model.name.clone()).collect();
    books::forget_unlisted(&mut tx, door.owner, door.provider, &names).await?;
    mark(waking, &mut tx, door, difference).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(new.len())
}

async fn mark(
    waking: &Waking,
    tx: &mut Conn,
    door: &Door,
    difference: &Difference,
) -> Result<(), Fault> {
    for missing in &difference.missing {
        books::mark(tx, door.owner, door.provider, missing, true).await?;
        alert::raise(waking, tx, &gone(door, missing)).await?;
    }
    for back in &difference.back {
        books::mark(tx, door.owner, door.provider, back, false).await?;
        alert::resolve(waking, tx, door.owner, &fingerprint(back)).await?;
    }
    Ok(())
}

fn fingerprint(known: &Known) -> String {
    format!("offer_missing:{}", known.offer)
}

fn gone(door: &Door, known: &Known) -> Alert {
    Alert {
        organization: door.owner.organization().map(Into::into),
        kind: "offer_missing".to_owned(),
        severity: Severity::Warning,
        fingerprint: fingerprint(known),
        message: format!(
            "{} lists `{}` no more: its offer is out of use",
            door.provider_name, known.upstream_name
        ),
        details: json!({ "offer_id": known.offer, "provider_id": door.provider }),
    }
}

/// What became of the prices of a book.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Prices {
    /// Prices of offers we have.
    pub read: usize,
    /// Prices that count now.
    pub taken: usize,
    /// Prices that wait for somebody's word: a jump of more than ten times, zero, negative.
    pub held: usize,
    /// Prices that could not count.
    pub refused: usize,
}

/// Reads a price book, and takes its prices for the platform's offers as if a person stated them: what looks wrong waits
/// in quarantine. Nothing else of the file counts.
///
/// # Errors
/// When it is not permitted, the book cannot be read, or the books do not answer.
pub async fn refresh_prices(waking: &Waking, guard: &Guard, url: &Url) -> Result<Prices, Fault> {
    let mode = waking.permit(Permission::CatalogWrite)?;
    let text = fetch(guard, url).await?;
    let book = file::parse(&text, &|_| None).map_err(|faults| {
        let first = faults.first().map(ToString::to_string);
        Fault::msg(first.unwrap_or_default()).context("the price book cannot be read")
    })?;
    let mut tx = waking.postgres.begin_for_owner(None).await?;
    let held = offers(&mut tx, None).await?;
    drop(tx);
    let mut seen = Prices::default();
    for entry in book.offers {
        let entry = entry.completed();
        let (Some(price), Some(offer)) = (&entry.price, held.get(&entry.key())) else {
            continue;
        };
        seen.read += 1;
        if offer.entry.price.as_ref() == Some(price) {
            continue;
        }
        let mut tx = waking.postgres.begin_for_owner(None).await?;
        match prices::set(&mut tx, offer.id, price, None, waking.by()).await {
            Ok(Verdict::Taken(_)) => seen.taken += 1,
            Ok(Verdict::Held(..)) => seen.held += 1,
            Ok(Verdict::Sourced | Verdict::Known) => {}
            Err(CatalogRefused::Store(error)) => return Err(error.into()),
            Err(_) => {
                seen.refused += 1;
                continue;
            }
        }
        if mode == Mode::Act {
            tx.commit().await?;
        }
    }
    Ok(seen)
}

async fn fetch(guard: &Guard, url: &Url) -> Result<String, Fault> {
    let asked = async {
        let client = guard.client_for(url, DEADLINE).await?;
        let response = client.get(url.clone()).send().await?.error_for_status()?;
        let body = body_of(response, LONGEST).await?;
        Ok::<_, Fault>(String::from_utf8(body)?)
    };
    let text = tokio::time::timeout(DEADLINE, asked).await;
    let text = text
        .map_err(|_| Fault::msg("it did not come in time"))
        .flatten();
    text.map_err(|error| error.context("the price book cannot be fetched"))
}
