//! The ledger: holds calls to every limit at once, in Redis, in one round trip.
//!
//! Closed for money and for whatever it does not know: a Redis that is away, or whose memory is not rebuilt yet,
//! admits nothing (`degraded.rs` says what an operator may loosen).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, timeout_at},
};
use uuid::Uuid;

use super::{
    Actual, Ask, Bid, Hold, Limit, Settings,
    calendar::Calendar,
    degraded::{Breaker, LocalShare, WhenAway},
    desk::{Account, Desk},
    form::Form,
    hold::{Counters, End, Ending},
    script::{self, Reply, Scripts},
    seed::Wanted,
    slices::{Order, Slice, Slices},
    store::Books,
};
use crate::{
    base::{Moment, OrganizationId, RequestId},
    store::redis::{Call, Link, Redis, RedisError, Unready},
};

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Calls, tokens or nano-dollars.
    pub remaining: u64,
    /// Until all of it is back; zero for what is in flight.
    pub reset: Duration,
}

/// What becomes of a call.
#[derive(Debug)]
pub enum Decision {
    /// It is held.
    Held {
        /// What must be settled or cancelled.
        hold: Hold,
        /// Which bid fits, from 0.
        bid: usize,
        /// What is left of each of the tenant's limits; empty when none was asked.
        standings: Vec<Standing>,
    },
    /// A limit of the tenant has no room.
    Denied {
        /// Which, from 0.
        limit: usize,
        /// How long until the same call fits, if nobody else comes.
        wait: Duration,
        /// What is left of each of the tenant's limits.
        standings: Vec<Standing>,
    },
    /// The tenant has room, but every candidate's allowance is used up.
    Full {
        /// How long until the first candidate has room.
        wait: Duration,
    },
    /// The call is larger than a limit ever permits.
    TooLarge {
        /// Which limit of the tenant, from 0.
        limit: usize,
    },
}

/// What becomes of a hold whose candidate failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Adjusted {
    /// It is moved.
    Held {
        /// Which bid fits, from 0.
        bid: usize,
    },
    /// A limit of the tenant has no room; the hold is as it was.
    Denied {
        /// Which, from 0.
        limit: usize,
        /// How long until the same call fits.
        wait: Duration,
    },
    /// Every candidate's allowance is used up; the hold is as it was.
    Full {
        /// How long until the first candidate has room.
        wait: Duration,
    },
}

/// Why nothing can be decided. Never the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// Redis did not answer.
    #[error("the limits' store cannot be asked")]
    Redis(#[from] RedisError),
    /// Redis did not answer others a moment ago and was not asked.
    #[error("the limits' store does not answer")]
    Shut,
    /// Redis lost its memory and is not rebuilt yet.
    #[error("the limits are being rebuilt")]
    Rebuilding,
    /// What was spent is unknown, and the books cannot be read.
    #[error("what was spent is unknown")]
    Books,
    /// The hold, or a call of the same id, had ended before.
    #[error("the call had ended before")]
    Ended,
}

/// Which memory of Redis this proxy goes by.
#[derive(Clone, Debug, Default)]
pub(super) struct Epoch {
    pub(super) id: u64,
    pub(super) server: String,
    /// Everything that is not in the books was asserted in it.
    pub(super) is_ready: bool,
}

impl Epoch {
    /// Returns what the scripts compare.
    pub(super) fn token(&self) -> String {
        format!("{}:{}:", self.id, self.server)
    }
}

/// Holds calls to their limits. One per process; `run` must run beside it.
pub struct Ledger {
    pub(super) settings: Settings,
    pub(super) redis: Redis,
    pub(super) books: Arc<dyn Books>,
    pub(super) scripts: Scripts,
    pub(super) calendar: Calendar,
    pub(super) desk: Arc<Desk>,
    pub(super) breaker: Breaker,
    pub(super) epoch: ArcSwap<Epoch>,
    pub(super) epoch_changed: Notify,
    pub(super) beat_wanted: Notify,
    pub(super) wanted: mpsc::UnboundedSender<Wanted>,
    pub(super) slices: Slices,
    pub(super) orders: mpsc::UnboundedSender<Order>,
    pub(super) spent: mpsc::UnboundedSender<Arc<Slice>>,
    pub(super) inbox: Mutex<Option<Inbox>>,
    /// Whether it was said that Redis fails, or that the books cannot be read.
    pub(super) is_complaining: AtomicBool,
    pub(super) misses_books: AtomicBool,
    local: LocalShare,
    /// By how much counters of money were off when they were last compared.
    pub(super) drift: AtomicU64,
    /// The other proxies know of this one, so none lowers what it holds.
    pub(super) is_known: AtomicBool,
    /// The limit the last round of reconciling came to.
    pub(super) reconciled_to: Mutex<Uuid>,
}

/// What `run` reads.
pub(super) struct Inbox {
    pub(super) endings: mpsc::UnboundedReceiver<Ending>,
    pub(super) wanted: mpsc::UnboundedReceiver<Wanted>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) spent: mpsc::UnboundedReceiver<Arc<Slice>>,
}

/// A script's answer to an admission or an adjustment.
pub(super) enum Answer {
    Held {
        bid: usize,
        at: Moment,
        epoch: u64,
        shadowed: u64,
        standings: Vec<Standing>,
    },
    Denied {
        limit: Option<usize>,
        wait: Duration,
        standings: Vec<Standing>,
    },
    Full {
        wait: Duration,
    },
    TooLarge {
        limit: usize,
    },
    Unknown,
}

/// Why a script did not answer the question.
pub(super) enum Obstacle {
    Epoch,
    Closed(Duration),
    Unseeded(Moment, Vec<usize>),
    Clock(Moment),
}

impl Ledger {
    /// Makes a ledger; nothing is connected before it is used.
    #[must_use]
    pub fn new(settings: Settings, redis: Redis, books: Arc<dyn Books>) -> Arc<Self> {
        Self::with_scripts(settings, redis, books, Scripts::default())
    }

    /// Makes a ledger with other scripts: see [`Scripts::with_clock`].
    #[must_use]
    pub fn with_scripts(
        settings: Settings,
        redis: Redis,
        books: Arc<dyn Books>,
        scripts: Scripts,
    ) -> Arc<Self> {
        let (desk, endings) = Desk::new(settings.most_unbooked);
        let (wanted, wanted_inbox) = mpsc::unbounded_channel();
        let (orders, orders_inbox) = mpsc::unbounded_channel();
        let (spent, spent_inbox) = mpsc::unbounded_channel();
        Arc::new(Self {
            slices: Slices::new(settings.most_sliced),
            orders,
            spent,
            settings,
            redis,
            books,
            scripts,
            calendar: Calendar::default(),
            desk,
            breaker: Breaker::default(),
            epoch: ArcSwap::default(),
            epoch_changed: Notify::new(),
            beat_wanted: Notify::new(),
            wanted,
            inbox: Mutex::new(Some(Inbox {
                endings,
                wanted: wanted_inbox,
                orders: orders_inbox,
                spent: spent_inbox,
            })),
            is_complaining: AtomicBool::new(false),
            misses_books: AtomicBool::new(false),
            local: LocalShare::default(),
            drift: AtomicU64::new(0),
            is_known: AtomicBool::new(true),
            reconciled_to: Mutex::default(),
        })
    }

    /// Holds a call to all its limits and to the first candidate that fits; all or nothing, in one round trip.
    ///
    /// A call with no limit whose first bid has no charge of its own is held without asking Redis, and so is one that
    /// finds a slice of its kind.
    ///
    /// # Errors
    /// When the limits cannot be asked; nothing is held then.
    pub async fn admit(&self, ask: Ask<'_>) -> Result<Decision, Unavailable> {
        if ask.limits.is_empty() && ask.bids.first().is_some_and(|bid| bid.own.is_empty()) {
            let hold = Hold::empty(ask.id, ask.organization);
            return Ok(Decision::Held {
                hold,
                bid: 0,
                standings: Vec::new(),
            });
        }
        if let Some(decision) = self.find_slice(&ask) {
            return Ok(decision);
        }
        // Boxed: most calls never come here, and all would carry it.
        Box::pin(self.admit_exactly(ask)).await
    }

    /// Asks Redis.
    pub(super) async fn admit_exactly(&self, ask: Ask<'_>) -> Result<Decision, Unavailable> {
        let form = Form::new(ask.id, ask.organization, ask.limits, ask.bids);
        let _passing = self.desk.watch.pass();
        match self.ask(&form, ask.now).await {
            Ok(Answer::Held {
                bid,
                at,
                epoch,
                shadowed,
                standings,
            }) => {
                Counters::add(&self.desk.counters.shadowed, shadowed);
                let hold = self.open(&form, bid, at, epoch).await?;
                self.learn(&ask, bid, &standings);
                Ok(Decision::Held {
                    hold,
                    bid,
                    standings,
                })
            }
            Ok(Answer::Denied {
                limit,
                wait,
                standings,
            }) => Ok(Decision::Denied {
                limit: limit.unwrap_or_default(),
                wait,
                standings,
            }),
            Ok(Answer::Full { wait }) => Ok(Decision::Full { wait }),
            Ok(Answer::TooLarge { limit }) => Ok(Decision::TooLarge { limit }),
            Ok(Answer::Unknown) => Err(Unavailable::Ended),
            Err(unavailable) => self.share(&ask, unavailable),
        }
    }

    /// Moves a hold to the first of other candidates that fits, after its own failed.
    ///
    /// `spent` is what the failed attempt used, or may have: the old candidate keeps exactly that, the tenant's charges
    /// become what all failed attempts used plus the new bid. When nothing fits the hold stays as it was; settle it
    /// with what its last attempt used. `limits` are those of the admission.
    ///
    /// # Errors
    /// When the limits cannot be asked.
    pub async fn adjust(
        &self,
        hold: &mut Hold,
        limits: &[Limit],
        spent: &Actual,
        bids: &[Bid],
        now: Moment,
    ) -> Result<Adjusted, Unavailable> {
        if hold.is_of_slice() {
            return self.leave_slice(hold, limits, spent, bids, now).await;
        }
        let Some(account) = self.desk.account(hold.id()) else {
            return self.adjust_nothing(hold, limits, bids, now).await;
        };
        let failed = spent.after(account.failed);
        let _passing = self.desk.watch.pass();
        let mut form = Form::new(hold.id(), account.organization, limits, bids);
        form.move_from(*spent, failed);
        for _ in 0..2 {
            match self.ask(&form, now).await? {
                Answer::Held { bid, epoch, .. } => {
                    let charges = form.charges(bid);
                    self.desk.moved(hold.id(), charges, failed, &self.calendar);
                    self.assert_if_other_than(epoch, hold.id()).await?;
                    return Ok(Adjusted::Held { bid });
                }
                Answer::Denied { limit, wait, .. } => {
                    return Ok(Adjusted::Denied {
                        limit: limit.unwrap_or_default(),
                        wait,
                    });
                }
                Answer::Full { wait } => return Ok(Adjusted::Full { wait }),
                Answer::TooLarge { limit } => {
                    return Ok(Adjusted::Denied {
                        limit,
                        wait: Duration::from_hours(24),
                    });
                }
                // Redis forgot it between two beats.
                Answer::Unknown => self.assert_unbooked(&[hold.id()]).await?,
            }
        }
        Err(Unavailable::Rebuilding)
    }

    /// A hold that is empty can only get charges of its candidates.
    async fn adjust_nothing(
        &self,
        hold: &mut Hold,
        limits: &[Limit],
        bids: &[Bid],
        now: Moment,
    ) -> Result<Adjusted, Unavailable> {
        let ask = Ask {
            id: hold.id(),
            organization: hold.organization(),
            limits,
            bids,
            now,
        };
        Ok(match self.admit_exactly(ask).await? {
            Decision::Held { hold: new, bid, .. } => {
                *hold = new;
                Adjusted::Held { bid }
            }
            Decision::Denied { limit, wait, .. } => Adjusted::Denied { limit, wait },
            Decision::Full { wait } => Adjusted::Full { wait },
            Decision::TooLarge { limit } => Adjusted::Denied {
                limit,
                wait: Duration::from_hours(24),
            },
        })
    }

    /// Ends a hold with what the call's last attempt used; what earlier attempts used was told to [`Self::adjust`].
    ///
    /// Never waits: it is told to Redis in the background, in batches, again and again until it is heard.
    pub fn settle(&self, hold: Hold, actual: Actual) {
        hold.end(End::Used(actual));
    }

    /// Ends a hold of a call that used nothing and does not count.
    pub fn cancel(&self, hold: Hold) {
        hold.end(End::Cancelled);
    }

    /// Notes that the books know the call, so that it need not be asserted again.
    pub fn booked(&self, id: RequestId) {
        self.desk.booked(id);
    }

    /// Returns what is left of each limit, changing nothing.
    ///
    /// # Errors
    /// When the limits cannot be asked.
    pub async fn peek(
        &self,
        organization: OrganizationId,
        limits: &[Limit],
        now: Moment,
    ) -> Result<Vec<Standing>, Unavailable> {
        if limits.is_empty() {
            return Ok(Vec::new());
        }
        let form = Form::new(RequestId(Uuid::nil()), organization, limits, &[]);
        match self.ask(&form, now).await? {
            Answer::Denied { standings, .. } | Answer::Held { standings, .. } => Ok(standings),
            Answer::Full { .. } | Answer::TooLarge { .. } | Answer::Unknown => {
                Err(RedisError::Garbled.into())
            }
        }
    }

    /// Returns how many holds are open.
    #[must_use]
    pub fn open_holds(&self) -> usize {
        self.desk.open_holds()
    }

    /// Returns what the ledger counts about itself.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.desk.counters
    }

    /// Says whether limits can be enforced now.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), Unready> {
        self.redis.ready().await
    }

    fn share(&self, ask: &Ask<'_>, unavailable: Unavailable) -> Result<Decision, Unavailable> {
        let WhenAway::LocalShare = self.settings.when_away else {
            return Err(unavailable);
        };
        let proxies = self.settings.proxies;
        let bid = self
            .local
            .admit(ask.organization, ask.limits, ask.bids, ask.now, proxies);
        let bid = bid.ok_or(unavailable)?;
        Ok(Decision::Held {
            hold: Hold::empty(ask.id, ask.organization),
            bid,
            standings: Vec::new(),
        })
    }

    /// Opens the account of a call Redis has just admitted.
    pub(super) async fn open(
        &self,
        form: &Form<'_>,
        bid: usize,
        at: Moment,
        epoch: u64,
    ) -> Result<Hold, Unavailable> {
        let account = Account::new(form.organization, at, form.charges(bid));
        self.desk.open(form.id, account);
        let hold = Hold::of(form.id, form.organization, Arc::clone(&self.desk));
        match self.assert_if_other_than(epoch, form.id).await {
            Ok(()) => Ok(hold),
            Err(unavailable) => {
                self.cancel(hold);
                Err(unavailable)
            }
        }
    }

    /// Asserts a hold when an epoch began while it was being admitted: the others may have been asserted before it
    /// had its account.
    async fn assert_if_other_than(&self, epoch: u64, id: RequestId) -> Result<(), Unavailable> {
        if self.epoch.load().id == epoch {
            return Ok(());
        }
        self.assert_unbooked(&[id]).await
    }

    /// Asks until there is an answer, past everything that can be mended meanwhile.
    pub(super) async fn ask(&self, form: &Form<'_>, now: Moment) -> Result<Answer, Unavailable> {
        let until = Instant::now() + Duration::from_millis(self.settings.rebuild_patience_ms);
        let mut now = now;
        while Instant::now() < until {
            match self.ask_once(form, now).await? {
                Ok(answer) => return Ok(answer),
                Err(Obstacle::Clock(theirs)) => now = theirs,
                Err(Obstacle::Epoch) => self.wait_for_epoch(until).await,
                Err(Obstacle::Closed(wait)) => {
                    if until < Instant::now() + wait {
                        break;
                    }
                    sleep(wait).await;
                }
                Err(Obstacle::Unseeded(at, lines)) => {
                    let limits = form.limits(&lines);
                    timeout_at(until, self.seed(form.organization, limits, at))
                        .await
                        .map_err(|_| Unavailable::Rebuilding)??;
                }
            }
        }
        Err(Unavailable::Rebuilding)
    }

    pub(super) async fn ask_once(
        &self,
        form: &Form<'_>,
        now: Moment,
    ) -> Result<Result<Answer, Obstacle>, Unavailable> {
        let link = self.link().await?;
        let epoch = self.epoch.load_full();
        let is_known = self.is_known.load(Ordering::Acquire);
        if !is_known || !epoch.is_ready || epoch.server != link.server {
            return Ok(Err(Obstacle::Epoch));
        }
        let call = self.write_admission(form, &epoch, now);
        let reply = match self.run_script(&link, &call).await {
            Ok(reply) => reply,
            Err(error) => {
                if !matches!(
                    error,
                    Unavailable::Redis(RedisError::Refused(_)) | Unavailable::Shut
                ) {
                    self.regret(form);
                }
                return Err(error);
            }
        };
        tracing::trace!(exchange.id = %form.id, number = reply.number, kind = reply.kind(), "decided");
        read_answer(&reply, epoch.id, form).ok_or_else(|| RedisError::Garbled.into())
    }

    /// Undoes an admission that may have happened. An adjustment is not undone: its hold is settled anyway.
    fn regret(&self, form: &Form<'_>) {
        if form.is_move() {
            self.desk.watch.doubt(form.id);
        } else if !form.bids.is_empty() {
            self.desk.void(form.organization, form.id);
        }
    }

    fn write_admission(&self, form: &Form<'_>, epoch: &Epoch, now: Moment) -> Call<'_> {
        script::with_scratch(|scratch| {
            let names = self.redis.names();
            let keys = form.lines.len() + 3;
            let mut call = Call::new(&self.scripts.admit, keys, keys * 96 + 256);
            script::push_epoch(&mut call, &self.redis, &mut scratch.name);
            names.hold(&mut scratch.name, form.organization, form.id);
            call.push(&scratch.name);
            for line in &form.lines {
                line.counter
                    .name(names, self.settings.lease_ms, &mut scratch.name);
                call.push(&scratch.name);
            }
            form.write(
                self.settings.lease_ms,
                &self.calendar,
                now,
                &mut scratch.numbers,
            );
            call.push(&epoch.token());
            call.push(scratch.numbers.finish());
            call
        })
    }

    /// Wakes the beat and waits until it has found which epoch this is.
    async fn wait_for_epoch(&self, until: Instant) {
        let changed = self.epoch_changed.notified();
        self.beat_wanted.notify_one();
        // A change between the answer and this wait is found by asking again soon.
        let soon = until.min(Instant::now() + Duration::from_millis(self.settings.beat_ms()));
        let _ = timeout_at(soon, changed).await;
    }

    async fn link(&self) -> Result<Arc<Link>, Unavailable> {
        if !self.breaker.permits() {
            return Err(Unavailable::Shut);
        }
        let link = self.redis.link(self.redis.deadline()).await;
        link.map_err(|error| self.failed(error))
    }

    /// Runs a script within the deadline and tells the breaker how it went.
    pub(super) async fn run_script(
        &self,
        link: &Link,
        call: &Call<'_>,
    ) -> Result<Reply, Unavailable> {
        match self.redis.run(link, call, self.redis.deadline()).await {
            Ok(reply) => {
                self.heard();
                Ok(Reply::of(reply)?)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(super) fn heard(&self) {
        self.breaker.heard();
        if self.is_complaining.swap(false, Ordering::Relaxed) {
            tracing::info!("redis answers again");
        }
    }

    /// Counts a failure; says so once, not once per call.
    pub(super) fn failed(&self, error: RedisError) -> Unavailable {
        Counters::add(&self.desk.counters.redis_errors, 1);
        match error {
            RedisError::Late => self.breaker.silent(),
            RedisError::Unreachable(_) => self.breaker.failed(),
            RedisError::Address(_) | RedisError::Refused(_) | RedisError::Garbled => {}
        }
        if !self.is_complaining.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = &error as &dyn std::error::Error, "redis fails");
        }
        Unavailable::Redis(error)
    }
}

/// Reads what an admission's script answered; nothing when it makes no sense.
fn read_answer(reply: &Reply, epoch: u64, form: &Form<'_>) -> Option<Result<Answer, Obstacle>> {
    let tenant_limit = |number: i64| usize::try_from(number - 1).ok();
    Some(match reply.numbers.as_slice() {
        [script::HELD, bid, shadowed, standings @ ..] => Ok(Answer::Held {
            shadowed: u64::try_from(*shadowed).unwrap_or_default(),
            bid: usize::try_from(bid - 1)
                .ok()
                .filter(|bid| *bid < form.bids.len())?,
            at: reply.at,
            epoch,
            standings: read_standings(standings),
        }),
        [script::DENIED, limit, wait, standings @ ..] => Ok(Answer::Denied {
            limit: tenant_limit(*limit),
            wait: millis(*wait),
            standings: read_standings(standings),
        }),
        [script::FULL, _, wait, ..] => Ok(Answer::Full {
            wait: millis(*wait),
        }),
        [script::TOO_LARGE, limit, ..] => Ok(Answer::TooLarge {
            limit: tenant_limit(*limit)?,
        }),
        [script::OTHER_EPOCH] => Err(Obstacle::Epoch),
        [script::CLOSED, wait] => Err(Obstacle::Closed(millis(*wait))),
        [script::UNSEEDED, lines @ ..] => {
            let lines = lines
                .iter()
                .filter_map(|line| tenant_limit(*line))
                .collect();
            Err(Obstacle::Unseeded(reply.at, lines))
        }
        [script::CLOCK] => Err(Obstacle::Clock(reply.at)),
        [script::ENDED] | [script::UNKNOWN_HOLD] => Ok(Answer::Unknown),
        _ => return None,
    })
}

fn read_standings(numbers: &[i64]) -> Vec<Standing> {
    let (pairs, _) = numbers.as_chunks::<2>();
    let standing = |[remaining, reset]: &[i64; 2]| Standing {
        remaining: u64::try_from(*remaining).unwrap_or_default(),
        reset: millis(*reset),
    };
    pairs.iter().map(standing).collect()
}

fn millis(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or_default())
}
