//! How jobs end, and what is left to do then.

use exportjob_api::Phase;
use exportjob_plan::{Outcome, ReportedError, code};
use serde_json::json;

use super::fixture::*;
use crate::observed::JobEnd;

fn reported(code: &str, msg: &str) -> exportjob_plan::RunReport {
    let mut failed = report(Outcome::Failed);
    failed.errors.push(ReportedError {
        code: code.to_owned(),
        msg: msg.to_owned(),
        call_stack: Some("cause".to_owned()),
    });
    failed
}

#[test]
fn a_committed_job_has_succeeded_with_its_counts_and_times() {
    let mut done = situation().processing().at(20).complete(42);
    let report = done.observed.pods[0].report.as_mut().unwrap();
    report.profiles_by_namespace = [("crm".to_owned(), 42)].into();
    report.profile_export = Some((CREATED_MS + 2_000, CREATED_MS + 9_000));
    report.dataset_write = Some((CREATED_MS + 3_000, CREATED_MS + 20_500));
    report.rows_read = 100;
    let decision = done.at(21).decide();
    assert_eq!(kinds(&decision), ["status SUCCEEDED", "event Succeeded"]);
    let status = written(&decision);
    let metrics = status.metrics.clone().unwrap();
    assert_eq!(metrics.total_exported_profile_counter, Some(42));
    assert_eq!(metrics.exported_profile_by_namespace_counter.unwrap()["crm"], 42);
    assert_eq!(metrics.total_time.unwrap().total_time_in_ms, Some(20_500));
    assert_eq!(metrics.profile_export_time.unwrap().total_time_in_ms, Some(7_000));
    assert_eq!(metrics.dataset_write_time.unwrap().total_time_in_ms, Some(17_500));
    assert!(condition(&status, "Complete").starts_with("True/Committed"));
    for other in ["Failed", "Suspended", "Progressing"] {
        assert!(condition(&status, other).starts_with("False/"), "{other}");
    }
}

#[test]
fn a_report_that_comes_later_than_the_end_of_its_job_is_waited_for() {
    let at_ms = CREATED_MS + 20_000;
    let done = situation()
        .processing()
        .at(20)
        .with_job(|job| job.end = JobEnd::Complete { at_ms });
    assert_eq!((kinds(&done.decide()), pause(&done.decide())), (Vec::new(), Some(1)));
    let decision = done.at(30).decide();
    assert_eq!(kinds(&decision), ["status SUCCEEDED", "event Succeeded"]);
    let status = written(&decision);
    assert_eq!(
        status.metrics.clone().unwrap().total_exported_profile_counter,
        None,
        "what is not known is not said"
    );
    assert!(condition(&status, "Complete").contains("was lost"));
}

#[test]
fn a_cancellation_that_comes_after_the_commit_is_too_late_and_an_event_says_so() {
    let done = situation()
        .processing()
        .at(20)
        .complete(1)
        .execution("cancel", &json!(true));
    let decision = done.decide();
    assert_eq!(
        kinds(&decision),
        ["status SUCCEEDED", "event Succeeded", "event AlreadyCommitted"]
    );
}

#[test]
fn a_users_error_is_remembered_then_the_batches_are_aborted_then_the_job_has_failed() {
    let at_ms = CREATED_MS + 20_000;
    let reason = || "PodFailurePolicy".to_owned();
    let failed = situation()
        .processing()
        .at(20)
        .with_job(|job| {
            job.end = JobEnd::Failed {
                at_ms,
                reason: reason(),
                message: String::new(),
            }
        })
        .with_pod(ended(JOB_UID, 42, Some(reported(code::UNKNOWN_FIELD, "no such path"))));
    let decision = failed.decide();
    assert_eq!(
        kinds(&decision),
        ["status PROCESSING", "plan", "abort job"],
        "the pods are kept for their logs"
    );
    let status = written(&decision);
    assert_eq!(
        outcome(&status).1,
        [(code::UNKNOWN_FIELD.to_owned(), "no such path".to_owned())]
    );
    assert_eq!(status.errors[0].call_stack.as_deref(), Some("cause"));
    // The pod goes, and with it what it said.
    let mut failed = failed.after(&decision).with_abort_job(|_| ()).at(22);
    failed.observed.pods.clear();
    assert_eq!(kinds(&failed.decide()), Vec::<String>::new());
    let done = failed.with_abort_job(|job| {
        job.end = JobEnd::Complete {
            at_ms: CREATED_MS + 22_000,
        }
    });
    assert_eq!(
        (kinds(&done.decide()), pause(&done.decide())),
        (Vec::new(), Some(1)),
        "its report is waited for"
    );
    let decision = done
        .with_pod(ended(ABORT_UID, 0, Some(report(Outcome::Aborted))))
        .decide();
    assert_eq!(kinds(&decision), ["status FAILED", "event Failed"]);
    let status = written(&decision);
    assert_eq!(
        outcome(&status),
        (
            Some(Phase::Failed),
            vec![(code::UNKNOWN_FIELD.to_owned(), "no such path".to_owned())]
        )
    );
    assert_eq!(condition(&status, "Failed"), "True/UnknownField: no such path");
    assert_eq!(event(&decision, "Failed"), "UNKNOWN_FIELD: no such path");
}

#[test]
fn pods_that_failed_too_often_are_counted_and_the_last_one_is_told() {
    let at_ms = CREATED_MS + 20_000;
    let failed = situation().processing().at(20).with_job(|job| {
        job.failed = 4;
        job.end = JobEnd::Failed {
            at_ms,
            reason: "FailedIndexes".to_owned(),
            message: "m".to_owned(),
        };
    });
    let failed = (0..3).fold(failed, |failed, _| failed.with_pod(ended(JOB_UID, 44, None)));
    assert_eq!(
        (kinds(&failed.decide()), pause(&failed.decide())),
        (Vec::new(), Some(1)),
        "the last pod is waited for"
    );
    let mut killed = ended(JOB_UID, 137, None);
    killed.exit_reason = Some("OOMKilled".to_owned());
    killed.created_at_ms += 1_000;
    let errors = written(&failed.clone().with_pod(killed).decide()).errors;
    assert_eq!(
        (errors.len(), errors[0].code.as_str()),
        (1, code::BACKOFF_LIMIT_EXCEEDED)
    );
    for part in [
        "4 pods",
        "backoffLimit (3)",
        "exit code 137 (OOMKilled)",
        "resources.limits.memory",
    ] {
        assert!(errors[0].msg.contains(part), "{part}: {}", errors[0].msg);
    }
    let mut said = ended(JOB_UID, 44, Some(reported(code::DATASET_UNWRITABLE, "disk full")));
    said.created_at_ms += 1_000;
    let errors = written(&failed.with_pod(said).decide()).errors;
    assert_eq!(
        errors.iter().map(|error| error.code.as_str()).collect::<Vec<_>>(),
        [code::BACKOFF_LIMIT_EXCEEDED, code::DATASET_UNWRITABLE]
    );
}

#[test]
fn a_finished_job_that_is_deleted_only_loses_its_finalizer() {
    let done = situation().processing().at(20).complete(1).decided();
    assert_eq!(kinds(&done.deleted().decide()), ["remove finalizer"]);
}

#[test]
fn a_finished_job_is_left_alone_until_its_time_has_run_out_however_it_ended() {
    let succeeded = situation().processing().at(20).complete(1).decided();
    assert_eq!(
        (kinds(&succeeded.decide()), pause(&succeeded.decide())),
        (Vec::new(), None)
    );
    let failed = situation_of(&json!({"fields": "a..b"})).at(20).decided();
    for over in [succeeded, failed] {
        let over = over.execution("ttlSecondsAfterFinished", &json!(60));
        assert_eq!(pause(&over.clone().at(79).decide()), Some(1));
        assert_eq!(kinds(&over.at(80).decide()), ["delete export job"]);
    }
}

#[test]
fn a_job_that_runs_for_a_failed_export_job_is_stopped() {
    let failed = situation_of(&json!({"fields": "a..b"})).decided().with_job(|_| ());
    assert_eq!(kinds(&failed.decide()), ["delete job"]);
}

#[test]
fn the_pod_that_says_why_is_waited_for_even_if_others_are_known() {
    let at_ms = CREATED_MS + 20_000;
    let failed = situation().processing().at(20).with_job(|job| {
        job.failed = 2;
        job.end = JobEnd::Failed {
            at_ms,
            reason: "PodFailurePolicy".to_owned(),
            message: "m".to_owned(),
        };
    });
    let failed = failed.with_pod(ended(JOB_UID, 137, None));
    assert_eq!(
        (kinds(&failed.decide()), pause(&failed.decide())),
        (Vec::new(), Some(1))
    );
    let told = failed
        .clone()
        .with_pod(ended(JOB_UID, 42, Some(reported(code::UNKNOWN_FIELD, "no such path"))));
    assert_eq!(written(&told.decide()).errors[0].code, code::UNKNOWN_FIELD);
    let never = written(&failed.at(30).decide()).errors;
    assert_eq!(never[0].code, code::BACKOFF_LIMIT_EXCEEDED);
}

#[test]
fn a_pod_that_does_not_say_why_is_named() {
    let failed = situation().processing().at(20).with_job(|job| {
        job.failed = 1;
        job.end = JobEnd::Failed {
            at_ms: CREATED_MS + 20_000,
            reason: "PodFailurePolicy".to_owned(),
            message: "m".to_owned(),
        };
    });
    let errors = written(&failed.with_pod(ended(JOB_UID, 43, None)).decide()).errors;
    assert_eq!(
        (errors[0].code.as_str(), errors[0].msg.as_str()),
        (
            code::INTERNAL,
            "pod pod-of-job-uid ended with exit code 43, and did not say why"
        )
    );
}

#[test]
fn a_clean_up_that_was_given_up_does_not_go_on() {
    let failed = situation_of(&json!({"fields": "a..b"})).decided();
    let going = failed.with_abort_job(|_| ());
    assert_eq!(kinds(&going.decide()), ["delete abort job"]);
    assert_eq!(
        kinds(&going.clone().with_abort_job(|job| job.deleting = true).decide()),
        Vec::<String>::new()
    );
    let done = going.with_abort_job(|job| job.end = JobEnd::Complete { at_ms: CREATED_MS });
    assert_eq!(
        kinds(&done.decide()),
        Vec::<String>::new(),
        "one that has ended may be read"
    );
}

#[test]
fn a_change_of_the_spec_after_the_end_is_seen_and_no_more() {
    let mut done = situation()
        .processing()
        .at(20)
        .complete(1)
        .decided()
        .execution("cancel", &json!(true));
    done.job().metadata.generation = Some(2);
    let before = done.status();
    let decision = done.decide();
    assert_eq!(kinds(&decision), ["status SUCCEEDED"]);
    let after = written(&decision);
    assert_eq!(after.observed_generation, Some(2));
    assert_eq!(
        exportjob_api::ExportJobStatus {
            observed_generation: before.observed_generation,
            update_time: before.update_time,
            ..after
        },
        before
    );
    assert_eq!(kinds(&done.after(&decision).decide()), Vec::<String>::new());
}
