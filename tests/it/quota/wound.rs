//! A ledger whose clock the test winds, over the real scripts and a real Redis.

use std::sync::atomic::{AtomicI64, Ordering};

use synaxis::{
    base::Moment,
    quota::{Scripts, Settings},
};

use super::{Place, TestProxy};

/// A Redis whose scripts go by a clock the test winds.
pub struct Wound {
    pub proxy: TestProxy,
    connection: std::sync::Mutex<redis::Connection>,
    key: String,
    now: AtomicI64,
}

impl Wound {
    pub fn new(start: Moment) -> Self {
        let mut place = Place::shared();
        place.settings = Settings {
            rebuild_grace_ms: 0,
            ..Settings::default()
        };
        let key = format!("{}clock", place.prefix);
        let client = redis::Client::open(place.url.as_str()).expect("an address");
        let connection = client.get_connection().expect("a connection");
        let line = format!("local now = tonumber(redis.call('GET', '{key}'))");
        let scripts = Scripts::with_clock(&line);
        let wound = Self {
            connection: std::sync::Mutex::new(connection),
            now: AtomicI64::new(start.millis()),
            proxy: place.proxy_with(scripts.wound()),
            key,
        };
        wound.wind(0);
        wound
    }

    pub fn now(&self) -> Moment {
        Moment::from_millis(self.now.load(Ordering::Relaxed))
    }

    /// Goes on by so many milliseconds.
    pub fn wind(&self, millis: i64) {
        self.now.fetch_add(millis, Ordering::Relaxed);
        let mut connection = self.connection.lock().expect("the connection");
        redis::cmd("SET")
            .arg(&self.key)
            .arg(self.now().millis())
            .exec(&mut connection)
            .expect("a wound clock");
    }
}
