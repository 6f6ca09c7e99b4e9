//! Lists and maps out of their ends and values, and values out of the places of rows.

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, ArrayRef, ListArray, MapArray, StructArray, new_null_array},
    buffer::{OffsetBuffer, ScalarBuffer},
    compute::interleave,
    datatypes::{DataType, Field, Fields},
    error::ArrowError,
};

use super::cursor::Row;
use crate::{
    fields::types::{map_of, map_parts},
    project::leaves,
};

type Result<T, E = ArrowError> = std::result::Result<T, E>;

/// Ends of lists.
pub(super) struct Ends(Vec<i32>);

impl Ends {
    /// No list yet.
    pub fn new() -> Self {
        Self(vec![0])
    }

    /// The next list ends here.
    pub fn push(&mut self, end: usize) {
        self.0.push(i32::try_from(end).unwrap_or(i32::MAX));
    }

    /// The ends as offsets.
    pub fn finish(&self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(ScalarBuffer::from(self.0.clone()))
    }
}

/// Nullable fields.
pub(super) fn fields<const N: usize>(fields: [(&str, DataType); N]) -> Fields {
    fields
        .into_iter()
        .map(|(name, data_type)| Field::new(name, data_type, true))
        .collect()
}

/// Lists of the values.
pub(super) fn list(offsets: OffsetBuffer<i32>, values: ArrayRef) -> Result<ArrayRef> {
    let item = Arc::new(Field::new("element", values.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(item, offsets, values, None)?))
}

/// Maps of the keys and values.
pub(super) fn map(offsets: OffsetBuffer<i32>, keys: ArrayRef, values: ArrayRef) -> Result<ArrayRef> {
    let DataType::Map(entries, _) = map_of(keys.data_type().clone(), values.data_type().clone()) else {
        return Err(ArrowError::InvalidArgumentError("a map has entries".to_owned()));
    };
    let (DataType::Struct(fields), true) = (entries.data_type(), map_parts(&entries).is_some()) else {
        return Err(ArrowError::InvalidArgumentError(
            "the entries of a map have keys and values".to_owned(),
        ));
    };
    let columns = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    Ok(Arc::new(MapArray::try_new(entries, offsets, columns, None, false)?))
}

/// The rows' values. Without rows the arrays may be none, too.
pub(super) fn gather(arrays: &[&dyn Array], rows: &[Row], data_type: &DataType) -> Result<ArrayRef> {
    if rows.is_empty() {
        Ok(new_null_array(data_type, 0))
    } else {
        interleave(arrays, rows)
    }
}

/// The rows' values, where the first of the arrays stands for null and the others follow.
pub(super) fn gather_or_null<'a>(
    arrays: impl Iterator<Item = &'a dyn Array>,
    rows: &[Row],
    data_type: &DataType,
) -> Result<ArrayRef> {
    let null = new_null_array(data_type, 1);
    let mut all: Vec<&dyn Array> = vec![null.as_ref()];
    for array in arrays {
        all.push(array);
    }
    gather(&all, rows, data_type)
}

/// The rows' values in each of the leaves of these fields.
pub(super) fn gather_all<'a>(
    fields: &Fields,
    rows: &[Row],
    arrays: impl Fn(usize) -> Vec<&'a dyn Array>,
) -> Result<Vec<ArrayRef>> {
    let types = leaves(fields);
    types
        .iter()
        .enumerate()
        .map(|(leaf, (_, data_type))| gather(&arrays(leaf), rows, data_type))
        .collect()
}
