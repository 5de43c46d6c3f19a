//! The data path. One file per step.
