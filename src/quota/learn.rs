//! What providers say is left of their allowances lowers our count; it never raises it.

use std::{collections::HashMap, time::Duration};

use uuid::Uuid;

use super::{
    Ledger, Limit, Unavailable,
    counter::{Counter, Shape},
    limit::COUNTABLE,
    script,
};
use crate::{
    base::{Moment, OrganizationId},
    store::redis::Call,
};

/// How long after a day began what is said of it may still be said of the day before.
const DAYBREAK: Duration = Duration::from_secs(120);

/// By how much a provider's midnight may differ from ours.
const MIDNIGHTS_APART: Duration = Duration::from_secs(3_600);

/// What a provider said is left of one allowance.
#[derive(Clone, Debug)]
pub struct Told {
    /// The allowance, of one credential or one offer.
    pub limit: Limit,
    /// How much is left; `None` only asks how much is by our count.
    pub left: Option<u64>,
    /// In how long all of it is back, where the provider says so.
    pub reset: Option<Duration>,
    /// When the call began that it was said about.
    pub at: Moment,
}

impl Told {
    /// Says whether it is said of the window we count in.
    fn is_of_window(&self, start: i64, end: i64) -> bool {
        let reset = self.reset.map(|reset| self.at.plus(reset).millis());
        let apart = i64::try_from(MIDNIGHTS_APART.as_millis()).unwrap_or(i64::MAX);
        let is_settled = Moment::from_millis(start).plus(DAYBREAK) <= self.at;
        is_settled && reset.is_none_or(|reset| end.saturating_sub(apart) <= reset)
    }
}

impl Ledger {
    /// Lowers what is left of allowances to what providers say; returns what is left by our count, in their order,
    /// `None` where nobody has counted yet.
    ///
    /// # Errors
    /// When Redis does not answer; the next answer of the provider says it again.
    pub async fn correct_allowances(&self, told: &[Told]) -> Result<Vec<Option<u64>>, Unavailable> {
        let mut homes: HashMap<Uuid, Vec<(usize, Counter)>> = HashMap::new();
        for (place, one) in told.iter().enumerate() {
            let counter = Counter::of(&one.limit, OrganizationId(Uuid::nil()));
            homes
                .entry(counter.home())
                .or_default()
                .push((place, counter));
        }
        let mut left = vec![None; told.len()];
        for lines in homes.values() {
            let call = self.write_told(told, lines);
            let link = self.redis.link(self.redis.deadline()).await;
            let link = link.map_err(|error| self.failed(error))?;
            let reply = self.redis.run(&link, &call, self.redis.deadline()).await;
            let reply = reply.map_err(|error| self.failed(error))?;
            for ((place, _), answer) in lines.iter().zip(reply) {
                if let Some(one) = left.get_mut(*place) {
                    *one = u64::try_from(answer).ok();
                }
            }
        }
        Ok(left)
    }

    fn write_told(&self, told: &[Told], lines: &[(usize, Counter)]) -> Call<'_> {
        script::with_scratch(|scratch| {
            let keys = 1 + lines.len();
            let mut call = Call::new(&self.scripts.learn, keys, keys * 160 + 64);
            self.redis.names().epoch(&mut scratch.name);
            call.push(&scratch.name);
            for (place, counter) in lines {
                let names = self.redis.names();
                counter.name(names, self.settings.lease_ms, &mut scratch.name);
                call.push(&scratch.name);
                if let Some(one) = told.get(*place) {
                    self.write_line(one, counter, &mut scratch.numbers);
                }
            }
            call.push(&self.epoch.load().token());
            call.push(scratch.numbers.finish());
            call
        })
    }

    fn write_line(&self, one: &Told, counter: &Counter, numbers: &mut script::Numbers) {
        let spans = counter.spans(&self.calendar, one.at);
        let (width, is_meant) = match counter.shape() {
            Shape::Ring(length) => (length / 24, true),
            Shape::InFlight | Shape::Calendar => (0, one.is_of_window(spans.start, spans.end)),
        };
        let reset = one.reset.unwrap_or_default().as_millis();
        numbers
            .push(width)
            .push_millis(spans.start)
            .push_millis(spans.end)
            .push(one.limit.amount)
            .push(one.left.filter(|_| is_meant).unwrap_or(COUNTABLE))
            .push(u64::try_from(reset).unwrap_or(COUNTABLE));
    }
}
