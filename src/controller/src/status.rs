//! The status of an ExportJob: what it says at each stage, and when it is worth a write.

use exportjob_api::{
    Batch, DEFAULT_PROFILE_INSTANCE, DestinationStatus, ErrorRecord, ExportJobStatus, Metrics, Phase, Progress,
    TimeSpan, equal_ignoring_times, set_condition,
};
use exportjob_plan::{BatchPlan, ProgressReport, ReportedError, RunReport, batches};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use crate::{
    decide::Look,
    decision::Act,
    notice::shorten,
    observed::{Trouble, millis},
};

/// Annotation of an ExportJob with the id of the request that made it.
pub const REQUEST_ID_ANNOTATION: &str = "exportjob.dev/request-id";
/// Most errors that a status lists.
const ERRORS: usize = 10;
/// Most bytes of a message in a status.
const MESSAGE_BYTES: usize = 4096;
/// Types of conditions, in the order in which they stand in the status.
const TYPES: [&str; 4] = ["Complete", "Failed", "Suspended", "Progressing"];

/// What `Progressing` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progressing {
    /// What kind of thing goes on. The condition's `lastTransitionTime` is when it began.
    pub class: Class,
    /// One CamelCase word.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// What kind of thing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The export is launched or at work.
    Working,
    /// It waits for what it refers to.
    Waiting,
    /// No pod is made, or it finds no node.
    Placement,
    /// A pod with a node does not start.
    Starting,
    /// Pods are stopped and batches aborted.
    Stopping,
    /// Somebody wants it to wait.
    Suspended,
    /// Nothing goes on any more.
    Over,
}

impl Class {
    /// Whether the job gets on.
    pub fn is_progress(self) -> bool {
        matches!(self, Self::Working | Self::Stopping)
    }

    /// Whether a pod cannot start: bounded by the grace period.
    pub fn is_trouble(self) -> bool {
        matches!(self, Self::Placement | Self::Starting)
    }

    /// Reasons are the only thing of a class that outlives a look: this is their inverse.
    fn of(reason: &str, going: bool) -> Self {
        match reason {
            "Cancelling" | "Aborting" => Self::Stopping,
            "Suspended" | "Queued" => Self::Suspended,
            _ if going => Self::Working,
            "Unschedulable" | "SchedulingGated" | "FailedCreate" | "JobRefused" => Self::Placement,
            "MergePolicyConflict" | "InvalidReference" => Self::Waiting,
            reason if reason.ends_with("NotFound") => Self::Waiting,
            _ => Self::Starting,
        }
    }
}

impl Progressing {
    /// The export is launched or at work.
    pub fn working(reason: &str, message: impl Into<String>) -> Self {
        Self::new(Class::Working, reason, message)
    }

    /// What `Progressing` says, with a message that is cut where it is too long.
    pub fn new(class: Class, reason: &str, message: impl Into<String>) -> Self {
        Self {
            class,
            reason: reason.to_owned(),
            message: shorten(message.into(), MESSAGE_BYTES),
        }
    }

    /// Why a pod does not start.
    pub fn trouble(class: Class, trouble: &Trouble) -> Self {
        let reason: String = trouble.reason.chars().filter(char::is_ascii_alphanumeric).collect();
        let said = Self::new(class, &reason, trouble.message.clone());
        if !reason.is_empty() && Class::of(&reason, false) == class {
            return said;
        }
        // The class would not be known again from this reason, and its grace period would begin anew with each look.
        let usual = if class == Class::Placement {
            "Unschedulable"
        } else {
            "PodCannotStart"
        };
        Self::new(class, usual, format!("{}: {}", trouble.reason, said.message))
    }
}

/// What `Progressing` said when the status was written, and since when it has said something of that kind.
pub fn recorded(status: &ExportJobStatus) -> Option<(Progressing, i64)> {
    let condition = status.conditions.iter().find(|found| found.type_ == "Progressing")?;
    let class = Class::of(&condition.reason, condition.status == "True");
    let said = Progressing::new(class, &condition.reason, condition.message.clone());
    Some((said, millis(Some(&condition.last_transition_time)).unwrap_or_default()))
}

/// Since when the job has been suspended, if it is.
pub fn suspended_since(status: &ExportJobStatus) -> Option<i64> {
    let condition = status.conditions.iter().find(|found| found.type_ == "Suspended")?;
    (condition.status == "True").then(|| millis(Some(&condition.last_transition_time)).unwrap_or_default())
}

/// The status as it stands, with everything that is known from the beginning.
pub fn base(look: &Look<'_>) -> ExportJobStatus {
    let (spec, metadata) = (&look.export_job().spec, &look.export_job().metadata);
    let mut status = look.status.clone();
    status.observed_generation = metadata.generation;
    status.id = status.id.or(look.observed.id);
    status.phase.get_or_insert(Phase::New);
    status.job_type.get_or_insert_with(|| "BATCH".to_owned());
    status.destination.get_or_insert_with(|| destination(look));
    status.profile_instance_id.get_or_insert_with(|| {
        let named = spec.profile_instance_id.clone();
        named.unwrap_or_else(|| DEFAULT_PROFILE_INSTANCE.to_owned())
    });
    status.ims_org_id = status.ims_org_id.or_else(|| look.settings.ims_org_id.clone());
    status.request_id.get_or_insert_with(|| {
        let given = metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(REQUEST_ID_ANNOTATION));
        given.unwrap_or(&look.uid).clone()
    });
    status.creation_time.get_or_insert(look.created_ms);
    status.metrics.get_or_insert_with(|| Metrics {
        total_time: Some(TimeSpan::open(look.created_ms)),
        ..Metrics::default()
    });
    status.compute_gateway_job_id.get_or_insert_default();
    status
}

fn destination(look: &Look<'_>) -> DestinationStatus {
    let spec = &look.export_job().spec;
    let planned = batches(spec, &look.uid);
    let per_segment = spec.destination.segment_per_batch == Some(true);
    DestinationStatus {
        dataset_id: spec.destination.dataset_id.clone(),
        segment_per_batch: per_segment,
        batch_id: planned
            .first()
            .filter(|_| !per_segment)
            .map(|batch| batch.id.to_string()),
        batches: planned.iter().filter_map(|batch| segment_batch(look, batch)).collect(),
    }
}

fn segment_batch(look: &Look<'_>, batch: &BatchPlan) -> Option<Batch> {
    let filter = look.export_job().spec.filter.as_ref()?;
    let segment = filter.segments.as_ref()?.get(batch.segment?)?;
    let selection = exportjob_plan::SegmentSelection::from(segment);
    Some(Batch {
        segment_id: selection.id,
        segment_ns: selection.namespace,
        status: selection.statuses,
        batch_id: batch.id.to_string(),
    })
}

/// The ids of the batches in a status.
pub fn batch_ids(status: &ExportJobStatus) -> Vec<String> {
    let destination = status.destination.clone().unwrap_or_default();
    let listed = destination.batches.into_iter().map(|batch| batch.batch_id);
    destination.batch_id.into_iter().chain(listed).collect()
}

/// Sets the conditions of a job that is not over.
pub fn set_progress(status: &mut ExportJobStatus, progressing: &Progressing, now_ms: i64) {
    set(
        status,
        "Complete",
        false,
        ("NotFinished", "the job has not ended"),
        now_ms,
    );
    set(
        status,
        "Failed",
        false,
        ("NotFinished", "the job has not ended"),
        now_ms,
    );
    let began = recorded(status).filter(|(said, _)| said.class != progressing.class);
    if began.is_some() {
        // A grace period begins anew with each kind of trouble.
        status.conditions.retain(|condition| condition.type_ != "Progressing");
    }
    let said = (progressing.reason.as_str(), progressing.message.as_str());
    set(status, "Progressing", progressing.class.is_progress(), said, now_ms);
}

/// Sets `Suspended`, and adds up the time that the job was.
pub fn set_suspended(status: &mut ExportJobStatus, suspended: Option<(&str, &str)>, now_ms: i64) {
    if let Some(since) = suspended_since(status).filter(|_| suspended.is_none()) {
        let before = status.suspended_time_in_ms.unwrap_or(0);
        status.suspended_time_in_ms = Some(before + (now_ms - since).max(0));
    }
    let said = suspended.unwrap_or(("NotSuspended", "pods may run"));
    set(status, "Suspended", suspended.is_some(), said, now_ms);
}

/// Makes it the status of a job whose batches are in the dataset. Without a report the counts are not known.
pub fn succeed(status: &mut ExportJobStatus, report: Option<&RunReport>, end_ms: i64, now_ms: i64) {
    status.phase = Some(Phase::Succeeded);
    status.errors.clear();
    let metrics = close(status, end_ms);
    let span = |span: Option<(i64, i64)>| span.map(|(start, end)| TimeSpan::closed(start, end));
    if let Some(report) = report {
        metrics.profile_export_time = span(report.profile_export);
        metrics.dataset_write_time = span(report.dataset_write);
        metrics.total_exported_profile_counter = Some(report.profiles_written);
        metrics.exported_profile_by_namespace_counter = Some(report.profiles_by_namespace.clone());
        status.progress = Some(Progress {
            summary: Some("100%".to_owned()),
            rows_read: report.rows_read,
            rows_total: Some(report.rows_read),
            profiles_matched: report.profiles_matched,
            profiles_written: report.profiles_written,
        });
    }
    let message = match report {
        Some(report) => format!("{} profiles are in the dataset", report.profiles_written),
        None => "the batches are in the dataset; the pod's report, with the counts, was lost".to_owned(),
    };
    set(status, "Complete", true, ("Committed", &message), now_ms);
    set(status, "Failed", false, ("Succeeded", "the job has succeeded"), now_ms);
    set_suspended(status, None, now_ms);
    set(status, "Progressing", false, ("Succeeded", "the job has ended"), now_ms);
}

/// Makes it the status of a job that has failed for these reasons, the first of which is the main one.
pub fn fail(status: &mut ExportJobStatus, errors: Vec<ErrorRecord>, now_ms: i64) {
    status.phase = Some(Phase::Failed);
    close(status, now_ms);
    let main = errors.first().cloned().unwrap_or_default();
    let reason = camel(&main.code);
    status.errors = errors;
    set(status, "Complete", false, ("Failed", "the job has failed"), now_ms);
    set(status, "Failed", true, (&reason, &main.msg), now_ms);
    set_suspended(status, None, now_ms);
    set(status, "Progressing", false, (&reason, "the job has ended"), now_ms);
}

fn close(status: &mut ExportJobStatus, end_ms: i64) -> &mut Metrics {
    let start = status.creation_time.unwrap_or(end_ms);
    let metrics = status.metrics.get_or_insert_default();
    metrics.total_time = Some(TimeSpan::closed(start, end_ms));
    metrics
}

/// One reason of a failure, for the status.
pub fn error(code: &str, message: impl Into<String>) -> ErrorRecord {
    ErrorRecord {
        code: code.to_owned(),
        msg: shorten(message.into(), MESSAGE_BYTES),
        call_stack: None,
    }
}

/// The reasons in a report, for the status.
pub fn reported(errors: &[ReportedError]) -> Vec<ErrorRecord> {
    let records = errors.iter().take(ERRORS).map(|reported| ErrorRecord {
        call_stack: reported.call_stack.clone().map(|text| shorten(text, MESSAGE_BYTES)),
        ..error(&reported.code, reported.msg.clone())
    });
    records.collect()
}

/// Progress for the status.
pub fn progress(report: &ProgressReport) -> Progress {
    Progress {
        summary: report.percent().map(|percent| format!("{percent}%")),
        rows_read: report.rows_read,
        rows_total: report.rows_total,
        profiles_matched: report.profiles_matched,
        profiles_written: report.profiles_written,
    }
}

/// The write that makes `status` the status of the job, unless it says the same already.
pub fn write(look: &Look<'_>, mut status: ExportJobStatus) -> Option<Act> {
    if equal_ignoring_times(&status, &look.status) {
        return None;
    }
    status.update_time = Some(look.now_ms());
    Some(Act::ApplyStatus(Box::new(status)))
}

fn set(status: &mut ExportJobStatus, type_: &str, is: bool, said: (&str, &str), now_ms: i64) {
    let condition = Condition {
        type_: type_.to_owned(),
        status: if is { "True" } else { "False" }.to_owned(),
        reason: said.0.to_owned(),
        message: shorten(said.1.to_owned(), MESSAGE_BYTES),
        observed_generation: status.observed_generation,
        last_transition_time: Time(Timestamp::from_millisecond(now_ms).unwrap_or_default()),
    };
    set_condition(&mut status.conditions, condition);
    let position = |type_: &str| TYPES.iter().position(|known| *known == type_);
    status.conditions.sort_by_key(|condition| position(&condition.type_));
}

/// `BACKOFF_LIMIT_EXCEEDED` as the reason of a condition: `BackoffLimitExceeded`.
fn camel(code: &str) -> String {
    let words = code.split('_').filter_map(|word| {
        let first = word.get(..1)?;
        Some(format!(
            "{}{}",
            first.to_ascii_uppercase(),
            word.get(1..)?.to_ascii_lowercase()
        ))
    });
    let reason: String = words.collect();
    if reason.is_empty() { "Failed".to_owned() } else { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_reasons() {
        assert_eq!(camel("BACKOFF_LIMIT_EXCEEDED"), "BackoffLimitExceeded");
        assert_eq!(camel(""), "Failed");
    }

    #[test]
    fn a_class_can_be_read_back_from_its_reason() {
        for (class, reason) in [
            (Class::Working, "Exporting"),
            (Class::Waiting, "DatasetNotFound"),
            (Class::Waiting, "MergePolicyConflict"),
            (Class::Placement, "Unschedulable"),
            (Class::Starting, "ImagePullBackOff"),
            (Class::Stopping, "Aborting"),
            (Class::Suspended, "Queued"),
        ] {
            let mut status = ExportJobStatus::default();
            set_progress(&mut status, &Progressing::new(class, reason, "m"), 5_000);
            let (said, since) = recorded(&status).unwrap_or((Progressing::working("", ""), 0));
            assert_eq!((said.class, since), (class, 5_000), "{reason}");
        }
    }

    #[test]
    fn another_kind_of_trouble_begins_its_own_grace_period() {
        let mut status = ExportJobStatus::default();
        let mut since = |class, reason, now| {
            set_progress(&mut status, &Progressing::new(class, reason, "m"), now);
            recorded(&status).map(|(_, since)| since)
        };
        assert_eq!(since(Class::Placement, "Unschedulable", 1_000), Some(1_000));
        assert_eq!(since(Class::Starting, "ErrImagePull", 9_000), Some(9_000));
        assert_eq!(since(Class::Starting, "ImagePullBackOff", 20_000), Some(9_000));
    }

    #[test]
    fn time_spent_suspended_adds_up() {
        let mut status = ExportJobStatus::default();
        for (suspended, now) in [
            (true, 1_000),
            (true, 2_000),
            (false, 4_000),
            (true, 10_000),
            (false, 11_000),
        ] {
            set_suspended(&mut status, suspended.then_some(("Suspended", "m")), now);
        }
        assert_eq!(status.suspended_time_in_ms, Some(4_000));
    }
}
