//! What no script is asked: what truly was admitted, window by window, counted the long way.

use super::{
    menu::{LEASE, Rule},
    model::metered,
    world::{Call, World},
};

/// What happened to a history that leaves something unknowable.
#[derive(Clone, Copy, Debug, Default)]
pub struct Doubts {
    /// The clock was put forward by so little that nobody noticed: windows ended early.
    pub is_forward: bool,
    /// The clock was put forward or back.
    pub is_jumped: bool,
    /// Redis lost something: what was rebuilt counts later than it happened.
    pub is_rebuilt: bool,
}

/// Returns what the books say of a rule: the calendar window's calls, or the last minute's or hour's.
pub fn booked(world: &World, rule: &Rule) -> i64 {
    let [start, stop, _] = rule.spans(world.now);
    let length = rule.width() * 24;
    // Calls are booked by clocks that do not jump.
    let is_in = |at: i64, real: i64| {
        if rule.is_calendar() {
            (start..stop).contains(&at)
        } else {
            world.real - length <= real
        }
    };
    let (began, before) = world.past;
    let before = if is_in(began, 0) {
        [before.min(2), before, before, before]
    } else {
        [0; 4]
    };
    let calls = world
        .calls
        .iter()
        .filter(|call| call.is_booked && is_in(call.at, call.real));
    calls.map(|call| truth(call, rule)).sum::<i64>() + metered(&before, rule.meter)
}

/// Returns what a call counts on a rule: what it used, or may.
fn truth(call: &Call, rule: &Rule) -> i64 {
    if !call.charges.iter().any(|charge| charge.key == rule.key) {
        return 0;
    }
    match call.used {
        Some(used) => metered(&used, rule.meter),
        None => {
            let own = call.charges.iter().find(|charge| charge.key == rule.key);
            own.map_or(0, |charge| charge.amount)
        }
    }
}

/// No limit is passed: not in any stretch of the window's length, not in any day or month, not at this instant.
pub fn check_admitted(world: &mut World) {
    for rule in world.rules.iter().filter(|rule| !rule.is_shadow) {
        let counted = counted(world, rule, 24, true);
        if let Some(counted) = counted.filter(|counted| rule.amount < *counted) {
            return world.breaks(format!("{counted} admitted of {rule:?}"));
        }
    }
}

/// Nobody is refused what there is room for.
pub fn check_denied(world: &mut World, call: &Call, reply: &[i64]) {
    let (kind, limit) = (reply[0], reply[1]);
    let is_clear = !world.doubts.is_jumped && !world.doubts.is_rebuilt;
    if kind != 2 || !is_clear || 1 < call.admit.bids.len() {
        return;
    }
    let at = usize::try_from(limit - 1).expect("a limit");
    let rule = &call.rules[at];
    let need = call.admit.bids[0].tenant[at];
    let own = call.admit.bids[0].own.is_empty();
    // What the past put on a counter stands where it was seeded, which may be long after it happened.
    let is_known = own && world.past.1 == 0;
    let counted = counted(world, rule, 25, false).filter(|_| is_known);
    if let Some(counted) = counted.filter(|counted| counted + need <= rule.amount) {
        world.breaks(format!("{need} refused beside {counted} of {rule:?}"));
    }
}

/// Returns what counts on a rule in its last so many slots; nothing when that cannot be known.
fn counted(world: &World, rule: &Rule, slots: i64, at_least: bool) -> Option<i64> {
    if world.doubts.is_forward {
        return None;
    }
    let calls = world.calls.iter();
    if 0 < rule.lead() {
        // Longer than its lease nobody promises.
        let grace = if at_least { 0 } else { LEASE / 24 };
        let in_flight =
            calls.filter(|call| call.used.is_none() && world.real < call.leased + grace);
        let counted = in_flight.filter(|call| call.rules.iter().any(|known| known.key == rule.key));
        return Some(i64::try_from(counted.count()).expect("few"));
    }
    let sum = if rule.is_calendar() {
        if world.doubts.is_jumped {
            return None;
        }
        let [start, stop, _] = rule.spans(world.now);
        let inside = calls.filter(|call| (start..stop).contains(&call.at));
        inside.map(|call| truth(call, rule)).sum()
    } else {
        let since = world.real - slots * rule.width();
        let inside = calls.filter(|call| since <= call.real);
        inside.map(|call| truth(call, rule)).sum()
    };
    Some(sum)
}
