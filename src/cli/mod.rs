//! Sub-commands; one file each. The composition roots.

use std::process::ExitCode;

/// Runs the command the arguments name.
#[must_use]
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
