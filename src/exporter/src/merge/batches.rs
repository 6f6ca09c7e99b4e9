//! The four inputs' batches, with their columns at hand.

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray, TimestampMicrosecondArray},
    buffer::NullBuffer,
    datatypes::TimestampMicrosecondType,
    error::ArrowError,
};

use crate::{
    fields::types::with_views,
    keys::{KEY, KeyRef, Keys},
    read::convert,
    read::roles::{
        DATASET, EVENT_ID, EVENT_TIME, IDENTITY, INGESTED, NAMESPACE, QUALIFIED, Role, SEGMENT_ID, SEGMENT_NAMESPACE,
        SOURCE_TIME, STATUS, VALID_UNTIL,
    },
};

type Result<T, E = ArrowError> = std::result::Result<T, E>;

/// Keys and identities of a batch.
pub(super) struct Owners {
    keys: Keys,
    /// Ends of the runs of rows with the same key.
    runs: Vec<usize>,
    namespaces: StringViewArray,
    identities: StringViewArray,
}

impl Owners {
    fn read(batch: &RecordBatch) -> Result<Self> {
        let keys = Keys::read(column(batch, KEY)?)?;
        Ok(Self {
            runs: keys.runs()?,
            keys,
            namespaces: text(batch, NAMESPACE.name)?,
            identities: text(batch, IDENTITY.name)?,
        })
    }

    /// Key of the row's profile.
    pub fn key(&self, row: usize) -> KeyRef<'_> {
        self.keys.key(row)
    }

    /// End of the run of rows with the same key that has this number.
    pub fn run_end(&self, run: usize) -> Option<usize> {
        self.runs.get(run).copied()
    }

    /// Whether two rows have the same identity, as far as that can be told without reading it.
    pub fn is_same_identity(&self, row: usize, other: usize) -> bool {
        self.identities.views()[row] == self.identities.views()[other]
            && self.namespaces.views()[row] == self.namespaces.views()[other]
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
    pub datasets: StringViewArray,
    pub source_times: TimestampMicrosecondArray,
    pub ingested: TimestampMicrosecondArray,
    pub leaves: Vec<ArrayRef>,
    /// For each leaf: which rows have a value; `None`: all of them.
    valid: Vec<Option<NullBuffer>>,
}

impl Fragments {
    /// Whether a row has a value in a leaf.
    pub fn has_value(&self, leaf: usize, row: usize) -> bool {
        self.valid[leaf].as_ref().is_none_or(|valid| valid.is_valid(row))
    }
}

impl Keyed for Fragments {
    fn read(batch: &RecordBatch) -> Result<Self> {
        let leaves = leaves(batch)?;
        Ok(Self {
            owners: Owners::read(batch)?,
            datasets: text(batch, DATASET.name)?,
            source_times: times(batch, SOURCE_TIME)?,
            ingested: times(batch, INGESTED)?,
            valid: leaves.iter().map(Array::logical_nulls).collect(),
            leaves,
        })
    }

    fn owners(&self) -> &Owners {
        &self.owners
    }
}

/// Experience events.
pub(super) struct Events {
    pub owners: Owners,
    pub datasets: StringViewArray,
    pub ingested: TimestampMicrosecondArray,
    pub ids: StringViewArray,
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
            leaves: leaves(batch)?,
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
    pub namespaces: StringViewArray,
    pub ids: StringViewArray,
    pub statuses: StringViewArray,
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
            leaves: leaves(batch)?,
        })
    }

    fn owners(&self) -> &Owners {
        &self.owners
    }
}

/// The value, if there is one.
pub(super) fn text_at(array: &StringViewArray, row: usize) -> Option<&str> {
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

fn text(batch: &RecordBatch, name: &str) -> Result<StringViewArray> {
    let column = viewed(column(batch, name)?)?;
    column
        .as_string_view_opt()
        .cloned()
        .ok_or_else(|| ArrowError::SchemaError(format!("the merge's input column {name} is not text")))
}

/// Text in views, whatever form it comes in: rows are moved without copying it then.
fn viewed(column: &ArrayRef) -> Result<ArrayRef> {
    let wanted = with_views(column.data_type());
    if *column.data_type() == wanted {
        Ok(column.clone())
    } else {
        convert(column, &wanted)
    }
}

fn times(batch: &RecordBatch, role: Role) -> Result<TimestampMicrosecondArray> {
    let column = column(batch, role.name)?
        .as_primitive_opt::<TimestampMicrosecondType>()
        .cloned();
    column.ok_or_else(|| ArrowError::SchemaError(format!("the merge's input column {} has no times", role.name)))
}

/// The customer's columns: a scan names them by their places.
fn leaves(batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let schema = batch.schema();
    let is_leaf = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let columns = schema.fields().iter().zip(batch.columns());
    columns
        .filter(|(field, _)| is_leaf(field.name()))
        .map(|(_, column)| viewed(column))
        .collect()
}
