//! A choice of rows by their identities that is made when the rows are read: other columns are read for what is left.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray, StructArray},
        error::ArrowError,
    },
    parquet::arrow::{
        ProjectionMask,
        arrow_reader::{ArrowPredicateFn, ArrowReaderMetadata, RowFilter},
    },
};

use super::{mask::leaves_of, recipe::Getter};
use crate::{Error, Result};

/// Says which identities are wanted.
pub(crate) trait ChoosesIdentities: fmt::Debug + Send + Sync {
    /// For each row whether it may be wanted.
    fn choose(&self, namespaces: &StringViewArray, identities: &StringViewArray) -> BooleanArray;
}

/// A choice that is known by the time the first row is read, if there is one.
pub(crate) type Choice = Arc<OnceLock<Arc<dyn ChoosesIdentities>>>;

/// A filter that reads namespace and identity first; `None` where a file has neither of them in a column.
pub(super) fn row_filter(
    metadata: &ArrowReaderMetadata,
    (namespace, identity): (&Getter, &Getter),
    choice: Arc<dyn ChoosesIdentities>,
) -> Option<RowFilter> {
    let columns: Vec<_> = [namespace, identity].into_iter().filter_map(Getter::column).collect();
    if columns.is_empty() {
        return None;
    }
    let leaves = leaves_of(metadata.schema().fields(), &columns);
    let projection = ProjectionMask::leaves(metadata.metadata().file_metadata().schema_descr(), leaves);
    let (namespace, identity) = (namespace.clone(), identity.clone());
    let chosen = move |batch: RecordBatch| -> Result<BooleanArray, ArrowError> {
        let rows = batch.num_rows();
        let batch = StructArray::from(batch);
        let read = |getter: &Getter| -> Result<ArrayRef, ArrowError> {
            let none = || Err(Error::new(exportjob_plan::code::INTERNAL, "an identity has no time"));
            getter
                .get(&batch, rows, none)
                .map_err(|error| ArrowError::ExternalError(Box::new(error)))
        };
        let (namespaces, identities) = (read(&namespace)?, read(&identity)?);
        match (namespaces.as_string_view_opt(), identities.as_string_view_opt()) {
            (Some(namespaces), Some(identities)) => Ok(choice.choose(namespaces, identities)),
            _ => Ok(BooleanArray::from(vec![true; rows])),
        }
    };
    Some(RowFilter::new(vec![Box::new(ArrowPredicateFn::new(
        projection, chosen,
    ))]))
}
