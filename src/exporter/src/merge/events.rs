//! The events of a profile: each once, in order, as far as they are asked for.

use std::cmp::Ordering;

use datafusion::arrow::error::ArrowError;

use super::{
    batches::{Events, text_at, time_at},
    cursor::Row,
    fragments::sort,
    values,
};

/// Which events are written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventWindow {
    /// Ingested strictly after this time.
    pub after: Option<i64>,
    /// Ingested strictly before this time.
    pub before: Option<i64>,
}

impl EventWindow {
    fn contains(self, ingested: Option<i64>) -> bool {
        let after = self.after.is_none_or(|after| ingested.is_some_and(|time| time > after));
        after
            && self
                .before
                .is_none_or(|before| ingested.is_some_and(|time| time < before))
    }
}

/// Keeps of the rows with the same id the first that was ingested. Rows without an id are all kept.
pub(super) fn distinct(window: &[Events], rows: &mut Vec<Row>) -> Result<(), ArrowError> {
    let id = |row: &Row| text_at(&window[row.0].ids, row.1);
    if rows.len() < 2 {
        return Ok(());
    }
    sort(rows, |a, b| match id(&a).cmp(&id(&b)) {
        Ordering::Equal => earlier(window, a, b),
        other => Ok(other),
    })?;
    rows.dedup_by(|later, first| id(later).is_some() && id(later) == id(first));
    Ok(())
}

/// Keeps the events that were ingested in time, in the order in which they are written: by time, id and ingest time,
/// each with nulls first, then by dataset, identity and values.
pub(super) fn in_order(window: &[Events], asked: EventWindow, rows: &mut Vec<Row>) -> Result<(), ArrowError> {
    rows.retain(|row| asked.contains(time_at(&window[row.0].ingested, row.1)));
    by_time(window, rows)
}

/// The same order, for all of the events.
pub(super) fn by_time(window: &[Events], rows: &mut [Row]) -> Result<(), ArrowError> {
    let place = |row: &Row| (time_at(&window[row.0].times, row.1), text_at(&window[row.0].ids, row.1));
    sort(rows, |a, b| match place(&a).cmp(&place(&b)) {
        Ordering::Equal => earlier(window, a, b),
        other => Ok(other),
    })
}

/// By ingest time, dataset and identity ascending, then by the time of the event and by values.
fn earlier(window: &[Events], a: Row, b: Row) -> Result<Ordering, ArrowError> {
    let time = |row: Row| time_at(&window[row.0].times, row.1);
    // The time is not among the values unless it is written.
    let ordering = source(window, a)
        .cmp(&source(window, b))
        .then_with(|| time(a).cmp(&time(b)));
    if ordering != Ordering::Equal {
        return Ok(ordering);
    }
    values::compare(&window[a.0].leaves, a.1, &window[b.0].leaves, b.1)
}

type Source<'a> = (Option<i64>, Option<&'a str>, (&'a str, &'a str));

fn source(window: &[Events], row: Row) -> Source<'_> {
    let batch = &window[row.0];
    (
        time_at(&batch.ingested, row.1),
        text_at(&batch.datasets, row.1),
        batch.owners.identity(row.1),
    )
}

/// The event that happened last; of several the one that was ingested last.
pub(super) fn newest(window: &[Events], rows: &[Row]) -> Option<Row> {
    rows.iter().copied().max_by(|a, b| {
        let time = |row: &Row| time_at(&window[row.0].times, row.1);
        time(a)
            .cmp(&time(b))
            .then_with(|| source(window, *a).cmp(&source(window, *b)))
    })
}

/// Newest time at which one of the events was ingested.
pub(super) fn newest_ingest(window: &[Events], rows: &[Row]) -> Option<i64> {
    rows.iter()
        .filter_map(|row| time_at(&window[row.0].ingested, row.1))
        .max()
}
