//! What the scripts are told: each call as its parts, as the keys and numbers it is sent as, and read back from those.

/// Calls, input, output, nano-dollars.
pub type Used = [i64; 4];

/// Which script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Admit,
    Settle,
    Renew,
    Seed,
    Reassert,
    Epoch,
}

/// One counter of an admission.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub key: String,
    pub meter: i64,
    pub width: i64,
    pub lead: i64,
    pub amount: i64,
    pub is_shadow: bool,
    /// The current window begins, ends; the next one ends.
    pub spans: [i64; 3],
}

/// What one candidate would take: of the tenant's lines, and of its own (which line, how much).
#[derive(Clone, Debug, PartialEq)]
pub struct Bid {
    pub tenant: Vec<i64>,
    pub own: Vec<(usize, i64)>,
}

/// One admission, one move of a hold, or with no bids a look at what is left.
#[derive(Clone, Debug, PartialEq)]
pub struct Admit {
    pub token: String,
    pub record: String,
    pub is_adjust: bool,
    pub lease: i64,
    pub tenants: usize,
    pub spent: Used,
    pub lines: Vec<Line>,
    pub bids: Vec<Bid>,
}

/// How one hold ends: 0 as it truly was, 1 cancelled, 2 as held.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    pub record: String,
    pub how: i64,
    pub all: Used,
    pub last: Used,
}

/// A counter that begins from the books.
#[derive(Clone, Debug, PartialEq)]
pub struct Seeded {
    pub key: String,
    pub width: i64,
    pub books: i64,
    pub start: i64,
    pub stop: i64,
}

/// One charge of a hold Redis is told of again.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub key: String,
    pub meter: i64,
    pub is_own: bool,
    pub width: i64,
    pub lead: i64,
    pub amount: i64,
    pub start: i64,
    pub stop: i64,
}

/// A hold Redis is told of again.
#[derive(Clone, Debug, PartialEq)]
pub struct Asserted {
    pub record: String,
    pub is_settled: bool,
    /// How long ago it was admitted.
    pub age: i64,
    pub charges: Vec<Told>,
}

/// One call of a script.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Admit(Admit),
    Settle(Vec<Ending>),
    /// By which epoch, which holds, for how long.
    Renew(String, Vec<String>, i64),
    Seed(String, Vec<Seeded>),
    Reassert(String, Vec<Asserted>),
    /// The id a new epoch would have, the server, how long it stays closed, what is said of the clock.
    Epoch(i64, String, i64, Vouch),
    /// Redis forgets these.
    Forget(Vec<String>),
    /// Redis writes these down.
    Save(Vec<String>),
    /// Redis forgets the first and has again what it wrote down of the second.
    Restore(Vec<String>, Vec<String>),
}

/// What the clock said at the last beat, what it says now, and how much time passed between the two.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Vouch {
    pub seen: i64,
    pub at: i64,
    pub passed: i64,
}

/// How a call is sent.
pub struct Sent {
    pub kind: Kind,
    /// Without the two that are the same for all: the epoch's and the number's.
    pub keys: Vec<String>,
    pub args: Vec<String>,
}

fn list(numbers: &[i64]) -> String {
    serde_json::to_string(numbers).expect("numbers")
}

impl Admit {
    fn sent(&self) -> Sent {
        let counts = [self.tenants, self.lines.len(), self.bids.len()];
        let mut numbers = vec![i64::from(self.is_adjust), self.lease];
        numbers.extend(counts.map(signed));
        numbers.extend(self.spent);
        for line in &self.lines {
            numbers.extend([line.meter, line.width, line.lead, line.amount]);
            numbers.push(i64::from(line.is_shadow));
            numbers.extend(line.spans);
        }
        for bid in &self.bids {
            numbers.extend(&bid.tenant);
            numbers.push(signed(bid.own.len()));
            for (line, amount) in &bid.own {
                numbers.extend([signed(*line), *amount]);
            }
        }
        let lines = self.lines.iter().map(|line| line.key.clone());
        Sent {
            kind: Kind::Admit,
            keys: std::iter::once(self.record.clone()).chain(lines).collect(),
            args: vec![self.token.clone(), list(&numbers)],
        }
    }

    fn read(keys: &[String], args: &[String]) -> Self {
        let mut numbers = Numbers::of(&args[1]);
        let [is_adjust, lease] = numbers.some();
        let [tenants, lines, bids] = numbers.some().map(unsigned);
        let spent = numbers.some();
        let lines = (0..lines).map(|at| {
            let [meter, width, lead, amount, is_shadow] = numbers.some();
            Line {
                key: keys[1 + at].clone(),
                meter,
                width,
                lead,
                amount,
                is_shadow: is_shadow == 1,
                spans: numbers.some(),
            }
        });
        let lines = lines.collect();
        let bids = (0..bids).map(|_| {
            let tenant = (0..tenants).map(|_| numbers.next()).collect();
            let own = (0..numbers.next()).map(|_| {
                let [line, amount] = numbers.some();
                (unsigned(line), amount)
            });
            Bid {
                tenant,
                own: own.collect(),
            }
        });
        Self {
            token: args[0].clone(),
            record: keys[0].clone(),
            is_adjust: is_adjust == 1,
            lease,
            tenants,
            spent,
            lines,
            bids: bids.collect(),
        }
    }
}

impl Op {
    /// Returns how it is sent; nothing for what no script does.
    pub fn sent(&self) -> Option<Sent> {
        let sent = |kind, keys: Vec<String>, args: Vec<String>| Sent { kind, keys, args };
        Some(match self {
            Self::Admit(admit) => admit.sent(),
            Self::Settle(endings) => {
                let numbers = endings.iter().flat_map(|one| {
                    let ends = [one.how].into_iter().chain(one.all).chain(one.last);
                    ends.chain(NO_CREDITS)
                });
                let keys = endings.iter().map(|one| one.record.clone());
                sent(
                    Kind::Settle,
                    keys.collect(),
                    vec![list(&numbers.collect::<Vec<_>>())],
                )
            }
            Self::Renew(token, records, lease) => {
                let args = vec![token.clone(), lease.to_string()];
                sent(Kind::Renew, records.clone(), args)
            }
            Self::Seed(token, counters) => {
                let numbers = counters
                    .iter()
                    .flat_map(|one| [one.width, one.books, one.start, one.stop]);
                let keys = counters.iter().map(|one| one.key.clone());
                let args = vec![token.clone(), list(&numbers.collect::<Vec<_>>())];
                sent(Kind::Seed, keys.collect(), args)
            }
            Self::Reassert(token, holds) => reasserted(token, holds),
            Self::Epoch(id, server, grace, vouch) => {
                let mut args = vec![id.to_string(), server.clone(), grace.to_string()];
                args.extend([vouch.seen, vouch.at, vouch.passed].map(|part| part.to_string()));
                sent(Kind::Epoch, Vec::new(), args)
            }
            Self::Forget(_) | Self::Save(_) | Self::Restore(..) => return None,
        })
    }

    /// Reads what [`Self::sent`] wrote.
    pub fn read(kind: Kind, keys: &[String], args: &[String]) -> Self {
        match kind {
            Kind::Admit => Self::Admit(Admit::read(keys, args)),
            Kind::Settle => {
                let mut numbers = Numbers::of(&args[0]);
                let endings = keys.iter().map(|record| {
                    let ending = Ending {
                        record: record.clone(),
                        how: numbers.next(),
                        all: numbers.some(),
                        last: numbers.some(),
                    };
                    numbers.some::<2>();
                    ending
                });
                Self::Settle(endings.collect())
            }
            Kind::Renew => {
                let lease = args[1].parse().expect("a lease");
                Self::Renew(args[0].clone(), keys.to_vec(), lease)
            }
            Kind::Seed => {
                let mut numbers = Numbers::of(&args[1]);
                let counters = keys.iter().map(|key| {
                    let [width, books, start, stop] = numbers.some();
                    Seeded {
                        key: key.clone(),
                        width,
                        books,
                        start,
                        stop,
                    }
                });
                Self::Seed(args[0].clone(), counters.collect())
            }
            Kind::Reassert => read_reasserted(keys, args),
            Kind::Epoch => {
                let number = |at: usize| args[at].parse().expect("a number");
                let vouch = Vouch {
                    seen: number(3),
                    at: number(4),
                    passed: number(5),
                };
                Self::Epoch(number(0), args[1].clone(), number(2), vouch)
            }
        }
    }
}

fn reasserted(token: &str, holds: &[Asserted]) -> Sent {
    let mut keys = Vec::new();
    let mut numbers = Vec::new();
    for hold in holds {
        keys.push(hold.record.clone());
        numbers.extend([
            i64::from(hold.is_settled),
            hold.age,
            signed(hold.charges.len()),
        ]);
        for charge in &hold.charges {
            keys.push(charge.key.clone());
            numbers.extend([charge.meter, i64::from(charge.is_own), charge.width]);
            numbers.extend([charge.lead, charge.amount, charge.start, charge.stop]);
        }
    }
    Sent {
        kind: Kind::Reassert,
        keys,
        args: vec![token.to_owned(), list(&numbers)],
    }
}

fn read_reasserted(keys: &[String], args: &[String]) -> Op {
    let mut numbers = Numbers::of(&args[1]);
    let mut keys = keys.iter().cloned();
    let mut holds = Vec::new();
    while let Some(record) = keys.next() {
        let [is_settled, age, charges] = numbers.some();
        let charges = keys.by_ref().take(unsigned(charges)).map(|key| {
            let [meter, is_own, width, lead, amount, start, stop] = numbers.some();
            Told {
                key,
                meter,
                is_own: is_own == 1,
                width,
                lead,
                amount,
                start,
                stop,
            }
        });
        holds.push(Asserted {
            record,
            is_settled: is_settled == 1,
            age,
            charges: charges.collect(),
        });
    }
    Op::Reassert(args[0].clone(), holds)
}

/// The credits of a call: no counter of these histories counts them.
const NO_CREDITS: [i64; 2] = [0, 0];

/// A list of numbers, being read.
struct Numbers(std::vec::IntoIter<i64>);

impl Numbers {
    fn of(text: &str) -> Self {
        let numbers: Vec<i64> = serde_json::from_str(text).expect("a list of numbers");
        Self(numbers.into_iter())
    }

    fn next(&mut self) -> i64 {
        self.0.next().expect("one more number")
    }

    fn some<const N: usize>(&mut self) -> [i64; N] {
        std::array::from_fn(|_| self.next())
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).expect("few")
}

fn unsigned(count: i64) -> usize {
    usize::try_from(count).expect("no less than none")
}
