//! What the API server and the dataset's log hold, and what comes of a write.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use exportjob_api::{ExportJob, FINALIZER, Phase};
use exportjob_plan::{abort_job_name, code, job_name};

use super::super::fixture::*;
use crate::{
    decision::Act,
    job::{Landing, PODS_STARTED_ANNOTATION, shards},
    observed::{JobFacts, PodFacts, References, Refusal},
};

/// What the dataset's log says of the batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    Open,
    Committed,
    Aborted,
}

/// Which of the two Jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Export,
    Abort,
}

#[derive(Clone, PartialEq)]
pub struct Pod {
    pub facts: PodFacts,
    pub works_for: Which,
    /// Its Job's controller has seen its end.
    pub counted: bool,
    /// It was evicted, which is no failure.
    pub evicted: bool,
    /// Neither does it get on nor can it be stopped.
    pub hangs: bool,
}

/// What does not work for the time being.
#[derive(Clone, Copy, Default)]
pub struct Troubles {
    /// No Job of an export is taken.
    pub exports_refused: bool,
    /// No Job of a clean-up is taken.
    pub aborts_refused: bool,
    /// No pod is made.
    pub quota: bool,
    /// No pod finds a node.
    pub nodes: bool,
}

/// What follows from what has happened.
#[derive(Clone, Copy, Default)]
pub struct Record {
    /// A clean-up was given up, and it was said that something may be left: then less is promised.
    pub has_abandoned: bool,
    /// Something has happened for which a clean-up may be given up.
    pub has_excuse: bool,
    /// Nothing of the job will land any more: that was said, or the job is gone.
    pub is_over: bool,
}

pub struct Cluster {
    pub now_ms: i64,
    pub export_job: Option<Arc<ExportJob>>,
    pub export: Option<JobFacts>,
    pub abort: Option<JobFacts>,
    pub pods: Vec<Pod>,
    pub has_plan: bool,
    pub log: Log,
    pub references: Arc<References>,
    pub troubles: Troubles,
    pub is_terminating: bool,
    /// A request to make the export's Job is on its way, and nobody waits for an answer any more.
    pub in_the_air: bool,
    /// One has arrived so late.
    pub has_landed: bool,
    /// Pods that share the export.
    pub shards: i32,
    /// Shards that have handed in what they have written, before the batch came to its end.
    pub handed_in: BTreeSet<i32>,
    /// Shards of each Job that are done, by its UID.
    pub completed: BTreeMap<String, BTreeSet<i32>>,
    /// How often pods of a shard have failed, by the UID of its Job and its number.
    pub failures: BTreeMap<(String, i32), i32>,
    /// There has been a pod of the export, which somebody may have a copy of.
    pub had_pod: bool,
    /// Reasons of the Events on the ExportJob.
    pub events: Vec<&'static str>,
    pub record: Record,
    /// A promise that was not kept.
    pub broken: Option<&'static str>,
    versions: u64,
    ids: i64,
}

/// What the API server makes of a write.
pub enum Answer {
    Done,
    Outdated,
    Refused(Refusal),
}

impl Cluster {
    pub fn new(export_job: ExportJob) -> Self {
        Self {
            now_ms: CREATED_MS,
            shards: shards(&export_job),
            handed_in: BTreeSet::new(),
            completed: BTreeMap::new(),
            failures: BTreeMap::new(),
            export_job: Some(Arc::new(export_job)),
            export: None,
            abort: None,
            pods: Vec::new(),
            has_plan: false,
            log: Log::Open,
            references: Arc::new(references()),
            troubles: Troubles::default(),
            is_terminating: false,
            in_the_air: false,
            has_landed: false,
            had_pod: false,
            events: Vec::new(),
            record: Record::default(),
            broken: None,
            versions: 1,
            ids: 0,
        }
    }

    pub fn next_id(&mut self) -> i64 {
        self.ids += 1;
        self.ids
    }

    pub fn phase(&self) -> Option<Phase> {
        self.export_job.as_ref()?.status.as_ref()?.phase
    }

    pub fn slot(&mut self, which: Which) -> &mut Option<JobFacts> {
        match which {
            Which::Export => &mut self.export,
            Which::Abort => &mut self.abort,
        }
    }

    /// Somebody changes the ExportJob.
    pub fn change(&mut self, change: impl FnOnce(&mut ExportJob)) {
        self.versions += 1;
        let Some(export_job) = &mut self.export_job else { return };
        let export_job = Arc::make_mut(export_job);
        change(export_job);
        export_job.metadata.resource_version = Some(self.versions.to_string());
        // What is in deletion goes with its last finalizer.
        let metadata = &export_job.metadata;
        let is_held = metadata
            .finalizers
            .as_ref()
            .is_some_and(|finalizers| !finalizers.is_empty());
        if metadata.deletion_timestamp.is_some() && !is_held {
            self.export_job = None;
            self.record.is_over |= self.log != Log::Committed;
        }
    }

    pub fn delete_export_job(&mut self) {
        let now = self.now_ms;
        let found = self.export_job.as_ref();
        if found.is_some_and(|job| job.metadata.deletion_timestamp.is_none()) {
            self.change(|job| job.metadata.deletion_timestamp = Some(time(now)));
        }
    }

    /// Does a write of the controller that has this version in mind.
    pub fn apply(&mut self, act: &Act, version: &mut Option<String>) -> Answer {
        match act {
            Act::ConfirmCurrent => self.write(version, |_| ()),
            Act::ConfirmNoJob { .. } if self.export.is_some() => Answer::Outdated,
            Act::LeaseId | Act::ConfirmNoJob { .. } => Answer::Done,
            Act::AddFinalizer => self.write(version, |job| {
                job.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
            }),
            Act::ApplyStatus(status) => {
                let answer = self.write(version, |job| job.status = Some(stored(status)));
                if matches!(answer, Answer::Done) {
                    let left_behind = status.errors.iter().any(|error| error.code == code::CLEAN_UP_ABANDONED);
                    self.record.has_abandoned |= left_behind;
                    self.record.is_over |= status.phase == Some(Phase::Failed);
                }
                answer
            }
            Act::RemoveFinalizer => self.write(version, |job| job.metadata.finalizers = None),
            Act::ApplyPlan(_) if self.is_terminating && !self.has_plan => refusal("plan".to_owned(), true),
            Act::ApplyPlan(_) => {
                self.has_plan = true;
                Answer::Done
            }
            Act::ApplyJob(_) => self.create(Which::Export, true, act),
            Act::ApplyAbortJob(job) => {
                let started = job.metadata.annotations.as_ref().unwrap()[PODS_STARTED_ANNOTATION] == "true";
                self.create(Which::Abort, started, act)
            }
            Act::SetJobSuspend { name, uid, suspend } => self.on_job(name, uid, |job| job.suspended = *suspend),
            Act::DeleteJob { name, uid } => {
                self.on_job(name, uid, |job| job.deleting = true);
                Answer::Done
            }
            Act::Publish(notice) => {
                self.events.push(notice.reason);
                self.record.has_abandoned |= notice.reason == "CleanUpAbandoned";
                Answer::Done
            }
            Act::DeleteExportJob { .. } => {
                self.delete_export_job();
                Answer::Done
            }
        }
    }

    fn write(&mut self, version: &mut Option<String>, change: impl FnOnce(&mut ExportJob)) -> Answer {
        let found = self
            .export_job
            .as_ref()
            .map(|job| job.metadata.resource_version.clone());
        if found.as_ref() != Some(version) {
            return Answer::Outdated;
        }
        self.change(change);
        *version = Some(self.versions.to_string());
        Answer::Done
    }

    /// Makes a Job, unless there is one of this name.
    fn create(&mut self, which: Which, pods_started: bool, act: &Act) -> Answer {
        let (name, is_refused) = match which {
            Which::Export => (job_name("loyal", UID), self.troubles.exports_refused),
            Which::Abort => (abort_job_name("loyal", UID), self.troubles.aborts_refused),
        };
        if self.slot(which).is_some() {
            return Answer::Done;
        }
        if self.is_terminating || is_refused {
            return refusal(name, self.is_terminating);
        }
        let (Act::ApplyJob(job) | Act::ApplyAbortJob(job)) = act else {
            unreachable!("only Jobs are made here")
        };
        if self.export_job.is_none() {
            self.broken = Some("nothing is made for a job that is gone");
        }
        let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
        self.make(which, pods_started, suspended);
        Answer::Done
    }

    pub fn make(&mut self, which: Which, pods_started: bool, suspended: bool) {
        self.versions += 1;
        let facts = JobFacts {
            uid: format!("{which:?}-{}", self.versions),
            created_at_ms: self.now_ms,
            suspended,
            pods_started,
            shards: if which == Which::Export { self.shards } else { 1 },
            landing: Some(Landing::of(&dataset())),
            ..JobFacts::default()
        };
        self.slot(which).get_or_insert(facts);
    }

    fn on_job(&mut self, name: &str, uid: &str, change: impl FnOnce(&mut JobFacts)) -> Answer {
        let which = if name == job_name("loyal", UID) {
            Which::Export
        } else {
            Which::Abort
        };
        match self.slot(which).as_mut().filter(|job| job.uid == uid) {
            None => Answer::Outdated,
            Some(job) => {
                change(job);
                Answer::Done
            }
        }
    }
}

/// The namespace's end is told in the same way as a quota.
fn refusal(name: String, is_terminating: bool) -> Answer {
    let message = if is_terminating {
        "the namespace is being terminated"
    } else {
        "exceeded quota"
    };
    Answer::Refused(Refusal {
        name,
        permanent: false,
        message: message.to_owned(),
    })
}
