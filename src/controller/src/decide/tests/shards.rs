//! A job whose export several pods share.

use exportjob_api::{Phase, Shards};
use exportjob_plan::{Outcome, ReportedError, code};
use serde_json::json;

use super::fixture::*;
use crate::observed::{JobEnd, PodFacts};

/// At work in three pods.
fn sharded() -> Situation {
    situation_of(&json!({"execution": {"shards": 3}}))
        .accepted()
        .with_job(|job| (job.shards, job.active) = (3, 3))
        .decided()
}

fn of_shard(shard: i32, pod: PodFacts) -> PodFacts {
    PodFacts {
        name: format!("{}-{shard}", pod.name),
        shard,
        ..pod
    }
}

/// A pod that has ended well, and says this.
fn done(shard: i32, outcome: Outcome, profiles: i64) -> PodFacts {
    let mut said = report(outcome);
    said.profiles_written = profiles;
    of_shard(shard, ended(JOB_UID, 0, Some(said)))
}

fn complete(situation: Situation) -> Situation {
    let at_ms = situation.observed.now_ms;
    situation.with_job(|job| {
        job.succeeded = 3;
        job.end = JobEnd::Complete { at_ms };
    })
}

#[test]
fn the_result_is_that_of_the_pod_that_tells_of_the_commit() {
    let staged = sharded()
        .at(20)
        .with_pod(done(0, Outcome::Staged, 7))
        .with_pod(done(1, Outcome::Committed, 42))
        .with_pod(done(2, Outcome::Staged, 9));
    let decision = complete(staged).decide();
    assert_eq!(kinds(&decision), ["status SUCCEEDED", "event Succeeded"]);
    let status = written(&decision);
    assert_eq!(status.metrics.unwrap().total_exported_profile_counter, Some(42));
    let all = Shards { total: 3, succeeded: 3 };
    assert_eq!(status.shards, Some(all));
}

#[test]
fn where_no_pod_tells_of_the_commit_the_clean_up_asks_the_log() {
    let unheard = sharded()
        .at(20)
        .with_pod(done(0, Outcome::Staged, 7))
        .with_pod(of_shard(1, ended(JOB_UID, 0, None)))
        .with_pod(done(2, Outcome::Staged, 9));
    let unheard = complete(unheard);
    assert_eq!(
        (kinds(&unheard.decide()), pause(&unheard.decide())),
        (Vec::new(), Some(1)),
        "its report is waited for"
    );
    let decision = unheard.clone().at(30).decide();
    assert_eq!(kinds(&decision), ["status PROCESSING", "plan", "abort job"]);
    let asked = unheard.at(30).after(&decision).with_abort_job(|job| {
        job.end = JobEnd::Complete {
            at_ms: CREATED_MS + 31_000,
        }
    });
    let mut found = report(Outcome::AlreadyCommitted);
    found.profiles_written = 42;
    let landed = asked.clone().with_pod(ended(ABORT_UID, 0, Some(found))).at(31);
    let decision = landed.decide();
    assert_eq!(kinds(&decision), ["status SUCCEEDED", "event Succeeded"]);
    let status = written(&decision);
    assert_eq!(status.metrics.unwrap().total_exported_profile_counter, Some(42));
    assert!(status.errors.is_empty());
    // There was no commit after all, and will be none.
    let aborted = asked
        .with_pod(ended(ABORT_UID, 0, Some(report(Outcome::Aborted))))
        .at(31);
    let decision = aborted.decide();
    assert_eq!(kinds(&decision), ["status FAILED", "event Failed"]);
    assert_eq!(written(&decision).errors[0].code, code::COMMIT_UNREPORTED);
}

#[test]
fn a_cancellation_after_the_last_shard_finds_out_whether_there_is_a_commit() {
    let staged = complete(sharded().at(20).with_pod(done(0, Outcome::Staged, 7)));
    let cancelled = staged.deleted().at(31);
    assert_eq!(
        kinds(&cancelled.decide()),
        ["status CANCELLING", "plan", "abort job"],
        "that all have ended proves no commit"
    );
}

#[test]
fn a_pod_that_waits_for_room_is_no_trouble_as_long_as_another_is_at_work() {
    let waits = of_shard(2, stuck(JOB_UID, false, "Unschedulable", "0/1 nodes"));
    let working = sharded()
        .with_pod(waits)
        .with_pod(of_shard(0, running(JOB_UID)))
        .at(10)
        .decided();
    let said = condition(&working.status(), "Progressing");
    assert!(said.starts_with("True/Exporting"), "{said}");
    assert!(said.ends_with("some of its pods wait: Unschedulable"), "{said}");
    let mut later = working.at(5000);
    assert_eq!(kinds(&later.decide()), Vec::<String>::new());
    // The other one is done, and there is no room all the same.
    later.observed.pods.truncate(1);
    let stuck_one = later.decided();
    assert!(condition(&stuck_one.status(), "Progressing").starts_with("False/Unschedulable"));
    let decision = stuck_one.at(5300).decide();
    assert_eq!(written(&decision).errors[0].code, code::POD_CANNOT_START);
}

#[test]
fn how_many_shards_are_done_is_written_as_progress_is() {
    let done = |succeeded| Some(Shards { total: 3, succeeded });
    let working = sharded().with_pod(of_shard(0, running(JOB_UID)));
    assert_eq!(working.status().shards, done(0));
    let one = working.with_job(|job| job.succeeded = 1).at(13).decided();
    assert_eq!(one.status().shards, done(1));
    let two = one.with_job(|job| job.succeeded = 2).at(15);
    assert_eq!(kinds(&two.decide()), Vec::<String>::new());
    assert_eq!(written(&two.at(23).decide()).shards, done(2));
}

#[test]
fn a_shard_that_cannot_go_well_fails_the_job_whatever_becomes_of_the_others() {
    let mut wrong = report(Outcome::Failed);
    wrong.errors.push(ReportedError {
        code: code::CORRUPT_FILE.to_owned(),
        msg: "b.parquet".to_owned(),
        call_stack: None,
    });
    let failing = sharded()
        .with_pod(of_shard(0, running(JOB_UID)))
        .with_pod(of_shard(1, ended(JOB_UID, 42, Some(wrong))))
        .at(20)
        .decided()
        .with_job(|job| {
            job.failed = 1;
            job.failing = Some((CREATED_MS + 20_000, "PodFailurePolicy: m".to_owned()));
        });
    assert_eq!(
        (kinds(&failing.decide()), pause(&failing.decide())),
        (Vec::new(), Some(60)),
        "the others are being stopped"
    );
    // One of them cannot be.
    let decision = failing.clone().at(80).decide();
    assert_eq!(
        kinds(&decision),
        ["status PROCESSING", "delete job", "abort job, suspended"]
    );
    assert_eq!(written(&decision).errors[0].code, code::CORRUPT_FILE);
    let failed = failing.with_job(|job| {
        job.end = JobEnd::Failed {
            at_ms: CREATED_MS + 21_000,
            reason: "PodFailurePolicy".to_owned(),
            message: "m".to_owned(),
        }
    });
    let decision = failed.decide();
    assert_eq!(kinds(&decision), ["status PROCESSING", "plan", "abort job"]);
    assert_eq!(outcome(&written(&decision)).0, Some(Phase::Processing));
}

#[test]
fn of_pods_that_failed_the_one_that_was_not_stopped_is_told() {
    let stopped = PodFacts {
        deleting: true,
        created_at_ms: CREATED_MS + 9_000,
        ..of_shard(0, ended(JOB_UID, 44, None))
    };
    let failed = sharded()
        .at(20)
        .with_pod(stopped)
        .with_pod(done(2, Outcome::Staged, 1))
        .with_pod(of_shard(1, ended(JOB_UID, 137, None)))
        .with_job(|job| {
            job.failed = 2;
            job.end = JobEnd::Failed {
                at_ms: CREATED_MS + 20_000,
                reason: "MaxFailedIndexesExceeded".to_owned(),
                message: "m".to_owned(),
            };
        });
    let errors = written(&failed.decide()).errors;
    assert_eq!(errors[0].code, code::BACKOFF_LIMIT_EXCEEDED);
    for part in ["pods of one shard", "exit code 137"] {
        assert!(errors[0].msg.contains(part), "{part}: {}", errors[0].msg);
    }
}
