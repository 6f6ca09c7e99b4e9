//! Random tables: the store's own columns and the customer's, as they are or mapped, in files of several shapes.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use exportjob_api::TableFormat;
use exportjob_plan::TablePlan;
use rand::{Rng as _, rngs::StdRng};
use serde_json::{Map, Value, json};

use super::{
    Ties, chance, pick,
    rows::{self, Own},
    schema,
};
use crate::{
    reference::model::Type,
    support::{
        arrow::Encoding,
        plan::{self, STARTED_AT, column, constant},
        table::{Files, Table},
    },
};

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Fragments,
    Events,
    Identities,
    Memberships,
}

/// What all tables of a store have in common.
pub struct World {
    identities: Vec<(String, String)>,
    attributes: Vec<(String, Type)>,
    event_fields: Vec<(String, Type)>,
    /// Whether clusters of the graph have numbers or names.
    pub numbered: bool,
    pub version: Type,
    pub payload: Type,
    ties: Ties,
    seen: BTreeSet<String>,
    sources: usize,
}

/// A table's columns before any row.
struct Shape {
    plan: TablePlan,
    /// The store's own columns: name in the store, name in the table, type.
    own: Vec<(&'static str, String, Type)>,
    /// Own columns that are the same in all rows.
    fixed: Own,
    /// The customer's columns, by their names in the table, and whether each file has to have it.
    others: Vec<(String, Type, bool)>,
}

impl World {
    pub fn new(rng: &mut StdRng, ties: Ties) -> Self {
        let namespaces = ["ECID", "Email", "email", "crm"];
        let ids = ["a", "b", "c", "", "10", "9"];
        let identities = (0..rng.random_range(2..9))
            .map(|_| ((*pick(rng, &namespaces)).to_owned(), (*pick(rng, &ids)).to_owned()))
            .collect();
        Self {
            identities,
            attributes: schema::columns(rng, 1),
            event_fields: schema::columns(rng, 0),
            numbered: chance(rng, 50),
            version: rows::version_type(rng),
            payload: rows::payload_type(rng),
            ties,
            seen: BTreeSet::new(),
            sources: 0,
        }
    }

    /// The tables of one kind.
    pub fn tables(&mut self, rng: &mut StdRng, kind: Kind) -> Vec<(TablePlan, Table)> {
        let count = match kind {
            Kind::Fragments => *pick(rng, &[1, 1, 2, 3]),
            _ => *pick(rng, &[0, 1, 1, 1, 2]),
        };
        (0..count).map(|_| self.table(rng, kind)).collect()
    }

    fn table(&mut self, rng: &mut StdRng, kind: Kind) -> (TablePlan, Table) {
        let format = if chance(rng, 20) {
            TableFormat::Delta
        } else {
            TableFormat::Parquet
        };
        if format == TableFormat::Parquet && chance(rng, 4) {
            return (
                plan::table(format),
                Table {
                    format,
                    groups: Vec::new(),
                },
            );
        }
        let shape = self.shape(rng, kind, format);
        let groups = (0..rng.random_range(1..=3)).map(|number| self.group(rng, kind, &shape, number));
        let groups: Vec<Files> = groups.collect();
        (shape.plan, Table { format, groups })
    }

    fn shape(&mut self, rng: &mut StdRng, kind: Kind, format: TableFormat) -> Shape {
        let mut shape = Shape {
            plan: plan::table(format),
            own: Vec::new(),
            fixed: Own::new(),
            others: Vec::new(),
        };
        for (name, kind, optional) in self.own_columns(kind) {
            if !chance(rng, optional) {
                self.own_column(rng, &mut shape, name, kind);
            }
        }
        let attributes = match kind {
            Kind::Fragments => self.attributes.clone(),
            Kind::Events => self.event_fields.clone(),
            Kind::Identities | Kind::Memberships => Vec::new(),
        };
        for (name, kind) in attributes {
            if chance(rng, 85) {
                self.attribute(rng, &mut shape, &name, &kind);
            }
        }
        if chance(rng, 12) {
            shape.plan.only_mapped = true;
            for (store, table, _) in &shape.own {
                shape
                    .plan
                    .columns
                    .entry((*store).to_owned())
                    .or_insert_with(|| column(table));
            }
        }
        shape
    }

    /// Name, type, and in how many of a hundred tables it is missing.
    fn own_columns(&self, kind: Kind) -> Vec<(&'static str, Type, u32)> {
        let mut columns = vec![("ups_namespace", Type::Text, 0), ("ups_identity", Type::Text, 0)];
        let dataset = [("ups_dataset", Type::Text, 0), ("ups_ingested", Type::Time, 20)];
        match kind {
            Kind::Fragments => {
                columns.extend(dataset);
                columns.push(("ups_timestamp", Type::Time, 30));
            }
            Kind::Events => {
                columns.extend(dataset);
                columns.extend([("_id", Type::Text, 0), ("timestamp", Type::Time, 0)]);
            }
            Kind::Identities => {
                columns.push(("ups_profile", if self.numbered { Type::Long } else { Type::Text }, 0));
            }
            Kind::Memberships => columns.extend([
                ("segmentNs", Type::Text, 0),
                ("segmentId", Type::Text, 0),
                ("status", Type::Text, 0),
                ("lastQualificationTime", Type::Time, 0),
                ("validUntil", Type::Time, 40),
                ("version", self.version.clone(), 50),
                ("payload", self.payload.clone(), 50),
            ]),
        }
        columns
    }

    fn own_column(&mut self, rng: &mut StdRng, shape: &mut Shape, name: &'static str, kind: Type) {
        let fixed = match name {
            "ups_namespace" => "crm",
            "ups_dataset" => *pick(rng, &["web", "crm"]),
            "segmentNs" => "ups",
            "status" => "existing",
            _ => "",
        };
        if name == "ups_dataset" && chance(rng, 25) {
            shape.plan.dataset = Some(fixed.to_owned());
            shape.fixed.insert(name, json!(fixed));
        } else if !fixed.is_empty() && chance(rng, 10) {
            shape.plan.columns.insert(name.to_owned(), constant(fixed));
            shape.fixed.insert(name, json!(fixed));
        } else if chance(rng, 15) {
            let source = self.source();
            shape.plan.columns.insert(name.to_owned(), column(&source));
            shape.own.push((name, source, kind));
        } else {
            shape.own.push((name, name.to_owned(), kind));
        }
    }

    /// A customer's column: as it is, or one value in it taken from another column, or from a constant.
    fn attribute(&mut self, rng: &mut StdRng, shape: &mut Shape, name: &str, kind: &Type) {
        if !chance(rng, 30) {
            shape.others.push((name.to_owned(), kind.clone(), false));
            return;
        }
        let (path, below, rest) = cut(rng, name, kind);
        if let Some(rest) = rest {
            shape.others.push((name.to_owned(), rest, false));
        }
        let from = if below == Type::Text && chance(rng, 30) {
            constant("always")
        } else if chance(rng, 30) {
            let source = self.source();
            let outer = Type::of(&[("v", below), ("w", Type::Text)]);
            shape.others.push((source.clone(), outer, true));
            column(&format!("{source}.v"))
        } else {
            let source = self.source();
            shape.others.push((source.clone(), below, true));
            column(&source)
        };
        shape.plan.columns.insert(path, from);
    }

    fn source(&mut self) -> String {
        self.sources += 1;
        format!("src{}", self.sources)
    }

    fn group(&mut self, rng: &mut StdRng, kind: Kind, shape: &Shape, number: i64) -> Files {
        let mut columns: Vec<(String, Type)> = shape
            .own
            .iter()
            .map(|(_, name, kind)| (name.clone(), kind.clone()))
            .collect();
        let others = shape.others.iter().filter(|(_, _, needed)| *needed || !chance(rng, 12));
        let others: Vec<(String, Type)> = others.map(|(name, kind, _)| (name.clone(), kind.clone())).collect();
        columns.extend(others.iter().cloned());
        let written = STARTED_AT + (number - 2) * 1_000_000;
        let mut kept: Vec<Map<String, Value>> = Vec::new();
        for _ in 0..rng.random_range(0..=6) {
            let (own, mut row) = self.own_row(rng, shape, written);
            row.extend(schema::row(rng, &others));
            if self.ties == Ties::Some || self.seen.insert(format!("{kind:?} {:?}", Self::tie(kind, &own))) {
                if chance(rng, 10) {
                    kept.push(row.clone());
                }
                kept.push(row);
            }
        }
        let encoding = match shape.plan.format {
            TableFormat::Parquet if chance(rng, 35) => encoding(rng),
            _ => Encoding::default(),
        };
        Files {
            files: vec![("part.parquet".to_owned(), kept)],
            columns,
            encoding,
            written,
            row_group: 1000,
            raw_times: None,
        }
    }

    /// The store's own columns of a row: as the store sees them, and as the table has them.
    fn own_row(&self, rng: &mut StdRng, shape: &Shape, written: i64) -> (Own, Map<String, Value>) {
        let identity = pick(rng, &self.identities).clone();
        let mut own = shape.fixed.clone();
        let mut row = Map::new();
        for (store, table, _) in &shape.own {
            let value = self.own(rng, store, &identity);
            own.insert(store, value.clone());
            row.insert(table.clone(), value);
        }
        own.entry("ups_ingested").or_insert_with(|| json!(written));
        (own, row)
    }
}

/// Cuts one value out of a column: its path, its type, and what is left of the column.
fn cut(rng: &mut StdRng, name: &str, kind: &Type) -> (String, Type, Option<Type>) {
    let Type::Struct(fields) = kind else {
        return (name.to_owned(), kind.clone(), None);
    };
    if chance(rng, 20) {
        return (name.to_owned(), kind.clone(), None);
    }
    let chosen = rng.random_range(0..fields.len());
    let (path, below, rest) = cut(rng, &fields[chosen].0, &fields[chosen].1);
    let mut left = fields.clone();
    match rest {
        Some(rest) => left[chosen].1 = rest,
        None => drop(left.remove(chosen)),
    }
    let left = (!left.is_empty()).then_some(Type::Struct(left));
    (format!("{name}.{path}"), below, left)
}

/// One of the ways in which other systems store the same types.
fn encoding(rng: &mut StdRng) -> Encoding {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let units = [
        TimeUnit::Second,
        TimeUnit::Millisecond,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
    ];
    let zones = [
        None,
        Some("UTC".into()),
        Some("+00:00".into()),
        Some("Europe/Berlin".into()),
    ];
    Encoding {
        text: pick(
            rng,
            &[DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary],
        )
        .clone(),
        time: DataType::Timestamp(*pick(rng, &units), pick(rng, &zones).clone()),
        long: pick(rng, &[DataType::Int64, DataType::Int32]).clone(),
        float: pick(rng, &[DataType::Float64, DataType::Float32]).clone(),
        large_lists: chance(rng, 25),
    }
}
