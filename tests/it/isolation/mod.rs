//! One tenant never sees, changes or reaches another's rows, whatever the query forgets.

mod catalogue;
pub mod fixture;
mod holes;
mod rows;
mod stripped;
