//! What people and operators may change: each change, its audit row and its event in one transaction.
