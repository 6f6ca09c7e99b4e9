//! The work of Kubernetes and of the pods, with all that may go wrong in it.

use std::collections::BTreeSet;

use exportjob_api::Phase;
use exportjob_plan::{Outcome, ReportedError, RunReport, code, exit};
use rand::{Rng as _, rngs::StdRng};

use super::{
    super::fixture::*,
    cluster::{Cluster, Log, Pod, Which},
};
use crate::{
    observed::{JobEnd, JobFacts, PodFacts, Trouble},
    status::recorded,
};

/// Failed pods of a Job that are replaced.
const BACKOFF_LIMIT: i32 = 3;

/// What happens to a pod at work.
#[derive(Clone, Copy)]
enum Fate {
    Done,
    DoneUnheard,
    Blind,
    KilledAfter,
    KilledBefore,
    Evicted,
    Retry,
    UserError,
    Hangs,
}

impl Cluster {
    /// One of Kubernetes' parts does some work.
    pub fn work(&mut self, random: &mut StdRng) {
        match random.random_range(0..8) {
            0..3 if !self.pods.is_empty() => {
                let index = random.random_range(0..self.pods.len());
                let fate = fate(random);
                self.kubelet(index, fate, random.random_bool(0.5));
            }
            0..5 => self.job_controller(Which::Export),
            5 => self.job_controller(Which::Abort),
            6 => self.collect_garbage(),
            _ => self.remove_namespace(random.random_range(0..3)),
        }
        if self.in_the_air && random.random_bool(0.2) {
            self.land();
        }
    }

    /// Everybody does his work, and all goes well.
    pub fn work_well(&mut self) {
        self.collect_garbage();
        (0..3).for_each(|what| self.remove_namespace(what));
        self.job_controller(Which::Export);
        self.job_controller(Which::Abort);
        for index in (0..self.pods.len()).rev() {
            self.kubelet(index, Fate::Done, true);
        }
        if let Some(job) = self.export.as_mut().filter(|_| self.export_job.is_some()) {
            // A queue has room. Where there is none, only the controller resumes.
            let execution = self.export_job.as_ref().and_then(|job| job.spec.execution.as_ref());
            let is_queued = execution.is_some_and(|execution| execution.queue_name.is_some());
            job.suspended &= !is_queued;
        }
    }

    /// A request that was on its way arrives.
    fn land(&mut self) {
        self.in_the_air = false;
        self.has_landed = true;
        if !self.is_terminating {
            self.make(Which::Export, true, false);
        }
    }

    /// What belongs to an ExportJob that is gone goes, too.
    fn collect_garbage(&mut self) {
        if self.export_job.is_none() {
            self.has_plan = false;
            for job in [&mut self.export, &mut self.abort].into_iter().flatten() {
                job.deleting = true;
            }
        }
    }

    fn remove_namespace(&mut self, what: u32) {
        match what {
            _ if !self.is_terminating => {}
            0 => self.delete_export_job(),
            1 => {
                for job in [&mut self.export, &mut self.abort].into_iter().flatten() {
                    job.deleting = true;
                }
            }
            _ => self.pods.iter_mut().for_each(|pod| pod.facts.deleting = true),
        }
    }

    fn job_controller(&mut self, which: Which) {
        let Some(mut job) = self.slot(which).take() else { return };
        let now = self.now_ms;
        let uid = job.uid.clone();
        let mut pods = std::mem::take(&mut self.pods);
        for pod in pods.iter_mut().filter(|pod| pod.facts.job_uid == uid) {
            if pod.facts.ended && !std::mem::replace(&mut pod.counted, true) {
                self.count(&mut job, which, pod);
            }
        }
        let stops = job.deleting || job.suspended || job.failing.is_some();
        let (mut live, mut is_gone) = (BTreeSet::new(), job.deleting);
        for pod in pods.iter_mut().filter(|pod| pod.facts.job_uid == uid) {
            is_gone = false;
            if !pod.facts.ended {
                live.insert(pod.facts.shard);
            }
            pod.facts.deleting |= stops && (job.deleting || !pod.facts.ended);
        }
        self.pods = pods;
        if let Some((at_ms, reason)) = job.failing.clone().filter(|_| live.is_empty()) {
            // It has failed once no pod of it is left.
            let message = String::new();
            job.end = JobEnd::Failed { at_ms, reason, message };
        }
        job.started_at_ms = job.started_at_ms.filter(|_| !job.suspended);
        let may_run = job.end == JobEnd::NotYet && !stops;
        if may_run {
            job.started_at_ms.get_or_insert(now);
        }
        let done = self.completed.entry(uid.clone()).or_default();
        let missing = (0..job.shards).filter(|shard| !live.contains(shard) && !done.contains(shard));
        let missing: Vec<i32> = missing.filter(|_| may_run && !self.is_terminating).collect();
        if !missing.is_empty() && self.troubles.quota {
            job.warning = Some(trouble("FailedCreate", Some(now)));
        }
        *self.slot(which) = (!is_gone).then_some(job);
        if !self.troubles.quota {
            for shard in missing {
                self.make_pod(&uid, which, shard);
            }
        }
    }

    /// What the failure policy of a Job makes of a pod that has ended.
    fn count(&mut self, job: &mut JobFacts, which: Which, pod: &Pod) {
        if job.end != JobEnd::NotYet || pod.evicted {
            return;
        }
        let at_ms = self.now_ms;
        let code = pod.facts.exit_code.and_then(|code| u8::try_from(code).ok());
        if code == Some(exit::DONE) {
            let done = self.completed.entry(job.uid.clone()).or_default();
            done.insert(pod.facts.shard);
            job.succeeded = i32::try_from(done.len()).unwrap();
            if job.succeeded == job.shards && job.failing.is_none() {
                job.end = JobEnd::Complete { at_ms };
            }
            return;
        }
        job.failed += 1;
        let failures = self.failures.entry((job.uid.clone(), pod.facts.shard)).or_default();
        *failures += 1;
        let is_fatal = code == Some(exit::USER_ERROR) || (code == Some(exit::ABORTED) && which == Which::Export);
        if job.failing.is_none() && (is_fatal || *failures > BACKOFF_LIMIT) {
            let reason = if is_fatal { "PodFailurePolicy" } else { "FailedIndexes" };
            job.failing = Some((at_ms, reason.to_owned()));
        }
    }

    fn make_pod(&mut self, job_uid: &str, which: Which, shard: i32) {
        self.had_pod |= which == Which::Export;
        if which == Which::Abort && self.is_too_early() {
            self.broken = Some("a clean-up waits for the pods, for half of its time");
        }
        self.pods.push(new_pod(job_uid, which, shard, self.now_ms));
    }

    /// Whether the export is at work, and has not had half of the time of a clean-up to stop. One that was made by a
    /// request which came late is told apart by nobody.
    fn is_too_early(&self) -> bool {
        let is_at_work = self.export.as_ref().is_some_and(|job| job.end == JobEnd::NotYet);
        let status = self.export_job.as_ref().and_then(|job| job.status.as_ref());
        let began = status.and_then(recorded).map_or(0, |(_, began)| began);
        let half = settings().cancellation_timeout.as_secs().cast_signed() * 500;
        let is_given_up = self.phase().is_some_and(Phase::is_terminal);
        is_at_work && self.now_ms - began < half && !is_given_up && !self.has_landed
    }

    fn kubelet(&mut self, index: usize, fate: Fate, is_patient: bool) {
        let Some(mut pod) = self.pods.get(index).cloned() else {
            return;
        };
        let is_its_job = |job: &Option<JobFacts>| job.as_ref().is_some_and(|job| job.uid == pod.facts.job_uid);
        let has_job = is_its_job(&self.export) || is_its_job(&self.abort);
        let facts = &mut pod.facts;
        if facts.ended || !facts.started {
            if facts.deleting || (facts.ended && !has_job) {
                self.pods.remove(index);
                return;
            }
            if !facts.ended {
                let stuck = self.troubles.nodes || !self.has_plan;
                facts.scheduled |= !self.troubles.nodes;
                let reason = if facts.scheduled {
                    "FailedMount"
                } else {
                    "Unschedulable"
                };
                facts.trouble = stuck.then(|| trouble(reason, None));
                (facts.started, facts.running) = (!stuck, !stuck);
            }
        } else if !pod.hangs {
            // One that is told to stop has a moment to finish.
            let fate = if facts.deleting && !is_patient {
                Fate::Retry
            } else {
                fate
            };
            self.run(&mut pod, fate);
        }
        self.pods[index] = pod;
    }

    fn run(&mut self, pod: &mut Pod, fate: Fate) {
        let is_lucky = matches!(fate, Fate::Done | Fate::Blind | Fate::DoneUnheard | Fate::Evicted);
        self.record.has_excuse |= pod.works_for == Which::Abort && !is_lucky;
        let (exit_code, report) = match fate {
            // A volume whose folders are told late.
            Fate::Blind if self.shards > 1 && pod.works_for == Which::Export && self.log == Log::Open => {
                self.handed_in.insert(pod.facts.shard);
                (i32::from(exit::DONE), Some(report(Outcome::Staged)))
            }
            Fate::Done | Fate::Blind => self.decide_log(pod),
            Fate::DoneUnheard => (self.decide_log(pod).0, None),
            Fate::KilledAfter => {
                self.decide_log(pod);
                (137, None)
            }
            Fate::KilledBefore => (137, None),
            Fate::Retry => (i32::from(exit::RETRY), Some(failed(code::DATASET_UNWRITABLE))),
            Fate::UserError => (i32::from(exit::USER_ERROR), Some(failed(code::UNKNOWN_FIELD))),
            Fate::Evicted => {
                (pod.evicted, pod.facts.ended, pod.facts.running) = (true, true, false);
                return;
            }
            Fate::Hangs => {
                pod.hangs = true;
                return;
            }
        };
        (pod.facts.ended, pod.facts.running) = (true, false);
        (pod.facts.exit_code, pod.facts.report) = (Some(exit_code), report);
    }

    /// A commit or an abort, of which the first one wins. A shard hands in, and commits if all have.
    fn decide_log(&mut self, pod: &Pod) -> (i32, Option<RunReport>) {
        let which = pod.works_for;
        let is_first = self.log == Log::Open;
        if is_first && which == Which::Export {
            self.handed_in.insert(pod.facts.shard);
            if i32::try_from(self.handed_in.len()).unwrap() < self.shards {
                return (i32::from(exit::DONE), Some(report(Outcome::Staged)));
            }
        }
        if is_first {
            self.log = if which == Which::Export {
                Log::Committed
            } else {
                Log::Aborted
            };
        }
        let (code, outcome) = match (self.log, which) {
            (Log::Committed, Which::Export) if is_first => (exit::DONE, Outcome::Committed),
            (Log::Committed, _) => (exit::DONE, Outcome::AlreadyCommitted),
            (_, Which::Abort) => (exit::DONE, Outcome::Aborted),
            (_, Which::Export) => (exit::ABORTED, Outcome::Aborted),
        };
        (i32::from(code), Some(report(outcome)))
    }
}

fn fate(random: &mut StdRng) -> Fate {
    match random.random_range(0..20) {
        0 => Fate::Evicted,
        1 => Fate::KilledBefore,
        2 => Fate::Retry,
        3 => Fate::UserError,
        4 | 5 => Fate::KilledAfter,
        6..9 => Fate::DoneUnheard,
        9 => Fate::Blind,
        10 => Fate::Hangs,
        _ => Fate::Done,
    }
}

fn failed(code: &str) -> RunReport {
    let mut failed = report(Outcome::Failed);
    failed.errors.push(ReportedError {
        code: code.to_owned(),
        msg: "m".to_owned(),
        call_stack: None,
    });
    failed
}

fn new_pod(job_uid: &str, works_for: Which, shard: i32, now_ms: i64) -> Pod {
    Pod {
        facts: PodFacts {
            name: format!("pod-{shard}-{now_ms}"),
            job_uid: job_uid.to_owned(),
            shard,
            created_at_ms: now_ms,
            ..PodFacts::default()
        },
        works_for,
        counted: false,
        evicted: false,
        hangs: false,
    }
}

/// A pod with the plan of the export that nothing owns and nobody asked for.
pub fn stray_pod(now_ms: i64) -> Pod {
    let mut stray = new_pod("nobody", Which::Export, 0, now_ms);
    (stray.facts.scheduled, stray.facts.started, stray.facts.running) = (true, true, true);
    stray
}

fn trouble(reason: &str, at_ms: Option<i64>) -> Trouble {
    Trouble {
        reason: reason.to_owned(),
        message: "m".to_owned(),
        at_ms,
    }
}
