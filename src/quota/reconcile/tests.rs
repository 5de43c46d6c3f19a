//! Whatever happens between the looks of a round, nothing is lowered that somebody accounts for: the desk itself
//! against a model of Redis and the books.

use std::sync::Arc;

use chrono_tz::Tz;
use proptest::prelude::*;
use tokio::sync::mpsc::UnboundedReceiver;
use uuid::Uuid;

use super::round::surplus;
use crate::{
    base::{Moment, OrganizationId, RequestId},
    quota::{
        Actual, Enforcement, Limit, Meter, Mode, Subject, Window,
        calendar::Calendar,
        counter::Counter,
        desk::{Account, Charged, Desk},
        hold::{End, Ending},
        watch::Passing,
    },
};

const CALLS: usize = 6;
const AT: Moment = Moment::from_millis(1_795_000_000_000);

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// The next thing in the life of a call.
    Call(usize),
    /// The next look of the round.
    Look,
}

/// How a call goes: what is held for it, what it moves to, what it uses, and whether the answer to its admission is lost.
#[derive(Clone, Debug)]
struct Fate {
    held: u64,
    moved: Option<u64>,
    used: u64,
    is_cancelled: bool,
    is_answer_lost: bool,
}

/// The life of one call.
struct Call {
    id: RequestId,
    fate: Fate,
    stage: usize,
    /// What Redis has for it.
    in_redis: u64,
    passing: Option<Arc<Passing>>,
}

/// Everything together.
struct World {
    desk: Arc<Desk>,
    _endings: UnboundedReceiver<Ending>,
    calendar: Calendar,
    counter: Counter,
    calls: Vec<Call>,
    /// What the one counter in Redis says.
    redis: u64,
    books: u64,
    looks: usize,
    seen_used: u64,
    seen_held: Option<u64>,
    seen_books: u64,
}

impl World {
    fn new(fates: Vec<Fate>, leak: u64) -> Self {
        let organization = OrganizationId(Uuid::from_u128(1));
        let limit = Limit {
            id: Uuid::from_u128(2),
            subject: Subject::Organization(organization),
            meter: Meter::NanoUsd,
            window: Window::Month,
            amount: 1,
            enforcement: Enforcement::Hard,
            mode: Mode::Enforce,
            zone: Tz::UTC,
        };
        let call = |fate| Call {
            id: RequestId::new(AT),
            fate,
            stage: 0,
            in_redis: 0,
            passing: None,
        };
        let (desk, endings) = Desk::new(1_000);
        Self {
            desk,
            _endings: endings,
            calendar: Calendar::default(),
            counter: Counter::of(&limit, organization),
            calls: fates.into_iter().map(call).collect(),
            redis: leak,
            books: 0,
            looks: 0,
            seen_used: 0,
            seen_held: None,
            seen_books: 0,
        }
    }

    fn charge(&self, amount: u64) -> Vec<Charged> {
        vec![Charged {
            counter: self.counter,
            amount,
            is_own: false,
        }]
    }

    /// Sets what Redis has for a call.
    fn run_script(&mut self, number: usize, amount: u64) {
        let call = &mut self.calls[number];
        self.redis = self.redis - call.in_redis + amount;
        call.in_redis = amount;
    }

    /// Lets the next thing happen to a call.
    fn go_on(&mut self, number: usize) {
        let Call {
            id,
            ref fate,
            stage,
            ..
        } = self.calls[number];
        let fate = fate.clone();
        let organization = OrganizationId(Uuid::from_u128(1));
        self.calls[number].stage += 1;
        match (stage, fate.is_answer_lost) {
            (0, _) => {
                self.calls[number].passing = Some(self.desk.watch.pass());
                self.run_script(number, fate.held);
            }
            (1, true) => {
                self.desk.void(organization, id);
                self.calls[number].passing = None;
            }
            (2, true) => self.run_script(number, 0),
            (3, true) => self.desk.settled(id, &self.calendar),
            (1, false) => {
                let account = Account::new(organization, AT, self.charge(fate.held));
                self.desk.open(id, account);
                self.calls[number].passing = None;
            }
            (2, false) => {
                if let Some(moved) = fate.moved {
                    self.calls[number].passing = Some(self.desk.watch.pass());
                    self.run_script(number, moved);
                }
            }
            (3, false) => {
                if let Some(moved) = fate.moved {
                    let charges = self.charge(moved);
                    let failed = Actual::default();
                    self.desk.moved(id, charges, failed, &self.calendar);
                }
                self.calls[number].passing = None;
            }
            (4, false) => self.desk.end(id, end_of(&fate)),
            (5, false) => self.run_script(number, if fate.is_cancelled { 0 } else { fate.used }),
            (6, false) => self.desk.settled(id, &self.calendar),
            (7, false) if !fate.is_cancelled => self.books += fate.used,
            (8, false) if !fate.is_cancelled => self.desk.booked(id),
            _ => {}
        }
    }

    /// Takes the next look of the round.
    fn look(&mut self) {
        self.looks += 1;
        match self.looks {
            1 => self.desk.watch.begin(),
            2 => self.seen_used = self.redis,
            3 => {
                // What is under way is waited for.
                for number in 0..self.calls.len() {
                    while self.calls[number].passing.is_some() {
                        self.go_on(number);
                    }
                }
                let place = (self.counter, self.start());
                let standing = self.desk.standing(&self.calendar);
                let held = standing.get(&place).copied().unwrap_or_default();
                let fell = self.desk.watch.fallen().get(&place).copied();
                let is_clear = self.desk.watch.is_clear();
                self.seen_held = is_clear.then(|| held + fell.unwrap_or_default());
                self.desk.watch.end();
            }
            4 => self.seen_books = self.books,
            _ => {}
        }
    }

    fn start(&self) -> i64 {
        self.counter.spans(&self.calendar, AT).start
    }

    /// By how much the round lowers the counter; nothing when somebody was unsure.
    fn lowered_by(&self) -> u64 {
        self.seen_held
            .map_or(0, |held| surplus(self.seen_used, held, self.seen_books))
    }
}

fn end_of(fate: &Fate) -> End {
    if fate.is_cancelled {
        return End::Cancelled;
    }
    End::Used(Actual {
        requests: 1,
        cost_nano_usd: fate.used,
        list_nano_usd: fate.used,
        ..Actual::default()
    })
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = (
        1..1_000_u64,
        proptest::option::weighted(0.3, 1..1_000_u64),
        0..1_200_u64,
        proptest::bool::weighted(0.15),
        proptest::bool::weighted(0.1),
    );
    let fate = fate.prop_map(|(held, moved, used, is_cancelled, is_answer_lost)| Fate {
        held,
        moved,
        used,
        is_cancelled,
        is_answer_lost,
    });
    proptest::collection::vec(fate, CALLS)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![12 => (0..CALLS).prop_map(Step::Call), 1 => Just(Step::Look)];
    proptest::collection::vec(step, 0..90)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn never_more_is_lowered_than_leaked(fates in fates(), steps in steps(), leak in prop_oneof![Just(0), 1..500_u64]) {
        let mut world = World::new(fates, leak);
        for step in steps {
            match step {
                Step::Call(number) => world.go_on(number),
                Step::Look if world.looks < 4 => world.look(),
                Step::Look => {}
            }
        }
        while world.looks < 4 {
            world.look();
        }
        prop_assert!(world.lowered_by() <= leak, "{} of {leak}", world.lowered_by());
    }

    #[test]
    fn while_nothing_happens_exactly_what_leaked_is_lowered(fates in fates(), steps in steps(), leak in 0..500_u64) {
        let mut world = World::new(fates, leak);
        for step in steps {
            if let Step::Call(number) = step {
                world.go_on(number);
            }
        }
        for number in 0..CALLS {
            for _ in 0..9 {
                world.go_on(number);
            }
        }
        for _ in 0..4 {
            world.look();
        }
        prop_assert_eq!(world.lowered_by(), leak);
    }
}
