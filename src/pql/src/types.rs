//! The types of values, and the schema that an expression is checked against.

use std::{fmt, sync::Arc};

/// The type of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Not known before the evaluation: accepted everywhere, and null where it turns out not to fit.
    Any,
    /// The type of `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// Whole number of 64 bits.
    Int,
    /// Number with a fraction.
    Double,
    /// Text.
    String,
    /// A point in time, to the microsecond.
    Timestamp,
    /// A day without time of day; as a point in time it is its start.
    Date,
    /// List of values of one type.
    List(Arc<Type>),
    /// Map from keys to values.
    Map(Arc<Type>, Arc<Type>),
    /// Named fields in a fixed order.
    Struct(Arc<Fields>),
}

/// The fields of a struct, in the order in which the data has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Vec<Field>);

/// A field of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name; names are compared exactly.
    pub name: String,
    /// Its type.
    pub type_: Type,
}

impl Fields {
    /// These fields.
    pub fn new(fields: Vec<Field>) -> Self {
        Self(fields)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }

    /// Position and type of the field of this name.
    pub fn find(&self, name: &str) -> Option<(usize, &Type)> {
        self.0
            .iter()
            .position(|field| field.name == name)
            .and_then(|index| self.0.get(index).map(|field| (index, &field.type_)))
    }
}

impl Field {
    /// A field.
    pub fn new(name: impl Into<String>, type_: Type) -> Self {
        Self {
            name: name.into(),
            type_,
        }
    }
}

impl Type {
    /// A list of this.
    pub fn list(item: Self) -> Self {
        Self::List(Arc::new(item))
    }

    /// A map from texts to this.
    pub fn map(value: Self) -> Self {
        Self::Map(Arc::new(Self::String), Arc::new(value))
    }

    /// A struct of these fields.
    pub fn structure(fields: Vec<Field>) -> Self {
        Self::Struct(Arc::new(Fields(fields)))
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Any | Self::Null | Self::Int | Self::Double)
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Any | Self::Null | Self::String)
    }

    pub(crate) fn is_time(&self) -> bool {
        matches!(self, Self::Any | Self::Null | Self::Timestamp | Self::Date)
    }

    /// Whether values of the two can be told equal.
    pub(crate) fn compares_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(left), Self::List(right)) => left.compares_with(right),
            (Self::Any | Self::Null, _)
            | (_, Self::Any | Self::Null)
            | (Self::Int | Self::Double, Self::Int | Self::Double)
            | (Self::Timestamp | Self::Date, Self::Timestamp | Self::Date)
            | (Self::Bool, Self::Bool)
            | (Self::String, Self::String) => true,
            _ => false,
        }
    }

    /// The type that takes both.
    pub(crate) fn join(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (left, right) if left == right => Some(left.clone()),
            (Self::Null, other) | (other, Self::Null) => Some(other.clone()),
            (Self::Any, _) | (_, Self::Any) => Some(Self::Any),
            (Self::Int | Self::Double, Self::Int | Self::Double) => Some(Self::Double),
            (Self::Timestamp | Self::Date, Self::Timestamp | Self::Date) => Some(Self::Timestamp),
            (Self::List(left), Self::List(right)) => left.join(right).map(Self::list),
            _ => None,
        }
    }

    /// What a condition on the items of it, or on itself, is about.
    pub(crate) fn item(&self) -> &Self {
        match self {
            Self::List(item) => item,
            other => other,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("any"),
            Self::Null => out.write_str("null"),
            Self::Bool => out.write_str("bool"),
            Self::Int => out.write_str("int"),
            Self::Double => out.write_str("double"),
            Self::String => out.write_str("string"),
            Self::Timestamp => out.write_str("timestamp"),
            Self::Date => out.write_str("date"),
            Self::List(item) => write!(out, "list of {item}"),
            Self::Map(_, value) => write!(out, "map of {value}"),
            Self::Struct(_) => out.write_str("struct"),
        }
    }
}

/// What there is to ask for: the fields of a profile and of its events.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    pub(crate) profile: Type,
    pub(crate) event: Type,
}

impl Schema {
    /// Profiles and events with these fields.
    pub fn new(profile: Vec<Field>, event: Vec<Field>) -> Self {
        Self {
            profile: Type::structure(profile),
            event: Type::structure(event),
        }
    }

    /// Profiles and events of which nothing is known: every path is accepted, and null where a profile lacks it.
    pub fn any() -> Self {
        Self {
            profile: Type::Any,
            event: Type::Any,
        }
    }
}
