//! Reads of a bucketed file what belongs to some profiles: row groups are passed over by their statistics, pages by the
//! rows that are left.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, BooleanArray, RecordBatch, StructArray},
        datatypes::DataType,
        error::ArrowError,
    },
    parquet::{
        arrow::{
            ProjectionMask,
            arrow_reader::{ArrowPredicateFn, ArrowReaderMetadata, RowFilter},
        },
        file::statistics::Statistics,
    },
};

use super::{candidates::KeySet, convert::leaf, mask::leaves_of, table::Bucket};
use crate::keys::{KeyRef, Keys};

/// The rows of a file that belong to some profiles.
pub(super) struct Chosen {
    metadata: ArrowReaderMetadata,
    path: Vec<String>,
    key: DataType,
    /// Leaf column of the key.
    column: Option<usize>,
    keys: Arc<KeySet>,
}

impl Chosen {
    /// The rows of `keys` in the file of this bucket.
    pub fn new(metadata: &ArrowReaderMetadata, bucket: &Bucket, keys: Arc<KeySet>) -> Self {
        let wanted = [(bucket.column.as_slice(), &bucket.key)];
        Self {
            column: leaves_of(metadata.schema().fields(), &wanted).first().copied(),
            metadata: metadata.clone(),
            path: bucket.column.clone(),
            key: bucket.key.clone(),
            keys,
        }
    }

    /// Those of the row groups that can have such a row.
    pub fn row_groups(&self, mut groups: Vec<usize>) -> Vec<usize> {
        groups.retain(|group| self.reaches(*group).unwrap_or(true));
        groups
    }

    fn reaches(&self, group: usize) -> Option<bool> {
        let group = self.metadata.metadata().row_groups().get(group)?;
        match group.column(self.column?).statistics()? {
            Statistics::ByteArray(values) => {
                // Bounds may be cut short, and are bounds still; cut within a letter they are no text.
                let least = std::str::from_utf8(values.min_opt()?.data()).ok()?;
                let greatest = std::str::from_utf8(values.max_opt()?.data()).ok()?;
                Some(self.keys.reaches(KeyRef::Text(least), KeyRef::Text(greatest)))
            }
            Statistics::Int64(values) => {
                let (least, greatest) = (KeyRef::Number(*values.min_opt()?), KeyRef::Number(*values.max_opt()?));
                Some(self.keys.reaches(least, greatest))
            }
            Statistics::Int32(values) => {
                let (least, greatest) = (i64::from(*values.min_opt()?), i64::from(*values.max_opt()?));
                Some(self.keys.reaches(KeyRef::Number(least), KeyRef::Number(greatest)))
            }
            _ => None,
        }
    }

    /// A filter that reads the key first.
    pub fn row_filter(self) -> RowFilter {
        let descriptor = self.metadata.metadata().file_metadata().schema_descr();
        let projection = ProjectionMask::leaves(descriptor, self.column);
        let matches = move |batch: RecordBatch| -> Result<BooleanArray, ArrowError> {
            let rows = batch.num_rows();
            let column = leaf(&StructArray::from(batch), &self.path, &self.key)?;
            match column {
                // A row without a key is left for the merge to complain of.
                Some(column) if column.null_count() == 0 => Ok(self.keys.contains(&Keys::read(&column)?)),
                _ => Ok(BooleanArray::from(vec![true; rows])),
            }
        };
        RowFilter::new(vec![Box::new(ArrowPredicateFn::new(projection, matches))])
    }
}
