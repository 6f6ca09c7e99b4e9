//! The ExportJob's status, as a cluster would show it.

use exportjob_api::{
    Batch, DestinationStatus, ErrorRecord, ExportJob, ExportJobStatus, MergePolicyStatus, Metrics, Phase, Progress,
    TimeSpan, set_condition,
};
use exportjob_plan::{ExportPlan, Outcome, ReportedError, RunReport};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// The job of `plan` before it runs: accepted, with its id and its batch ids.
pub(crate) fn accepted(export_job: &mut ExportJob, plan: &ExportPlan, created_at_ms: i64) {
    let metadata = &mut export_job.metadata;
    metadata.uid = Some(plan.job.uid.clone());
    metadata.generation = Some(1);
    metadata.creation_timestamp = Timestamp::from_millisecond(created_at_ms).ok().map(Time);
    export_job.status = Some(ExportJobStatus {
        observed_generation: Some(1),
        id: Some(plan.job.id),
        phase: Some(Phase::New),
        job_type: Some("BATCH".to_owned()),
        destination: Some(destination(export_job, plan)),
        merge_policy: Some(MergePolicyStatus {
            id: plan.merge_policy.id.clone(),
            version: plan.merge_policy.version,
        }),
        profile_instance_id: Some(plan.store.name.clone()),
        request_id: Some(plan.job.uid.clone()),
        metrics: Some(Metrics {
            total_time: Some(TimeSpan::open(created_at_ms)),
            ..Metrics::default()
        }),
        creation_time: Some(created_at_ms),
        update_time: Some(created_at_ms),
        ..ExportJobStatus::default()
    });
}

fn destination(export_job: &ExportJob, plan: &ExportPlan) -> DestinationStatus {
    let per_segment = export_job.spec.destination.segment_per_batch == Some(true);
    let batches = plan.batches.iter().filter_map(|batch| {
        let segment = plan.selection.segments.get(batch.segment?)?;
        Some(Batch {
            segment_id: segment.id.clone(),
            segment_ns: segment.namespace.clone(),
            status: segment.statuses.clone(),
            batch_id: batch.id.to_string(),
        })
    });
    DestinationStatus {
        dataset_id: plan.destination.dataset.clone(),
        segment_per_batch: per_segment,
        batch_id: plan
            .batches
            .first()
            .filter(|_| !per_segment)
            .map(|batch| batch.id.to_string()),
        batches: batches.collect(),
    }
}

/// The job after its run, at `now_ms` epoch milliseconds.
pub(crate) fn ended(export_job: &mut ExportJob, report: &RunReport, errors: Vec<ReportedError>, now_ms: i64) {
    let mut status = export_job.status.take().unwrap_or_default();
    let succeeded = errors.is_empty() && matches!(report.outcome, Outcome::Committed | Outcome::AlreadyCommitted);
    status.phase = Some(if succeeded { Phase::Succeeded } else { Phase::Failed });
    status.update_time = Some(now_ms);
    status.errors = errors
        .into_iter()
        .map(|error| ErrorRecord {
            code: error.code,
            msg: error.msg,
            call_stack: error.call_stack,
        })
        .collect();
    status.metrics = Some(metrics(
        report,
        status.creation_time.unwrap_or(now_ms),
        now_ms,
        succeeded,
    ));
    if succeeded {
        status.progress = Some(Progress {
            summary: Some("100%".to_owned()),
            rows_read: report.rows_read,
            rows_total: Some(report.rows_read),
            profiles_matched: report.profiles_matched,
            profiles_written: report.profiles_written,
        });
    }
    let condition = end_condition(&status, succeeded, now_ms);
    set_condition(&mut status.conditions, condition);
    export_job.status = Some(status);
}

fn metrics(report: &RunReport, created_at_ms: i64, now_ms: i64, succeeded: bool) -> Metrics {
    let span = |times: Option<(i64, i64)>| times.map(|(start, end)| TimeSpan::closed(start, end));
    Metrics {
        total_time: Some(TimeSpan::closed(created_at_ms, now_ms)),
        profile_export_time: span(report.profile_export),
        dataset_write_time: span(report.dataset_write),
        total_exported_profile_counter: succeeded.then_some(report.profiles_written),
        exported_profile_by_namespace_counter: succeeded.then(|| report.profiles_by_namespace.clone()),
    }
}

fn end_condition(status: &ExportJobStatus, succeeded: bool, now_ms: i64) -> Condition {
    let error = status.errors.first();
    Condition {
        type_: if succeeded { "Complete" } else { "Failed" }.to_owned(),
        status: "True".to_owned(),
        reason: error.map_or_else(|| "Committed".to_owned(), |error| camel_case(&error.code)),
        message: error.map_or_else(
            || "the batches are in the dataset".to_owned(),
            |error| error.msg.clone(),
        ),
        observed_generation: Some(1),
        last_transition_time: Time(Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH)),
    }
}

/// `UNKNOWN_FIELD` as `UnknownField`.
fn camel_case(code: &str) -> String {
    code.split('_')
        .flat_map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            [first.to_owned(), rest.to_ascii_lowercase()]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_condition_is_one_word() {
        assert_eq!(camel_case("UNKNOWN_FIELD"), "UnknownField");
        assert_eq!(camel_case("INTERNAL"), "Internal");
    }

    #[test]
    fn a_failed_job_has_no_counts() {
        let mut job = ExportJob::default();
        let error = ReportedError {
            code: "UNKNOWN_FIELD".to_owned(),
            msg: "no".to_owned(),
            call_stack: None,
        };
        ended(&mut job, &RunReport::new(Outcome::Failed), vec![error], 5);
        let status = job.status.unwrap_or_default();
        assert_eq!(status.phase, Some(Phase::Failed));
        assert_eq!(
            status
                .metrics
                .and_then(|metrics| metrics.total_exported_profile_counter),
            None
        );
        assert_eq!(status.conditions[0].reason, "UnknownField");
    }
}
