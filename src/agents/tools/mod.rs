//! All an agent may do: each tool asks whether it may, acts or only tells what it would do, and leaves an audit entry.

pub mod alert;
pub mod audit;
pub mod books;
pub mod health;
pub mod models;
pub mod provider;
pub mod routing;
