//! Jobs that are stopped: deleted, cancelled, over their deadline; and what may come in between.

use exportjob_api::Phase;
use exportjob_plan::{Outcome, ReportedError, abort_job_name, code};
use serde_json::json;

use super::fixture::*;
use crate::observed::{JobEnd, References, Refusal, Trouble};

const NOTHING: [&str; 0] = [];

#[test]
fn a_job_without_status_is_let_go_at_once() {
    let mut new = situation();
    new.job().metadata.finalizers = Some(vec![exportjob_api::FINALIZER.to_owned()]);
    assert_eq!(kinds(&new.deleted().decide()), ["remove finalizer"]);
}

#[test]
fn a_waiting_job_is_let_go_once_the_api_server_says_that_there_is_no_job() {
    let mut waiting = situation();
    waiting.observed.references = References::default().into();
    let waiting = waiting.decided();
    assert_eq!(
        kinds(&waiting.clone().deleted().decide()),
        ["confirm no job", "remove finalizer"]
    );
    let decision = waiting.execution("cancel", &json!(true)).decide();
    assert_eq!(kinds(&decision), ["confirm no job", "status FAILED", "event Failed"]);
    assert_eq!(outcome(&written(&decision)).1[0].0, code::CANCELLED);
}

#[test]
fn a_deleted_job_stops_its_pods_then_aborts_then_goes() {
    let working = situation().processing().with_pod(running(JOB_UID)).at(10).deleted();
    let decision = working.decide();
    assert_eq!(
        kinds(&decision),
        ["status CANCELLING", "delete job", "abort job, suspended"]
    );
    let stopping = working
        .after(&decision)
        .with_job(|job| job.deleting = true)
        .with_abort_job(|job| job.suspended = true);
    assert_eq!(kinds(&stopping.decide()), NOTHING, "pods are not gone");
    let gone = stopping.without_job().at(20);
    let decision = gone.decide();
    assert_eq!(
        kinds(&decision),
        ["status CANCELLING", "confirm no job", "plan", "resume abort job"]
    );
    let aborting = gone.after(&decision).with_abort_job(|job| job.suspended = false);
    assert_eq!(kinds(&aborting.decide()), NOTHING);
    let aborted = aborting
        .with_abort_job(|job| {
            job.end = JobEnd::Complete {
                at_ms: CREATED_MS + 21_000,
            }
        })
        .with_pod(ended(ABORT_UID, 0, Some(report(Outcome::Aborted))));
    assert_eq!(kinds(&aborted.decide()), ["event Cancelled", "remove finalizer"]);
}

#[test]
fn a_cancelled_job_stops_in_the_same_way_and_keeps_its_record() {
    let working = situation()
        .processing()
        .with_pod(running(JOB_UID))
        .at(10)
        .execution("cancel", &json!(true));
    let decision = working.decide();
    assert_eq!(
        kinds(&decision),
        ["status PROCESSING", "delete job", "abort job, suspended"]
    );
    assert!(condition(&written(&decision), "Progressing").starts_with("True/Aborting"));
    let aborted = working
        .after(&decision)
        .without_job()
        .with_abort_job(|job| {
            job.end = JobEnd::Complete {
                at_ms: CREATED_MS + 21_000,
            }
        })
        .with_pod(ended(ABORT_UID, 0, Some(report(Outcome::Aborted))));
    let decision = aborted.decide();
    assert_eq!(kinds(&decision), ["status FAILED", "event Failed"]);
    assert_eq!(outcome(&written(&decision)).1[0].0, code::CANCELLED);
}

#[test]
fn a_job_over_its_deadline_is_stopped_and_fails_by_that_reason() {
    let working = situation()
        .execution("activeDeadlineSeconds", &json!(30))
        .processing()
        .with_pod(running(JOB_UID));
    assert_eq!(pause(&working.clone().at(20).decide()), Some(10));
    let working = working.at(30);
    let decision = working.decide();
    assert_eq!(
        kinds(&decision),
        ["status PROCESSING", "delete job", "abort job, suspended"]
    );
    assert_eq!(outcome(&written(&decision)).1[0].0, code::DEADLINE_EXCEEDED);
    // A reason that is no more, or another one that comes, changes nothing.
    let stopping = working
        .after(&decision)
        .with_job(|job| job.deleting = true)
        .with_abort_job(|job| job.suspended = true);
    let cancelled = stopping.execution("cancel", &json!(true)).at(31).decided();
    assert_eq!(outcome(&cancelled.status()).1[0].0, code::DEADLINE_EXCEEDED);
}

#[test]
fn a_deletion_takes_over_a_job_that_is_being_failed() {
    let failing = situation()
        .processing()
        .execution("cancel", &json!(true))
        .decided()
        .with_job(|job| job.deleting = true);
    let deleted = failing.with_abort_job(|job| job.suspended = true).deleted();
    let decision = deleted.decide();
    assert_eq!(kinds(&decision), ["status CANCELLING"]);
    assert_eq!(written(&decision).errors[0].code, code::CANCELLED);
}

#[test]
fn a_commit_that_was_faster_than_the_deletion_stays_and_is_told() {
    let committed = situation().processing().at(20).complete(5).deleted();
    let decision = committed.decide();
    assert_eq!(kinds(&decision), ["event AlreadyCommitted", "remove finalizer"]);
    assert!(event(&decision, "AlreadyCommitted").contains("was committed to Dataset \"d\""));
}

#[test]
fn a_commit_that_was_faster_than_the_abort_makes_a_success() {
    let stopping = situation()
        .processing()
        .execution("cancel", &json!(true))
        .decided()
        .without_job();
    let mut landed = report(Outcome::AlreadyCommitted);
    landed.profiles_written = 9;
    let lost = stopping
        .with_abort_job(|job| {
            job.end = JobEnd::Complete {
                at_ms: CREATED_MS + 5_000,
            }
        })
        .with_pod(ended(ABORT_UID, 0, Some(landed)));
    let decision = lost.decide();
    assert_eq!(
        kinds(&decision),
        ["status SUCCEEDED", "event Succeeded", "event AlreadyCommitted"]
    );
    let status = written(&decision);
    assert_eq!(status.metrics.clone().unwrap().total_exported_profile_counter, Some(9));
    assert_eq!(outcome(&status), (Some(Phase::Succeeded), Vec::new()));
    assert_eq!(
        kinds(&lost.deleted().decide()),
        ["event AlreadyCommitted", "remove finalizer"]
    );
}

#[test]
fn pods_that_do_not_go_cannot_hold_the_abort_for_ever() {
    let stopping = situation()
        .processing()
        .with_pod(running(JOB_UID))
        .at(10)
        .deleted()
        .decided();
    let stopping = stopping
        .with_job(|job| job.deleting = true)
        .with_abort_job(|job| job.suspended = true);
    assert_eq!(kinds(&stopping.clone().at(309).decide()), NOTHING);
    assert_eq!(
        kinds(&stopping.at(310).decide()),
        ["status CANCELLING", "plan", "resume abort job"]
    );
}

#[test]
fn a_clean_up_that_fails_is_told_with_what_may_be_left_behind() {
    let stopping = situation().processing().at(10).deleted().decided().without_job();
    let mut said = report(Outcome::Failed);
    said.errors.push(ReportedError {
        code: "DATASET_UNWRITABLE".to_owned(),
        msg: "disk full".to_owned(),
        call_stack: None,
    });
    let failed = stopping
        .with_abort_job(|job| {
            job.end = JobEnd::Failed {
                at_ms: CREATED_MS,
                reason: "r".to_owned(),
                message: "m".to_owned(),
            }
        })
        .with_pod(ended(ABORT_UID, 44, Some(said)));
    let decision = failed.decide();
    assert_eq!(kinds(&decision), ["event CleanUpAbandoned", "remove finalizer"]);
    let told = event(&decision, "CleanUpAbandoned");
    let batch = failed.status().destination.unwrap().batch_id.unwrap();
    for part in [
        batch.as_str(),
        "Dataset \"d\"",
        "file:///datasets/d",
        "DATASET_UNWRITABLE: disk full",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_clean_up_that_takes_too_long_is_given_up() {
    let trouble = stuck(ABORT_UID, true, "FailedMount", "no such volume");
    let stopping = situation()
        .processing()
        .at(10)
        .execution("cancel", &json!(true))
        .decided()
        .without_job();
    let stopping = stopping.with_abort_job(|_| ()).with_pod(trouble).at(20).decided();
    assert!(condition(&stopping.status(), "Progressing").contains("FailedMount: no such volume"));
    assert_eq!(pause(&stopping.clone().at(609).decide()), Some(1));
    let decision = stopping.at(610).decide();
    assert_eq!(
        kinds(&decision),
        ["status FAILED", "event Failed", "event CleanUpAbandoned"]
    );
    assert!(event(&decision, "CleanUpAbandoned").contains("within 600 s"));
    assert_eq!(outcome(&written(&decision)).1[0].0, code::CANCELLED);
}

#[test]
fn a_job_none_of_whose_pods_was_seen_to_start_is_not_held_by_a_clean_up_that_cannot_start() {
    let pending = situation()
        .processing()
        .with_pod(stuck(JOB_UID, false, "Unschedulable", "0/1 nodes"))
        .deleted();
    let decision = pending.decide();
    assert_eq!(
        kinds(&decision),
        ["status CANCELLING", "delete job", "abort job, suspended"]
    );
    let aborting = pending
        .after(&decision)
        .without_job()
        .with_abort_job(|job| job.pods_started = false);
    let aborting = aborting
        .with_pod(stuck(ABORT_UID, false, "Unschedulable", "0/1 nodes"))
        .at(2)
        .decided();
    assert_eq!(kinds(&aborting.clone().at(10).decide()), NOTHING);
    assert_eq!(
        kinds(&aborting.at(11).decide()),
        ["event CleanUpAbandoned", "remove finalizer"]
    );
}

#[test]
fn a_clean_up_whose_report_was_lost_is_made_anew() {
    let stopping = situation().processing().deleted().decided().without_job();
    let silent = stopping
        .with_abort_job(|job| {
            job.end = JobEnd::Complete {
                at_ms: CREATED_MS + 1_000,
            }
        })
        .at(11);
    assert_eq!(kinds(&silent.decide()), ["status CANCELLING", "delete abort job"]);
    let mut gone = silent.decided();
    gone.observed.abort_job = crate::observed::ChildJob::Absent;
    assert_eq!(
        kinds(&gone.decide()),
        ["status CANCELLING", "confirm no job", "plan", "abort job"]
    );
}

#[test]
fn a_dataset_that_is_gone_cannot_hold_a_deletion() {
    let mut stopping = situation().processing().deleted().decided().without_job();
    stopping.observed.references = References::default().into();
    let decision = stopping.decide();
    assert_eq!(kinds(&decision), ["event CleanUpAbandoned", "remove finalizer"]);
    assert!(event(&decision, "CleanUpAbandoned").contains("does not exist any more"));
}

#[test]
fn a_dataset_that_is_gone_is_cleaned_up_where_the_job_says_that_it_was() {
    let mut working = situation().processing().with_pod(running(JOB_UID)).deleted();
    working.observed.references = References::default().into();
    assert_eq!(kinds(&working.decide()).last().unwrap(), "abort job, suspended");
}

#[test]
fn a_clean_up_is_never_made_on_a_folder_that_the_operator_does_not_allow() {
    let working = situation().processing().with_pod(running(JOB_UID)).deleted();
    let forbidden = working.with_job(|job| {
        let volume = json!({"hostPath": {"path": "/etc"}});
        job.landing.as_mut().unwrap().volume = Some(serde_json::from_value(volume).unwrap());
    });
    assert_eq!(kinds(&forbidden.decide()), ["status CANCELLING", "delete job"]);
}

#[test]
fn a_clean_up_that_a_quota_keeps_out_is_tried_until_the_time_is_over() {
    let mut stopping = situation().processing().at(10).deleted().decided().without_job();
    stopping.observed.refusal = Some(Refusal {
        name: abort_job_name("loyal", UID),
        permanent: false,
        message: "exceeded quota".to_owned(),
    });
    let decision = stopping.decide();
    assert_eq!(
        kinds(&decision),
        ["status CANCELLING", "confirm no job", "plan", "abort job"]
    );
    assert!(condition(&written(&decision), "Progressing").contains("exceeded quota"));
    let stopping = stopping.after(&decision);
    assert_eq!(
        kinds(&stopping.decide()),
        ["confirm current", "confirm no job", "plan", "abort job"]
    );
    let decision = stopping.at(610).decide();
    assert!(event(&decision, "CleanUpAbandoned").contains("exceeded quota"));
}

#[test]
fn in_a_namespace_in_deletion_jobs_are_stopped_before_they_are_deleted_themselves() {
    let mut working = situation().processing().with_pod(running(JOB_UID));
    working.observed.namespace_terminating = true;
    let decision = working.decide();
    assert_eq!(kinds(&decision), ["status PROCESSING", "delete job"]);
    assert!(written(&decision).errors[0].msg.contains("namespace"));
    let gone = working.after(&decision).without_job();
    let decision = gone.decide();
    assert_eq!(
        kinds(&decision),
        ["status FAILED", "event Failed", "event CleanUpAbandoned"]
    );
    let over = gone.after(&decision).deleted();
    assert_eq!(kinds(&over.decide()), ["remove finalizer"]);
}

#[test]
fn in_a_namespace_in_deletion_nothing_is_launched() {
    let mut new = situation();
    new.observed.namespace_terminating = true;
    assert_eq!(kinds(&new.decide()), ["status FAILED", "event Failed"]);
}

#[test]
fn a_warning_of_the_clean_ups_job_is_told() {
    let stopping = situation()
        .processing()
        .deleted()
        .decided()
        .without_job()
        .with_abort_job(|job| {
            job.warning = Some(Trouble {
                reason: "FailedCreate".to_owned(),
                message: "exceeded quota".to_owned(),
                at_ms: None,
            });
        });
    assert!(condition(&written(&stopping.decide()), "Progressing").contains("FailedCreate: exceeded quota"));
}
