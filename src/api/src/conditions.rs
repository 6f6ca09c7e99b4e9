//! Conditions: set them without touching what did not change, compare statuses without their clocks.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use crate::ExportJobStatus;

/// Puts `condition` in the place of the one of its type. `lastTransitionTime` moves only when the status does.
pub fn set_condition(conditions: &mut Vec<Condition>, mut condition: Condition) {
    match conditions.iter_mut().find(|old| old.type_ == condition.type_) {
        None => conditions.push(condition),
        Some(old) => {
            if old.status == condition.status {
                condition.last_transition_time = old.last_transition_time.clone();
            }
            *old = condition;
        }
    }
}

/// Whether two statuses say the same, times of writing aside (`updateTime`, `lastTransitionTime`): a status that only
/// differs in those is not worth a write.
pub fn equal_ignoring_times(a: &ExportJobStatus, b: &ExportJobStatus) -> bool {
    strip(a) == strip(b)
}

fn strip(status: &ExportJobStatus) -> ExportJobStatus {
    let mut status = status.clone();
    status.update_time = None;
    let epoch = Time(Timestamp::UNIX_EPOCH);
    for condition in &mut status.conditions {
        condition.last_transition_time = epoch.clone();
    }
    status
}
