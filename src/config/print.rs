//! The effective configuration as a file: every setting, who set it, no secret.

use std::fmt::Write;

use toml::{Table, Value};

use super::{layers::Layers, shape::Shape, tree::find};

/// The commented file with every field and its default.
pub(super) const DEFAULTS: &str = include_str!("../../conf/synaxis.toml");

/// What stands for a secret.
const HIDDEN: &str = "[hidden]";

/// Returns the mend of a leaf that its type refuses: its default as an example where there is one.
pub(super) fn mend(path: &str, leaf: &Shape, otherwise: String) -> String {
    let steps: Vec<&str> = path.split('.').collect();
    match (leaf, find(&defaults(), &steps)) {
        (Shape::Text | Shape::List(_), Some(value)) if !is_empty(value) => {
            format!("write it like its default, {value}")
        }
        _ => otherwise,
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_str().is_some_and(str::is_empty)
}

fn defaults() -> Table {
    DEFAULTS.parse().unwrap_or_default()
}

/// Writes every setting with its value, secrets hidden, and where it was set.
pub(super) fn redacted(layers: &Layers, shape: &Shape) -> String {
    let mut text = String::new();
    let mut section = String::new();
    let defaults = defaults();
    shape.each_leaf(&mut |path, leaf| {
        let (above, name) = path.rsplit_once('.').unwrap_or(("", path));
        if above != section {
            let _ = writeln!(text, "\n[{above}]");
            above.clone_into(&mut section);
        }
        let steps: Vec<&str> = path.split('.').collect();
        let value = find(&layers.tree, &steps).or_else(|| find(&defaults, &steps));
        let origin = layers
            .origins
            .get(path)
            .map(|origin| format!("  # {origin}"));
        let _ = match value {
            Some(value) => writeln!(
                text,
                "{name} = {}{}",
                shown(value, leaf),
                origin.unwrap_or_default()
            ),
            None => writeln!(text, "# {name} is not set"),
        };
    });
    text
}

fn shown(value: &Value, leaf: &Shape) -> String {
    match (leaf, value) {
        (Shape::Secret, Value::String(text)) => format!("{:?}", hidden(text)),
        (Shape::List(inner), _) if **inner == Shape::Secret => format!("[{HIDDEN:?}]"),
        (Shape::Secret, _) => format!("{HIDDEN:?}"),
        _ => value.to_string(),
    }
}

/// Hides a secret; of an address with a password, host and path stay to be read.
fn hidden(text: &str) -> String {
    let address = url::Url::parse(text).ok().filter(url::Url::has_host);
    let Some(mut address) = address else {
        return if text.is_empty() {
            String::new()
        } else {
            HIDDEN.to_owned()
        };
    };
    address.set_query(None);
    address.set_fragment(None);
    if address.password().is_some() && address.set_password(Some("hidden")).is_err() {
        return HIDDEN.to_owned();
    }
    address.to_string()
}

#[cfg(test)]
mod tests {
    use super::hidden;

    #[test]
    fn of_an_address_only_the_password_is_hidden() {
        assert_eq!(
            hidden("postgres://me:pw@db.example/x?password=pw2"),
            "postgres://me:hidden@db.example/x"
        );
        assert_eq!(hidden("redis://127.0.0.1:6379"), "redis://127.0.0.1:6379");
        assert_eq!(hidden("k2V9bq0yGdRr8mXn"), "[hidden]");
        assert_eq!(hidden(""), "");
    }
}
