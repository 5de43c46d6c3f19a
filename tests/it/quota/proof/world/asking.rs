//! How a history's calls ask: until the proxy knows what must be known.

use proptest::sample::Index;

use super::{Call, GRACE, World, ending::ending};
use crate::quota::proof::{
    menu::{LEASE, Rule},
    model::metered,
    op::{Admit, Bid, Op, Told, Used},
    step::{Ask, Size},
    truth,
};

impl World {
    /// Makes a call that nobody has heard of yet.
    pub(super) fn call(&mut self, ask: &Ask) -> Call {
        let (input, output, cost) = match ask.size {
            Size::Of(input, output, cost) => (input, output, cost),
            Size::Left(which, more) => self.size_of_left(which, more),
        };
        let sizes = [[1, input, output, cost], [1, input, output, 2 * cost]];
        let rules = self.rules.clone();
        let candidates = 1 + usize::from(ask.has_two);
        let bids = (0..candidates).map(|at| (at, [0; 4])).collect::<Vec<_>>();
        let record = self.name();
        let admit = self.form(&rules, &sizes, &bids, record, self.now + ask.skew);
        Call {
            rules,
            admit,
            sizes,
            candidate: 0,
            at: self.now,
            real: self.real,
            leased: self.real + LEASE,
            charges: Vec::new(),
            failed: [0; 4],
            used: None,
            is_cancelled: false,
            is_booked: false,
        }
    }

    pub(super) fn name(&mut self) -> String {
        self.names += 1;
        format!("{}h{}", self.prefix, self.names)
    }

    /// Writes what is asked: the tenant's lines, then each candidate's own, and what each takes.
    pub(super) fn form(
        &self,
        rules: &[Rule],
        sizes: &[Used; 2],
        candidates: &[(usize, Used)],
        record: String,
        now: i64,
    ) -> Admit {
        let mut lines: Vec<_> = rules.iter().map(|rule| rule.line(now)).collect();
        let tenants = lines.len();
        let mut bids = Vec::new();
        for (at, failed) in candidates {
            let size = &sizes[*at];
            let mut own = Vec::new();
            for rule in &self.own[*at] {
                lines.push(rule.line(now));
                own.push((lines.len(), metered(size, rule.meter)));
            }
            let tenant = rules.iter().map(|rule| need(rule, size, failed));
            bids.push(Bid {
                tenant: tenant.collect(),
                own,
            });
        }
        Admit {
            token: self.token(),
            record,
            is_adjust: false,
            lease: LEASE,
            tenants,
            spent: [0; 4],
            lines,
            bids,
        }
    }

    /// Returns tokens and money so that one limit's rest is taken exactly, or passed by so much.
    pub(super) fn size_of_left(&self, which: Index, more: i64) -> (i64, i64, i64) {
        let peek = self.form(
            &self.rules,
            &[[0; 4]; 2],
            &[],
            self.prefix.clone(),
            self.now,
        );
        let reply = self.model.clone().run(self.now, &Op::Admit(peek));
        let at = which.index(self.rules.len());
        let left = if reply[0] == 2 {
            reply[3 + 2 * at] + more
        } else {
            7 + more
        };
        match self.rules[at].meter {
            1 => (left, 1, 1),
            2 => (1, left, 1),
            3 => (left, 0, 1),
            4 => (1, 1, left),
            _ => (1, 1, 1),
        }
    }

    /// Asks as a proxy does: until it knows what must be known.
    pub(super) fn decide(&mut self, admit: &mut Admit, rules: &[Rule]) -> Vec<i64> {
        loop {
            let reply = self.run(Op::Admit(admit.clone()));
            match reply[0] {
                5 => {
                    self.beat();
                    admit.token = self.token();
                }
                6 => {
                    self.beat();
                    self.pass(reply[1].min(GRACE));
                }
                7 => {
                    let lines: Vec<usize> = reply[1..reply.len() - 2]
                        .iter()
                        .map(|line| usize::try_from(line - 1).expect("a line"))
                        .collect();
                    let mut all = rules.to_vec();
                    all.extend(self.rules_of(admit));
                    self.seed(&all, &lines, false);
                }
                8 => {
                    let all = rules.iter().cloned().chain(self.rules_of(admit));
                    let lines = all.map(|rule| rule.line(self.now));
                    admit.lines = lines.collect();
                }
                _ => return reply,
            }
        }
    }

    /// Returns the rules behind the candidates' own lines.
    pub(super) fn rules_of(&self, admit: &Admit) -> Vec<Rule> {
        let own = admit.lines.iter().skip(admit.tenants);
        let rules = self.own.iter().flatten();
        own.map(|line| {
            let mut same = rules.clone().filter(|rule| rule.key == line.key);
            same.next().expect("a rule").clone()
        })
        .collect()
    }

    /// Asks for a call; returns how long it must wait when it was denied.
    pub(super) fn ask(&mut self, mut call: Call) -> Option<i64> {
        let rules = call.rules.clone();
        let mut admit = call.admit.clone();
        let reply = self.decide(&mut admit, &rules);
        call.admit = admit;
        match reply[0] {
            1 => {
                self.hold(call, &reply);
                None
            }
            2 | 3 => {
                truth::check_denied(self, &call, &reply);
                Some(reply[2])
            }
            _ => None,
        }
    }

    pub(super) fn hold(&mut self, mut call: Call, reply: &[i64]) {
        call.candidate = usize::try_from(reply[1] - 1).expect("a bid");
        call.at = self.now;
        call.real = self.real;
        call.leased = self.real + LEASE;
        let charges = self.charges(&call, &call.admit.bids[call.candidate]);
        call.charges = charges;
        self.calls.push(call);
        truth::check_admitted(self);
    }

    pub(super) fn charges(&self, call: &Call, bid: &Bid) -> Vec<Told> {
        let tenant = call.rules.iter().zip(&bid.tenant);
        let tenant = tenant.map(|(rule, amount)| told(rule, *amount, false, call.at));
        let own = self.own[call.candidate].iter().zip(&bid.own);
        let own = own.map(|(rule, (_, amount))| told(rule, *amount, true, call.at));
        tenant.chain(own).collect()
    }

    pub(super) fn ask_and_wait(&mut self, ask: &Ask) {
        let call = self.call(ask);
        let Some(wait) = self.ask(call.clone()) else {
            return;
        };
        self.pass(wait);
        let mut again = call;
        again.admit.record = self.name();
        for (line, rule) in again.admit.lines.iter_mut().zip(&again.rules) {
            line.spans = rule.spans(self.now);
        }
        let is_polled = self.rules.iter().any(|rule| 0 < rule.lead());
        let is_forever = self.rules.iter().any(|rule| rule.amount == 0);
        let is_shared = ask.has_two && self.own.iter().any(|own| !own.is_empty());
        let is_told = !(is_polled || is_forever || is_shared || 86_400_000 <= wait);
        // A lone client that waits as long as it was told is admitted.
        if let Some(more) = self.ask(again)
            && is_told
        {
            self.breaks(format!("{more} ms more after the {wait} that were told"));
        }
    }

    pub(super) fn again(&mut self, which: Index) {
        if self.calls.is_empty() {
            return;
        }
        let admit = which.get(&self.calls).admit.clone();
        self.run(Op::Admit(admit));
    }

    pub(super) fn late(&mut self, ask: &Ask) {
        let call = self.call(ask);
        self.run(Op::Settle(vec![ending(
            &call.admit.record,
            1,
            [0; 4],
            [0; 4],
        )]));
        self.run(Op::Admit(call.admit));
    }
}

fn need(rule: &Rule, size: &Used, failed: &Used) -> i64 {
    if 0 < rule.lead() {
        1
    } else {
        metered(size, rule.meter) + metered(failed, rule.meter)
    }
}

fn told(rule: &Rule, amount: i64, is_own: bool, at: i64) -> Told {
    let [start, stop, _] = rule.spans(at);
    Told {
        key: rule.key.clone(),
        meter: rule.meter,
        is_own,
        width: rule.width(),
        lead: rule.lead(),
        amount,
        start,
        stop,
    }
}
