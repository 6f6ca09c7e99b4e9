//! What the reference works on: types, and rows as JSON.
//!
//! Times are integers (microseconds since 1970), dates are integers (days), floats are strings (JSON has no NaN), maps
//! and structs are objects. A column that a row does not have is null.

use serde_json::{Map, Value};

/// Type of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Bool,
    Long,
    Float,
    Text,
    Time,
    Date,
    Struct(Vec<(String, Type)>),
    List(Box<Type>),
    /// Keys are texts.
    Map(Box<Type>),
}

impl Type {
    pub fn of(fields: &[(&str, Type)]) -> Self {
        Self::Struct(
            fields
                .iter()
                .map(|(name, kind)| ((*name).to_owned(), kind.clone()))
                .collect(),
        )
    }

    pub fn list(element: Type) -> Self {
        Self::List(Box::new(element))
    }

    pub fn map(value: Type) -> Self {
        Self::Map(Box::new(value))
    }

    /// Type of a field of a struct.
    pub fn field(&self, name: &str) -> Option<&Type> {
        let Self::Struct(fields) = self else { return None };
        fields.iter().find(|(known, _)| known == name).map(|(_, kind)| kind)
    }

    /// Both types read as one: structs have the fields of both.
    pub fn union(&self, other: &Type) -> Type {
        match (self, other) {
            (Self::Struct(mine), Self::Struct(others)) => Self::Struct(union_fields(mine, others)),
            (Self::List(mine), Self::List(others)) => Self::list(mine.union(others)),
            (Self::Map(mine), Self::Map(others)) => Self::map(mine.union(others)),
            (mine, others) => {
                assert_eq!(mine, others, "the generator made conflicting types");
                mine.clone()
            }
        }
    }
}

/// Fields of both, those of `mine` first.
pub fn union_fields(mine: &[(String, Type)], others: &[(String, Type)]) -> Vec<(String, Type)> {
    let mut all = mine.to_vec();
    for (name, kind) in others {
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = known.union(kind),
            None => all.push((name.clone(), kind.clone())),
        }
    }
    all
}

/// A table as people have it: before any mapping.
#[derive(Clone, Debug, Default)]
pub struct TableData {
    pub columns: Vec<(String, Type)>,
    pub rows: Vec<Row>,
}

/// A row as it lies in its file.
#[derive(Clone, Debug)]
pub struct Row {
    pub values: Map<String, Value>,
    /// When the file was written (Parquet) or committed (Delta).
    pub written: i64,
}

/// All tables of a store, in the order of the plan's lists.
#[derive(Clone, Debug, Default)]
pub struct Data {
    pub fragments: Vec<TableData>,
    pub events: Vec<TableData>,
    pub identities: Vec<TableData>,
    pub memberships: Vec<TableData>,
}

/// The value at a dotted path; null where anything on the way is missing.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.')
        .fold(value, |value, name| value.get(name).unwrap_or(&Value::Null))
}

pub fn text(value: &Value, column: &str) -> Option<String> {
    value.get(column).and_then(Value::as_str).map(str::to_owned)
}

pub fn time(value: &Value, column: &str) -> Option<i64> {
    value.get(column).and_then(Value::as_i64)
}
