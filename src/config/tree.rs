//! Values in the tree of the configuration, by their steps from the root.

use toml::{Table, Value};

/// Finds the value at `steps`.
pub(super) fn find<'a>(tree: &'a Table, steps: &[&str]) -> Option<&'a Value> {
    let (first, rest) = steps.split_first()?;
    let value = tree.get(*first)?;
    match rest {
        [] => Some(value),
        rest => find(value.as_table()?, rest),
    }
}

/// Puts `value` at `steps`, making the tables on the way.
pub(super) fn put(tree: &mut Table, steps: &[&str], value: Value) {
    match steps {
        [] => {}
        [last] => {
            tree.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let inner = tree
                .entry((*first).to_owned())
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(table) = inner {
                put(table, rest, value);
            }
        }
    }
}
