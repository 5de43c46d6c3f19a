//! What a settings type looks like: its fields, asked from its own `Deserialize`.
//!
//! So that no second list of the settings has to be kept.

use std::{cell::RefCell, fmt};

use serde::{
    de::{
        DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess,
        SeqAccess, Visitor,
    },
    forward_to_deserialize_any,
};

/// What one place of the tree holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Named fields.
    Table(Vec<(&'static str, Self)>),
    /// Text that is never shown.
    Secret,
    /// Text, or something written as text: an address, a path.
    Text,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// Yes or no.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any number of the same.
    List(Box<Self>),
    /// Whatever its type makes of it.
    Free,
}

impl Shape {
    /// Asks `T` for its shape.
    #[must_use]
    pub fn of<T: DeserializeOwned>() -> Self {
        shape_at::<T>(&mut Vec::new())
    }

    /// Finds the shape at `path`; empty when there is no such setting.
    #[must_use]
    pub fn find(&self, path: &[&str]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else {
            return Some(self);
        };
        let (_, inner) = self.fields().iter().find(|(name, _)| name == first)?;
        inner.find(rest)
    }

    /// Says whether this is a secret, or a list of them.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        match self {
            Self::Secret => true,
            Self::List(inner) => **inner == Self::Secret,
            _ => false,
        }
    }

    /// Returns the named fields; none for a leaf.
    #[must_use]
    pub fn fields(&self) -> &[(&'static str, Self)] {
        match self {
            Self::Table(fields) => fields,
            Self::Secret
            | Self::Text
            | Self::Whole
            | Self::Number
            | Self::Bool
            | Self::Choice(_)
            | Self::List(_)
            | Self::Free => &[],
        }
    }

    /// Calls `visit` with the dotted path and the shape of every leaf.
    pub fn each_leaf(&self, visit: &mut impl FnMut(&str, &Self)) {
        self.each_leaf_below("", visit);
    }

    fn each_leaf_below(&self, prefix: &str, visit: &mut impl FnMut(&str, &Self)) {
        for (name, inner) in self.fields() {
            let path = if prefix.is_empty() {
                (*name).to_owned()
            } else {
                format!("{prefix}.{name}")
            };
            match inner {
                Self::Table(_) => inner.each_leaf_below(&path, visit),
                leaf => visit(&path, leaf),
            }
        }
    }
}

/// One step from a place to one inside it.
#[derive(Clone, Copy)]
enum Step {
    Field(&'static str),
    Element,
}

/// What a type asked its deserializer for.
enum Asked {
    Fields(&'static [&'static str]),
    Elements,
    Leaf(Shape),
}

fn shape_at<T: DeserializeOwned>(path: &mut Vec<Step>) -> Shape {
    let asked = RefCell::new(None);
    let probe = Probe {
        path,
        asked: &asked,
    };
    // The answer is always `Asked`: the probe has no values to give.
    let _ = T::deserialize(probe);
    match asked.into_inner() {
        Some(Asked::Fields(names)) => {
            let fields = names
                .iter()
                .map(|name| (*name, shape_below::<T>(path, Step::Field(name))));
            Shape::Table(fields.collect())
        }
        Some(Asked::Elements) => Shape::List(Box::new(shape_below::<T>(path, Step::Element))),
        Some(Asked::Leaf(shape)) => shape,
        None => Shape::Free,
    }
}

fn shape_below<T: DeserializeOwned>(path: &mut Vec<Step>, step: Step) -> Shape {
    path.push(step);
    let shape = shape_at::<T>(path);
    path.pop();
    shape
}

/// Walks `path` into a type and notes what the type asks for at its end.
struct Probe<'a> {
    path: &'a [Step],
    asked: &'a RefCell<Option<Asked>>,
}

/// Ends a probe; carries nothing.
#[derive(Debug, thiserror::Error)]
#[error("the probe has no values")]
struct NoValue;

impl Error for NoValue {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl Probe<'_> {
    fn note<T>(self, asked: Asked) -> Result<T, NoValue> {
        self.asked.borrow_mut().get_or_insert(asked);
        Err(NoValue)
    }

    fn leaf<T>(self, shape: Shape) -> Result<T, NoValue> {
        self.note(Asked::Leaf(shape))
    }
}

macro_rules! leaves {
    ($($method:ident => $shape:expr,)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NoValue> {
            self.leaf($shape)
        }
    )*};
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = NoValue;

    leaves! {
        deserialize_any => Shape::Free,
        deserialize_bool => Shape::Bool,
        deserialize_i8 => Shape::Whole,
        deserialize_i16 => Shape::Whole,
        deserialize_i32 => Shape::Whole,
        deserialize_i64 => Shape::Whole,
        deserialize_u8 => Shape::Whole,
        deserialize_u16 => Shape::Whole,
        deserialize_u32 => Shape::Whole,
        deserialize_u64 => Shape::Whole,
        deserialize_f32 => Shape::Number,
        deserialize_f64 => Shape::Number,
        deserialize_str => Shape::Text,
        deserialize_string => Shape::Text,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoValue> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, NoValue> {
        match name {
            "Secret" => self.leaf(Shape::Secret),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NoValue> {
        match self.path {
            [Step::Field(name), rest @ ..] => visitor.visit_map(OneField {
                name: Some(name),
                probe: Probe {
                    path: rest,
                    asked: self.asked,
                },
            }),
            _ => self.note(Asked::Fields(fields)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoValue> {
        match self.path {
            [Step::Element, rest @ ..] => visitor.visit_seq(OneElement(Probe {
                path: rest,
                asked: self.asked,
            })),
            _ => self.note(Asked::Elements),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, NoValue> {
        self.leaf(Shape::Choice(variants))
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct map identifier ignored_any
    }
}

/// A map of the one field the probe walks into.
struct OneField<'a> {
    name: Option<&'static str>,
    probe: Probe<'a>,
}

impl<'de> MapAccess<'de> for OneField<'_> {
    type Error = NoValue;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, NoValue> {
        self.name
            .take()
            .map(|name| seed.deserialize(name.into_deserializer()))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, NoValue> {
        seed.deserialize(Probe {
            path: self.probe.path,
            asked: self.probe.asked,
        })
    }
}

/// A sequence of the one element the probe walks into.
struct OneElement<'a>(Probe<'a>);

impl<'de> SeqAccess<'de> for OneElement<'_> {
    type Error = NoValue;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, NoValue> {
        seed.deserialize(Probe {
            path: self.0.path,
            asked: self.0.asked,
        })
        .map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde::Deserialize;

    use super::Shape;
    use crate::base::Secret;

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        count: u16,
        password: Option<Secret>,
        inner: Inner,
        mode: Mode,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Inner {
        paths: Vec<PathBuf>,
        is_on: bool,
    }

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        #[default]
        Calm,
        Wild,
    }

    #[test]
    fn a_settings_type_tells_its_fields_secrets_and_choices() {
        let shape = Shape::of::<Outer>();

        assert_eq!(shape.find(&["count"]), Some(&Shape::Whole));
        assert_eq!(shape.find(&["password"]), Some(&Shape::Secret));
        assert_eq!(
            shape.find(&["inner", "paths"]),
            Some(&Shape::List(Box::new(Shape::Text)))
        );
        assert_eq!(shape.find(&["inner", "is_on"]), Some(&Shape::Bool));
        assert_eq!(
            shape.find(&["mode"]),
            Some(&Shape::Choice(&["calm", "wild"]))
        );
        assert_eq!(shape.find(&["inner", "missing"]), None);
    }
}
