//! Random types and values.

use rand::{Rng as _, rngs::StdRng};
use serde_json::{Map, Value, json};

use super::{chance, pick};
use crate::{reference::model::Type, support::plan::STARTED_AT};

/// No two of these differ in case alone: a Delta table could not hold both.
const NAMES: [&str; 9] = [
    "name",
    "Email",
    "personalEmail",
    "loyalty",
    "order",
    "select",
    "ünï",
    "_x",
    "tags",
];

/// Some columns with types of their own.
pub fn columns(rng: &mut StdRng, least: usize) -> Vec<(String, Type)> {
    fields(rng, least, 3)
}

fn fields(rng: &mut StdRng, least: usize, depth: usize) -> Vec<(String, Type)> {
    let count = rng.random_range(least..=least.max(4));
    let start = rng.random_range(0..NAMES.len());
    (0..count)
        .map(|n| (NAMES[(start + n) % NAMES.len()].to_owned(), any(rng, depth)))
        .collect()
}

fn any(rng: &mut StdRng, depth: usize) -> Type {
    if depth > 0 && chance(rng, 45) {
        return match rng.random_range(0..5) {
            0 => Type::list(any(rng, depth - 1)),
            1 => Type::map(any(rng, depth - 1)),
            _ => Type::Struct(fields(rng, 1, depth - 1)),
        };
    }
    pick(
        rng,
        &[
            Type::Text,
            Type::Text,
            Type::Long,
            Type::Float,
            Type::Bool,
            Type::Time,
            Type::Date,
        ],
    )
    .clone()
}

/// Times collide often, and lie on both sides of the job's start.
pub fn time(rng: &mut StdRng) -> i64 {
    STARTED_AT + rng.random_range(-6..=3) * 1_000_000
}

/// A value, often null.
pub fn value(rng: &mut StdRng, kind: &Type) -> Value {
    if chance(rng, 30) {
        return Value::Null;
    }
    match kind {
        Type::Bool => json!(rng.random_bool(0.5)),
        Type::Long => json!(rng.random_range(-2..5)),
        Type::Float => json!(*pick(rng, &["0.5", "-2.0", "NaN", "-0.0", "inf"])),
        Type::Text => json!(*pick(rng, &["x", "y", "", "ÿ", "null"])),
        Type::Time => json!(time(rng)),
        Type::Date => json!(rng.random_range(-3..20_000)),
        Type::Struct(fields) => Value::Object(row(rng, fields)),
        Type::List(element) => (0..rng.random_range(0..3)).map(|_| value(rng, element)).collect(),
        Type::Map(inner) => {
            let keys = ["k1", "k2", ""];
            let start = rng.random_range(0..3);
            let count = rng.random_range(0..3);
            let map: Map<String, Value> = (0..count)
                .map(|n| (keys[(start + n) % 3].to_owned(), value(rng, inner)))
                .collect();
            Value::Object(map)
        }
    }
}

/// Values of some columns.
pub fn row(rng: &mut StdRng, columns: &[(String, Type)]) -> Map<String, Value> {
    columns
        .iter()
        .map(|(name, kind)| (name.clone(), value(rng, kind)))
        .collect()
}
