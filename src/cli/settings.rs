//! How every command is told its configuration.

use std::{io::Write, path::PathBuf, process::ExitCode};

use crate::config::{self, Config, Effective, Source};

/// The exit of a command whose configuration is faulty (`EX_CONFIG`).
pub const EXIT_CONFIG: u8 = 78;

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigArgs {
    /// The configuration file [default: conf/synaxis.toml, when it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting over file and environment, such as proxy.listen=0.0.0.0:8080
    #[arg(long = "set", global = true, value_name = "PATH=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// End when the process with this id ends
    #[arg(long, global = true, hide = true, value_name = "PID")]
    pub die_with_parent: Option<u32>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (path, value) = text.split_once('=').ok_or("write PATH=VALUE")?;
    Ok((path.trim().to_owned(), value.to_owned()))
}

impl ConfigArgs {
    /// Reads the configuration with all its faults.
    #[must_use]
    pub fn read(&self) -> Effective {
        config::read(&Source::of_process(
            self.config.clone(),
            self.settings.clone(),
        ))
    }

    /// Reads what a command needs that uses `sections`; all when none is named. Tells the faults itself.
    ///
    /// # Errors
    ///
    /// The exit of a command whose configuration is faulty.
    pub fn load(&self, sections: &[&str]) -> Result<Config, ExitCode> {
        self.read().accept(sections).map_err(|faults| {
            let _ = writeln!(std::io::stderr().lock(), "{faults}");
            ExitCode::from(EXIT_CONFIG)
        })
    }
}
