//! Which profiles of a bucket can be in the audience at all, found out from the narrow columns that decide it, so that
//! the wide ones are read for no others.
//!
//! What is found is never too little and may be too much: the merge decides.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use datafusion::{
    arrow::{
        array::{Array, AsArray, BooleanArray, RecordBatch},
        datatypes::TimestampMicrosecondType,
        error::ArrowError,
    },
    common::Result,
    execution::TaskContext,
};
use exportjob_api::DEFAULT_SEGMENT_NAMESPACE;
use exportjob_plan::Selection;
use futures::StreamExt as _;
use tokio::sync::OnceCell;

use super::{
    buckets::BucketScanExec,
    recipe::Wanted,
    roles::{DATASET, INGESTED, Kind, QUALIFIED, Role, SEGMENT_ID, SEGMENT_NAMESPACE, STATUS, VALID_UNTIL},
};
use crate::{
    keys::{KEY, Key, KeyRef, Keys},
    select::status,
};

/// More profiles than this in a bucket are not kept in memory: all of the bucket is read then.
const MOST: usize = 1 << 18;

/// The keys of profiles, ascending.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<Key>);

impl KeySet {
    /// Which of the rows belong to one of the profiles. Cheap where the rows are sorted, right in any case.
    pub fn contains(&self, keys: &Keys) -> BooleanArray {
        let mut place = 0;
        let mut last: Option<KeyRef<'_>> = None;
        (0..keys.len())
            .map(|row| {
                let key = keys.key(row);
                if last.is_some_and(|last| key < last) {
                    place = 0;
                }
                last = Some(key);
                place += self.0[place..].partition_point_from_start(|other| other.as_ref() < key);
                Some(self.0.get(place).is_some_and(|other| other.as_ref() == key))
            })
            .collect()
    }

    /// Whether one of the profiles has a key from `least` to `greatest`.
    pub fn reaches(&self, least: KeyRef<'_>, greatest: KeyRef<'_>) -> bool {
        let place = self.0.partition_point(|key| key.as_ref() < least);
        self.0.get(place).is_some_and(|key| key.as_ref() <= greatest)
    }

    fn intersection(&self, other: &Self) -> Self {
        let mut place = 0;
        let common = self.0.iter().filter(|key| {
            place += other.0[place..].partition_point_from_start(|other| other < *key);
            other.0.get(place) == Some(*key)
        });
        Self(common.cloned().collect())
    }
}

/// A search that is fast when what is looked for is near the start.
trait PartitionPointFromStart<T> {
    fn partition_point_from_start(&self, is_before: impl Fn(&T) -> bool) -> usize;
}

impl<T> PartitionPointFromStart<T> for [T] {
    fn partition_point_from_start(&self, is_before: impl Fn(&T) -> bool) -> usize {
        let mut reach = 1;
        while reach <= self.len() && is_before(&self[reach - 1]) {
            reach *= 2;
        }
        let start = reach / 2;
        let end = reach.min(self.len());
        start + self[start..end].partition_point(is_before)
    }
}

/// What a row has to be like for its profile to be a candidate.
#[derive(Debug)]
pub(crate) enum Condition {
    /// A membership that is asked for.
    Member(Selection),
    /// Ingested after this time.
    IngestedAfter(i64),
}

impl Condition {
    /// Columns that decide it.
    fn columns(&self) -> &'static [Role] {
        match self {
            Self::Member(_) => &[SEGMENT_NAMESPACE, SEGMENT_ID, STATUS, QUALIFIED],
            Self::IngestedAfter(_) => &[INGESTED],
        }
    }

    /// The columns of a table that decide it, with those that say which rows take part, and `more`.
    pub fn wanted(&self, kind: Kind, more: &[Role]) -> Vec<Wanted> {
        let filtered = [DATASET, VALID_UNTIL];
        let is_needed = |role: &&Role| {
            let mut needed = self.columns().iter().chain(&filtered).chain(more);
            needed.any(|needed| needed.name == role.name)
        };
        kind.roles()
            .iter()
            .filter(is_needed)
            .map(|role| Wanted::Role(*role))
            .collect()
    }

    /// Which rows fulfil it.
    pub fn rows(&self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        match self {
            Self::Member(selection) => members(selection, batch),
            Self::IngestedAfter(time) => {
                let ingested = column(batch, INGESTED)?.as_primitive::<TimestampMicrosecondType>();
                Ok(ingested
                    .iter()
                    .map(|ingested| Some(ingested.is_some_and(|ingested| ingested > *time)))
                    .collect())
            }
        }
    }
}

/// Rows that say for themselves what is asked for. A row that counts for a profile is one of these, if the profile is in
/// the audience.
fn members(selection: &Selection, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
    let namespaces = column(batch, SEGMENT_NAMESPACE)?.as_string_view();
    let ids = column(batch, SEGMENT_ID)?.as_string_view();
    let states = column(batch, STATUS)?.as_string_view();
    let times = column(batch, QUALIFIED)?.as_primitive::<TimestampMicrosecondType>();
    let (from, to) = (selection.qualified_from, selection.qualified_to);
    let rows = (0..batch.num_rows()).map(|row| {
        let is_listed = selection.segments.iter().any(|segment| {
            ids.is_valid(row) && ids.value(row) == segment.id && {
                let namespace = if namespaces.is_valid(row) {
                    namespaces.value(row)
                } else {
                    DEFAULT_SEGMENT_NAMESPACE
                };
                let state = status(states.is_valid(row).then(|| states.value(row)));
                namespace.eq_ignore_ascii_case(&segment.namespace)
                    && state.is_some_and(|state| segment.statuses.contains(&state))
            }
        });
        let time = times.is_valid(row).then(|| times.value(row));
        let in_time = match time {
            Some(time) => from.is_none_or(|from| time >= from) && to.is_none_or(|to| time < to),
            None => from.is_none() && to.is_none(),
        };
        Some(is_listed && in_time)
    });
    Ok(rows.collect())
}

fn column(batch: &RecordBatch, role: Role) -> Result<&datafusion::arrow::array::ArrayRef, ArrowError> {
    batch
        .column_by_name(role.name)
        .ok_or_else(|| ArrowError::SchemaError(format!("there is no column {} to select by", role.name)))
}

/// The candidates of one bucket; `None`: everybody.
pub(crate) type Found = Option<Arc<KeySet>>;

/// Finds the candidates of each bucket when they are first asked for, and forgets them when nobody needs them any more.
#[derive(Default)]
pub(crate) struct Candidates {
    searches: Vec<(Condition, Arc<BucketScanExec>)>,
    buckets: Mutex<HashMap<usize, Weak<OnceCell<Found>>>>,
}

impl fmt::Debug for Candidates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Candidates")
            .field("searches", &self.searches)
            .finish_non_exhaustive()
    }
}

impl Candidates {
    /// Profiles that have a row for each condition, in the table that it goes with.
    pub fn new(searches: Vec<(Condition, Arc<BucketScanExec>)>) -> Self {
        Self {
            searches,
            buckets: Mutex::default(),
        }
    }

    /// Whether there is any condition.
    pub fn is_everybody(&self) -> bool {
        self.searches.is_empty()
    }

    /// The place where the candidates of a bucket are kept for as long as somebody holds it.
    pub fn place(&self, bucket: usize) -> Arc<OnceCell<Found>> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = buckets.get(&bucket).and_then(Weak::upgrade) {
            return place;
        }
        let place = Arc::new(OnceCell::new());
        buckets.insert(bucket, Arc::downgrade(&place));
        place
    }

    /// Reads what decides about the bucket.
    pub async fn find(&self, bucket: usize, context: &Arc<TaskContext>) -> Result<Found> {
        let mut found: Found = None;
        for (condition, scan) in &self.searches {
            let Some(keys) = collect(condition, scan, bucket, context).await? else {
                continue;
            };
            found = Some(Arc::new(match found {
                Some(found) => found.intersection(&keys),
                None => keys,
            }));
        }
        Ok(found)
    }
}

/// The keys of rows that fulfil a condition; `None` if they are too many.
async fn collect(
    condition: &Condition,
    scan: &BucketScanExec,
    bucket: usize,
    context: &Arc<TaskContext>,
) -> Result<Option<KeySet>> {
    let mut keys: Vec<Key> = Vec::new();
    let mut rows = scan.bucket(bucket, context)?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let matching = condition.rows(&batch)?;
        if matching.true_count() == 0 {
            continue;
        }
        let column = batch
            .column_by_name(KEY)
            .ok_or_else(|| ArrowError::SchemaError("there is no key to select by".to_owned()))?;
        let own = Keys::read(column)?;
        for row in matching.values().set_indices() {
            let key = own.key(row);
            if keys.last().is_none_or(|last| last.as_ref() != key) {
                keys.push(key.owned());
            }
        }
        if keys.len() > MOST {
            return Ok(None);
        }
    }
    // Sorted already, if the table keeps its promise; the merge tells if it does not.
    keys.sort_unstable();
    keys.dedup();
    Ok(Some(KeySet(keys)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::array::{ArrayRef, StringArray};

    use super::*;

    fn set(keys: &[&str]) -> KeySet {
        KeySet(keys.iter().map(|key| Key::Text((*key).to_owned())).collect())
    }

    fn rows(keys: &[&str]) -> Keys {
        Keys::read(&(Arc::new(StringArray::from(keys.to_vec())) as ArrayRef)).unwrap()
    }

    #[test]
    fn rows_are_found_whether_they_are_sorted_or_not() {
        let set = set(&["b", "d", "h", "k", "z"]);
        let found = |keys: &[&str]| set.contains(&rows(keys)).values().iter().collect::<Vec<_>>();
        assert_eq!(
            found(&["a", "b", "b", "c", "k", "zz"]),
            [false, true, true, false, true, false]
        );
        assert_eq!(found(&["z", "d", "e", "a", "h"]), [true, true, false, false, true]);
        assert_eq!(found(&[]), [false; 0]);
    }

    #[test]
    fn a_range_is_reached_by_what_lies_in_it() {
        let set = set(&["b", "d"]);
        let reaches = |least, greatest| set.reaches(KeyRef::Text(least), KeyRef::Text(greatest));
        assert!(reaches("a", "b") && reaches("b", "c") && reaches("c", "x"));
        assert!(!reaches("c", "cc") && !reaches("e", "x") && !reaches("", "a"));
    }

    #[test]
    fn an_intersection_has_what_both_have() {
        let common = set(&["a", "c", "e", "g"]).intersection(&set(&["b", "c", "f", "g", "h"]));
        assert_eq!(common.0, set(&["c", "g"]).0);
    }
}
