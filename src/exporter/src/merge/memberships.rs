//! The memberships of a profile: for each segment the one that counts.

use std::cmp::{Ordering, Reverse};

use datafusion::arrow::error::ArrowError;
use exportjob_api::SegmentStatus;

use super::{
    batches::{Memberships, text_at, time_at},
    cursor::Row,
    fragments::sort,
    values,
};
use crate::select::{self, Membership};

/// Namespace of a membership that names none.
const DEFAULT_NAMESPACE: &str = exportjob_api::DEFAULT_SEGMENT_NAMESPACE;

/// The membership that a row stands for.
pub(super) fn membership(window: &[Memberships], row: Row) -> Membership<'_> {
    let (batch, at) = (&window[row.0], row.1);
    let word = text_at(&batch.statuses, at);
    Membership {
        namespace: text_at(&batch.namespaces, at).unwrap_or(DEFAULT_NAMESPACE),
        id: batch.ids.value(at),
        status: select::status(word),
        word: word.unwrap_or(SegmentStatus::Realized.as_str()),
        qualified: time_at(&batch.qualified, at),
    }
}

/// Keeps for each segment the row that qualified last; at the same time realized goes before existing before exited.
/// They are in order of namespace (as that row spells it) and id.
pub(super) fn current(window: &[Memberships], rows: &mut Vec<Row>) -> Result<(), ArrowError> {
    if rows.len() > 1 {
        sort(rows, |a, b| compare(window, a, b))?;
        rows.dedup_by(|later, first| {
            let (later, first) = (membership(window, *later), membership(window, *first));
            later.id == first.id && later.namespace.eq_ignore_ascii_case(first.namespace)
        });
        rows.sort_by_key(|row| {
            let membership = membership(window, *row);
            (membership.namespace, membership.id)
        });
    }
    Ok(())
}

/// By segment; in a segment the row that counts first.
fn compare(window: &[Memberships], a: Row, b: Row) -> Result<Ordering, ArrowError> {
    let (left, right) = (membership(window, a), membership(window, b));
    let ordering = ascii_case_insensitive(left.namespace, right.namespace)
        .then_with(|| left.id.cmp(right.id))
        .then_with(|| Reverse(left.qualified).cmp(&Reverse(right.qualified)))
        .then_with(|| select::rank(left.status).cmp(&select::rank(right.status)))
        .then_with(|| rest(window, a).cmp(&rest(window, b)));
    if ordering != Ordering::Equal {
        return Ok(ordering);
    }
    values::compare(&window[a.0].leaves, a.1, &window[b.0].leaves, b.1)
}

/// What else a row has, so that the order of files does not matter.
fn rest(window: &[Memberships], row: Row) -> (&str, Option<&str>, Option<i64>, (&str, &str)) {
    let (batch, at) = (&window[row.0], row.1);
    let namespace = membership(window, row).namespace;
    (
        namespace,
        text_at(&batch.statuses, at),
        time_at(&batch.valid_until, at),
        batch.owners.identity(at),
    )
}

fn ascii_case_insensitive(a: &str, b: &str) -> Ordering {
    let lower = |text: &str| text.bytes().map(|byte| byte.to_ascii_lowercase()).collect::<Vec<_>>();
    if a == b {
        Ordering::Equal
    } else {
        lower(a).cmp(&lower(b))
    }
}
