//! §4: which profiles are exported.

use exportjob_plan::{ExportPlan, SegmentSelection, Selection};

use super::{memberships::key, profile::Profile};

/// For each batch of the plan, whether it takes the profile. "`segmentPerBatch: false`: one batch, every profile once.
/// `true`: one batch per listed segment" (§5).
pub fn batches(plan: &ExportPlan, profile: &Profile) -> Vec<bool> {
    let selection = &plan.selection;
    let common = recently_ingested(selection, profile) && (selection.empty_profiles || !profile.fragments.is_empty());
    plan.batches
        .iter()
        .map(|batch| {
            let member = match batch.segment {
                Some(index) => is_member(selection, &selection.segments[index], profile),
                None if selection.segments.is_empty() => true,
                None => selection
                    .segments
                    .iter()
                    .any(|segment| is_member(selection, segment, profile)),
            };
            // "All conditions hold together" (§4)
            common && member
        })
        .collect()
}

/// §4.1 and §4.2: "that same membership's `lastQualificationTime` is ≥ `startTime` and < `endTime`".
fn is_member(selection: &Selection, segment: &SegmentSelection, profile: &Profile) -> bool {
    let Some(membership) = profile.memberships.get(&key(&segment.namespace, &segment.id)) else {
        return false;
    };
    membership
        .status
        .as_ref()
        .is_ok_and(|status| segment.statuses.contains(status))
        && selection
            .qualified_from
            .is_none_or(|from| membership.qualified.is_some_and(|time| time >= from))
        && selection
            .qualified_to
            .is_none_or(|to| membership.qualified.is_some_and(|time| time < to))
}

/// §4.3: "the profile's newest `ups_ingested` over its fragments (over its events for an empty profile) is strictly
/// greater".
fn recently_ingested(selection: &Selection, profile: &Profile) -> bool {
    let Some(bound) = selection.ingested_after else {
        return true;
    };
    let newest = if profile.fragments.is_empty() {
        profile.events.iter().filter_map(|event| event.ingested).max()
    } else {
        profile.fragments.iter().filter_map(|fragment| fragment.ingested).max()
    };
    newest.is_some_and(|newest| newest > bound)
}
