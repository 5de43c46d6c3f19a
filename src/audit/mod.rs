//! Who changed what, provably.
