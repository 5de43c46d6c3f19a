//! What must hold of every call of the day: judged by what was served, not by what the gateway counts.

use synaxis::{
    catalog::{Allowance, AllowanceWindow, Offer, Tier},
    quota::Actual,
    routing::Candidate,
};

use super::{
    MINUTE, OUTSIDERS, SECOND, World,
    upstream::{Rule, Served},
};

impl World {
    /// Who else asked lately, and each one's part of an allowance.
    /// Who asks is noted sixteen times in that stretch, so the last of it is nobody's right.
    fn sharers(&self, whose: usize, allowance: &Allowance, sixteenths: i64) -> (Vec<usize>, u64) {
        let now = self.wound.now().millis();
        let lately = match allowance.window {
            AllowanceWindow::Minute => MINUTE,
            AllowanceWindow::Hour => 150 * SECOND,
            AllowanceWindow::Day | AllowanceWindow::Month => 60 * MINUTE,
        };
        let asked = self.asked.get(&allowance.id);
        let asked = asked.into_iter().flatten();
        let others =
            asked.filter(|(other, at)| **other != whose && now - **at < lately / 16 * sixteenths);
        let others: Vec<usize> = others.map(|(other, _)| *other).collect();
        let part = allowance.amount / (others.len() as u64 + 1);
        (others, part)
    }

    /// How much of an allowance an organization, or everybody, has used: of a minute as the ring counts it.
    fn used(&self, offer: &Offer, rule: &Rule, by: Option<usize>) -> u64 {
        let now = self.wound.now();
        let (mut from, until) = rule.window(now);
        if rule.window == AllowanceWindow::Minute {
            from = now.millis() - MINUTE * 25 / 24;
        }
        let upstream = &self.upstreams[&offer.id];
        let served: Vec<Served> = upstream
            .served
            .iter()
            .filter(|one| by.is_none() || one.by == by)
            .copied()
            .collect();
        rule.used(&served, from, until.max(now.millis() + 1))
    }

    /// A call that is paid for could not have been free: for every free offer something stands against it.
    pub fn must_pay(&mut self, whose: usize, size: &Actual, candidates: &[Candidate]) {
        let now = self.wound.now();
        let mut is_kept = false;
        for offer in self.resolved.chain.links[0].offers.clone() {
            let is_candidate = candidates.iter().any(|one| one.offer.id == offer.id);
            if offer.tier == Tier::Paid || !is_candidate {
                // The plan left it out: it rests after a refusal, or trains on data.
                continue;
            }
            let aside = self.outsider_at.get(&offer.id);
            if aside.is_some_and(|at| now.millis() - at < 2 * MINUTE) {
                continue;
            }
            let rules = self.upstreams[&offer.id].rules.clone();
            let against = offer
                .allowances
                .iter()
                .zip(&rules)
                .find_map(|(allowance, rule)| {
                    let (all, need) = (self.used(&offer, rule, None), rule.of(size));
                    if allowance.amount < all + need {
                        return Some(false);
                    }
                    let (others, part) = self.sharers(whose, allowance, 16);
                    let kept: u64 = others
                        .iter()
                        .map(|other| part.saturating_sub(self.used(&offer, rule, Some(*other))))
                        .sum();
                    let own = self.used(&offer, rule, Some(whose));
                    (part < own + need && allowance.amount < all + need + kept).then_some(true)
                });
            assert!(
                against.is_some(),
                "{} paid at {} though {} had room for {size:?}",
                whose,
                now.utc(),
                offer.upstream_name
            );
            is_kept |= against == Some(true);
        }
        self.figures.kept_for_others += usize::from(is_kept);
    }

    /// Whoever takes more than its part leaves theirs to all who ask.
    pub fn must_be_fair(&self, whose: usize, candidate: &Candidate, size: &Actual) {
        let offer = &candidate.offer;
        if OUTSIDERS.contains(&offer.upstream_name.as_str()) {
            return;
        }
        let rules = self.upstreams[&offer.id].rules.clone();
        for (allowance, rule) in offer.allowances.iter().zip(&rules) {
            // A ring's parts move on by slots; days and months are counted to the call.
            if rule.window == AllowanceWindow::Minute {
                continue;
            }
            let (others, part) = self.sharers(whose, allowance, 15);
            let own = self.used(offer, rule, Some(whose)) + rule.of(size);
            if own <= part || others.is_empty() {
                continue;
            }
            let all = self.used(offer, rule, None) + rule.of(size);
            let kept: u64 = others
                .iter()
                .map(|other| part.saturating_sub(self.used(offer, rule, Some(*other))))
                .sum();
            assert!(
                all + kept <= allowance.amount,
                "{whose} has {own} of {} at {} ({rule:?}) while {others:?} ask: {all} used, {kept} theirs",
                allowance.amount,
                offer.upstream_name
            );
        }
    }
}
