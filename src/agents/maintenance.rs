//! Keeps the books in order: months ahead, what is due dropped, what has run out forgotten, everything held against
//! what it was made of.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use super::{Agent, Fault, Report, Waking, tools::books};
use crate::{
    control::retention,
    tenancy::{Permission, Permissions},
};

/// What keeps the books in order.
#[derive(Clone, Debug)]
pub struct Maintenance {
    /// What is kept and for how long.
    pub retention: retention::Settings,
    /// How long attempts to sign in are kept.
    pub attempts_kept: Duration,
}

#[derive(Debug, Serialize)]
struct Found {
    /// Absent in a dry run, and while another process is at it.
    retention: Option<retention::Report>,
    people_rows_forgotten: i64,
    answers_forgotten: i64,
    faults: books::Faults,
}

#[async_trait]
impl Agent for Maintenance {
    fn name(&self) -> &'static str {
        "maintenance"
    }

    fn permissions(&self) -> Permissions {
        [
            Permission::AuditRead,
            Permission::SecurityRead,
            Permission::UsageRead,
        ]
        .into_iter()
        .collect()
    }

    async fn wake(&self, waking: &Waking) -> Result<Report, Fault> {
        Report::of(&Found {
            retention: books::keep_retention(waking, &self.retention).await?,
            people_rows_forgotten: books::forget_people(waking, self.attempts_kept).await?,
            answers_forgotten: books::forget_answers(waking).await?,
            faults: books::add_up(waking).await?,
        })
    }
}
