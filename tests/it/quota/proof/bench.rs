//! Where histories meet the real scripts: a Redis of their own, and a clock that goes by the last argument.

use redis::{Cmd, Connection, Pipeline, Value};

use super::{
    op::{Kind, Op},
    world::{Turn, World},
};

/// The scripts' texts, as they are shipped.
pub const COMMON: &str = include_str!("../../../../src/quota/lua/counter.lua");
pub const OWN: [(Kind, &str, &str); 6] = [
    (
        Kind::Admit,
        "admit",
        include_str!("../../../../src/quota/lua/admit.lua"),
    ),
    (
        Kind::Settle,
        "settle",
        include_str!("../../../../src/quota/lua/settle.lua"),
    ),
    (
        Kind::Renew,
        "renew",
        include_str!("../../../../src/quota/lua/renew.lua"),
    ),
    (
        Kind::Seed,
        "seed",
        include_str!("../../../../src/quota/lua/seed.lua"),
    ),
    (
        Kind::Reassert,
        "reassert",
        include_str!("../../../../src/quota/lua/reassert.lua"),
    ),
    (
        Kind::Epoch,
        "epoch",
        include_str!("../../../../src/quota/lua/epoch.lua"),
    ),
];

const CLOCK_MARK: &str = "-- the clock";
const WOUND: &str = "local now = tonumber(ARGV[#ARGV])";

/// The texts of all scripts, one of which may have been spoilt.
#[derive(Clone)]
pub struct Texts {
    pub common: String,
    pub own: Vec<(Kind, &'static str, String)>,
}

impl Texts {
    pub fn shipped() -> Self {
        let own = OWN.map(|(kind, name, text)| (kind, name, text.to_owned()));
        Self {
            common: COMMON.to_owned(),
            own: own.into(),
        }
    }

    /// Returns each script whole, going by the clock it is told.
    fn whole(&self) -> Vec<(Kind, String)> {
        let common: Vec<&str> = self
            .common
            .lines()
            .map(|line| {
                if line.ends_with(CLOCK_MARK) {
                    WOUND
                } else {
                    line
                }
            })
            .collect();
        let common = common.join("\n");
        let own = self.own.iter();
        own.map(|(kind, _, text)| (*kind, format!("{common}\n{text}")))
            .collect()
    }
}

/// One Redis with the scripts in it.
pub struct Bench {
    connection: Connection,
    hashes: Vec<(Kind, String)>,
}

/// Where the scripts and the model differ.
#[derive(Debug)]
pub struct Difference(pub String);

impl Bench {
    pub fn new(url: &str, texts: &Texts) -> Self {
        let client = redis::Client::open(url).expect("an address");
        let mut connection = client.get_connection().expect("a connection");
        let hashes = texts.whole().into_iter().map(|(kind, text)| {
            let mut load = redis::cmd("SCRIPT");
            let hash = load.arg("LOAD").arg(text).query(&mut connection);
            (kind, hash.expect("a script"))
        });
        let hashes = hashes.collect();
        Self { connection, hashes }
    }

    /// Plays a history on the scripts.
    ///
    /// # Errors
    /// At the first answer that is not the model's, and at the first denial that changed anything.
    pub fn check(&mut self, prefix: &str, world: &World) -> Result<(), Difference> {
        let mut pipe = Pipeline::new();
        let mut asked = Vec::new();
        for turn in &world.turns {
            let watched = watched(turn);
            for keys in [&watched, &Vec::new()] {
                if !keys.is_empty() {
                    pipe.add_command(look(keys));
                }
            }
            self.add(&mut pipe, prefix, turn);
            if !watched.is_empty() {
                pipe.add_command(look(&watched));
            }
            asked.push(watched.len());
        }
        let answers: Vec<Value> = pipe
            .query(&mut self.connection)
            .map_err(|error| Difference(error.to_string()))?;
        let mut answers = answers.into_iter();
        for (turn, watched) in world.turns.iter().zip(asked) {
            let before = (0 < watched).then(|| answers.next());
            for _ in 1..commands(turn) {
                answers.next();
            }
            let answer = answers.next().expect("an answer");
            let after = (0 < watched).then(|| answers.next());
            if turn.op.sent().is_some() && numbers(&answer) != turn.reply {
                let said = format!("{turn:#?}\nanswered {:?}", numbers(&answer));
                return Err(Difference(said));
            }
            if before != after {
                return Err(Difference(format!("a denial changed something: {turn:#?}")));
            }
        }
        Ok(())
    }

    fn add(&self, pipe: &mut Pipeline, prefix: &str, turn: &Turn) {
        let shared = [format!("{prefix}e"), format!("{prefix}n")];
        match &turn.op {
            Op::Forget(keys) => {
                pipe.cmd("DEL").arg(keys).arg(&shared);
            }
            Op::Save(keys) => {
                for key in keys.iter().chain(&shared) {
                    pipe.cmd("COPY")
                        .arg(key)
                        .arg(format!("saved:{key}"))
                        .arg("REPLACE");
                }
            }
            Op::Restore(keys, saved) => {
                pipe.cmd("DEL").arg(keys).arg(&shared);
                for key in saved.iter().chain(&shared) {
                    pipe.cmd("COPY")
                        .arg(format!("saved:{key}"))
                        .arg(key)
                        .arg("REPLACE");
                }
            }
            op => {
                pipe.add_command(self.call(op, &shared, turn.now));
            }
        }
    }

    fn call(&self, op: &Op, shared: &[String], now: i64) -> Cmd {
        let sent = op.sent().expect("a script's");
        let known = self.hashes.iter().find(|(kind, _)| *kind == sent.kind);
        let (_, hash) = known.expect("a script");
        let shared = &shared[usize::from(!begins_with_epoch(sent.kind))..];
        let mut call = redis::cmd("EVALSHA");
        call.arg(hash).arg(shared.len() + sent.keys.len());
        call.arg(shared).arg(&sent.keys).arg(&sent.args).arg(now);
        call
    }
}

/// Says whether a script's first key is the epoch's; the number's comes next, or first.
pub fn begins_with_epoch(kind: Kind) -> bool {
    kind != Kind::Settle
}

/// How many commands a turn is.
fn commands(turn: &Turn) -> usize {
    match &turn.op {
        Op::Save(keys) => keys.len() + 2,
        Op::Restore(_, saved) => saved.len() + 3,
        _ => 1,
    }
}

/// Returns what a denial must leave as it was.
fn watched(turn: &Turn) -> Vec<String> {
    const REFUSED: [i64; 4] = [2, 3, 4, 9];
    match &turn.op {
        Op::Admit(admit)
            if !turn.is_after_jump
                && turn
                    .reply
                    .first()
                    .is_some_and(|kind| REFUSED.contains(kind)) =>
        {
            let lines = admit.lines.iter().map(|line| line.key.clone());
            lines.chain([admit.record.clone()]).collect()
        }
        _ => Vec::new(),
    }
}

fn look(keys: &[String]) -> Cmd {
    let mut look = redis::cmd("MGET");
    look.arg(keys);
    look
}

fn numbers(answer: &Value) -> Vec<i64> {
    let Value::Array(values) = answer else {
        return Vec::new();
    };
    let number = |value: &Value| match value {
        Value::Int(number) => *number,
        _ => i64::MIN,
    };
    values.iter().map(number).collect()
}
