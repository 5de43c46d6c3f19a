//! The layers of the configuration, laid over each other: file, environment, flags.
//!
//! The only place that reads the environment.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    Fault,
    shape::Shape,
    text::{mend_of, value_of},
    tree::put,
};

/// The file that is read when none is named; it need not exist.
pub const DEFAULT_FILE: &str = "conf/synaxis.toml";

/// What a variable that sets something begins with.
const PREFIX: &str = "SYNAXIS__";

/// Where settings come from, the weakest first.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file; without one [`DEFAULT_FILE`] is read when it exists.
    pub file: Option<PathBuf>,
    /// The environment, by name and value.
    pub variables: Vec<(String, String)>,
    /// What the command line sets, by dotted path and text.
    pub flags: Vec<(String, String)>,
}

impl Source {
    /// Returns the source of a command that was given `file` and `flags`.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        Self {
            file,
            variables: environment(),
            flags,
        }
    }
}

/// Returns the environment of this process, without what is not UTF-8.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Returns one variable of the environment, for files that name where a credential lies.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one module that reads the environment"
    )]
    std::env::var(name).ok()
}

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The configuration file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// Everything that was set, and by whom.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// The values, the strongest layer's on top.
    pub tree: Table,
    /// Who set each leaf, by dotted path.
    pub origins: BTreeMap<String, Origin>,
    /// What could not be laid.
    pub faults: Vec<Fault>,
    /// The secrets the layer at hand has set, to see one that is given twice.
    secrets: BTreeSet<String>,
}

impl Layers {
    /// Lays all layers of `source` over each other.
    #[must_use]
    pub(super) fn gather(source: &Source, shape: &Shape) -> Self {
        let mut layers = Self::default();
        layers.lay_file(source.file.as_deref(), shape);
        layers.secrets.clear();
        for (name, text) in &source.variables {
            layers.lay_variable(name, text, shape);
        }
        layers.secrets.clear();
        for (path, text) in &source.flags {
            let steps: Vec<&str> = path.split('.').collect();
            layers.lay_text(&steps, text, shape, &Origin::Flag);
        }
        layers
    }

    fn lay_file(&mut self, named: Option<&Path>, shape: &Shape) {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        if named.is_none() && !path.exists() {
            return;
        }
        let shown = path.display().to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let mend = "name a file that can be read, or none";
                return self.faults.push(Fault::new(
                    shown,
                    format!("cannot be read ({error})"),
                    mend,
                ));
            }
        };
        match text.parse::<Table>() {
            Ok(table) => self.lay_table(
                &mut Vec::new(),
                table,
                shape,
                &Origin::File(path.to_owned()),
            ),
            Err(error) => {
                let line = error.span().map_or(1, |span| {
                    1 + text[..span.start.min(text.len())].matches('\n').count()
                });
                let what = format!("line {line} is not TOML ({})", error.message().trim_end());
                self.faults.push(Fault::new(
                    shown,
                    what,
                    "correct the line; nothing of the file was read",
                ));
            }
        }
    }

    fn lay_table(&mut self, path: &mut Vec<String>, table: Table, shape: &Shape, origin: &Origin) {
        for (name, value) in table {
            path.push(name);
            let steps: Vec<&str> = path.iter().map(String::as_str).collect();
            match (shape.find(&steps), value) {
                (Some(Shape::Table(_)), Value::Table(inner)) => {
                    self.lay_table(path, inner, shape, origin)
                }
                (Some(Shape::Table(_)), _) => self.refuse_section(&steps),
                (Some(leaf), value) => {
                    let is_secret = leaf.is_secret();
                    self.lay_leaf(&steps, value, is_secret, origin);
                }
                (None, Value::String(text)) => self.lay_text(&steps, &text, shape, origin),
                (None, _) => self.refuse_unknown(&steps, shape, origin),
            }
            path.pop();
        }
    }

    fn lay_variable(&mut self, name: &str, text: &str, shape: &Shape) {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            return;
        };
        // What compose files leave of a variable that nobody set.
        if text.is_empty() {
            return;
        }
        let lower = rest.to_ascii_lowercase();
        let steps: Vec<&str> = lower.split("__").collect();
        self.lay_text(&steps, text, shape, &Origin::Variable(name.to_owned()));
    }

    /// Lays a leaf that is given as text: a variable, a flag, or a secret's file.
    fn lay_text(&mut self, steps: &[&str], text: &str, shape: &Shape, origin: &Origin) {
        match shape.find(steps) {
            Some(Shape::Table(_)) => self.refuse_section(steps),
            Some(leaf) => match value_of(text, leaf) {
                Ok(value) => self.lay_leaf(steps, value, leaf.is_secret(), origin),
                Err(what) => {
                    let fault =
                        Fault::new(steps.join("."), format!("{what} ({origin})"), mend_of(leaf));
                    self.faults.push(fault);
                }
            },
            None => match secret_of_file(steps, shape) {
                Some((secret, leaf)) => self.lay_secret_file(&secret, leaf, text, origin),
                None => self.refuse_unknown(steps, shape, origin),
            },
        }
    }

    fn lay_secret_file(&mut self, steps: &[&str], leaf: &Shape, file: &str, origin: &Origin) {
        match fs::read_to_string(file) {
            Ok(text) if leaf == &Shape::Secret => {
                let text = text.trim_end_matches(['\r', '\n']).to_owned();
                self.lay_leaf(steps, Value::String(text), true, origin);
            }
            // Several secrets stand one on each line.
            Ok(text) => {
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                let lines = lines.map(|line| Value::String(line.to_owned()));
                self.lay_leaf(steps, Value::Array(lines.collect()), true, origin);
            }
            Err(error) => self.faults.push(Fault::new(
                format!("{}_file", steps.join(".")),
                format!("{file} cannot be read ({error}) ({origin})"),
                "name a file this user may read that holds the secret and nothing else",
            )),
        }
    }

    fn lay_leaf(&mut self, steps: &[&str], value: Value, is_secret: bool, origin: &Origin) {
        let path = steps.join(".");
        if is_secret && !self.secrets.insert(path.clone()) {
            let what = format!("is given both as text and as a file ({origin})");
            self.faults.push(Fault::new(
                path.as_str(),
                what,
                format!("keep one of {path} and {path}_file"),
            ));
        }
        put(&mut self.tree, steps, value);
        self.origins.insert(path, origin.clone());
    }

    fn refuse_section(&mut self, steps: &[&str]) {
        let path = steps.join(".");
        let mend = format!("set its fields, as in [{path}]");
        self.faults
            .push(Fault::new(path, "is a section, not a value", mend));
    }

    fn refuse_unknown(&mut self, steps: &[&str], shape: &Shape, origin: &Origin) {
        let path = steps.join(".");
        let mend = closest(&path, shape).map_or_else(
            || "remove it".to_owned(),
            |known| format!("did you mean {known}?"),
        );
        self.faults
            .push(Fault::new(path, format!("is no setting ({origin})"), mend));
    }
}

/// Returns the secret, or the list of them, that `…_file` names.
fn secret_of_file<'a, 'b>(
    steps: &[&'a str],
    shape: &'b Shape,
) -> Option<(Vec<&'a str>, &'b Shape)> {
    let (last, above) = steps.split_last()?;
    let secret = [above, &[last.strip_suffix("_file")?]].concat();
    let leaf = shape.find(&secret)?;
    leaf.is_secret().then_some((secret, leaf))
}

/// Returns the known path most like `path`, when one is near.
fn closest(path: &str, shape: &Shape) -> Option<String> {
    let mut best: Option<(f64, String)> = None;
    shape.each_leaf(&mut |known, _| {
        let likeness = strsim::jaro_winkler(path, known);
        if best.as_ref().is_none_or(|(highest, _)| *highest < likeness) {
            best = Some((likeness, known.to_owned()));
        }
    });
    best.filter(|(likeness, _)| NEAR_ENOUGH <= *likeness)
        .map(|(_, known)| known)
}

/// The likeness (Jaro-Winkler) from which a suggestion helps more than it confuses.
const NEAR_ENOUGH: f64 = 0.85;
