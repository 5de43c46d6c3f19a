//! Who runs where: the target alone on core 0, everything else on the others.

use std::thread;

/// Lists of cores, as `taskset -c` reads them.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    /// The target that is measured.
    pub(crate) target: String,
    /// wrk.
    pub(crate) load: String,
    /// The provider, Postgres, Redis.
    pub(crate) servers: String,
}

impl Cores {
    /// Divides this machine's cores.
    pub(crate) fn divide() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (load, servers) = match cores {
            1 => ("0".to_owned(), "0".to_owned()),
            2 => ("1".to_owned(), "1".to_owned()),
            _ => ("1".to_owned(), format!("2-{}", cores - 1)),
        };
        Self {
            target: "0".to_owned(),
            load,
            servers,
        }
    }
}
