//! What was spent reaches the books once, whatever dies on the way.

/// Tells a figure to whoever reads the test's output.
macro_rules! figure {
    ($($words:tt)*) => {{
        use std::io::Write;
        // Nobody may be reading.
        let _ = writeln!(std::io::stderr().lock(), $($words)*);
    }};
}

mod books;
mod crash;
mod database;
mod entries;
mod flush;
mod full;
mod held;
mod killed;
mod leases;
mod ledger;
mod letters;
mod reconcile;
mod spent;
mod spool;
