//! What one admission asks: every counter it touches, and what each bid would put on it.

use super::{
    Actual, Bid, Limit, Mode, calendar::Calendar, counter::Counter, desk::Charged, script::Numbers,
};
use crate::base::{Moment, OrganizationId, RequestId};

/// One counter of an admission.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) counter: Counter,
    limit: &'a Limit,
}

impl Line<'_> {
    /// How it refuses, as the scripts know it: 0 it does, 1 it only counts, 2 it is an organization's part of the
    /// allowance charged before it.
    fn manner(&self) -> u64 {
        match self.limit.mode {
            _ if self.limit.is_share() => 2,
            Mode::Enforce => 0,
            Mode::Shadow => 1,
        }
    }
}

/// One admission, or one move of a hold.
#[derive(Debug)]
pub(super) struct Form<'a> {
    pub(super) id: RequestId,
    pub(super) organization: OrganizationId,
    /// The tenant's counters in the order of its limits, then the candidates' own, each once.
    pub(super) lines: Vec<Line<'a>>,
    pub(super) bids: &'a [Bid],
    tenants: usize,
    /// What the last attempt used, and what all failed ones used together.
    moved: Option<(Actual, Actual)>,
}

impl<'a> Form<'a> {
    pub(super) fn new(
        id: RequestId,
        organization: OrganizationId,
        limits: &'a [Limit],
        bids: &'a [Bid],
    ) -> Self {
        let own = bids
            .iter()
            .flat_map(|bid| &bid.own)
            .map(|charge| &charge.limit);
        let mut lines: Vec<Line<'a>> = Vec::with_capacity(limits.len() + 4);
        lines.extend(limits.iter().map(|limit| Line {
            counter: Counter::of(limit, organization),
            limit,
        }));
        let tenants = lines.len();
        for limit in own {
            let counter = Counter::of(limit, organization);
            if !lines
                .iter()
                .skip(tenants)
                .any(|line| line.counter == counter)
            {
                lines.push(Line { counter, limit });
            }
        }
        Self {
            id,
            organization,
            lines,
            bids,
            tenants,
            moved: None,
        }
    }

    /// Makes it a move of a hold whose attempt used `spent`, all failed ones together `failed`.
    pub(super) fn move_from(&mut self, spent: Actual, failed: Actual) {
        self.moved = Some((spent, failed));
    }

    pub(super) fn is_move(&self) -> bool {
        self.moved.is_some()
    }

    /// Returns the limits of some lines.
    pub(super) fn limits(&self, lines: &[usize]) -> Vec<Limit> {
        let limits = lines.iter().filter_map(|line| self.lines.get(*line));
        limits.map(|line| line.limit.clone()).collect()
    }

    /// Returns what the bid puts on each counter.
    pub(super) fn charges(&self, bid: usize) -> Vec<Charged> {
        let Some(bid) = self.bids.get(bid) else {
            return Vec::new();
        };
        let tenants = self.lines.iter().zip(&bid.tenant).take(self.tenants);
        let mut charges: Vec<Charged> = tenants
            .map(|(line, amount)| Charged {
                counter: line.counter,
                amount: self.tenant_amount(line, *amount),
                is_own: false,
            })
            .collect();
        charges.extend(bid.own.iter().map(|charge| Charged {
            counter: Counter::of(&charge.limit, self.organization),
            amount: charge.amount,
            is_own: true,
        }));
        charges
    }

    /// What failed attempts used stays; they were no calls of their own to the tenant.
    fn tenant_amount(&self, line: &Line<'_>, amount: u64) -> u64 {
        let failed = self.moved.map(|(_, failed)| Actual {
            requests: 0,
            ..failed
        });
        let failed = failed.map_or(0, |failed| line.counter.meter.of(&failed));
        amount.saturating_add(failed)
    }

    /// Writes the numbers `admit.lua` takes.
    pub(super) fn write(
        &self,
        lease_ms: u64,
        calendar: &Calendar,
        now: Moment,
        numbers: &mut Numbers,
    ) {
        numbers
            .push(u64::from(self.is_move()))
            .push(lease_ms)
            .push(self.tenants as u64)
            .push(self.lines.len() as u64)
            .push(self.bids.len() as u64)
            .push_actual(&self.moved.map(|(spent, _)| spent).unwrap_or_default());
        for line in &self.lines {
            numbers.push(line.counter.meter_number());
            line.counter.write_shape(lease_ms, numbers);
            let spans = line.counter.spans(calendar, now);
            numbers
                .push(line.limit.amount)
                .push(line.manner())
                .push_millis(spans.start)
                .push_millis(spans.end)
                .push_millis(spans.after);
        }
        for bid in self.bids {
            self.write_bid(bid, numbers);
        }
        numbers.push_credits(&self.moved.map(|(spent, _)| spent).unwrap_or_default());
    }

    fn write_bid(&self, bid: &Bid, numbers: &mut Numbers) {
        for (at, line) in self.lines.iter().take(self.tenants).enumerate() {
            let amount = bid.tenant.get(at).copied().unwrap_or_default();
            numbers.push(self.tenant_amount(line, amount));
        }
        numbers.push(bid.own.len() as u64);
        for charge in &bid.own {
            let counter = Counter::of(&charge.limit, self.organization);
            let own = self.lines.iter().skip(self.tenants);
            let at = own.take_while(|line| line.counter != counter).count();
            numbers
                .push((self.tenants + at + 1) as u64)
                .push(charge.amount);
        }
    }
}
