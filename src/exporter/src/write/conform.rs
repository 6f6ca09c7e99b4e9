//! Rows as the dataset's columns want them.

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{DataType, SchemaRef},
};
use deltalake::kernel::StructType;
use exportjob_plan::code;

use crate::{Error, Result, commit::arrow_schema, read::convert};

/// Turns rows of the profile store's types into rows of the dataset's: times in microseconds, no views, no
/// dictionaries, maps with all that the dataset has in them.
pub(crate) struct Conform {
    columns: StructType,
    schema: SchemaRef,
}

impl Conform {
    /// To these columns.
    pub(crate) fn new(columns: StructType) -> Result<Self> {
        let schema = arrow_schema(&columns)?;
        Ok(Self { columns, schema })
    }

    /// The columns as a Delta table has them.
    pub(crate) fn columns(&self) -> &StructType {
        &self.columns
    }

    /// The columns as they are written.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The rows in these columns.
    pub(crate) fn rows(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = rows.columns().iter().zip(self.schema.fields());
        let columns: Vec<ArrayRef> = columns
            .map(|(values, field)| conformed(values, field.name(), field.data_type()))
            .collect::<Result<_>>()?;
        RecordBatch::try_new(self.schema(), columns).map_err(|error| {
            Error::new(
                code::INTERNAL,
                format!("profiles do not have the columns that were announced: {error}"),
            )
            .caused_by(error)
        })
    }
}

fn conformed(values: &ArrayRef, name: &str, wanted: &DataType) -> Result<ArrayRef> {
    // A value that the dataset's type cannot hold is an error, not a null.
    convert(values, wanted).map_err(|error| {
        Error::new(
            code::COLUMN_TYPE,
            format!("column {name} has a value that the dataset cannot hold: {error}. Leave it out of spec.fields or correct the source"),
        )
        .caused_by(error)
    })
}
