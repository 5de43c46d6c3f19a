//! What is wrong with a setting: where, what, and the mend.

use std::fmt;

/// One fault of the configuration, told so that its reader can mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting's path, such as `proxy.listen`.
    pub path: String,
    /// What is wrong; never the value of a secret.
    pub what: String,
    /// What to do about it.
    pub mend: String,
}

impl Fault {
    /// Makes a fault of the setting `path`.
    pub fn new(path: impl Into<String>, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            what: what.into(),
            mend: mend.into(),
        }
    }

    /// Returns the fault with its path below `section`.
    #[must_use]
    pub fn under(mut self, section: &str) -> Self {
        self.path = format!("{section}.{}", self.path);
        self
    }

    /// Returns a fault for `value` unless it lies in `range`.
    pub fn unless_within<T>(
        path: &str,
        value: T,
        range: std::ops::RangeInclusive<T>,
    ) -> Option<Self>
    where
        T: PartialOrd + fmt::Display,
    {
        let what = format!("{value} is out of range");
        let mend = format!("give {} to {}", range.start(), range.end());
        (!range.contains(&value)).then(|| Self::new(path, what, mend))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.path, self.what, self.mend)
    }
}
