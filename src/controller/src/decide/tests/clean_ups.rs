//! The clean-up: when it is made, what holds it up, and what does not.

use exportjob_api::Phase;
use exportjob_plan::{Outcome, abort_job_name, code, job_name};
use serde_json::json;

use super::fixture::*;
use crate::observed::{JobEnd, Refusal};

const NOTHING: [&str; 0] = [];

fn refusal(name: String, permanent: bool) -> Refusal {
    Refusal {
        name,
        permanent,
        message: "words of the API server".to_owned(),
    }
}

#[test]
fn a_job_whose_launch_was_cut_off_is_fenced_as_if_it_had_been_launched() {
    // The Job may have been made, worked, and been removed by hand while nobody looked.
    let cancelled = situation().accepted().execution("cancel", &json!(true));
    let decision = cancelled.decide();
    assert_eq!(kinds(&decision), ["status NEW", "confirm no job", "plan", "abort job"]);
    assert_eq!(written(&decision).errors[0].code, code::CANCELLED);
    let deleted = situation().accepted().deleted();
    assert_eq!(
        kinds(&deleted.decide()),
        ["status CANCELLING", "confirm no job", "plan", "abort job"]
    );
}

#[test]
fn a_job_that_the_api_server_never_took_has_nothing_to_clean_up() {
    let mut refused = situation().accepted();
    refused.observed.refusal = Some(refusal(job_name("loyal", UID), false));
    let refused = refused.decided();
    assert_eq!(
        kinds(&refused.clone().deleted().decide()),
        ["confirm no job", "remove finalizer"]
    );
    let cancelled = refused.execution("cancel", &json!(true));
    assert_eq!(
        kinds(&cancelled.decide()),
        ["confirm no job", "status FAILED", "event Failed"]
    );
}

#[test]
fn a_refused_clean_up_is_no_refused_export() {
    let mut stopping = situation().accepted().execution("cancel", &json!(true)).decided();
    assert_eq!(stopping.status().phase, Some(Phase::New));
    stopping.observed.refusal = Some(refusal(abort_job_name("loyal", UID), false));
    assert_eq!(
        kinds(&stopping.decide()),
        ["status NEW", "confirm no job", "plan", "abort job"],
        "it may have been launched, and is not let go without a fence"
    );
    stopping.observed.refusal = Some(refusal(abort_job_name("loyal", UID), true));
    let decision = stopping.decide();
    assert_eq!(
        kinds(&decision),
        ["status FAILED", "event Failed", "event CleanUpAbandoned"]
    );
    assert!(event(&decision, "CleanUpAbandoned").contains("words of the API server"));
}

#[test]
fn a_refused_export_is_no_refused_clean_up() {
    let mut gone = situation().processing().without_job();
    gone.observed.refusal = Some(refusal(job_name("loyal", UID), true));
    let decision = gone.decide();
    assert_eq!(
        kinds(&decision),
        ["status PROCESSING", "confirm no job", "plan", "abort job"]
    );
    assert_eq!(written(&decision).errors[0].code, code::JOB_REFUSED);
    assert!(condition(&written(&decision), "Progressing").ends_with("the batches are being aborted"));
}

#[test]
fn pods_that_do_not_go_cannot_hold_a_job_in_a_namespace_in_deletion() {
    let mut stopping = situation().processing().with_pod(running(JOB_UID)).at(10).deleted();
    stopping.observed.namespace_terminating = true;
    let stopping = stopping.decided().with_job(|job| job.deleting = true);
    assert_eq!(
        (
            kinds(&stopping.clone().at(609).decide()),
            pause(&stopping.clone().at(609).decide())
        ),
        (Vec::new(), Some(1))
    );
    let decision = stopping.at(610).decide();
    assert_eq!(kinds(&decision), ["event CleanUpAbandoned", "remove finalizer"]);
}

#[test]
fn a_clean_up_that_was_done_before_its_namespace_went_counts() {
    let mut stopping = situation().processing().deleted().decided().without_job();
    stopping.observed.namespace_terminating = true;
    let done = stopping
        .with_abort_job(|job| job.end = JobEnd::Complete { at_ms: CREATED_MS })
        .with_pod(ended(ABORT_UID, 0, Some(report(Outcome::Aborted))));
    assert_eq!(kinds(&done.decide()), ["event Cancelled", "remove finalizer"]);
}

#[test]
fn a_clean_up_that_waited_for_pods_has_its_time_from_when_it_may_run() {
    let stopping = situation()
        .processing()
        .with_pod(stuck(JOB_UID, false, "Unschedulable", "m"))
        .deleted()
        .decided()
        .without_job();
    let resumed = stopping
        .with_abort_job(|job| {
            job.pods_started = false;
            job.started_at_ms = None;
        })
        .with_pod(stuck(ABORT_UID, false, "Unschedulable", "m"))
        .at(100)
        .decided();
    assert_eq!(
        kinds(&resumed.decide()),
        NOTHING,
        "the Job's controller has not started it"
    );
    let started = resumed.with_abort_job(|job| job.started_at_ms = Some(CREATED_MS + 100_000));
    assert_eq!(kinds(&started.clone().at(109).decide()), NOTHING);
    assert_eq!(
        kinds(&started.at(110).decide()),
        ["event CleanUpAbandoned", "remove finalizer"]
    );
}

#[test]
fn a_clean_up_that_goes_is_waited_for_and_one_that_lost_its_report_for_no_longer_than_others() {
    let stopping = situation().processing().at(10).deleted().decided().without_job();
    let going = stopping.with_abort_job(|job| job.deleting = true).at(20).decided();
    assert!(condition(&going.status(), "Progressing").contains("made anew"));
    assert_eq!(kinds(&going.clone().at(609).decide()), NOTHING);
    assert_eq!(
        kinds(&going.clone().at(610).decide()),
        ["event CleanUpAbandoned", "remove finalizer"]
    );
    let silent = going.with_abort_job(|job| job.end = JobEnd::Complete { at_ms: CREATED_MS });
    assert_eq!(
        kinds(&silent.at(610).decide()),
        ["event CleanUpAbandoned", "remove finalizer"]
    );
}

#[test]
fn every_stage_can_be_deleted_and_cancelled() {
    let queued = situation()
        .execution("queueName", &json!("q"))
        .accepted()
        .with_job(|job| job.suspended = true);
    let stages = [
        ("first look", situation()),
        ("held back", situation().execution("suspend", &json!(true)).decided()),
        ("launched", situation().accepted()),
        ("launched, Job not known", situation().accepted().with_job(|_| ())),
        ("queued", queued.decided()),
        ("at work", situation().processing().with_pod(running(JOB_UID))),
        ("Job removed by hand", situation().processing().without_job()),
    ];
    for (stage, situation) in stages {
        let cancelled = situation.clone().execution("cancel", &json!(true)).decided();
        let status = cancelled.status();
        assert_eq!(status.errors[0].code, code::CANCELLED, "{stage}");
        assert_ne!(status.phase, Some(Phase::Cancelling), "{stage}");
        let deleted = situation.deleted();
        let words = kinds(&deleted.decide());
        let (first, last) = (words.first().map(String::as_str), words.last().map(String::as_str));
        match stage {
            "first look" => assert_eq!(first, None, "without finalizer it is gone"),
            "held back" => assert_eq!(last, Some("remove finalizer"), "{stage}"),
            _ => assert_eq!(first, Some("status CANCELLING"), "{stage}"),
        }
    }
}

#[test]
fn what_a_namespace_in_deletion_refuses_may_have_been_launched_before() {
    let mut refused = situation().accepted();
    refused.observed.refusal = Some(refusal(job_name("loyal", UID), false));
    refused.observed.namespace_terminating = true;
    assert_eq!(
        kinds(&refused.decide()),
        ["status FAILED", "event Failed", "event CleanUpAbandoned"]
    );
    assert_eq!(
        kinds(&refused.deleted().decide()),
        ["event CleanUpAbandoned", "remove finalizer"]
    );
}
