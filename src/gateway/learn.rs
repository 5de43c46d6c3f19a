//! What providers say of their allowances in every answer: it lowers our count, tells the books how much they are, and
//! the metrics what is left. All of it beside the calls, never in their way.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    Metrics,
    admit::as_limit,
    rest::{counted_by, exhausted, per_of},
};
use crate::{
    base::{Clock, CredentialId, Moment},
    catalog::{
        Allowance, AllowanceMeter, AllowanceWindow, Offer, Tier,
        told::{Of, Outbox, Word},
    },
    dialect::{
        allowance_headers::{Allowed, Counted, Learned, Per},
        fault::UpstreamFault,
    },
    quota::{Ledger, Limit, Told},
    snapshot::View,
};

/// How many answers may wait to be read; what comes beyond them says nothing the next does not.
const WAITING: usize = 4_096;

/// How long answers are gathered before Redis is told.
const GATHERED: Duration = Duration::from_millis(100);

/// How often what is left is asked for the metrics.
const SHOWN: Duration = Duration::from_secs(5);

/// How long nothing is said twice of how much an allowance is.
const SAID: Duration = Duration::from_secs(60);

/// What one answer said.
#[derive(Debug)]
pub struct Lesson {
    /// Whose.
    pub offer: Arc<Offer>,
    /// With which key it was asked.
    pub credential: Option<CredentialId>,
    /// What its headers said.
    pub told: Learned,
    /// The refusal, when it is one for too many calls.
    pub fault: Option<UpstreamFault>,
    /// When the call began.
    pub at: Moment,
}

/// Where calls leave what they heard.
#[derive(Clone, Debug)]
pub(super) struct Lessons(Sender<Lesson>);

/// Reads what calls heard.
pub struct Learner {
    pub(super) inbox: Receiver<Lesson>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) view: View,
    pub(super) clock: Clock,
    /// When something was last said of an allowance, and how much.
    said: HashMap<Of, (u64, Instant)>,
}

/// Opens the way from the calls to the learner.
pub(super) fn open() -> (Lessons, Receiver<Lesson>) {
    let (lessons, inbox) = channel(WAITING);
    (Lessons(lessons), inbox)
}

impl Lessons {
    /// Says whether what `offer`'s provider tells of allowances matters: nobody counts those of paid offers without.
    pub(super) fn want(offer: &Offer) -> bool {
        let family = offer.provider.quirks.header_family.as_str();
        family != "none" && (offer.tier == Tier::Free || !offer.allowances.is_empty())
    }

    /// Leaves what a call heard; never waits.
    pub(super) fn leave(&self, lesson: Lesson) {
        if !lesson.told.allowed.is_empty() || lesson.fault.is_some() {
            let _full_or_over = self.0.try_send(lesson);
        }
    }
}

impl Lesson {
    /// Returns what it says is left of the allowances we count.
    #[must_use]
    pub fn corrections(&self) -> Vec<Told> {
        let told = self.told.allowed.iter().filter_map(|one| {
            let allowance = find(&self.offer, one)?;
            let left = one.remaining?;
            Some(self.correction(allowance, left.min(allowance.amount), one.reset))
        });
        let named = self.fault.as_ref();
        let named = named.and_then(|fault| {
            let allowance = exhausted(&self.offer, fault, &self.told)?;
            Some(self.correction(allowance, 0, fault.retry_after))
        });
        told.chain(named).collect()
    }

    fn correction(&self, allowance: &Allowance, left: u64, reset: Option<Duration>) -> Told {
        let comes_back_at_once = matches!(
            allowance.window,
            AllowanceWindow::Day | AllowanceWindow::Month
        ) && !allowance.is_rolling;
        Told {
            limit: as_limit(allowance, self.credential, self.offer.id),
            left: Some(left),
            // What a refusal says of when to come again is not when a day is over.
            reset: reset.filter(|_| !(comes_back_at_once && left == 0 && self.fault.is_some())),
            at: self.at,
        }
    }

    /// Returns how much it says allowances are that the catalog has otherwise, or not.
    fn words(&self) -> Vec<Word> {
        let told = self.told.allowed.iter().filter_map(|one| {
            let amount = one.limit.filter(|amount| *amount != 0)?;
            let of = match find(&self.offer, one) {
                Some(known) if known.amount == amount => return None,
                Some(known) => Of::Known(known.id),
                None if self.offer.tier == Tier::Free => {
                    Of::New(self.offer.id, meter_of(one.counted)?, window_of(one.per))
                }
                None => return None,
            };
            Some(Word { of, amount })
        });
        told.collect()
    }
}

fn find<'a>(offer: &'a Offer, one: &Allowed) -> Option<&'a Allowance> {
    offer.allowances.iter().find(|allowance| {
        per_of(allowance.window) == one.per && counted_by(allowance.meter) == Some(one.counted)
    })
}

fn meter_of(counted: Counted) -> Option<AllowanceMeter> {
    match counted {
        Counted::Requests => Some(AllowanceMeter::Requests),
        Counted::Tokens => Some(AllowanceMeter::Tokens),
        Counted::InputTokens | Counted::OutputTokens => None,
    }
}

fn window_of(per: Per) -> AllowanceWindow {
    match per {
        Per::Minute => AllowanceWindow::Minute,
        Per::Hour => AllowanceWindow::Hour,
        Per::Day => AllowanceWindow::Day,
        Per::Month => AllowanceWindow::Month,
    }
}

impl Learner {
    pub(super) fn new(
        inbox: Receiver<Lesson>,
        ledger: Arc<Ledger>,
        metrics: Arc<Metrics>,
        view: View,
        clock: Clock,
    ) -> Self {
        Self {
            inbox,
            ledger,
            metrics,
            view,
            clock,
            said: HashMap::new(),
        }
    }

    /// Learns until the process ends.
    pub async fn run(mut self, outbox: Outbox) {
        let mut shown = interval(SHOWN);
        shown.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lessons = Vec::new();
        loop {
            tokio::select! {
                _ = shown.tick() => self.show().await,
                count = self.inbox.recv_many(&mut lessons, WAITING) => {
                    if count == 0 {
                        return;
                    }
                    tokio::time::sleep(GATHERED).await;
                    while let Ok(lesson) = self.inbox.try_recv() {
                        lessons.push(lesson);
                    }
                    self.learn(&lessons, &outbox).await;
                    lessons.clear();
                }
            }
        }
    }

    async fn learn(&mut self, lessons: &[Lesson], outbox: &Outbox) {
        let told: Vec<Told> = lessons.iter().flat_map(Lesson::corrections).collect();
        if !told.is_empty() && self.ledger.correct_allowances(&told).await.is_err() {
            tracing::debug!("what providers say is left was not heard");
        }
        let now = Instant::now();
        self.said
            .retain(|_, (_, at)| now.duration_since(*at) < SAID);
        let mut words: HashMap<Of, u64> = HashMap::new();
        for word in lessons.iter().flat_map(Lesson::words) {
            let known = self.said.get(&word.of).map(|(amount, _)| *amount);
            if known < Some(word.amount) {
                self.said.insert(word.of, (word.amount, now));
                words.insert(word.of, word.amount);
            }
        }
        let words: Vec<Word> = words
            .into_iter()
            .map(|(of, amount)| Word { of, amount })
            .collect();
        if let Err(error) = outbox.put(&words).await {
            tracing::debug!(error = %error, "what providers say was not laid down");
        }
    }

    /// Shows what is left of the platform's allowances: of each count the longest window's.
    async fn show(&self) {
        let view = self.view.load_full();
        let pools = pools(&view.catalog.offers);
        let asked = pools.iter().map(|(.., limit)| Told {
            limit: limit.clone(),
            left: None,
            reset: None,
            at: self.clock.now(),
        });
        let asked: Vec<Told> = asked.collect();
        let Ok(left) = self.ledger.correct_allowances(&asked).await else {
            return;
        };
        let mut sums: HashMap<(&str, &'static str), u64> = HashMap::new();
        for ((provider, unit, limit), left) in pools.iter().zip(left) {
            // Nobody has counted yet: all of it is left.
            let sum = sums.entry((provider.as_str(), *unit)).or_default();
            *sum = sum.saturating_add(left.unwrap_or(limit.amount));
        }
        let rows = sums
            .into_iter()
            .map(|((provider, unit), sum)| (provider, unit, sum));
        self.metrics.show_allowances(rows);
    }
}

/// Lists the counts of the platform's allowances, each once: provider, unit, and the longest window's limit.
fn pools(offers: &[Arc<Offer>]) -> Vec<(String, &'static str, Limit)> {
    let mut seen = HashSet::new();
    let mut pools = Vec::new();
    let of_platform = offers
        .iter()
        .filter(|offer| offer.organization_id.is_none());
    for offer in of_platform {
        let provider = &offer.provider;
        let keys = provider.credentials.iter();
        let keys = keys.filter(|key| key.organization_id.is_none());
        let mut keys: Vec<Option<CredentialId>> = keys.map(|key| Some(key.id)).collect();
        if keys.is_empty() {
            keys.push(None);
        }
        for meter in [
            AllowanceMeter::Requests,
            AllowanceMeter::Tokens,
            AllowanceMeter::Credits,
        ] {
            let of_meter = offer.allowances.iter().filter(|one| one.meter == meter);
            let Some(longest) = of_meter.max_by_key(|one| one.window as u8) else {
                continue;
            };
            for key in &keys {
                let limit = as_limit(longest, *key, offer.id);
                if seen.insert((limit.id, limit.subject)) {
                    pools.push((provider.name.clone(), unit(meter), limit));
                }
            }
        }
    }
    pools
}

const fn unit(meter: AllowanceMeter) -> &'static str {
    match meter {
        AllowanceMeter::Requests => "requests",
        AllowanceMeter::Tokens => "tokens",
        AllowanceMeter::Credits => "nano_usd",
    }
}

impl std::fmt::Debug for Learner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learner").finish_non_exhaustive()
    }
}
