//! The records of a profile that count, and which of them comes first.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};

use datafusion::arrow::error::ArrowError;
use exportjob_plan::{AttributeRule, UpsertDatasets};

use super::{
    batches::{Fragments, text_at, time_at},
    cursor::Row,
    values,
};

/// So many records are compared with each other sooner than they are hashed.
const FEW: usize = 16;

/// How the records of a profile are put in order.
#[derive(Clone, Debug)]
pub(crate) struct FragmentRules {
    upsert: UpsertDatasets,
    /// Place of each dataset; `None`: the newest record wins, whatever its dataset.
    precedence: Option<HashMap<String, usize>>,
}

impl FragmentRules {
    /// The rules of a merge policy.
    pub fn new(attributes: &AttributeRule, upsert: &UpsertDatasets) -> Self {
        let precedence = match attributes {
            AttributeRule::TimestampOrdered => None,
            AttributeRule::DataSetPrecedence(order) => {
                let mut places = HashMap::new();
                for (place, dataset) in order.iter().enumerate() {
                    places.entry(dataset.clone()).or_insert(place);
                }
                Some(places)
            }
        };
        Self {
            upsert: upsert.clone(),
            precedence,
        }
    }

    /// Keeps the records that count, newest first: of an identity in a dataset only the newest, unless the dataset is
    /// patched.
    pub(super) fn newest_first(&self, window: &[Fragments], rows: &mut Vec<Row>) -> Result<(), ArrowError> {
        if rows.len() < 2 {
            return Ok(());
        }
        sort(rows, |a, b| newer(window, a, b))?;
        if matches!(self.upsert, UpsertDatasets::All) {
            return Ok(());
        }
        let record = |row: &Row| {
            let (batch, at) = (&window[row.0], row.1);
            (text_at(&batch.datasets, at), batch.owners.identity(at))
        };
        let is_patched = |dataset: Option<&str>| dataset.is_some_and(|dataset| self.upsert.contains(dataset));
        if rows.len() <= FEW {
            let mut kept = 0;
            for next in 0..rows.len() {
                let own = record(&rows[next]);
                if is_patched(own.0) || !rows[..kept].iter().any(|row| record(row) == own) {
                    rows[kept] = rows[next];
                    kept += 1;
                }
            }
            rows.truncate(kept);
        } else {
            let mut seen = HashSet::with_capacity(rows.len());
            rows.retain(|row| {
                let own = record(row);
                is_patched(own.0) || seen.insert(own)
            });
        }
        Ok(())
    }

    /// From newest first to the order in which records give their values.
    pub(super) fn by_precedence(&self, window: &[Fragments], rows: &mut [Row]) {
        let Some(places) = &self.precedence else { return };
        rows.sort_by_key(|row| {
            let dataset = text_at(&window[row.0].datasets, row.1);
            dataset
                .and_then(|dataset| places.get(dataset))
                .copied()
                .unwrap_or(usize::MAX)
        });
    }
}

/// Newest first; what has no time is oldest.
fn newer(window: &[Fragments], (batch_a, a): Row, (batch_b, b): Row) -> Result<Ordering, ArrowError> {
    let (left, right) = (&window[batch_a], &window[batch_b]);
    let time = |batch: &Fragments, row| time_at(&batch.source_times, row).or_else(|| time_at(&batch.ingested, row));
    let ordering = time(right, b)
        .cmp(&time(left, a))
        .then_with(|| time_at(&right.ingested, b).cmp(&time_at(&left.ingested, a)))
        .then_with(|| text_at(&right.datasets, b).cmp(&text_at(&left.datasets, a)))
        .then_with(|| right.owners.identity(b).cmp(&left.owners.identity(a)));
    if ordering != Ordering::Equal {
        return Ok(ordering);
    }
    values::compare(&right.leaves, b, &left.leaves, a)
}

/// Newest time at which one of the records was ingested.
pub(super) fn newest_ingest(window: &[Fragments], rows: &[Row]) -> Option<i64> {
    rows.iter()
        .filter_map(|row| time_at(&window[row.0].ingested, row.1))
        .max()
}

/// Sorts by a comparison that may fail.
pub(super) fn sort<T: Copy, E>(items: &mut [T], mut compare: impl FnMut(T, T) -> Result<Ordering, E>) -> Result<(), E> {
    let mut failed = None;
    items.sort_by(|a, b| {
        compare(*a, *b).unwrap_or_else(|error| {
            failed = Some(error);
            Ordering::Equal
        })
    });
    failed.map_or(Ok(()), Err)
}
