//! From what a profile was in and what it matches to its new memberships.

use exportjob_api::{MembershipStates, SegmentStatus};

use super::{Evaluation, Place};
use crate::select::{Membership, is_member};

impl Evaluation {
    /// Writes the memberships in the listed segments anew. `members` are in order of namespace and id, and stay so; beside
    /// them `places` has the row that gives each of them its other fields, which a state that begins now has none of.
    pub fn rewrite<'a>(&'a self, results: &[bool], members: &mut Vec<Membership<'a>>, places: &mut Vec<Option<Place>>) {
        for (segment, matches) in self.segments.iter().zip(results) {
            if !segment.listed {
                continue;
            }
            let known = members.iter().position(|member| {
                member.id == segment.id && member.namespace.eq_ignore_ascii_case(&segment.namespace)
            });
            let was_member = known.is_some_and(|place| is_member(members[place].status));
            match (known, *matches, was_member) {
                (Some(place), true, true) => members[place].enter(self.continuing()),
                (Some(place), true, false) => {
                    self.begin(&mut members[place], &mut places[place], SegmentStatus::Realized);
                }
                (Some(place), false, true) => {
                    self.begin(&mut members[place], &mut places[place], SegmentStatus::Exited);
                }
                (None, true, _) => {
                    let (namespace, id) = (segment.namespace.as_str(), segment.id.as_str());
                    let place = members.partition_point(|member| (member.namespace, member.id) < (namespace, id));
                    let mut member = Membership::realized(namespace, id);
                    member.qualified = Some(self.evaluated_at);
                    members.insert(place, member);
                    places.insert(place, None);
                }
                (_, false, false) | (None, false, true) => {}
            }
        }
    }

    /// The state of a member that stays one.
    fn continuing(&self) -> SegmentStatus {
        match self.states {
            MembershipStates::Three => SegmentStatus::Existing,
            MembershipStates::Two => SegmentStatus::Realized,
        }
    }

    fn begin(&self, member: &mut Membership<'_>, place: &mut Option<Place>, status: SegmentStatus) {
        member.enter(status);
        member.qualified = Some(self.evaluated_at);
        *place = None;
    }
}
