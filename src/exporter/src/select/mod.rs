//! Which profiles are taken, and into which batches: decided for one profile at a time, without I/O.

use exportjob_api::SegmentStatus;
use exportjob_plan::{BatchPlan, Selection};

/// A profile's membership in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership<'a> {
    /// Namespace as it is stored.
    pub namespace: &'a str,
    /// Id of the segment.
    pub id: &'a str,
    /// State; `None`: one that this version does not know.
    pub status: Option<SegmentStatus>,
    /// The state's word.
    pub word: &'a str,
    /// When it took on that state, in microseconds.
    pub qualified: Option<i64>,
}

impl<'a> Membership<'a> {
    /// A membership of a segment that says no more.
    pub fn realized(namespace: &'a str, id: &'a str) -> Self {
        Self {
            namespace,
            id,
            status: Some(SegmentStatus::Realized),
            word: SegmentStatus::Realized.as_str(),
            qualified: None,
        }
    }

    /// Takes on a state.
    pub fn enter(&mut self, status: SegmentStatus) {
        self.status = Some(status);
        self.word = status.as_str();
    }
}

/// Whether a profile in this state is in the segment.
pub(crate) fn is_member(status: Option<SegmentStatus>) -> bool {
    matches!(status, Some(SegmentStatus::Realized | SegmentStatus::Existing))
}

/// The state that a stored word stands for; null is realized.
pub(crate) fn status(stored: Option<&str>) -> Option<SegmentStatus> {
    match stored {
        None | Some("realized") => Some(SegmentStatus::Realized),
        Some("existing") => Some(SegmentStatus::Existing),
        Some("exited") => Some(SegmentStatus::Exited),
        Some(_) => None,
    }
}

/// Rank of a state where two memberships qualified at the same time: the smallest wins.
pub(crate) fn rank(status: Option<SegmentStatus>) -> u8 {
    match status {
        Some(SegmentStatus::Realized) => 0,
        Some(SegmentStatus::Existing) => 1,
        Some(SegmentStatus::Exited) => 2,
        None => 3,
    }
}

/// What is asked for, for each batch of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Audience {
    selection: Selection,
    batches: Vec<Option<usize>>,
}

impl Audience {
    /// The audience of a plan.
    pub fn new(selection: &Selection, batches: &[BatchPlan]) -> Self {
        Self {
            selection: selection.clone(),
            batches: batches.iter().map(|batch| batch.segment).collect(),
        }
    }

    /// Number of batches.
    pub fn batches(&self) -> usize {
        self.batches.len()
    }

    /// Whether profiles without fragments take part.
    pub fn empty_profiles(&self) -> bool {
        self.selection.empty_profiles
    }

    /// Whether a profile whose newest row was ingested at this time is new enough.
    pub fn is_new(&self, newest: Option<i64>) -> bool {
        self.selection
            .ingested_after
            .is_none_or(|after| newest.is_some_and(|newest| newest > after))
    }

    /// Writes into `taken` which batches take a profile with these memberships; false if none does.
    pub fn take(&self, memberships: &[Membership<'_>], taken: &mut Vec<bool>) -> bool {
        taken.clear();
        for batch in &self.batches {
            let listed = &self.selection.segments;
            taken.push(match batch {
                Some(segment) => *segment < listed.len() && self.is_member(*segment, memberships),
                None => listed.is_empty() || (0..listed.len()).any(|segment| self.is_member(segment, memberships)),
            });
        }
        taken.iter().any(|taken| *taken)
    }

    fn is_member(&self, segment: usize, memberships: &[Membership<'_>]) -> bool {
        let segment = &self.selection.segments[segment];
        memberships.iter().any(|membership| {
            membership.id == segment.id
                && membership.namespace.eq_ignore_ascii_case(&segment.namespace)
                && membership
                    .status
                    .is_some_and(|status| segment.statuses.contains(&status))
                && self.qualifies(membership.qualified)
        })
    }

    fn qualifies(&self, qualified: Option<i64>) -> bool {
        let (from, to) = (self.selection.qualified_from, self.selection.qualified_to);
        match qualified {
            Some(time) => from.is_none_or(|from| time >= from) && to.is_none_or(|to| time < to),
            None => from.is_none() && to.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use exportjob_plan::SegmentSelection;

    use super::*;

    fn audience(from: Option<i64>, to: Option<i64>) -> Audience {
        let segment = |id: &str, statuses: &[SegmentStatus]| SegmentSelection {
            namespace: "ups".to_owned(),
            id: id.to_owned(),
            statuses: statuses.to_vec(),
        };
        Audience {
            selection: Selection {
                segments: vec![
                    segment("a", &[SegmentStatus::Realized, SegmentStatus::Existing]),
                    segment("b", &[SegmentStatus::Exited]),
                ],
                qualified_from: from,
                qualified_to: to,
                ingested_after: None,
                empty_profiles: false,
            },
            batches: vec![Some(0), Some(1), None],
        }
    }

    fn member(
        namespace: &'static str,
        id: &'static str,
        stored: Option<&'static str>,
        qualified: i64,
    ) -> Membership<'static> {
        Membership {
            namespace,
            id,
            status: status(stored),
            word: stored.unwrap_or("realized"),
            qualified: Some(qualified),
        }
    }

    #[test]
    fn a_batch_takes_the_members_of_its_own_segment() {
        let mut taken = Vec::new();
        assert!(audience(None, None).take(&[member("UPS", "a", None, 1)], &mut taken));
        assert_eq!(taken, [true, false, true]);
        assert!(!audience(None, None).take(&[member("ups", "b", Some("realized"), 1)], &mut taken));
        assert!(!audience(None, None).take(&[member("other", "a", None, 1)], &mut taken));
    }

    #[test]
    fn the_membership_that_counts_is_the_one_that_must_have_qualified_in_time() {
        let mut taken = Vec::new();
        let members = [member("ups", "a", None, 10), member("ups", "b", Some("realized"), 5)];
        assert!(!audience(Some(5), Some(10)).take(&members, &mut taken));
        assert!(audience(Some(10), Some(11)).take(&members, &mut taken));
    }
}
