//! Organizations, groups, members.
