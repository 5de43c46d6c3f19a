//! One simulated provider: who it is, what goes wrong now, what each credential has used.

use std::{
    collections::HashMap,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    answer::Refusal,
    fault::{Effect, Faults},
    log::Log,
    settings::Settings,
    stats::{Counts, Stats},
    window::Window,
};
use crate::base::Clock;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One simulated provider.
#[derive(Debug)]
pub struct Provider {
    pub(super) settings: Settings,
    pub(super) counts: Counts,
    pub(super) log: Log,
    pub(super) clock: Clock,
    faults: RwLock<Faults>,
    used: Mutex<HashMap<String, Used>>,
    serial: AtomicU64,
}

/// What one credential has used.
#[derive(Debug)]
struct Used {
    rpm: Option<Window>,
    tpm: Option<Window>,
    rpd: Option<Window>,
}

/// Headers that tell where a limit stands.
pub(super) type Standings = Vec<(&'static str, String)>;

impl Provider {
    /// Makes a provider.
    ///
    /// # Errors
    /// When its log cannot be opened.
    pub fn new(settings: Settings) -> io::Result<Self> {
        Ok(Self {
            log: Log::open(settings.log.as_deref())?,
            faults: RwLock::new(settings.fault.clone()),
            counts: Counts::default(),
            clock: Clock::System,
            used: Mutex::default(),
            serial: AtomicU64::new(0),
            settings,
        })
    }

    /// Returns what it has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counts.read()
    }

    /// Changes what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Returns what goes wrong now.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn strike(&self, model: &str) -> Effect {
        self.faults().strike(model)
    }

    pub(super) fn refuses_connection(&self) -> bool {
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        self.faults().strike_connection()
    }

    /// Returns a number no other answer has.
    pub(super) fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the models it lists.
    pub(super) fn models(&self) -> Vec<String> {
        match self.settings.models.is_empty() {
            true => vec!["sim-small".to_owned(), "sim-large".to_owned()],
            false => self.settings.models.clone(),
        }
    }

    pub(super) fn has_model(&self, model: &str) -> bool {
        self.settings.models.is_empty() || self.settings.models.iter().any(|name| name == model)
    }

    pub(super) fn takes(&self, credential: &str) -> bool {
        let keys = &self.settings.require_keys;
        keys.is_empty() || keys.iter().any(|key| key.expose() == credential)
    }

    /// Counts a call against what its credential may use.
    pub(super) fn admit(
        &self,
        credential: &str,
        tokens: u64,
    ) -> Result<Standings, (Refusal, Standings)> {
        let now = Instant::now();
        let mut used = self.used();
        let used = used
            .entry(credential.to_owned())
            .or_insert_with(|| self.fresh());
        let wait = used.wait(tokens, now);
        match wait {
            None => {
                used.take(tokens, now);
                Ok(used.standings(now))
            }
            Some(wait) => {
                let refusal = Refusal::of_status(
                    429,
                    Some(wait.as_secs() + u64::from(0 < wait.subsec_nanos())),
                );
                Err((refusal, used.standings(now)))
            }
        }
    }

    fn used(&self) -> MutexGuard<'_, HashMap<String, Used>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> Used {
        let Settings { rpm, tpm, rpd, .. } = self.settings;
        Used {
            rpm: rpm.map(|limit| Window::new(limit, MINUTE)),
            tpm: tpm.map(|limit| Window::new(limit, MINUTE)),
            rpd: rpd.map(|limit| Window::new(limit, DAY)),
        }
    }
}

impl Used {
    fn wait(&mut self, tokens: u64, now: Instant) -> Option<Duration> {
        let wait = |window: &mut Option<Window>, amount| {
            window.as_mut().and_then(|window| window.wait(amount, now))
        };
        [
            wait(&mut self.rpm, 1),
            wait(&mut self.tpm, tokens),
            wait(&mut self.rpd, 1),
        ]
        .into_iter()
        .flatten()
        .max()
    }

    fn take(&mut self, tokens: u64, now: Instant) {
        for (window, amount) in [
            (&mut self.rpm, 1),
            (&mut self.tpm, tokens),
            (&mut self.rpd, 1),
        ] {
            if let Some(window) = window {
                window.take(amount, now);
            }
        }
    }

    fn standings(&self, now: Instant) -> Standings {
        let names = [
            (
                &self.rpm,
                [
                    "x-ratelimit-limit-requests",
                    "x-ratelimit-remaining-requests",
                    "x-ratelimit-reset-requests",
                ],
            ),
            (
                &self.tpm,
                [
                    "x-ratelimit-limit-tokens",
                    "x-ratelimit-remaining-tokens",
                    "x-ratelimit-reset-tokens",
                ],
            ),
            (
                &self.rpd,
                [
                    "x-ratelimit-limit-requests-day",
                    "x-ratelimit-remaining-requests-day",
                    "x-ratelimit-reset-requests-day",
                ],
            ),
        ];
        let mut standings = Vec::new();
        for (window, [limit_name, left_name, reset_name]) in names {
            if let Some((limit, left, reset)) = window.as_ref().map(|window| window.standing(now)) {
                standings.push((limit_name, limit.to_string()));
                standings.push((left_name, left.to_string()));
                standings.push((reset_name, format!("{}ms", reset.as_millis())));
            }
        }
        standings
    }
}
