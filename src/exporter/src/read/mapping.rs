//! A table as it is, in the store's columns.

use std::collections::BTreeMap;

use exportjob_api::ColumnSource;
use exportjob_plan::{TablePlan, code, nearest};

use super::roles::DATASET;
use crate::{
    Error, Result,
    fields::tree::{Node, Source, Tree},
};

/// How a table's columns become the store's: parsed and checked against nothing but itself.
#[derive(Debug)]
pub(crate) struct Mapping {
    dataset: Option<String>,
    columns: Vec<(Vec<String>, Origin)>,
    only_mapped: bool,
}

#[derive(Debug)]
enum Origin {
    Column(Vec<String>),
    Value(String),
}

impl Mapping {
    /// The mapping of a table; `table` names it in errors.
    pub fn new(plan: &TablePlan, table: &str) -> Result<Self> {
        let columns = plan
            .columns
            .iter()
            .map(|(path, source)| entry(path, source, table))
            .collect::<Result<_>>()?;
        let mapping = Self {
            dataset: plan.dataset.clone(),
            columns,
            only_mapped: plan.only_mapped,
        };
        if mapping.dataset.is_some() && plan.columns.contains_key(DATASET.name) {
            return Err(invalid(
                table,
                &format!(
                    "has a dataset, and columns maps {}, too: keep one of them",
                    DATASET.name
                ),
            ));
        }
        mapping.check_overlaps(&plan.columns, table)?;
        Ok(mapping)
    }

    /// A path cannot have a value and fields of its own.
    fn check_overlaps(&self, declared: &BTreeMap<String, ColumnSource>, table: &str) -> Result<()> {
        for (path, _) in &self.columns {
            for depth in 1..path.len() {
                let above = path[..depth].join(".");
                if declared.contains_key(&above) {
                    return Err(invalid(
                        table,
                        &format!("columns maps both {above} and {}: map one of them only", path.join(".")),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The columns of a file under their names in the store.
    pub fn apply(&self, columns: &Tree<Source>, file: &str) -> Result<Tree<Source>> {
        let mut mapped = if self.only_mapped {
            Tree::default()
        } else {
            columns.clone()
        };
        for (_, origin) in &self.columns {
            if let Origin::Column(path) = origin {
                mapped.remove(path);
            }
        }
        for (path, origin) in &self.columns {
            let node = match origin {
                Origin::Value(value) => Node::Leaf(Source::Value(value.clone())),
                Origin::Column(from) => {
                    let Some(node) = columns.find(from) else {
                        // A file from before the column was added: nulls, whatever it has under the store's name.
                        mapped.remove(path);
                        continue;
                    };
                    node.clone()
                }
            };
            if !mapped.insert(path, node) {
                return Err(invalid(
                    file,
                    &format!(
                        "columns maps {}, but a column around it is not a struct: leave that column out with onlyMapped, or map it to another path",
                        path.join(".")
                    ),
                ));
            }
        }
        if let Some(dataset) = &self.dataset {
            mapped.insert(&[DATASET.name.to_owned()], Node::Leaf(Source::Value(dataset.clone())));
        }
        Ok(mapped)
    }

    /// Refuses a mapping from a column that no file of the table has.
    pub fn check_columns(&self, files: &[Tree<Source>], table: &str) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        for (path, origin) in &self.columns {
            let Origin::Column(from) = origin else { continue };
            if files.iter().any(|columns| columns.find(from).is_some()) {
                continue;
            }
            let known = files
                .iter()
                .flat_map(|columns| columns.0.iter().map(|(name, _)| name.as_str()));
            let hint = nearest(&from.join("."), known).map(|name| format!(" (did you mean {name}?)"));
            return Err(Error::new(
                code::MISSING_COLUMN,
                format!(
                    "{table} has no column {}{}, which columns maps to {}: correct the mapping",
                    from.join("."),
                    hint.unwrap_or_default(),
                    path.join(".")
                ),
            ));
        }
        Ok(())
    }
}

fn entry(path: &str, source: &ColumnSource, table: &str) -> Result<(Vec<String>, Origin)> {
    let origin = match (&source.column, &source.value) {
        (Some(column), None) => Origin::Column(split(column, table)?),
        (None, Some(value)) => Origin::Value(value.clone()),
        _ => {
            return Err(invalid(
                table,
                &format!("columns.{path} needs exactly one of column and value"),
            ));
        }
    };
    Ok((split(path, table)?, origin))
}

fn split(path: &str, table: &str) -> Result<Vec<String>> {
    let names: Vec<String> = path.split('.').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(invalid(
            table,
            &format!("columns has {path:?}, which is not a dotted path of names"),
        ));
    }
    Ok(names)
}

fn invalid(table: &str, message: &str) -> Error {
    Error::new(code::INVALID_STORE, format!("{table}: {message}"))
}
