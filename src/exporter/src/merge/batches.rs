//! The four inputs' batches, with their columns at hand.

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::TimestampMicrosecondType,
    error::ArrowError,
};

use crate::{
    read::roles::{
        DATASET, EVENT_ID, EVENT_TIME, IDENTITY, INGESTED, NAMESPACE, QUALIFIED, Role, SEGMENT_ID, SEGMENT_NAMESPACE,
        SOURCE_TIME, STATUS, VALID_UNTIL,
    },
    stitch::KEY,
};

type Result<T, E = ArrowError> = std::result::Result<T, E>;

/// Keys and identities of a batch.
pub(super) struct Owners {
    keys: StringArray,
    namespaces: StringArray,
    identities: StringArray,
}

impl Owners {
    fn read(batch: &RecordBatch) -> Result<Self> {
        Ok(Self {
            keys: text(batch, KEY)?,
            namespaces: text(batch, NAMESPACE.name)?,
            identities: text(batch, IDENTITY.name)?,
        })
    }

    /// Key of the row's profile.
    pub fn key(&self, row: usize) -> &str {
        self.keys.value(row)
    }

    /// Namespace and id of the row's identity.
    pub fn identity(&self, row: usize) -> (&str, &str) {
        (self.namespaces.value(row), self.identities.value(row))
    }

    /// Rows of the batch.
    pub fn rows(&self) -> usize {
        self.keys.len()
    }
}

/// A batch of one of the inputs.
pub(super) trait Keyed: Sized {
    /// Takes the columns of a batch by their names.
    fn read(batch: &RecordBatch) -> Result<Self>;
    /// Whose rows these are.
    fn owners(&self) -> &Owners;
}

/// Profile records.
pub(super) struct Fragments {
    pub owners: Owners,
    pub datasets: StringArray,
    pub source_times: TimestampMicrosecondArray,
    pub ingested: TimestampMicrosecondArray,
    pub leaves: Vec<ArrayRef>,
}

impl Keyed for Fragments {
    fn read(batch: &RecordBatch) -> Result<Self> {
        Ok(Self {
            owners: Owners::read(batch)?,
            datasets: text(batch, DATASET.name)?,
            source_times: times(batch, SOURCE_TIME)?,
            ingested: times(batch, INGESTED)?,
            leaves: leaves(batch),
        })
    }

    fn owners(&self) -> &Owners {
        &self.owners
    }
}

/// Experience events.
pub(super) struct Events {
    pub owners: Owners,
    pub datasets: StringArray,
    pub ingested: TimestampMicrosecondArray,
    pub ids: StringArray,
    pub times: TimestampMicrosecondArray,
    pub leaves: Vec<ArrayRef>,
}

impl Keyed for Events {
    fn read(batch: &RecordBatch) -> Result<Self> {
        Ok(Self {
            owners: Owners::read(batch)?,
            datasets: text(batch, DATASET.name)?,
            ingested: times(batch, INGESTED)?,
            ids: text(batch, EVENT_ID.name)?,
            times: times(batch, EVENT_TIME)?,
            leaves: leaves(batch),
        })
    }

    fn owners(&self) -> &Owners {
        &self.owners
    }
}

/// Identities of the graph.
pub(super) struct Identities {
    pub owners: Owners,
}

impl Keyed for Identities {
    fn read(batch: &RecordBatch) -> Result<Self> {
        Ok(Self {
            owners: Owners::read(batch)?,
        })
    }

    fn owners(&self) -> &Owners {
        &self.owners
    }
}

/// Segment memberships.
pub(super) struct Memberships {
    pub owners: Owners,
    pub namespaces: StringArray,
    pub ids: StringArray,
    pub statuses: StringArray,
    pub qualified: TimestampMicrosecondArray,
    pub valid_until: TimestampMicrosecondArray,
    pub leaves: Vec<ArrayRef>,
}

impl Keyed for Memberships {
    fn read(batch: &RecordBatch) -> Result<Self> {
        Ok(Self {
            owners: Owners::read(batch)?,
            namespaces: text(batch, SEGMENT_NAMESPACE.name)?,
            ids: text(batch, SEGMENT_ID.name)?,
            statuses: text(batch, STATUS.name)?,
            qualified: times(batch, QUALIFIED)?,
            valid_until: times(batch, VALID_UNTIL)?,
            leaves: leaves(batch),
        })
    }

    fn owners(&self) -> &Owners {
        &self.owners
    }
}

/// The value, if there is one.
pub(super) fn text_at(array: &StringArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}

/// The time, if there is one.
pub(super) fn time_at(array: &TimestampMicrosecondArray, row: usize) -> Option<i64> {
    array.is_valid(row).then(|| array.value(row))
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch
        .column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("the merge has no input column {name}")))
}

fn text(batch: &RecordBatch, name: &str) -> Result<StringArray> {
    let column = column(batch, name)?.as_string_opt::<i32>().cloned();
    column.ok_or_else(|| ArrowError::SchemaError(format!("the merge's input column {name} is not text")))
}

fn times(batch: &RecordBatch, role: Role) -> Result<TimestampMicrosecondArray> {
    let column = column(batch, role.name)?
        .as_primitive_opt::<TimestampMicrosecondType>()
        .cloned();
    column.ok_or_else(|| ArrowError::SchemaError(format!("the merge's input column {} has no times", role.name)))
}

/// The customer's columns: a scan names them by their places.
fn leaves(batch: &RecordBatch) -> Vec<ArrayRef> {
    let schema = batch.schema();
    let is_leaf = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let columns = schema.fields().iter().zip(batch.columns());
    columns
        .filter(|(field, _)| is_leaf(field.name()))
        .map(|(_, column)| column.clone())
        .collect()
}
