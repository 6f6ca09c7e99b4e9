//! What the dataset has, what the job writes, and what the dataset has afterwards.

use deltalake::kernel::{ArrayType, DataType, MapType, StructField, StructType};
use exportjob_plan::code;

use super::types::{BATCH_COLUMN, join};
use crate::{Error, Result};

/// Columns of a dataset that is created by a job that writes `job`.
pub(crate) fn created(job: &StructType) -> Result<StructType> {
    let batch = StructField::nullable(BATCH_COLUMN, DataType::STRING);
    build(job.fields().cloned().chain([batch]))
}

/// Columns of a dataset that is created by an abort: of the batch alone.
pub(crate) fn created_by_abort() -> Result<StructType> {
    build([StructField::nullable(BATCH_COLUMN, DataType::STRING)])
}

/// The columns of `table` with those that `job` adds, at any depth; `None` when it adds none.
///
/// # Errors
/// `SCHEMA_CONFLICT` that names each path that has one type in the table and another in the job.
pub(crate) fn merge(dataset: &str, table: &StructType, job: &StructType) -> Result<Option<StructType>> {
    let mut conflicts = Vec::new();
    let merged = merge_structs("", table, job, &mut conflicts)?;
    if conflicts.is_empty() {
        return Ok((merged != *table).then_some(merged));
    }
    Err(Error::new(
        code::SCHEMA_CONFLICT,
        format!(
            "{}: leave these paths out of spec.fields, map them to others in the ProfileStore, or export to another Dataset than {dataset:?}",
            conflicts.join("; ")
        ),
    ))
}

/// The columns of `job` as they are written to a table with the columns `merged`: a map holds whatever the table has in
/// it, null where the job has nothing to say. Most readers fill in what a file lacks, but not inside of maps.
pub(crate) fn written(merged: &StructType, job: &StructType) -> Result<StructType> {
    let fields = job.fields().map(|field| {
        let mut field = field.clone();
        if let Some(known) = merged.field(field.name()) {
            field.data_type = written_type(&known.data_type, &field.data_type)?;
        }
        Ok(field)
    });
    build(fields.collect::<Result<Vec<_>>>()?)
}

fn written_type(merged: &DataType, job: &DataType) -> Result<DataType> {
    Ok(match (merged, job) {
        (DataType::Struct(merged), DataType::Struct(job)) => written(merged, job)?.into(),
        (DataType::Array(merged), DataType::Array(job)) => {
            let element = written_type(merged.element_type(), job.element_type())?;
            ArrayType::new(element, job.contains_null()).into()
        }
        (DataType::Map(_), DataType::Map(_)) => merged.clone(),
        _ => job.clone(),
    })
}

fn build(fields: impl IntoIterator<Item = StructField>) -> Result<StructType> {
    StructType::try_new(fields).map_err(|error| {
        Error::new(
            code::SCHEMA_CONFLICT,
            format!("the columns cannot be held by one table: {error}"),
        )
        .caused_by(error)
    })
}

fn merge_structs(path: &str, table: &StructType, job: &StructType, conflicts: &mut Vec<String>) -> Result<StructType> {
    let mut fields: Vec<StructField> = Vec::new();
    for field in table.fields() {
        let mut field = field.clone();
        if let Some(written) = job.field(field.name()) {
            field.data_type = merge_types(
                &join(path, field.name()),
                &field.data_type,
                &written.data_type,
                conflicts,
            )?;
        }
        fields.push(field);
    }
    for field in job.fields() {
        if table.field(field.name()).is_some() {
            continue;
        }
        match table
            .fields()
            .find(|other| other.name().eq_ignore_ascii_case(field.name()))
        {
            Some(alike) => conflicts.push(format!(
                "{} differs from the dataset's {} in case only",
                join(path, field.name()),
                join(path, alike.name())
            )),
            None => fields.push(field.clone()),
        }
    }
    build(fields)
}

fn merge_types(path: &str, table: &DataType, job: &DataType, conflicts: &mut Vec<String>) -> Result<DataType> {
    Ok(match (table, job) {
        (DataType::Struct(table), DataType::Struct(job)) => merge_structs(path, table, job, conflicts)?.into(),
        (DataType::Array(table), DataType::Array(job)) => {
            let element = merge_types(path, table.element_type(), job.element_type(), conflicts)?;
            ArrayType::new(element, table.contains_null()).into()
        }
        (DataType::Map(table), DataType::Map(job)) if table.key_type() == job.key_type() => {
            let value = merge_types(path, table.value_type(), job.value_type(), conflicts)?;
            MapType::new(table.key_type().clone(), value, table.value_contains_null()).into()
        }
        _ => {
            if table != job {
                conflicts.push(format!(
                    "{path} is {} in the dataset and {} in this export",
                    name(table),
                    name(job)
                ));
            }
            table.clone()
        }
    })
}

/// A type in one or a few words.
fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Primitive(primitive) => primitive.to_string(),
        DataType::Array(array) => format!("an array of {}", name(array.element_type())),
        DataType::Struct(_) => "an object".to_owned(),
        DataType::Map(map) => format!("a map of {} to {}", name(map.key_type()), name(map.value_type())),
        DataType::Variant(_) => "a variant".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn object(fields: &[(&str, DataType)]) -> StructType {
        build(
            fields
                .iter()
                .map(|(name, data_type)| StructField::nullable(*name, data_type.clone())),
        )
        .unwrap()
    }

    fn list(element: StructType) -> DataType {
        ArrayType::new(DataType::from(element), true).into()
    }

    fn map(value: StructType) -> DataType {
        MapType::new(DataType::STRING, DataType::from(value), true).into()
    }

    #[test]
    fn new_fields_are_added_in_objects_lists_and_map_values() {
        let old = object(&[("a", DataType::STRING)]);
        let new = object(&[("b", DataType::LONG)]);
        let both = object(&[("a", DataType::STRING), ("b", DataType::LONG)]);
        for wrap in [|object: StructType| DataType::from(object), list, map] {
            let table = object(&[("x", wrap(old.clone()))]);
            let job = object(&[("y", DataType::DATE), ("x", wrap(new.clone()))]);
            let expected = object(&[("x", wrap(both.clone())), ("y", DataType::DATE)]);
            assert_eq!(merge("d", &table, &job).unwrap(), Some(expected));
        }
    }

    #[test]
    fn a_job_that_writes_less_changes_nothing() {
        let table = object(&[("a", DataType::STRING), ("b", map(object(&[("c", DataType::LONG)])))]);
        assert_eq!(merge("d", &table, &object(&[("a", DataType::STRING)])).unwrap(), None);
        assert_eq!(merge("d", &table, &table).unwrap(), None);
    }

    #[test]
    fn every_conflict_is_named_with_both_types() {
        let table = object(&[
            ("loyalty", list(object(&[("points", DataType::LONG)]))),
            ("age", DataType::INTEGER),
        ]);
        let job = object(&[
            ("loyalty", list(object(&[("points", DataType::STRING)]))),
            ("age", list(table.clone())),
        ]);
        let error = merge("audience", &table, &job).unwrap_err();
        assert_eq!(error.code(), code::SCHEMA_CONFLICT);
        let text = error.to_string();
        assert!(
            text.contains("loyalty.points is long in the dataset and string in this export"),
            "{text}"
        );
        assert!(
            text.contains("age is integer in the dataset and an array of an object in this export"),
            "{text}"
        );
        assert!(text.contains("\"audience\""), "{text}");
    }

    #[test]
    fn a_name_that_differs_in_case_only_is_a_conflict() {
        let error = merge(
            "d",
            &object(&[("Email", DataType::STRING)]),
            &object(&[("email", DataType::STRING)]),
        )
        .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("email differs from the dataset's Email in case only"),
            "{error}"
        );
    }
}
