//! A job at work.

use exportjob_api::Phase;
use exportjob_plan::{ProgressReport, Stage, code};
use serde_json::json;

use super::fixture::*;
use crate::observed::Trouble;

#[test]
fn a_job_whose_job_is_there_is_processing() {
    let decision = situation().accepted().with_job(|_| ()).decide();
    assert_eq!(kinds(&decision), ["status PROCESSING", "event Launched"]);
    let status = written(&decision);
    assert_eq!(status.compute_gateway_job_id.clone().unwrap().export_job, JOB_UID);
    assert!(condition(&status, "Progressing").starts_with("True/Exporting"));
    assert!(condition(&status, "Complete").starts_with("False/"));
}

#[test]
fn a_look_at_a_job_where_nothing_has_changed_writes_nothing() {
    let working = situation().processing().with_pod(running(JOB_UID)).at(60);
    assert_eq!(
        (kinds(&working.decide()), pause(&working.decide())),
        (Vec::new(), Some(120))
    );
}

#[test]
fn progress_is_written_at_most_once_in_an_interval() {
    let mut working = situation().processing().with_pod(running(JOB_UID)).at(5);
    working.observed.progress = Some(ProgressReport {
        stage: Stage::Exporting,
        rows_read: 30,
        rows_total: Some(100),
        profiles_matched: 3,
        profiles_written: 2,
    });
    assert_eq!(
        (kinds(&working.decide()), pause(&working.decide())),
        (Vec::new(), Some(6))
    );
    let decision = working.clone().at(11).decide();
    let progress = written(&decision).progress.unwrap();
    assert_eq!(
        (
            progress.summary.as_deref(),
            progress.rows_read,
            progress.profiles_written
        ),
        (Some("30%"), 30, 2)
    );
    let told = working.at(11).after(&decision);
    assert_eq!(kinds(&told.at(100).decide()), Vec::<String>::new());
}

#[test]
fn a_pod_that_cannot_start_says_why_at_once_and_fails_the_job_after_the_grace() {
    let pod = stuck(JOB_UID, true, "ErrImagePull", "cannot pull image x");
    let stuck_one = situation().processing().with_pod(pod).at(10);
    let decision = stuck_one.decide();
    assert_eq!(kinds(&decision), ["status PROCESSING", "event PodCannotStart"]);
    assert_eq!(
        condition(&written(&decision), "Progressing"),
        "False/ErrImagePull: cannot pull image x"
    );
    let mut later = stuck_one.after(&decision).at(20);
    later.observed.pods[0] = stuck(JOB_UID, true, "ImagePullBackOff", "backing off");
    let later = later.decided().at(309);
    assert_eq!(
        pause(&later.decide()),
        Some(1),
        "the grace goes on from the first trouble of this kind"
    );
    let decision = later.at(310).decide();
    assert_eq!(
        kinds(&decision),
        ["status PROCESSING", "delete job", "abort job, suspended"]
    );
    let (phase, errors) = outcome(&written(&decision));
    assert_eq!(
        (phase, errors[0].0.as_str()),
        (Some(Phase::Processing), code::POD_CANNOT_START)
    );
    assert!(errors[0].1.contains("ImagePullBackOff: backing off"), "{errors:?}");
}

#[test]
fn scheduling_and_starting_have_a_grace_period_each() {
    let pending = situation()
        .processing()
        .with_pod(stuck(JOB_UID, false, "Unschedulable", "0/1 nodes"))
        .at(10)
        .decided();
    let mut scheduled = pending.at(300);
    scheduled.observed.pods[0] = stuck(JOB_UID, true, "FailedMount", "no such volume");
    let scheduled = scheduled.decided();
    assert_eq!(
        condition(&scheduled.status(), "Progressing"),
        "False/FailedMount: no such volume"
    );
    assert_eq!(kinds(&scheduled.clone().at(599).decide()), Vec::<String>::new());
    assert_eq!(kinds(&scheduled.at(600).decide()).first().unwrap(), "status PROCESSING");
}

#[test]
fn a_pod_that_starts_after_all_clears_the_trouble() {
    let mut stuck_one = situation()
        .processing()
        .with_pod(stuck(JOB_UID, false, "Unschedulable", "0/1 nodes"))
        .at(10)
        .decided();
    stuck_one.observed.pods[0] = running(JOB_UID);
    let decision = stuck_one.at(20).decide();
    assert!(condition(&written(&decision), "Progressing").starts_with("True/Exporting"));
}

#[test]
fn pods_that_are_not_made_are_told_by_the_words_of_kubernetes() {
    let refused = situation().processing().with_job(|job| {
        job.active = 0;
        job.warning = Some(Trouble {
            reason: "FailedCreate".to_owned(),
            message: "exceeded quota".to_owned(),
            at_ms: None,
        });
    });
    assert_eq!(
        condition(&written(&refused.at(5).decide()), "Progressing"),
        "False/FailedCreate: exceeded quota"
    );
}

#[test]
fn a_running_job_is_suspended_and_resumed_with_its_job() {
    let suspended = situation()
        .processing()
        .with_pod(running(JOB_UID))
        .execution("suspend", &json!(true))
        .at(10);
    let decision = suspended.decide();
    assert_eq!(
        kinds(&decision),
        ["status PROCESSING", "suspend job", "event Suspended"]
    );
    assert!(condition(&written(&decision), "Suspended").starts_with("True/Suspended"));
    let suspended = suspended.after(&decision).with_job(|job| job.suspended = true).at(50);
    assert_eq!(kinds(&suspended.decide()), Vec::<String>::new());
    let decision = suspended.execution("suspend", &json!(false)).decide();
    assert_eq!(kinds(&decision), ["status PROCESSING", "resume job", "event Resumed"]);
    assert_eq!(written(&decision).suspended_time_in_ms, Some(40_000));
}

#[test]
fn a_queued_job_stays_new_until_its_queue_admits_it() {
    let queued = situation()
        .execution("queueName", &json!("q"))
        .accepted()
        .with_job(|job| {
            job.suspended = true;
            job.started_at_ms = None;
            job.active = 0;
        });
    let decision = queued.decide();
    assert_eq!(
        kinds(&decision),
        ["status NEW", "event Suspended"],
        "the queue alone resumes it"
    );
    assert!(condition(&written(&decision), "Suspended").starts_with("True/Queued"));
    let admitted = queued.after(&decision).with_job(|job| job.suspended = false);
    assert_eq!(kinds(&admitted.decide()), ["status PROCESSING", "event Resumed"]);
}

#[test]
fn a_queued_job_that_is_suspended_leaves_its_queue_and_comes_back() {
    let queued = situation()
        .execution("queueName", &json!("q"))
        .processing()
        .execution("suspend", &json!(true));
    let decision = queued.decide();
    assert_eq!(kinds(&decision), ["status PROCESSING", "delete job", "event Suspended"]);
    let gone = queued.after(&decision).without_job();
    assert_eq!(kinds(&gone.clone().decided().decide()), Vec::<String>::new());
    let back = gone.execution("suspend", &json!(false)).decide();
    assert_eq!(kinds(&back).last().unwrap(), "job");
}

#[test]
fn a_pod_that_cannot_be_replaced_is_told_and_an_old_event_is_not() {
    let quota = |at: i64| {
        move |job: &mut crate::observed::JobFacts| {
            job.failed = 1;
            job.warning = Some(Trouble {
                reason: "FailedCreate".to_owned(),
                message: "exceeded quota".to_owned(),
                at_ms: Some(CREATED_MS + at * 1_000),
            });
        }
    };
    let mut pod = ended(JOB_UID, 44, None);
    pod.created_at_ms = CREATED_MS + 5_000;
    let working = situation().processing().with_pod(pod).at(20);
    let old = working.clone().with_job(quota(4));
    assert_eq!(kinds(&old.decide()), Vec::<String>::new(), "a pod was made after that");
    let new = working.with_job(quota(19));
    assert_eq!(
        condition(&written(&new.decide()), "Progressing"),
        "False/FailedCreate: exceeded quota"
    );
    let resumed = new.with_job(|job| job.started_at_ms = Some(CREATED_MS + 19_000));
    assert_eq!(
        kinds(&resumed.decide()),
        Vec::<String>::new(),
        "the Job was started after that"
    );
}

#[test]
fn trouble_by_a_name_that_nobody_knows_has_its_grace_period_too() {
    for (scheduled, reason, said) in [
        (false, "SchedulerError", "False/Unschedulable: SchedulerError: m"),
        (true, "VolumeNotFound", "False/PodCannotStart: VolumeNotFound: m"),
    ] {
        let working = situation()
            .processing()
            .with_pod(stuck(JOB_UID, scheduled, reason, "m"))
            .at(10)
            .decided();
        assert_eq!(condition(&working.status(), "Progressing"), said);
        assert_eq!(kinds(&working.clone().at(309).decide()), Vec::<String>::new());
        let errors = written(&working.at(310).decide()).errors;
        assert_eq!(errors[0].code, code::POD_CANNOT_START, "{reason}");
    }
}

#[test]
fn what_is_told_by_an_event_is_told_once() {
    // Somebody else suspends the Job, again and again.
    let fought = situation().accepted().with_job(|job| job.suspended = true);
    let decision = fought.decide();
    assert_eq!(kinds(&decision), ["status NEW", "resume job", "event Launched"]);
    assert_eq!(kinds(&fought.after(&decision).decide()), ["resume job"]);
}

#[test]
fn a_job_that_is_being_removed_is_neither_suspended_nor_removed_again() {
    for execution in [json!({"suspend": true}), json!({"suspend": true, "queueName": "q"})] {
        let mut going = situation().processing().with_job(|job| job.deleting = true);
        going.job().spec.execution = serde_json::from_value(execution).unwrap();
        assert_eq!(kinds(&going.decided().decide()), Vec::<String>::new());
    }
}

#[test]
fn the_deadline_is_not_slept_through() {
    let working = situation().execution("activeDeadlineSeconds", &json!(100)).processing();
    let troubled = working
        .with_pod(stuck(JOB_UID, false, "Unschedulable", "m"))
        .at(90)
        .decided();
    assert_eq!(pause(&troubled.decide()), Some(10));
    let resumed = troubled.execution("suspend", &json!(true)).decided().at(500);
    let resumed = resumed.execution("suspend", &json!(false)).decided();
    assert_eq!(pause(&resumed.decide()), Some(10), "what was left is left");
}
