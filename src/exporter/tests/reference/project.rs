//! §5: `fields`.

use std::collections::BTreeMap;

use exportjob_plan::FieldSelection;
use serde_json::{Map, Value};

use super::model::Type;

/// What is taken of a value: all of it, or some of its fields.
#[derive(Clone, Debug, PartialEq)]
pub enum Mask {
    All,
    Some(BTreeMap<String, Mask>),
}

impl Mask {
    pub fn new(selection: &FieldSelection) -> Self {
        let FieldSelection::Paths(paths) = selection else {
            return Self::All;
        };
        let mut mask = Self::Some(BTreeMap::new());
        for path in paths {
            mask.add(path.segments());
        }
        mask
    }

    fn add(&mut self, path: &[String]) {
        match (path.split_first(), self) {
            // "A path to a struct takes all of it" (§5)
            (None, mask) => *mask = Self::All,
            (Some(_), Self::All) => {}
            (Some((name, rest)), Self::Some(below)) => {
                below
                    .entry(name.clone())
                    .or_insert_with(|| Self::Some(BTreeMap::new()))
                    .add(rest);
            }
        }
    }

    /// What is left of a type.
    pub fn of(&self, kind: &Type) -> Type {
        match kind {
            Type::Struct(fields) => {
                let kept = fields
                    .iter()
                    .filter_map(|(name, kind)| Some((name.clone(), self.below(name)?.of(kind))));
                Type::Struct(kept.collect())
            }
            Type::List(element) => Type::list(self.of(element)),
            Type::Map(inner) => Type::map(self.of(inner)),
            other => other.clone(),
        }
    }

    pub fn below(&self, name: &str) -> Option<&Mask> {
        match self {
            Self::All => Some(&Self::All),
            Self::Some(below) => below.get(name),
        }
    }
}

/// The first path of `mask` that `kind` does not have.
pub fn unknown(kind: &Type, mask: &Mask) -> Option<String> {
    match (kind, mask) {
        (_, Mask::All) => None,
        (Type::List(inner) | Type::Map(inner), mask) => unknown(inner, mask),
        (Type::Struct(fields), Mask::Some(below)) => {
            below
                .iter()
                .find_map(|(name, mask)| match fields.iter().find(|(known, _)| known == name) {
                    None => Some(name.clone()),
                    Some((_, kind)) => unknown(kind, mask).map(|rest| format!("{name}.{rest}")),
                })
        }
        (_, Mask::Some(below)) => below.keys().next().cloned(),
    }
}

/// A whole value, with an explicit null for each field that it does not have.
pub fn whole(value: &Value, kind: &Type) -> Value {
    prune(value, kind, &Mask::All)
}

/// "The nesting stays"; "a path through a list or map prunes its elements" (§5).
pub fn prune(value: &Value, kind: &Type, mask: &Mask) -> Value {
    match (kind, value) {
        (Type::Struct(fields), Value::Object(values)) => Value::Object(prune_fields(values, fields, mask)),
        (Type::List(element), Value::Array(values)) => values.iter().map(|value| prune(value, element, mask)).collect(),
        (Type::Map(inner), Value::Object(values)) => Value::Object(
            values
                .iter()
                .map(|(key, value)| (key.clone(), prune(value, inner, mask)))
                .collect(),
        ),
        (_, value) => value.clone(),
    }
}

fn prune_fields(values: &Map<String, Value>, fields: &[(String, Type)], mask: &Mask) -> Map<String, Value> {
    let mut pruned = Map::new();
    for (name, kind) in fields {
        if let Some(mask) = mask.below(name) {
            let value = values.get(name).unwrap_or(&Value::Null);
            pruned.insert(name.clone(), prune(value, kind, mask));
        }
    }
    pruned
}

/// A struct that has no value is null; what lies in lists and maps stays as it is.
pub fn tidy(value: Value, kind: &Type) -> Value {
    let (Type::Struct(fields), Value::Object(values)) = (kind, &value) else {
        return value;
    };
    let mut tidied = Map::new();
    for (name, kind) in fields {
        if let Some(value) = values.get(name) {
            tidied.insert(name.clone(), tidy(value.clone(), kind));
        }
    }
    if tidied.values().all(Value::is_null) {
        Value::Null
    } else {
        Value::Object(tidied)
    }
}

/// The same for lists and maps of rows, which are there whatever they hold.
pub fn tidy_rows(value: Value, kind: &Type) -> Value {
    match (kind, value) {
        (Type::List(inner), Value::Array(rows)) => rows.into_iter().map(|row| tidy_rows(row, inner)).collect(),
        (Type::Map(inner), Value::Object(rows)) => Value::Object(
            rows.into_iter()
                .map(|(key, row)| (key, tidy_rows(row, inner)))
                .collect(),
        ),
        (Type::Struct(fields), Value::Object(mut row)) => {
            for (name, kind) in fields {
                if let Some(value) = row.get_mut(name) {
                    *value = tidy(value.take(), kind);
                }
            }
            Value::Object(row)
        }
        (_, value) => value,
    }
}
