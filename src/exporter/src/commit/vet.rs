//! Tables that a batch may be committed to: those whose rules this writer can keep.

use deltalake::{
    kernel::{DataType, StructField, StructType, transaction::PROTOCOL},
    table::state::DeltaTableState,
};
use exportjob_plan::code;

use super::types::{BATCH_COLUMN, join};
use crate::{Error, Result};

/// Properties that a table must not have, by the start of their names, with the reason.
const REFUSED: &[(&str, &str)] = &[
    (
        "delta.setTransactionRetentionDuration",
        "it makes the table forget which batches it has, so that a batch could land twice",
    ),
    ("delta.constraints.", "this version does not check constraints"),
];
/// Marks on columns that ask for more than plain values, with what they ask for.
const REFUSED_ON_COLUMNS: &[(&str, &str)] = &[
    ("delta.generationExpression", "is computed from other columns"),
    ("delta.invariants", "has an invariant"),
    ("delta.identity.start", "is an identity column"),
];

/// Refuses tables whose rules this writer would break.
///
/// # Errors
/// `DATASET_UNUSABLE`, with what to do.
pub(crate) fn vet(location: &str, state: &DeltaTableState) -> Result<()> {
    let refuse = |reason: String| {
        Err(Error::new(
            code::DATASET_UNUSABLE,
            format!("the Delta table at {location} cannot be used as a dataset: {reason}"),
        ))
    };
    if let Err(error) = PROTOCOL.can_write_to(state.snapshot()) {
        return refuse(format!("{error}; name another, or a new, location in the Dataset"));
    }
    let metadata = state.metadata();
    if metadata
        .partition_columns()
        .iter()
        .map(String::as_str)
        .ne([BATCH_COLUMN])
    {
        return refuse(format!(
            "it is partitioned by [{}] and must be by [{BATCH_COLUMN}] alone; name a new location in the Dataset, where the first export creates the table",
            metadata.partition_columns().join(", ")
        ));
    }
    for (name, value) in metadata.configuration() {
        if let Some((_, reason)) = REFUSED.iter().find(|(start, _)| name.starts_with(start)) {
            return refuse(format!(
                "its property {name} = {value} is set, and {reason}; remove it (ALTER TABLE … UNSET TBLPROPERTIES)"
            ));
        }
        if name == "delta.columnMapping.mode" && value != "none" {
            return refuse("it maps column names; name a new location in the Dataset".to_owned());
        }
    }
    match complaint("", &state.schema()) {
        Some(reason) => refuse(reason),
        None => Ok(()),
    }
}

/// The first column that a plain, nullable value cannot be written to.
fn complaint(path: &str, schema: &StructType) -> Option<String> {
    schema.fields().find_map(|field| {
        let path = join(path, field.name());
        mark(&path, field).or_else(|| nested(&path, field.data_type()))
    })
}

fn mark(path: &str, field: &StructField) -> Option<String> {
    if !field.is_nullable() {
        return Some(format!(
            "its column {path} is NOT NULL, and batches may lack any column; make it nullable"
        ));
    }
    REFUSED_ON_COLUMNS
        .iter()
        .find(|(key, _)| field.metadata().contains_key(*key))
        .map(|(_, what)| {
            format!("its column {path} {what}, which this version does not support; name a new location in the Dataset")
        })
}

fn nested(path: &str, data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Struct(fields) => complaint(path, fields),
        DataType::Array(array) => nested(path, array.element_type()),
        DataType::Map(map) => nested(path, map.value_type()),
        DataType::Primitive(_) | DataType::Variant(_) => None,
    }
}
