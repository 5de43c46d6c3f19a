//! Walks a chain from its beginning to its end, and names the first row at which it does not hold.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use uuid::Uuid;

use super::{
    chain::{Keyed, Previous, Row, Verdict},
    key::AuditKeys,
};

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A row is gone.
    #[error("the row is missing")]
    Missing,
    /// Two rows claim one place.
    #[error("the row is there twice")]
    Repeated,
    /// What the row says is not what was written, or it hangs on another row.
    #[error("the row was altered")]
    Altered,
    /// The row has lost its hash.
    #[error("the row has no hash")]
    Unhashed,
    /// The row was hashed with a key this process was not given.
    #[error("the row is hashed with a key that is not ours")]
    OtherKey,
    /// A row stands where all rows had been let go.
    #[error("the row stands before the beginning of the chain")]
    BeforeBeginning,
    /// A row stands after the last one.
    #[error("the row stands after the end of the chain")]
    AfterEnd,
    /// The record of the chain's end is gone.
    #[error("the end of the chain is not recorded")]
    EndMissing,
    /// The record of the chain's end names another row than the last.
    #[error("the recorded end of the chain is not its last row")]
    EndAltered,
    /// Rows are said to be past their retention, but not by us.
    #[error("the beginning of the chain was moved")]
    BeginningForged,
    /// The chain ends before a checkpoint says it did.
    #[error("the chain was cut: a checkpoint vouches for the row")]
    RolledBack,
    /// The row is not the one a checkpoint saw.
    #[error("the row is not the one a checkpoint vouches for")]
    NotAsCheckpointed,
}

/// The first place at which a chain does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("seq {seq}: {kind}")]
pub struct Fault {
    /// The row's place.
    pub seq: i64,
    /// What is wrong.
    pub kind: Kind,
}

/// The recorded end of a chain, and its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last row's place.
    pub seq: i64,
    /// Its hash.
    pub hash: Option<Vec<u8>>,
    /// How many rows are older than the chain.
    pub unchained: i64,
    /// The last row that went past its retention; zero when none did.
    pub pruned_seq: i64,
    /// Its hash.
    pub pruned_hash: Option<Vec<u8>>,
    /// Who vouches for that.
    pub pruned_by: Option<Keyed>,
    /// The last row that a checkpoint outside the database vouches for.
    pub checkpoint_seq: i64,
}

/// What checkpoints vouch for of one chain: the hash of the row at each place. Two that differ cannot both be kept.
pub type Marks = BTreeMap<i64, BTreeSet<Option<Vec<u8>>>>;

/// What a chain that holds comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sound {
    /// How many rows were read.
    pub rows: i64,
    /// The first place that is still there; one more than the last when none is.
    pub first_seq: i64,
    /// The last place.
    pub last_seq: i64,
}

/// A walk along one chain, row after row in the order of their places.
#[derive(Debug)]
pub struct Walk<'a> {
    keys: &'a AuditKeys,
    organization: Option<Uuid>,
    head: Head,
    is_recorded: bool,
    marks: Marks,
    last: i64,
    last_hash: Option<Vec<u8>>,
    rows: i64,
}

impl<'a> Walk<'a> {
    /// Begins where the chain begins. `head` is `None` when nothing was ever written, or when its record is gone.
    ///
    /// # Errors
    /// When the beginning itself does not hold.
    pub fn begin(
        keys: &'a AuditKeys,
        organization: Option<Uuid>,
        head: Option<Head>,
        marks: Marks,
    ) -> Result<Self, Fault> {
        let is_recorded = head.is_some();
        if !is_recorded && !marks.is_empty() {
            return Err(fault(1, Kind::EndMissing));
        }
        let head = head.unwrap_or_default();
        judge_beginning(keys, organization, &head, &marks)?;
        Ok(Self {
            keys,
            organization,
            is_recorded,
            marks,
            last: head.pruned_seq,
            last_hash: head.pruned_hash.clone(),
            rows: 0,
            head,
        })
    }

    /// Goes one row on.
    ///
    /// # Errors
    /// When the row does not hold.
    pub fn step(&mut self, row: &Row) -> Result<(), Fault> {
        self.judge_place(row.seq)?;
        self.judge_hash(row)?;
        judge_marks(&self.marks, row.seq, row.hash.as_ref())?;
        self.last = row.seq;
        self.last_hash.clone_from(&row.hash);
        self.rows += 1;
        Ok(())
    }

    fn judge_place(&self, seq: i64) -> Result<(), Fault> {
        let next = self.last + 1;
        if !self.is_recorded {
            return Err(fault(seq, Kind::EndMissing));
        }
        if seq <= self.head.pruned_seq {
            return Err(fault(seq, Kind::BeforeBeginning));
        }
        if seq < next {
            return Err(fault(seq, Kind::Repeated));
        }
        if seq > next {
            return Err(fault(next, Kind::Missing));
        }
        if seq > self.head.seq {
            return Err(fault(seq, Kind::AfterEnd));
        }
        Ok(())
    }

    fn judge_hash(&self, row: &Row) -> Result<(), Fault> {
        let is_older_than_the_chain = row.seq <= self.head.unchained;
        if is_older_than_the_chain && row.hash.is_none() {
            return Ok(());
        }
        if row.hash.is_none() {
            return Err(fault(row.seq, Kind::Unhashed));
        }
        if is_older_than_the_chain || row.organization_id != self.organization {
            return Err(fault(row.seq, Kind::Altered));
        }
        let previous = match &self.last_hash {
            Some(hash) => Previous::Hash(hash.clone()),
            None => Previous::Beginning {
                unchained: self.last,
            },
        };
        match self.keys.judge(&previous, row) {
            Verdict::Holds => Ok(()),
            Verdict::Altered => Err(fault(row.seq, Kind::Altered)),
            Verdict::OtherKey => Err(fault(row.seq, Kind::OtherKey)),
        }
    }

    /// Ends after the last row.
    ///
    /// # Errors
    /// When the chain should go on, or its recorded end is another.
    pub fn end(self) -> Result<Sound, Fault> {
        let last = self.last;
        if self.marks.keys().any(|seq| *seq > self.head.seq) {
            return Err(fault(last + 1, Kind::RolledBack));
        }
        if last < self.head.seq {
            return Err(fault(last + 1, Kind::Missing));
        }
        if self.last_hash != self.head.hash {
            return Err(fault(last, Kind::EndAltered));
        }
        Ok(Sound {
            rows: self.rows,
            first_seq: self.head.pruned_seq + 1,
            last_seq: last,
        })
    }
}

fn judge_beginning(
    keys: &AuditKeys,
    organization: Option<Uuid>,
    head: &Head,
    marks: &Marks,
) -> Result<(), Fault> {
    if head.pruned_seq == 0 {
        return Ok(());
    }
    judge_marks(marks, head.pruned_seq, head.pruned_hash.as_ref())?;
    let hash = head.pruned_hash.as_deref();
    let verdict = head.pruned_by.as_ref().map_or(Verdict::Altered, |by| {
        keys.judge_pruned(organization, head.pruned_seq, hash, by)
    });
    match verdict {
        Verdict::Holds => Ok(()),
        Verdict::Altered => Err(fault(head.pruned_seq, Kind::BeginningForged)),
        Verdict::OtherKey => Err(fault(head.pruned_seq, Kind::OtherKey)),
    }
}

fn judge_marks(marks: &Marks, seq: i64, hash: Option<&Vec<u8>>) -> Result<(), Fault> {
    let differs = |mark: &Option<Vec<u8>>| mark.as_ref() != hash;
    match marks.get(&seq) {
        Some(seen) if seen.iter().any(differs) => Err(fault(seq, Kind::NotAsCheckpointed)),
        _ => Ok(()),
    }
}

const fn fault(seq: i64, kind: Kind) -> Fault {
    Fault { seq, kind }
}
