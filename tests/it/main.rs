//! What Synaxis promises, in one binary.

mod usage;
