//! What goes wrong, and when: the words of `--fault` and `PUT /__fault`.
//!
//! `rule;rule;…`, each `word,word=value,…`; the first rule that applies to a call acts. The words are listed in
//! [`HELP`].

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Deserializer};

/// The grammar, for `--help`.
pub const HELP: &str = "\
Faults: RULE[;RULE…], each WORD[=VALUE][,WORD…]; the first rule that applies to a call acts; `none` clears all.

  instead of an answer
    refuse             close every new connection at once
    reset              reset the connection (RST)
    cut-before         close the connection
    hang               never answer
    status=N           answer with this status; retry-after=S adds the header; body=WORD is the shape of
                       its body: openai, anthropic, gemini, text, html, empty
    error-200          an error body under status 200
    garbage            status 200, and a body (or events) that nobody can parse
    redirect=URL       status 302
  within an answer (N counts events of a stream, tenths of a whole body)
    cut-after=N        close after N
    reset-after=N      reset after N
    stall-after=N      say nothing more after N
    error-after=N      an error event after N, and the end
    no-done            leave out the last event ([DONE], message_stop, response.completed)
    slow=MS            think so much longer before the head
    gap=MS             wait so long before each event
    gzip               compress, though nobody asked
    flood=MB           so much text more
    long-line=MB       one event of this size
    odd-lines          CR and CR LF among the LF, comments, no final blank line
  about usage
    usage=none         do not tell it
    usage=ten-fold | negative | text | twice | each | late
  when
    p=0.5              with this probability (the same calls in every run)
    after=N            let N calls pass first
    count=N            then act on N calls only
    model=NAME         only on calls for this model

Examples: status=429,retry-after=2,count=3   cut-after=3,p=0.5   reset,count=1;slow=200";

/// The text is no list of faults.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{word}`: {why}")]
pub struct BadSpec {
    word: String,
    why: &'static str,
}

/// The shape of an error body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Openai,
    Anthropic,
    Gemini,
    Text,
    Html,
    Empty,
}

/// What usage says instead of the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lie {
    #[default]
    Truth,
    None,
    TenFold,
    Negative,
    Text,
    Twice,
    Each,
    Late,
}

/// How an answer breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    Cut,
    Reset,
    Stall,
    Error,
}

/// What comes instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    Refuse,
    Reset,
    CutBefore,
    Hang,
    Status(u16),
    Error200,
    Garbage,
    Redirect(String),
}

/// What one rule does to a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) instead: Option<Instead>,
    pub(super) shape: Option<Shape>,
    pub(super) retry_after: Option<u64>,
    pub(super) breaks: Option<(Break, usize)>,
    pub(super) is_endless: bool,
    pub(super) slow: Duration,
    pub(super) gap: Duration,
    pub(super) is_gzip: bool,
    pub(super) flood_mb: usize,
    pub(super) long_line_mb: usize,
    pub(super) has_odd_lines: bool,
    pub(super) lie: Lie,
}

/// One rule: what it does, and to which calls.
#[derive(Debug, Default)]
struct Rule {
    effect: Effect,
    millionths: Option<u64>,
    after: u64,
    count: Option<u64>,
    model: Option<String>,
    met: AtomicU64,
    acted: AtomicU64,
}

/// What goes wrong, and when. Copies share their counts.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    spec: Arc<str>,
    rules: Arc<[Rule]>,
}

impl Faults {
    /// Decides what goes wrong with the next call.
    pub(super) fn strike(&self, model: &str) -> Effect {
        let struck = self
            .rules
            .iter()
            .find(|rule| !rule.refuses() && rule.strikes(model));
        struck.map(|rule| rule.effect.clone()).unwrap_or_default()
    }

    /// Decides whether the next connection is refused.
    pub(super) fn strike_connection(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.refuses() && rule.strikes(""))
    }
}

impl Rule {
    fn refuses(&self) -> bool {
        self.effect.instead == Some(Instead::Refuse)
    }

    fn strikes(&self, model: &str) -> bool {
        if self.model.as_deref().is_some_and(|only| only != model) {
            return false;
        }
        let met = self.met.fetch_add(1, Ordering::Relaxed);
        if met < self.after
            || self
                .millionths
                .is_some_and(|most| most <= scatter(met) % 1_000_000)
        {
            return false;
        }
        let acted = self.acted.fetch_add(1, Ordering::Relaxed);
        self.count.is_none_or(|count| acted < count)
    }

    fn word(&mut self, word: &str) -> Result<(), BadSpec> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let bad = |why| BadSpec {
            word: word.to_owned(),
            why,
        };
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| bad("needs a whole number"))
        };
        let size = || {
            value
                .parse::<usize>()
                .map_err(|_| bad("needs a whole number"))
        };
        let effect = &mut self.effect;
        match name {
            "refuse" => effect.instead = Some(Instead::Refuse),
            "reset" => effect.instead = Some(Instead::Reset),
            "cut-before" => effect.instead = Some(Instead::CutBefore),
            "hang" => effect.instead = Some(Instead::Hang),
            "error-200" => effect.instead = Some(Instead::Error200),
            "garbage" => effect.instead = Some(Instead::Garbage),
            "redirect" => effect.instead = Some(Instead::Redirect(value.to_owned())),
            "status" => {
                effect.instead = Some(Instead::Status(
                    status(value).ok_or_else(|| bad("needs a status"))?,
                ))
            }
            "retry-after" => effect.retry_after = Some(number()?),
            "body" => effect.shape = Some(shape(value).ok_or_else(|| bad("needs a shape"))?),
            "cut-after" => effect.breaks = Some((Break::Cut, size()?)),
            "reset-after" => effect.breaks = Some((Break::Reset, size()?)),
            "stall-after" => effect.breaks = Some((Break::Stall, size()?)),
            "error-after" => effect.breaks = Some((Break::Error, size()?)),
            "no-done" => effect.is_endless = true,
            "slow" => effect.slow = Duration::from_millis(number()?),
            "gap" => effect.gap = Duration::from_millis(number()?),
            "gzip" => effect.is_gzip = true,
            "flood" => effect.flood_mb = size()?,
            "long-line" => effect.long_line_mb = size()?,
            "odd-lines" => effect.has_odd_lines = true,
            "no-usage" => effect.lie = Lie::None,
            "usage" => effect.lie = lie(value).ok_or_else(|| bad("needs a kind of lie"))?,
            "p" => {
                self.millionths = Some(millionths(value).ok_or_else(|| bad("needs a probability"))?)
            }
            "after" => self.after = number()?,
            "count" => self.count = Some(number()?),
            "model" => self.model = Some(value.to_owned()),
            _ => return Err(bad("nobody knows this fault")),
        }
        Ok(())
    }
}

impl FromStr for Faults {
    type Err = BadSpec;

    fn from_str(spec: &str) -> Result<Self, BadSpec> {
        let spec = spec.trim();
        let spec = if spec == "none" { "" } else { spec };
        let mut rules = Vec::new();
        for text in spec
            .split([';', '\n'])
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            let mut rule = Rule::default();
            for word in text.split(',') {
                rule.word(word.trim())?;
            }
            rules.push(rule);
        }
        Ok(Self {
            spec: Arc::from(spec),
            rules: Arc::from(rules),
        })
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.spec.is_empty() {
            "none"
        } else {
            &self.spec
        })
    }
}

impl<'de> Deserialize<'de> for Faults {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

fn status(value: &str) -> Option<u16> {
    value
        .parse()
        .ok()
        .filter(|status| (200..=599).contains(status))
}

fn shape(value: &str) -> Option<Shape> {
    Some(match value {
        "openai" => Shape::Openai,
        "anthropic" => Shape::Anthropic,
        "gemini" => Shape::Gemini,
        "text" => Shape::Text,
        "html" => Shape::Html,
        "empty" => Shape::Empty,
        _ => return None,
    })
}

fn lie(value: &str) -> Option<Lie> {
    Some(match value {
        "none" => Lie::None,
        "ten-fold" => Lie::TenFold,
        "negative" => Lie::Negative,
        "text" => Lie::Text,
        "twice" => Lie::Twice,
        "each" => Lie::Each,
        "late" => Lie::Late,
        _ => return None,
    })
}

/// Reads a decimal between 0 and 1 as millionths.
fn millionths(value: &str) -> Option<u64> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if 6 < fraction.len() {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction: u64 = format!("{fraction:0<6}").parse().ok()?;
    Some(whole.checked_mul(1_000_000)? + fraction).filter(|parts| *parts <= 1_000_000)
}

/// Scatters a number over all 64 bits (splitmix64): chance that is the same in every run.
pub(super) const fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(spec: &str, calls: usize) -> Vec<bool> {
        let faults: Faults = spec.parse().unwrap();
        (0..calls)
            .map(|_| faults.strike("m") != Effect::default())
            .collect()
    }

    #[test]
    fn a_rule_acts_when_it_says() {
        assert_eq!(strikes("reset,count=2", 4), [true, true, false, false]);
        assert_eq!(
            strikes("reset,after=1,count=1", 4),
            [false, true, false, false]
        );
        assert_eq!(strikes("reset,model=other", 2), [false, false]);
        assert_eq!(strikes("none", 1), [false]);
        let struck = strikes("reset,p=0.5", 1_000)
            .into_iter()
            .filter(|&is| is)
            .count();
        assert!((450..550).contains(&struck), "{struck}");
        assert_eq!(strikes("reset,p=0.5", 100), strikes("reset,p=0.5", 100));
    }

    #[test]
    fn the_first_rule_that_applies_acts() {
        let faults: Faults = "status=503,count=1 ; status=429,retry-after=2"
            .parse()
            .unwrap();

        assert_eq!(faults.strike("m").instead, Some(Instead::Status(503)));
        let second = faults.strike("m");
        assert_eq!(
            (second.instead, second.retry_after),
            (Some(Instead::Status(429)), Some(2))
        );
    }

    #[test]
    fn what_nobody_knows_is_refused_with_its_word() {
        for spec in [
            "explode",
            "status=x",
            "status=99",
            "p=2",
            "p=x",
            "cut-after",
            "usage=big",
            "reset,,hang",
        ] {
            assert!(spec.parse::<Faults>().is_err(), "{spec}");
        }
    }

    #[test]
    fn every_word_of_the_help_is_known() {
        for line in HELP.lines().filter(|line| line.starts_with("    ")) {
            let word = line.split_whitespace().next().unwrap_or_default();
            let word = word
                .replace("=N", "=500")
                .replace("=MS", "=1")
                .replace("=MB", "=1")
                .replace("=URL", "=http://x");
            let is_comment = !line.starts_with("    ") || line.starts_with("     ");
            assert!(is_comment || word.parse::<Faults>().is_ok(), "{word}");
        }
    }
}
