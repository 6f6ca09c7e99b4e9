//! §2: the tables of one kind, each mapped to the store's columns, read as one.

use std::collections::BTreeMap;

use exportjob_api::ColumnSource;
use exportjob_plan::TablePlan;
use serde_json::{Map, Value, json};

use super::{
    model::{TableData, Type, at, union_fields},
    project::whole,
};

/// Tables of one kind, read as one.
#[derive(Debug, Default)]
pub struct View {
    pub columns: Vec<(String, Type)>,
    pub rows: Vec<Value>,
}

impl View {
    /// "Each is a list of tables, read as one" (§2).
    pub fn new(plans: &[TablePlan], tables: &[TableData]) -> Self {
        assert_eq!(plans.len(), tables.len());
        let mut view = Self::default();
        for (plan, table) in plans.iter().zip(tables) {
            view.columns = union_fields(&view.columns, &columns(plan, table));
            view.rows.extend(
                table
                    .rows
                    .iter()
                    .map(|row| map_row(plan, table, &row.values, row.written)),
            );
        }
        view
    }

    /// The customer's columns: "Columns that the store itself owns start with `ups_`; all other columns are the
    /// customer's (XDM) fields" (§2).
    pub fn attributes(&self) -> Vec<(String, Type)> {
        self.columns
            .iter()
            .filter(|(name, _)| !name.starts_with("ups_"))
            .cloned()
            .collect()
    }

    pub fn column(&self, name: &str) -> Option<&Type> {
        self.columns
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, kind)| kind)
    }
}

/// Columns that keep their names: "unmapped columns keep their names, or are left out with `onlyMapped: true`" (§2). What
/// is mapped moves; a struct that has nothing left goes with it.
fn kept(plan: &TablePlan, table: &TableData) -> Vec<(String, Type)> {
    if plan.only_mapped {
        return Vec::new();
    }
    let mapped = plan.columns.values().filter_map(|source| source.column.as_deref());
    mapped.fold(table.columns.clone(), |columns, path| without(&columns, path))
}

fn without(columns: &[(String, Type)], path: &str) -> Vec<(String, Type)> {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let rest_of = |(known, kind): &(String, Type)| match (known == name, rest, kind) {
        (false, _, _) => Some((known.clone(), kind.clone())),
        (true, "", _) => None,
        (true, rest, Type::Struct(fields)) => {
            let fields = without(fields, rest);
            (!fields.is_empty()).then(|| (known.clone(), Type::Struct(fields)))
        }
        (true, _, _) => panic!("{path} leads through something that is no struct"),
    };
    columns.iter().filter_map(rest_of).collect()
}

fn columns(plan: &TablePlan, table: &TableData) -> Vec<(String, Type)> {
    let mut columns = kept(plan, table);
    for (path, source) in &plan.columns {
        let mut kind = match &source.column {
            Some(column) => type_at(&table.columns, column),
            None => Type::Text,
        };
        let (outer, inner) = path.split_once('.').unwrap_or((path, ""));
        for name in inner.rsplit('.').filter(|name| !name.is_empty()) {
            kind = Type::Struct(vec![(name.to_owned(), kind)]);
        }
        columns = union_fields(&columns, &[(outer.to_owned(), kind)]);
    }
    columns
}

fn type_at(columns: &[(String, Type)], path: &str) -> Type {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let (_, kind) = columns
        .iter()
        .find(|(known, _)| known == name)
        .expect("a mapped column exists");
    match (rest, kind) {
        ("", kind) => kind.clone(),
        (rest, Type::Struct(fields)) => type_at(fields, rest),
        _ => panic!("{path} leads through something that is no struct"),
    }
}

fn map_row(plan: &TablePlan, table: &TableData, values: &Map<String, Value>, written: i64) -> Value {
    let source = Value::Object(values.clone());
    let kept = kept(plan, table);
    let mut row = Map::new();
    for (name, kind) in &kept {
        row.insert(name.clone(), whole(values.get(name).unwrap_or(&Value::Null), kind));
    }
    let mut row = Value::Object(row);
    apply(&mut row, &source, &plan.columns);
    // "`dataset` gives `ups_dataset` a constant" (§2).
    if let Some(dataset) = &plan.dataset {
        row["ups_dataset"] = json!(dataset);
    }
    // "Without `ups_ingested` a Delta table's commit time stands in, else the file's modification time" (§2).
    let has_ingested = plan.columns.contains_key("ups_ingested") || kept.iter().any(|(name, _)| name == "ups_ingested");
    if !has_ingested {
        row["ups_ingested"] = json!(written);
    }
    row
}

/// "`columns` maps paths of the store to what the table has, `{column: name}` or `{value: constant}`, where a dotted
/// path builds the struct" (§2).
fn apply(row: &mut Value, source: &Value, columns: &BTreeMap<String, ColumnSource>) {
    for (path, from) in columns {
        let value = match (&from.column, &from.value) {
            (Some(column), _) => at(source, column).clone(),
            (None, Some(constant)) => json!(constant),
            (None, None) => Value::Null,
        };
        let mut place = &mut *row;
        for name in path.split('.') {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[name];
        }
        *place = value;
    }
}
