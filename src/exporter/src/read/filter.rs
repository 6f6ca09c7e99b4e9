//! Which rows of a table take part.

use std::collections::HashSet;

use datafusion::{
    arrow::{
        array::{Array, AsArray, BooleanArray, RecordBatch},
        compute::{and, filter_record_batch, is_not_null},
        datatypes::{Schema, TimestampMicrosecondType},
    },
    common::Result,
};

use super::roles::{DATASET, IDENTITY, NAMESPACE, Role, SEGMENT_ID, VALID_UNTIL};

/// Rows that take part. Rows without an identity never do: they belong to no profile.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowFilter {
    /// Only of these datasets.
    pub datasets: Option<HashSet<String>>,
    /// Only those that end at this time or later.
    pub valid_at: Option<i64>,
}

/// A filter with the places of its columns.
#[derive(Debug)]
pub(super) struct Filter {
    not_null: Vec<usize>,
    datasets: Option<(usize, HashSet<String>)>,
    valid_at: Option<(usize, i64)>,
}

impl Filter {
    /// The filter for batches of this schema.
    pub fn new(filter: RowFilter, schema: &Schema) -> Self {
        let place = |role: Role| schema.index_of(role.name).ok();
        Self {
            not_null: [NAMESPACE, IDENTITY, SEGMENT_ID]
                .into_iter()
                .filter_map(place)
                .collect(),
            datasets: place(DATASET).zip(filter.datasets),
            valid_at: place(VALID_UNTIL).zip(filter.valid_at),
        }
    }

    /// The rows of the batch that take part.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut keep = BooleanArray::from(vec![true; batch.num_rows()]);
        for column in &self.not_null {
            let column = batch.column(*column);
            if column.null_count() > 0 {
                keep = and(&keep, &is_not_null(column)?)?;
            }
        }
        if let Some((column, datasets)) = &self.datasets {
            let values = batch.column(*column).as_string_view().iter();
            let listed: BooleanArray = values
                .map(|dataset| Some(dataset.is_some_and(|dataset| datasets.contains(dataset))))
                .collect();
            keep = and(&keep, &listed)?;
        }
        if let Some((column, time)) = self.valid_at {
            let values = batch.column(column).as_primitive::<TimestampMicrosecondType>().iter();
            let valid: BooleanArray = values
                .map(|until| Some(until.is_none_or(|until| until >= time)))
                .collect();
            keep = and(&keep, &valid)?;
        }
        if keep.true_count() == batch.num_rows() {
            Ok(batch.clone())
        } else {
            Ok(filter_record_batch(batch, &keep)?)
        }
    }
}
