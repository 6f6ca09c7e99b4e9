//! The columns that are written, and nested columns from their leaves.

pub(crate) mod columns;
pub(crate) mod deliver;

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, ArrayRef, StructArray},
    buffer::NullBuffer,
    datatypes::{DataType, Fields},
    error::ArrowError,
};

/// The leaves below the fields, depth first: path and type of each.
pub(crate) fn leaves(fields: &Fields) -> Vec<(Vec<String>, DataType)> {
    let mut all = Vec::new();
    collect(fields, &mut Vec::new(), &mut all);
    all
}

fn collect(fields: &Fields, path: &mut Vec<String>, all: &mut Vec<(Vec<String>, DataType)>) {
    for field in fields {
        path.push(field.name().clone());
        match field.data_type() {
            DataType::Struct(fields) => collect(fields, path, all),
            other => all.push((path.clone(), other.clone())),
        }
        path.pop();
    }
}

/// The columns of these fields, out of their [`leaves`] in the same order. A struct is null where all of its leaves are.
pub(crate) fn assemble(
    fields: &Fields,
    leaves: &mut impl Iterator<Item = ArrayRef>,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let columns = fields.iter().map(|field| match field.data_type() {
        DataType::Struct(fields) => {
            let columns = assemble(fields, leaves)?;
            let nulls = all_null(&columns);
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?) as ArrayRef)
        }
        _ => leaves
            .next()
            .ok_or_else(|| ArrowError::InvalidArgumentError(format!("no leaf is left for {}", field.name()))),
    });
    columns.collect()
}

/// Null where all columns are null.
fn all_null(columns: &[ArrayRef]) -> Option<NullBuffer> {
    let mut valid: Option<NullBuffer> = None;
    for column in columns {
        // A column without nulls has a value in each row.
        let nulls = column.nulls()?;
        valid = Some(match valid {
            Some(valid) => NullBuffer::new(valid.inner() | nulls.inner()),
            None => nulls.clone(),
        });
    }
    valid
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::{
        array::{AsArray, Int32Array, StringViewArray},
        datatypes::{Field, Int32Type},
    };

    use super::*;
    use crate::fields::types::{TEXT, struct_of};

    #[test]
    fn a_struct_is_null_exactly_where_all_of_its_leaves_are() {
        let fields: Fields = vec![Field::new(
            "person",
            struct_of([("name", struct_of([("first", TEXT)])), ("age", DataType::Int32)]),
            true,
        )]
        .into();
        let paths: Vec<String> = leaves(&fields).into_iter().map(|(path, _)| path.join(".")).collect();
        assert_eq!(paths, ["person.name.first", "person.age"]);
        let first: ArrayRef = Arc::new(StringViewArray::from(vec![None, Some(""), None]));
        let age: ArrayRef = Arc::new(Int32Array::from(vec![None, None, Some(3)]));
        let columns = assemble(&fields, &mut [first, age].into_iter()).unwrap();
        let person = columns[0].as_struct();
        assert_eq!(
            (person.is_null(0), person.is_null(1), person.is_null(2)),
            (true, false, false)
        );
        assert_eq!(
            (person.column(0).is_null(1), person.column(0).is_null(2)),
            (false, true)
        );
        assert_eq!(person.column(1).as_primitive::<Int32Type>().value(2), 3);
    }
}
