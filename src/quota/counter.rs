//! Which counter in Redis a limit is counted on, what it is called, and how it is shaped.

use chrono_tz::Tz;
use uuid::Uuid;

use super::{
    Limit, Meter, Subject, Window,
    calendar::{Calendar, Spans},
    script::Numbers,
};
use crate::{
    base::{Moment, OrganizationId},
    store::redis::Names,
};

/// How many slots a window is cut into; one more is kept, so that no stretch of the window's length is missed.
const SLOTS: u64 = 24;

/// One counter. Whatever gives a count another meaning is part of it, so that a changed limit begins a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Counter {
    home: Uuid,
    limit: Uuid,
    part: Option<Uuid>,
    /// Whose part of the count it is, where one is kept for each organization beside the whole.
    share: Option<OrganizationId>,
    pub(super) meter: Meter,
    pub(super) window: Window,
    pub(super) zone: Tz,
}

/// How a counter forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// When leases end.
    InFlight,
    /// Slot by slot; the length of the window in milliseconds.
    Ring(u64),
    /// All at once, when a day or a month is over.
    Calendar,
}

impl Counter {
    /// Returns the counter of `limit` for a caller of `organization`.
    pub(super) fn of(limit: &Limit, organization: OrganizationId) -> Self {
        let mut share = None;
        let (home, part) = match limit.subject {
            Subject::Organization(_)
            | Subject::Group(_)
            | Subject::User(_)
            | Subject::Key(_)
            | Subject::KeyModel(_, _) => (organization.uuid(), None),
            Subject::Credential(credential) => (credential.uuid(), None),
            Subject::CredentialOffer(Some(credential), offer) => {
                (credential.uuid(), Some(offer.uuid()))
            }
            Subject::CredentialOffer(None, offer) => (offer.uuid(), None),
            Subject::Share(whose, credential, offer) => {
                share = Some(whose);
                let (credential, offer) =
                    (credential.map(|id| id.uuid()), offer.map(|id| id.uuid()));
                match credential {
                    Some(credential) => (credential, offer),
                    None => (offer.unwrap_or_default(), None),
                }
            }
        };
        Self {
            home,
            limit: limit.id,
            part,
            share,
            meter: limit.meter,
            window: limit.window,
            zone: limit.zone,
        }
    }

    /// Returns whose slot of a cluster it lies in.
    pub(super) fn home(&self) -> Uuid {
        self.home
    }

    pub(super) fn shape(&self) -> Shape {
        match (self.meter, self.window) {
            (Meter::Concurrent, _) | (_, Window::Instant) => Shape::InFlight,
            (_, Window::Minute) => Shape::Ring(60_000),
            (_, Window::Hour) => Shape::Ring(3_600_000),
            (_, Window::RollingDay) => Shape::Ring(86_400_000),
            (_, Window::RollingMonth) => Shape::Ring(30 * 86_400_000),
            (_, Window::Day | Window::Month) => Shape::Calendar,
        }
    }

    /// Writes the counter's name.
    pub(super) fn name(&self, names: &Names, lease_ms: u64, name: &mut String) {
        names.counter(name, self.home, self.limit, self.part);
        name.push(match self.meter {
            Meter::Requests => 'r',
            Meter::InputTokens => 'i',
            Meter::OutputTokens => 'o',
            Meter::TotalTokens => 't',
            Meter::NanoUsd => 'n',
            Meter::Concurrent => 'c',
            Meter::Credits => 'k',
        });
        match self.shape() {
            // A ring of leases of another length has slots of another width.
            Shape::InFlight => name.push_str(itoa::Buffer::new().format(lease_ms)),
            Shape::Ring(60_000) => name.push('m'),
            Shape::Ring(3_600_000) => name.push('h'),
            Shape::Ring(86_400_000) => name.push('D'),
            Shape::Ring(_) => name.push('R'),
            Shape::Calendar => {
                name.push(if self.window == Window::Day { 'd' } else { 'M' });
                name.push_str(self.zone.name());
            }
        }
        // The scripts go by this: the share's name is the whole's, a colon and the organization.
        if let Some(whose) = self.share {
            name.push(':');
            let mut digits = [0; uuid::fmt::Simple::LENGTH];
            name.push_str(whose.uuid().as_simple().encode_lower(&mut digits));
        }
    }

    /// Returns the current and the next window; zeros when it has no calendar ones.
    pub(super) fn spans(&self, calendar: &Calendar, now: Moment) -> Spans {
        match self.shape() {
            Shape::Calendar => calendar.spans(self.window, self.zone, now),
            Shape::InFlight | Shape::Ring(_) => Spans::default(),
        }
    }

    /// Writes width and lead, as the scripts know them.
    pub(super) fn write_shape(&self, lease_ms: u64, numbers: &mut Numbers) {
        let (width, lead) = match self.shape() {
            Shape::InFlight => (lease_ms.div_ceil(SLOTS), lease_ms),
            Shape::Ring(length) => (length / SLOTS, 0),
            Shape::Calendar => (0, 0),
        };
        numbers.push(width).push(lead);
    }

    /// Returns the meter's number, as the scripts know it.
    pub(super) fn meter_number(&self) -> u64 {
        match self.meter {
            Meter::Requests => 0,
            Meter::InputTokens => 1,
            Meter::OutputTokens => 2,
            Meter::TotalTokens => 3,
            Meter::NanoUsd => 4,
            Meter::Concurrent => 5,
            Meter::Credits => 6,
        }
    }
}
