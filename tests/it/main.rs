//! What Synaxis promises, in one binary.
