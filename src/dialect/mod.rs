//! Wire languages, spoken on both sides.
