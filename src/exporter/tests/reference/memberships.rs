//! §3: membership of a profile in a segment.

use std::{cmp::Reverse, collections::BTreeMap};

use exportjob_api::{DEFAULT_SEGMENT_NAMESPACE, SegmentStatus};
use serde_json::Value;

use super::{
    model::{text, time},
    stitch::{Identity, identity},
};

/// One row of the memberships.
#[derive(Clone, Debug)]
pub struct Membership {
    pub identity: Identity,
    pub namespace: String,
    pub segment: String,
    /// `Err`: a word that means nothing here; it is in no `status` list.
    pub status: Result<SegmentStatus, String>,
    pub qualified: Option<i64>,
    pub values: Value,
}

impl Membership {
    /// `None` for a row that says nothing of anybody, and for one that has ended: "A row whose `validUntil` lies before
    /// the job's start is ignored" (§3).
    pub fn new(row: &Value, started_at: i64) -> Option<Self> {
        if time(row, "validUntil").is_some_and(|end| end < started_at) {
            return None;
        }
        let status = match text(row, "status").as_deref() {
            // "null = realized" (§2)
            None | Some("realized") => Ok(SegmentStatus::Realized),
            Some("existing") => Ok(SegmentStatus::Existing),
            Some("exited") => Ok(SegmentStatus::Exited),
            Some(other) => Err(other.to_owned()),
        };
        Some(Self {
            identity: identity(row)?,
            namespace: text(row, "segmentNs").unwrap_or_else(|| DEFAULT_SEGMENT_NAMESPACE.to_owned()),
            segment: text(row, "segmentId")?,
            status,
            qualified: time(row, "lastQualificationTime"),
            values: row.clone(),
        })
    }

    /// "`segmentNs` is compared without regard to ASCII case" (§3).
    pub fn key(&self) -> (String, String) {
        key(&self.namespace, &self.segment)
    }
}

pub fn key(namespace: &str, segment: &str) -> (String, String) {
    (namespace.to_ascii_lowercase(), segment.to_owned())
}

/// "The row with the newest `lastQualificationTime` among its identities; a tie goes to realized, then existing, then
/// exited" (§3).
pub fn winners(rows: &[Membership]) -> BTreeMap<(String, String), Membership> {
    let mut winners: BTreeMap<_, Membership> = BTreeMap::new();
    let order = |row: &Membership| (row.qualified, Reverse(row.status.clone()), row.values.to_string());
    for row in rows {
        winners
            .entry(row.key())
            .and_modify(|winner| {
                if order(row) > order(winner) {
                    *winner = row.clone();
                }
            })
            .or_insert_with(|| row.clone());
    }
    winners
}
