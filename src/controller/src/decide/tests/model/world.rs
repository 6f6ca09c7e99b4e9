//! The toy cluster.

use std::fmt::Write as _;

use exportjob_api::{ExportJobStatus, FINALIZER};
use exportjob_plan::{Outcome, RunReport, code, exit, job_name};
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::json;

use super::super::fixture::*;
use crate::{
    decision::{Act, Decision},
    job::{Landing, PODS_STARTED_ANNOTATION},
    observed::{ChildJob, JobEnd, JobFacts, PodFacts, References},
};

/// What the dataset's log says of the batches. Of a commit and an abort the first one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    Open,
    Committed,
    Aborted,
}

/// The ExportJob as the API server has it.
#[derive(Clone)]
pub struct Job {
    pub status: Option<ExportJobStatus>,
    pub version: u64,
    finalizer: bool,
    deleted_ms: Option<i64>,
    cancel: bool,
    suspend: bool,
}

impl Job {
    pub fn is_deleted(&self) -> bool {
        self.deleted_ms.is_some()
    }
}

/// A Job with its only pod.
#[derive(Clone)]
struct Child {
    facts: JobFacts,
    pod: Option<PodFacts>,
}

#[derive(Clone)]
pub struct World {
    now_ms: i64,
    versions: u64,
    pub job: Option<Job>,
    export: Option<Child>,
    abort: Option<Child>,
    pub log: Log,
    /// A clean-up was given up, and the status says so: then nothing is promised.
    pub abandoned: bool,
    dataset: bool,
    terminating: bool,
    /// Nothing goes wrong any more.
    calm: bool,
    /// Things that users and bad luck may still do.
    mischief: u32,
    seen_job: Option<Job>,
    seen_export: Option<Child>,
    seen_abort: Option<Child>,
}

impl World {
    pub fn new(random: &mut StdRng) -> Self {
        let job = Job {
            status: None,
            version: 1,
            finalizer: false,
            deleted_ms: None,
            cancel: false,
            suspend: random.random_bool(0.1),
        };
        Self {
            now_ms: CREATED_MS,
            versions: 1,
            seen_job: Some(job.clone()),
            job: Some(job),
            export: None,
            abort: None,
            log: Log::Open,
            abandoned: false,
            dataset: random.random_bool(0.9),
            terminating: false,
            calm: false,
            mischief: random.random_range(0..5),
            seen_export: None,
            seen_abort: None,
        }
    }

    pub fn calm_down(&mut self) {
        self.calm = true;
        self.dataset |= self.log == Log::Open && self.export.is_none();
        if let Some(job) = &mut self.job {
            job.suspend = false;
            self.versions += 1;
            job.version = self.versions;
        }
    }

    pub fn has_running_pods(&self) -> bool {
        self.export
            .iter()
            .filter_map(|child| child.pod.as_ref())
            .any(|pod| pod.running)
    }

    /// Something happens.
    pub fn step(&mut self, random: &mut StdRng) -> String {
        match random.random_range(0..10) {
            0..3 => self.sync(random),
            3..6 => self.look(random),
            6..9 => self.environment(random),
            _ => self.mischief(random),
        }
    }

    /// Everybody does his work, and time goes by.
    pub fn calm_round(&mut self, random: &mut StdRng) -> String {
        let mut told = self.environment(random);
        (self.seen_job, self.seen_export, self.seen_abort) =
            (self.job.clone(), self.export.clone(), self.abort.clone());
        told += &self.look(random);
        self.now_ms += 5_000;
        told
    }

    fn sync(&mut self, random: &mut StdRng) -> String {
        let which = *["job", "export", "abort"].choose(random).unwrap();
        match which {
            "job" => self.seen_job = self.job.clone(),
            "export" => self.seen_export = self.export.clone(),
            _ => self.seen_abort = self.abort.clone(),
        }
        format!("cache of {which}\n")
    }

    /// What the caches show.
    pub fn situation(&self) -> Situation {
        let mut situation = situation();
        let job = self.seen_job.clone().expect("only asked while there is one");
        situation = situation
            .execution("cancel", &json!(job.cancel))
            .execution("suspend", &json!(job.suspend));
        let object = situation.job();
        object.status = job.status;
        object.metadata.resource_version = Some(job.version.to_string());
        object.metadata.deletion_timestamp = job.deleted_ms.map(time);
        object.metadata.finalizers = job.finalizer.then(|| vec![FINALIZER.to_owned()]);
        let observed = &mut situation.observed;
        observed.now_ms = self.now_ms;
        observed.namespace_terminating = self.terminating;
        if !self.dataset {
            observed.references = References {
                datasets: [].into(),
                ..references()
            }
            .into();
        }
        let facts = |child: &Option<Child>| {
            child.as_ref().map_or(ChildJob::Absent, |child| {
                ChildJob::Present(Box::new(child.facts.clone()))
            })
        };
        observed.job = facts(&self.seen_export);
        observed.abort_job = facts(&self.seen_abort);
        observed.pods = [&self.seen_export, &self.seen_abort]
            .into_iter()
            .flatten()
            .filter_map(|child| child.pod.clone())
            .collect();
        situation
    }

    /// A look of the controller, which may die after any write.
    fn look(&mut self, random: &mut StdRng) -> String {
        let Some(seen) = self.seen_job.clone() else {
            return String::new();
        };
        let decision: Decision = self.situation().decide();
        let mut told = format!("{} s, look: {:?}", (self.now_ms - CREATED_MS) / 1_000, kinds(&decision));
        let mut version = seen.version;
        for act in &decision.actions {
            if !self.calm && random.random_bool(0.1) {
                told += " dies";
                break;
            }
            if !self.apply(act, &mut version) {
                told += " stale";
                break;
            }
        }
        let _ = writeln!(told);
        told
    }

    /// Does a write as the API server would; false: what was observed is outdated.
    fn apply(&mut self, act: &Act, version: &mut u64) -> bool {
        match act {
            Act::LeaseId | Act::Publish(_) => true,
            Act::ConfirmCurrent => self.current(*version).is_some(),
            Act::ConfirmNoJob { .. } => self.export.is_none(),
            Act::AddFinalizer => self.write(version, |job| job.finalizer = true),
            Act::ApplyStatus(status) => {
                let left_behind = status.errors.iter().any(|error| error.code == code::CLEAN_UP_ABANDONED);
                let done = self.write(version, |job| job.status = Some(stored(status)));
                self.abandoned |= done && left_behind;
                done
            }
            Act::RemoveFinalizer => {
                let done = self.write(version, |job| job.finalizer = false);
                self.collect();
                done
            }
            Act::ApplyPlan(_) => !self.terminating,
            Act::ApplyJob(_) => self.create(false, true, false),
            Act::ApplyAbortJob(job) => {
                let started = job.metadata.annotations.as_ref().unwrap()[PODS_STARTED_ANNOTATION] == "true";
                let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
                self.create(true, started, suspended)
            }
            Act::SetJobSuspend { name, uid, suspend } => {
                self.child(name, uid, |child| child.facts.suspended = *suspend)
            }
            Act::DeleteJob { name, uid } => {
                self.child(name, uid, |child| child.facts.deleting = true);
                true
            }
            Act::DeleteExportJob { .. } => unreachable!("no job here has a time to live"),
        }
    }

    fn current(&mut self, version: u64) -> Option<&mut Job> {
        self.job.as_mut().filter(|job| job.version == version)
    }

    fn write(&mut self, version: &mut u64, change: impl FnOnce(&mut Job)) -> bool {
        self.versions += 1;
        let next = self.versions;
        let Some(job) = self.current(*version) else {
            return false;
        };
        change(job);
        job.version = next;
        *version = next;
        true
    }

    /// An object in deletion without finalizer is gone, and what it owns with it.
    fn collect(&mut self) {
        if self.job.as_ref().is_some_and(|job| job.is_deleted() && !job.finalizer) {
            self.job = None;
            self.seen_job = None;
            for child in [&mut self.export, &mut self.abort].into_iter().flatten() {
                child.facts.deleting = true;
            }
        }
    }

    fn create(&mut self, is_abort: bool, pods_started: bool, suspended: bool) -> bool {
        if self.terminating {
            return false;
        }
        self.versions += 1;
        let facts = JobFacts {
            uid: format!("{}-{}", if is_abort { ABORT_UID } else { JOB_UID }, self.versions),
            created_at_ms: self.now_ms,
            started_at_ms: Some(self.now_ms),
            suspended,
            pods_started,
            landing: Some(Landing::of(&dataset())),
            ..JobFacts::default()
        };
        let slot = if is_abort { &mut self.abort } else { &mut self.export };
        slot.get_or_insert(Child { facts, pod: None });
        true
    }

    fn child(&mut self, name: &str, uid: &str, change: impl FnOnce(&mut Child)) -> bool {
        let is_export = name == job_name("loyal", UID);
        let slot = if is_export { &mut self.export } else { &mut self.abort };
        let Some(child) = slot.as_mut().filter(|child| child.facts.uid == uid) else {
            return false;
        };
        change(child);
        true
    }

    /// Kubernetes does its work on one of the Jobs.
    fn environment(&mut self, random: &mut StdRng) -> String {
        if !self.calm {
            self.now_ms += random.random_range(0..20_000);
        }
        let is_abort = random.random_bool(0.5);
        let slot = if is_abort { &mut self.abort } else { &mut self.export };
        let Some(mut child) = slot.take() else {
            return String::new();
        };
        let told = self.advance(&mut child, is_abort, random);
        let is_gone = child.facts.deleting && child.pod.as_ref().is_none_or(|pod| !pod.running);
        let slot = if is_abort { &mut self.abort } else { &mut self.export };
        *slot = (!is_gone).then_some(child);
        format!(
            "{}: {told}{}\n",
            if is_abort { "abort" } else { "export" },
            if is_gone { ", gone" } else { "" }
        )
    }

    fn advance(&mut self, child: &mut Child, is_abort: bool, random: &mut StdRng) -> &'static str {
        if child.facts.end != JobEnd::NotYet {
            return "over";
        }
        let Some(mut pod) = child.pod.take() else {
            let may_start = !child.facts.suspended && !child.facts.deleting && !self.terminating;
            child.pod = may_start.then(|| stuck(&child.facts.uid, true, "ErrImagePull", "not yet"));
            return "a pod is made";
        };
        if pod.ended {
            return self.count(child, pod);
        }
        if pod.started {
            let killed = !self.calm && random.random_bool(0.2);
            let (code, report) = if killed {
                (137, None)
            } else {
                self.work(is_abort, random)
            };
            child.pod = Some(ended(&child.facts.uid, code, report));
            return "a pod ends";
        }
        if child.facts.suspended || child.facts.deleting {
            return "a pod is removed before it starts";
        }
        pod = if self.calm || random.random_bool(0.5) {
            running(&child.facts.uid)
        } else {
            pod
        };
        child.pod = Some(pod);
        "a pod starts, perhaps"
    }

    /// The Job's controller looks at a pod that has ended.
    fn count(&mut self, child: &mut Child, pod: PodFacts) -> &'static str {
        let at_ms = self.now_ms;
        let failed = |reason: &str| JobEnd::Failed {
            at_ms,
            reason: reason.to_owned(),
            message: String::new(),
        };
        match pod.exit_code.and_then(|code| u8::try_from(code).ok()) {
            Some(exit::DONE) => child.facts.end = JobEnd::Complete { at_ms },
            Some(exit::USER_ERROR | exit::ABORTED) => child.facts.end = failed("PodFailurePolicy"),
            _ => {
                child.facts.failed += 1;
                if child.facts.failed <= 3 {
                    return "a pod is replaced";
                }
                child.facts.end = failed("FailedIndexes");
            }
        }
        child.pod = Some(pod);
        "it has ended"
    }

    /// What a pod does before it ends: its exit code and its report.
    fn work(&mut self, is_abort: bool, random: &mut StdRng) -> (i32, Option<RunReport>) {
        let wanted = if is_abort { Log::Aborted } else { Log::Committed };
        if !self.calm && random.random_bool(0.3) {
            let code = *[exit::RETRY, exit::USER_ERROR].choose(random).unwrap();
            return (i32::from(code), Some(report(Outcome::Failed)));
        }
        let first = self.log == Log::Open;
        if first {
            self.log = wanted;
        }
        let outcome = match (self.log, is_abort) {
            (Log::Committed, false) if first => Outcome::Committed,
            (Log::Committed, _) => Outcome::AlreadyCommitted,
            _ => Outcome::Aborted,
        };
        let code = if outcome == Outcome::Aborted && !is_abort {
            exit::ABORTED
        } else {
            exit::DONE
        };
        // Now and then nobody hears of it.
        let lost = !self.calm && random.random_bool(0.2);
        if lost {
            (137, None)
        } else {
            (i32::from(code), Some(report(outcome)))
        }
    }

    fn mischief(&mut self, random: &mut StdRng) -> String {
        if self.mischief == 0 {
            return String::new();
        }
        self.mischief -= 1;
        let now = self.now_ms;
        let told = match random.random_range(0..12) {
            0..3 => {
                self.change(|job| job.deleted_ms = job.deleted_ms.or(Some(now)));
                self.collect();
                "deletion"
            }
            3..6 => {
                self.change(|job| job.cancel = true);
                "cancellation"
            }
            6..8 => {
                self.change(|job| job.suspend = !job.suspend);
                "suspend is changed"
            }
            8 => {
                if let Some(child) = &mut self.export {
                    child.facts.deleting = true;
                }
                "the Job is removed by hand"
            }
            9 => {
                if self
                    .export
                    .as_ref()
                    .is_some_and(|child| child.pod.as_ref().is_some_and(|pod| pod.running))
                {
                    let _ = self.work(false, random);
                }
                "a second pod of the same plan"
            }
            10 => {
                self.dataset = !self.dataset;
                "the Dataset goes or comes"
            }
            _ => {
                self.terminating = true;
                "the namespace is deleted"
            }
        };
        format!("{told}\n")
    }

    fn change(&mut self, change: impl FnOnce(&mut Job)) {
        self.versions += 1;
        if let Some(job) = &mut self.job {
            change(job);
            job.version = self.versions;
        }
    }
}
