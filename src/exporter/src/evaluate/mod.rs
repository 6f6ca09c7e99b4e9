//! Who is in a segment, computed from the segment's expression over the merged profile and its events.
//!
//! Everything that can be wrong with an expression is found when the store is opened ([`definitions`]). The merge then asks
//! [`Evaluation`] for one profile at a time: the rows that make the profile up are at hand in the merge's window, and
//! [`node`] shows them to the program where they lie.

mod arrow;
mod columns;
mod definitions;
mod node;
mod transitions;

use datafusion::arrow::array::Array;
use exportjob_api::{DEFAULT_SEGMENT_NAMESPACE, MembershipStates};
use exportjob_pql::{Memberships, Program, Row};

use self::{columns::Columns, node::Node};
pub(crate) use self::{
    columns::{Hidden, schema},
    definitions::Definitions,
};
use crate::select::{Membership, is_member};

/// Place of a row: its batch in a window, its place in there.
pub(crate) type Place = (usize, usize);

/// The customer's columns of the batches in a window.
pub(crate) trait Leaves {
    /// A column of a batch.
    fn leaf(&self, batch: usize, leaf: usize) -> &dyn Array;
}

/// A merged profile, as places of rows.
#[derive(Clone, Copy)]
pub(crate) struct Profile<'a> {
    /// Profile records.
    pub fragments: &'a dyn Leaves,
    /// Those of the profile, in the order in which they give their values.
    pub fragment_rows: &'a [Place],
    /// Experience events.
    pub events: &'a dyn Leaves,
    /// Those of the profile, in order of time.
    pub event_rows: &'a [Place],
    /// Its identities, by namespace and id.
    pub identities: &'a [(&'a str, &'a str)],
    /// Place of the primary one.
    pub primary: usize,
    /// Its memberships as stored, by namespace and id.
    pub members: &'a [Membership<'a>],
}

/// The segments that are computed, ready for any number of profiles.
#[derive(Debug)]
pub(crate) struct Evaluation {
    segments: Vec<Segment>,
    columns: Columns,
    states: MembershipStates,
    evaluated_at: i64,
    asks_for_events: bool,
}

/// A segment that is computed.
#[derive(Debug)]
struct Segment {
    namespace: String,
    id: String,
    program: Program,
    /// For each segment that it asks for: its place among those that are computed before; `None`: it is as stored.
    asked: Vec<Option<usize>>,
    /// Whether its memberships are written anew.
    listed: bool,
}

impl Evaluation {
    /// Whether the order of a profile's events matters.
    pub fn asks_for_events(&self) -> bool {
        self.asks_for_events
    }

    /// Writes into `results` which of the segments the profile matches.
    pub fn evaluate(&self, profile: &Profile<'_>, results: &mut Vec<bool>) {
        results.clear();
        for segment in &self.segments {
            let known = Known {
                results,
                asked: &segment.asked,
                members: profile.members,
            };
            let row = Row {
                profile: Node::profile(profile, &self.columns),
                events: Some(Node::events(profile, &self.columns)),
            };
            let matches = segment.program.matches(row, &known);
            results.push(matches);
        }
    }
}

/// Memberships while segments are computed one after the other.
struct Known<'a> {
    results: &'a [bool],
    asked: &'a [Option<usize>],
    members: &'a [Membership<'a>],
}

impl Memberships for Known<'_> {
    fn is_member(&self, index: usize, segment: &str) -> bool {
        match self.asked.get(index).copied().flatten() {
            Some(computed) => self.results.get(computed).copied().unwrap_or_default(),
            None => self.members.iter().any(|member| {
                member.id == segment
                    && member.namespace.eq_ignore_ascii_case(DEFAULT_SEGMENT_NAMESPACE)
                    && is_member(member.status)
            }),
        }
    }
}
