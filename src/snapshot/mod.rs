//! Everything the data path may read, in one immutable value.
