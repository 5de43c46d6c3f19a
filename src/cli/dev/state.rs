//! The state folder: one `synaxis dev` at a time, and what the next start must find again.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use rand::distr::{Alphanumeric, SampleString};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::base::Secret;

/// Bytes of a random password: 190 bits in letters and digits.
const PASSWORD_BYTES: usize = 32;

/// What a later start must find again. It holds secrets in plain text: the file is 0600.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    pub postgres_port: u16,
    pub postgres_password: String,
    pub proxy_password: String,
    pub admin_password: String,
    pub agent_password: String,
    pub redis_port: u16,
    pub redis_password: String,
    pub sealing_key: String,
    pub simulator_ports: Vec<u16>,
    pub simulator_keys: Vec<String>,
    pub organization_id: Option<String>,
    pub owner_email: Option<String>,
    pub owner_password: String,
    pub api_key: Option<String>,
}

impl Kept {
    /// Draws the secrets that are not there yet.
    fn complete(mut self) -> Self {
        let secrets = [
            &mut self.postgres_password,
            &mut self.proxy_password,
            &mut self.admin_password,
            &mut self.agent_password,
            &mut self.redis_password,
            &mut self.sealing_key,
            &mut self.owner_password,
        ];
        for secret in secrets.into_iter().filter(|secret| secret.is_empty()) {
            *secret = random_text();
        }
        self
    }
}

/// Finds the sealing key that a `synaxis dev` of this user keeps in `folder`.
#[must_use]
pub fn find_sealing_key(folder: &Path) -> Option<Secret> {
    let text = fs::read(folder.join("state.json")).ok()?;
    let kept: Kept = serde_json::from_slice(&text).ok()?;
    (!kept.sealing_key.is_empty()).then(|| Secret::new(kept.sealing_key))
}

/// Draws a password.
#[must_use]
pub fn random_text() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_BYTES)
}

/// The folder, locked for this process.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    _lock: File,
}

/// All that `--fresh` may delete: nothing else in the folder is ours.
const OURS: &[&str] = &[
    "dev.json",
    "state.json",
    "fleet.toml",
    "catalog.toml",
    "spool",
    "proxy",
    "redis",
    "log",
    "checkpoints",
];

impl StateFolder {
    /// Opens the folder, makes it when it is missing, and locks it.
    ///
    /// # Errors
    ///
    /// When another `synaxis dev` has it, or it cannot be written.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        // Others may pass through, so that the user who runs Postgres reaches its data; they can list nothing.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(path)
            .with_context(|| format!("the state folder {} cannot be made", path.display()))?;
        let path = path.canonicalize()?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .with_context(|| format!("the state folder {} cannot be written", path.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another synaxis dev uses {}: stop it, or name another --state-dir",
                path.display()
            );
        }
        let folder = Self { path, _lock: lock };
        folder.remove("dev.json")?;
        Ok(folder)
    }

    /// Returns the place of `name` in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.path
    }

    /// Makes the folder `name`, for this user alone, and returns its place.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn private_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)?;
        Ok(path)
    }

    /// Reads what an earlier start kept, and draws the secrets that are missing.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read.
    pub fn kept(&self) -> anyhow::Result<Kept> {
        let path = self.path("state.json");
        let kept = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is damaged: start once with --fresh", path.display())
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(kept.complete())
    }

    /// Keeps `kept` for the next start.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn keep(&self, kept: &Kept) -> anyhow::Result<()> {
        self.write_private("state.json", &serde_json::to_vec_pretty(kept)?)
    }

    /// Writes `name` for this user alone, whole or not at all.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_private(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.path(name);
        let draft = path.with_added_extension("new");
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        // A draft that a killed start left behind keeps its old mode otherwise.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        fs::rename(&draft, &path)?;
        Ok(())
    }

    /// Removes a file of the folder, if it is there.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be removed.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error)
                .with_context(|| format!("{} cannot be removed", self.path(name).display())),
            _ => Ok(()),
        }
    }

    /// Deletes all an earlier start left, and nothing that is not ours.
    ///
    /// # Errors
    ///
    /// When something cannot be deleted.
    pub fn wipe(&self) -> anyhow::Result<()> {
        for name in OURS {
            let path = self.path(name);
            let deleted = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            match deleted {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("{} cannot be deleted", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::StateFolder;

    #[test]
    fn a_state_folder_serves_one_at_a_time() {
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().join("state");

        let first = StateFolder::open(&path).expect("opened");
        assert!(StateFolder::open(&path).is_err());
        drop(first);
        assert!(StateFolder::open(&path).is_ok());
    }

    #[test]
    fn what_was_kept_is_found_again_and_is_private() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = StateFolder::open(root.path()).expect("opened");

        let mut kept = folder.kept().expect("new");
        kept.api_key = Some("synaxis_build_x".to_owned());
        folder.keep(&kept).expect("kept");

        let again = folder.kept().expect("kept");
        assert_eq!(again.api_key, kept.api_key);
        assert_eq!(again.sealing_key, kept.sealing_key);
        assert_eq!(again.sealing_key.len(), 32);
        let mode = fs::metadata(folder.path("state.json"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_stale_dev_json_is_removed_and_strangers_survive_a_fresh_start() {
        let root = tempfile::tempdir().expect("a folder");
        fs::write(root.path().join("dev.json"), "{}").expect("written");
        fs::write(root.path().join("mine.txt"), "keep").expect("written");

        let folder = StateFolder::open(root.path()).expect("opened");
        folder.private_folder("spool").expect("made");
        folder.wipe().expect("wiped");

        assert!(!root.path().join("dev.json").exists());
        assert!(!root.path().join("spool").exists());
        assert!(root.path().join("mine.txt").exists());
    }
}
