//! From the layers to a `Config`, with every fault told at once.

use std::{collections::BTreeSet, fmt};

use serde::Deserialize;
use toml::{Table, Value};

use super::{
    Config, Fault, judge,
    layers::{Layers, Source},
    print,
    shape::Shape,
    text::mend_of,
    tree::{find, put},
};

/// What the configuration comes to.
#[derive(Debug)]
pub struct Effective {
    config: Config,
    faults: Vec<Fault>,
    layers: Layers,
    shape: Shape,
}

/// Reads all layers of `source`; what is faulty stays at its default.
#[must_use]
pub fn read(source: &Source) -> Effective {
    let shape = Shape::of::<Config>();
    let mut layers = Layers::gather(source, &shape);
    let mut faults = std::mem::take(&mut layers.faults);
    let (sound, unfit) = sift(&layers, &shape);
    faults.extend(unfit);
    let config = match Config::deserialize(Value::Table(sound)) {
        Ok(config) => config,
        Err(error) => {
            faults.push(Fault::new(
                "configuration",
                error.message(),
                "correct what is named",
            ));
            Config::default()
        }
    };
    let known: BTreeSet<String> = faults.iter().map(|fault| fault.path.clone()).collect();
    let judged = judge::faults(&config)
        .into_iter()
        .filter(|fault| !known.contains(&fault.path));
    faults.extend(judged.map(|fault| with_origin(fault, &layers)));
    Effective {
        config,
        faults,
        layers,
        shape,
    }
}

/// Keeps the leaves their types accept, each tried alone; returns the faults of the others.
fn sift(layers: &Layers, shape: &Shape) -> (Table, Vec<Fault>) {
    let mut sound = Table::new();
    let mut faults = Vec::new();
    for path in layers.origins.keys() {
        let steps: Vec<&str> = path.split('.').collect();
        let (Some(value), Some(leaf)) = (find(&layers.tree, &steps), shape.find(&steps)) else {
            continue;
        };
        match unfitness(&steps, value, leaf) {
            None => put(&mut sound, &steps, value.clone()),
            Some(what) => {
                let fault = Fault::new(path.as_str(), what, print::mend(path, leaf, mend_of(leaf)));
                faults.push(with_origin(fault, layers));
            }
        }
    }
    (sound, faults)
}

/// Returns why the setting's type does not accept `value`.
fn unfitness(steps: &[&str], value: &Value, leaf: &Shape) -> Option<String> {
    // The type's own message would show the value.
    if leaf == &Shape::Secret {
        return (!value.is_str()).then(|| "is no text".to_owned());
    }
    if leaf.is_secret() {
        let texts = value.as_array().filter(|all| all.iter().all(Value::is_str));
        return texts.is_none().then(|| "is no list of texts".to_owned());
    }
    let mut alone = Table::new();
    put(&mut alone, steps, value.clone());
    let error = Config::deserialize(Value::Table(alone)).err()?;
    Some(error.message().trim_end().to_owned())
}

fn with_origin(mut fault: Fault, layers: &Layers) -> Fault {
    if let Some(origin) = layers.origins.get(&fault.path) {
        fault.what = format!("{} ({origin})", fault.what);
    }
    fault
}

impl Effective {
    /// Returns the configuration for a command that reads `sections`; all when none is named.
    ///
    /// # Errors
    ///
    /// Every fault of these sections, and every unknown setting.
    pub fn accept(self, sections: &[&str]) -> Result<Config, Faults> {
        let concerns = |fault: &Fault| {
            let section = fault.path.split('.').next().unwrap_or_default();
            let is_of_other_section = self
                .shape
                .find(&[section])
                .is_some_and(|shape| matches!(shape, Shape::Table(_)))
                && !sections.contains(&section);
            sections.is_empty() || !is_of_other_section
        };
        let faults: Vec<Fault> = self
            .faults
            .iter()
            .filter(|fault| concerns(fault))
            .cloned()
            .collect();
        if faults.is_empty() {
            Ok(self.config)
        } else {
            Err(Faults(faults))
        }
    }

    /// Returns every fault.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Returns the configuration, with the defaults where it is faulty.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the effective file with who set what, and no secret.
    #[must_use]
    pub fn redacted(&self) -> String {
        print::redacted(&self.layers, &self.shape)
    }
}

/// Every fault of a configuration that cannot be used.
#[derive(Debug)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0.len() == 1 { "fault" } else { "faults" };
        write!(f, "{} {noun} in the configuration", self.0.len())?;
        for fault in &self.0 {
            write!(
                f,
                "\n  {}: {}\n      {}",
                fault.path, fault.what, fault.mend
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
