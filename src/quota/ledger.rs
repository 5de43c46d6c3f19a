//! The ledger: holds calls to every limit at once, in Redis, in one round trip.
//!
//! Closed for money and for whatever it does not know: a Redis that is away, or whose memory is not rebuilt yet,
//! admits nothing (`degraded.rs` says what an operator may loosen).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::{
    Actual, Adjusted, Ask, Bid, Decision, Hold, Limit, Policy, Remark, Settings, Standing,
    Unavailable,
    answer::Answer,
    calendar::Calendar,
    degraded::{Breaker, LocalShare, Reserves},
    desk::Desk,
    form::Form,
    hold::{Counters, End, Ending},
    refund::Refund,
    script::Scripts,
    seed::Wanted,
    slices::{Order, Slice, Slices},
    store::Books,
    switch::Reach,
};
use crate::{
    base::{Moment, OrganizationId, RequestId},
    store::redis::{Redis, RedisError, Unready},
};

/// Which memory of Redis this proxy goes by.
#[derive(Clone, Debug, Default)]
pub(super) struct Epoch {
    pub(super) id: u64,
    pub(super) server: String,
    /// By how much rings and leases lag behind its clock, in milliseconds: what that jumped.
    pub(super) shift_ms: i64,
    /// Everything that is not in the books was asserted in it.
    pub(super) is_ready: bool,
}

impl Epoch {
    /// Returns what the scripts compare.
    pub(super) fn token(&self) -> String {
        format!("{}:{}:{}:", self.id, self.server, self.shift_ms)
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
    /// Redis would evict counters when its memory is short.
    pub(super) is_evicting: AtomicBool,
    pub(super) epoch: ArcSwap<Epoch>,
    pub(super) epoch_changed: Notify,
    pub(super) beat_wanted: Notify,
    pub(super) wanted: mpsc::UnboundedSender<Wanted>,
    pub(super) slices: Slices,
    pub(super) orders: mpsc::UnboundedSender<Order>,
    pub(super) spent: mpsc::UnboundedSender<Arc<Slice>>,
    pub(super) refunds: mpsc::UnboundedSender<Refund>,
    pub(super) inbox: Mutex<Option<Inbox>>,
    /// Whether it was said that Redis fails, or that the books cannot be read.
    pub(super) is_complaining: AtomicBool,
    pub(super) misses_books: AtomicBool,
    pub(super) local: Arc<LocalShare>,
    pub(super) reserves: Reserves,
    /// The switch of all limits.
    pub(super) is_enforced: AtomicBool,
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
    pub(super) refunds: mpsc::UnboundedReceiver<Refund>,
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
        let (refunds, refunds_inbox) = mpsc::unbounded_channel();
        let reserves = Reserves::new(settings.reserve_permille);
        Arc::new(Self {
            slices: Slices::new(settings.most_sliced),
            orders,
            spent,
            refunds,
            settings,
            redis,
            books,
            scripts,
            calendar: Calendar::default(),
            desk,
            breaker: Breaker::default(),
            is_evicting: AtomicBool::new(false),
            epoch: ArcSwap::default(),
            epoch_changed: Notify::new(),
            beat_wanted: Notify::new(),
            wanted,
            inbox: Mutex::new(Some(Inbox {
                endings,
                wanted: wanted_inbox,
                orders: orders_inbox,
                spent: spent_inbox,
                refunds: refunds_inbox,
            })),
            is_complaining: AtomicBool::new(false),
            misses_books: AtomicBool::new(false),
            local: Arc::default(),
            reserves,
            is_enforced: AtomicBool::new(true),
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
                remark: None,
            });
        }
        let reach = self.reach(&ask);
        if reach != Reach::All {
            return Box::pin(self.admit_unenforced(ask, reach)).await;
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
                    remark: (0 < shadowed).then_some(Remark::Shadowed),
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
            Err(unavailable) => self.decide_alone(&ask, unavailable),
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
        let (limits, bids) = (hold.reach().limits(limits), hold.reach().bids(bids));
        let (limits, bids) = (&*limits, &*bids);
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
            policy: Policy::default(),
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
}
