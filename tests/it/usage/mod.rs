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
mod held;
mod ledger;
mod spent;
mod spool;
