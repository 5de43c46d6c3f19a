//! What was spent reaches the books once, whatever dies on the way.

mod books;
mod crash;
mod database;
mod entries;
mod flush;
mod spent;
mod spool;
