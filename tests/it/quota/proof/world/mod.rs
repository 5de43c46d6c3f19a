//! A history being played on the model: who calls, what the books know, and every word with the scripts.

mod asking;
mod ending;
mod losing;

use super::{
    menu::{self, Rule},
    model::Model,
    op::{Admit, Op, Told, Used},
    step::{Setting, Span, Step, Tale},
    truth::Doubts,
};

/// How long a new epoch stays closed.
const GRACE: i64 = 1_500;

/// One word with the scripts, and what they must answer.
#[derive(Clone, Debug)]
pub struct Turn {
    pub now: i64,
    pub op: Op,
    pub reply: Vec<i64>,
    /// Whether the clock was put back before: even a denial remembers that.
    pub is_after_jump: bool,
}

/// A call: what it asked for, what it holds, what became of it.
#[derive(Clone, Debug)]
pub struct Call {
    pub rules: Vec<Rule>,
    pub admit: Admit,
    pub sizes: [Used; 2],
    /// The candidate it is at, from 0.
    pub candidate: usize,
    /// By the clock, and in time that truly passed.
    pub at: i64,
    pub real: i64,
    /// How long it is known to be in flight, in true time.
    pub leased: i64,
    pub charges: Vec<Told>,
    pub failed: Used,
    /// What it used altogether; nothing while it is open.
    pub used: Option<Used>,
    pub is_cancelled: bool,
    pub is_booked: bool,
}

pub struct World {
    prefix: String,
    pub model: Model,
    saved: Option<Model>,
    pub turns: Vec<Turn>,
    pub now: i64,
    /// Time that truly passed.
    pub real: i64,
    epoch: i64,
    server: String,
    /// By how much rings and leases lag behind the clock, as the proxies were told.
    shift: i64,
    /// When they heard the clock last, in true time.
    heard: i64,
    /// By how much the time of rings and leases was ahead of true time, at least.
    ahead: i64,
    pub rules: Vec<Rule>,
    spare: Vec<Rule>,
    own: [Vec<Rule>; 2],
    pub calls: Vec<Call>,
    /// What was booked before the history began, and when.
    pub past: (i64, i64),
    pub doubts: Doubts,
    /// The first promise that was broken.
    pub broken: Option<String>,
    names: usize,
}

/// Plays a tale on a fresh model; its keys begin with `prefix`.
pub fn play(prefix: &str, tale: &Tale) -> World {
    let mut world = World::new(prefix, &tale.setting);
    world.begin_epoch(0);
    for step in &tale.steps {
        world.step(step);
    }
    world.peek();
    world
}

impl World {
    fn new(prefix: &str, setting: &Setting) -> Self {
        let now = menu::begin(setting.day, setting.minutes);
        Self {
            prefix: prefix.to_owned(),
            model: Model::default(),
            saved: None,
            turns: Vec::new(),
            now,
            real: 0,
            epoch: 0,
            server: "a".to_owned(),
            shift: 0,
            heard: 0,
            ahead: now,
            rules: menu::limits(prefix, setting.limits),
            spare: menu::limits(prefix, !setting.limits),
            own: menu::allowances(prefix, setting.allowances),
            calls: Vec::new(),
            past: (now, setting.books),
            doubts: Doubts::default(),
            broken: None,
            names: 0,
        }
    }

    fn run(&mut self, op: Op) -> Vec<i64> {
        let reply = self.model.run(self.now, &op);
        if let Some(tick) = self.model.tick_at(self.now) {
            let ahead = tick - self.real;
            self.doubts.is_forward |= self.ahead < ahead;
            self.ahead = self.ahead.min(ahead);
        }
        self.turns.push(Turn {
            now: self.now,
            op,
            reply: reply.clone(),
            is_after_jump: self.doubts.is_jumped,
        });
        reply
    }

    pub fn breaks(&mut self, promise: String) {
        self.broken.get_or_insert(promise);
    }

    fn token(&self) -> String {
        format!("{}:{}:{}:", self.epoch, self.server, self.shift)
    }

    fn pass(&mut self, by: i64) {
        self.now += by;
        self.real += by;
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Pass(Span::Millis(by)) => self.pass(*by),
            Step::Pass(Span::Edge(which, by)) => {
                let edge = which.get(&self.rules).edge(self.now) + by;
                self.pass((edge - self.now).max(0));
            }
            Step::Jump(by) => {
                self.now += by;
                self.doubts.is_jumped = true;
            }
            Step::Ask(ask) => {
                let call = self.call(ask);
                self.ask(call);
            }
            Step::AskAndWait(ask) => self.ask_and_wait(ask),
            Step::Again(which) => self.again(*which),
            Step::Late(ask) => self.late(ask),
            Step::Move(which, failed, size) => self.go_on(*which, *failed, *size),
            Step::End(which, end) => self.end(*which, end),
            Step::EndAgain(which, end) => self.end_again(*which, end),
            Step::Renew => self.renew(),
            Step::Book => self.book(),
            Step::Lose(twice) => self.lose(*twice),
            Step::Restart => self.restart(),
            Step::Change(which, share) => {
                let rule = which.index(self.rules.len());
                self.rules[rule].amount = self.rules[rule].amount * share / 100;
            }
            Step::Unseeded(which) => {
                if !self.spare.is_empty() {
                    let rule = self.spare.swap_remove(which.index(self.spare.len()));
                    if self.rules.iter().all(|known| known.key != rule.key) {
                        self.rules.push(rule);
                    }
                }
            }
            Step::Stale(ask) => {
                let mut call = self.call(ask);
                call.admit.token = "9:elsewhere:0:".to_owned();
                self.run(Op::Admit(call.admit));
            }
            Step::SeedAgain => {
                self.peek();
                let lines: Vec<usize> = (0..self.rules.len()).collect();
                let rules = self.rules.clone();
                self.seed(&rules, &lines, true);
            }
            Step::Peek => self.peek(),
        }
    }

    fn peek(&mut self) {
        let rules = self.rules.clone();
        let record = self.prefix.clone();
        let mut admit = self.form(&rules, &[[0; 4]; 2], &[], record, self.now);
        self.decide(&mut admit, &rules);
    }
}
