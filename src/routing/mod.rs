//! Which offer answers. No I/O outside `store.rs`.
