//! The stream between the two halves of an export: merged profiles of the audience, ready to be written.

use std::{collections::BTreeMap, pin::Pin};

use datafusion::arrow::{
    array::{BooleanArray, RecordBatch},
    datatypes::SchemaRef,
};
use futures::Stream;

use crate::Result;

/// Profiles of the audience, as far as they are known before any row is read.
pub struct Profiles {
    /// Columns that are written, without `_batchId`.
    pub schema: SchemaRef,
    /// The profiles, in independent parts that may be consumed at the same time. Each profile is in one part, once.
    pub parts: Vec<ProfileStream>,
}

/// One part of the profiles.
pub type ProfileStream = Pin<Box<dyn Stream<Item = Result<ProfileBatch>> + Send>>;

/// Some profiles of the audience: at least one batch of the plan takes each row.
#[derive(Clone, Debug)]
pub struct ProfileBatch {
    /// One row for each profile, in the columns of [`Profiles::schema`].
    pub rows: RecordBatch,
    /// For each batch of the plan, in its order: which rows it takes. No nulls.
    pub selected: Vec<BooleanArray>,
    /// For each batch of the plan: how many of its rows have at least one identity in a namespace, by namespace.
    pub by_namespace: Vec<BTreeMap<String, i64>>,
}
