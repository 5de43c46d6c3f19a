//! What a proxy knows of one of its holds.

use std::time::Instant;

use super::{
    Actual,
    calendar::Calendar,
    counter::{Counter, Shape},
    hold::End,
};
use crate::base::{Moment, OrganizationId};

/// One charge of a hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charged {
    pub(super) counter: Counter,
    pub(super) amount: u64,
    /// The candidate's own allowance rather than a limit of the tenant.
    pub(super) is_own: bool,
}

/// What this proxy knows of one of its holds, until the books know it too.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) organization: OrganizationId,
    /// When Redis admitted it, by its clock.
    pub(super) at: Moment,
    /// The same, by a clock that never jumps.
    since: Instant,
    pub(super) charges: Vec<Charged>,
    /// What earlier attempts used.
    pub(super) failed: Actual,
    pub(super) end: Option<End>,
    pub(super) is_settled: bool,
    pub(super) is_booked: bool,
}

impl Account {
    pub(super) fn new(organization: OrganizationId, at: Moment, charges: Vec<Charged>) -> Self {
        Self {
            organization,
            at,
            since: Instant::now(),
            charges,
            failed: Actual::default(),
            end: None,
            is_settled: false,
            is_booked: false,
        }
    }

    /// Returns how many milliseconds ago it was admitted.
    pub(super) fn age_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Returns what stands on the counter of `charge` for this hold, as far as is known now.
    pub(super) fn amount(&self, charge: &Charged) -> u64 {
        match self.end {
            None | Some(End::AsHeld) => charge.amount,
            Some(End::Cancelled) => 0,
            Some(End::Used(last)) if charge.is_own => charge.counter.meter.of(&last),
            Some(End::Used(last)) => charge.counter.meter.of(&last.after(self.failed)),
        }
    }

    /// Returns what it is charged of the tenant's limits whose windows are days and months.
    pub(super) fn tenant_charges(&self) -> impl Iterator<Item = &Charged> {
        let is_tenants =
            |charge: &&Charged| !charge.is_own && charge.counter.shape() == Shape::Calendar;
        self.charges.iter().filter(is_tenants)
    }

    /// Returns an account that stands for one charge of this one.
    pub(super) fn of_one(&self, charge: &Charged, amount: u64) -> Self {
        let charge = Charged { amount, ..*charge };
        Self {
            end: Some(End::AsHeld),
            is_settled: true,
            since: self.since,
            ..Self::new(self.organization, self.at, vec![charge])
        }
    }

    /// Adds what a later account stands for; all of it counts from then on.
    pub(super) fn add(&mut self, amount: u64, later: &Self) {
        self.since = self.since.max(later.since);
        for charge in &mut self.charges {
            charge.amount = charge.amount.saturating_add(amount);
        }
    }

    /// Says whether nobody will ask for it again.
    pub(super) fn is_done(&self) -> bool {
        self.is_settled && (self.is_booked || self.end == Some(End::Cancelled))
    }

    /// Says whether every window it was charged to is over, so that losing it would change nothing.
    pub(super) fn is_over(&self, calendar: &Calendar, now: Moment, instant: Instant) -> bool {
        let age = instant.saturating_duration_since(self.since).as_millis();
        let is_over = |charge: &Charged| match charge.counter.shape() {
            Shape::InFlight => true,
            Shape::Ring(length) => u128::from(length) * 2 < age,
            Shape::Calendar => charge.counter.spans(calendar, self.at).end <= now.millis(),
        };
        self.is_settled && self.charges.iter().all(is_over)
    }

    /// Says whether Redis must be told of it again when it lost its memory. A cancelled hold is of interest until Redis
    /// knows its end: it may have survived what was lost.
    pub(super) fn is_unbooked(&self) -> bool {
        !self.is_booked && (self.end != Some(End::Cancelled) || !self.is_settled)
    }
}
