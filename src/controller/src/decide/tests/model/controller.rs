//! The controller: caches that lag, each on its own, and looks that may be cut off after any write.

use std::sync::{Arc, LazyLock};

use exportjob_api::{ExportJob, Phase};
use exportjob_plan::{ProgressReport, Stage};
use rand::{Rng as _, rngs::StdRng};

use super::{
    super::fixture::*,
    cluster::{Answer, Cluster, Which},
};
use crate::{
    decide::decide,
    decision::{Act, Decision, Next},
    observed::{ChildJob, JobFacts, Observed, PodFacts, References, Refusal, ServiceAccount},
    settings::Settings,
};

static SETTINGS: LazyLock<Settings> = LazyLock::new(settings);

/// What the caches hold.
#[derive(Clone, Default, PartialEq)]
struct Caches {
    export_job: Option<Arc<ExportJob>>,
    export: Option<JobFacts>,
    abort: Option<JobFacts>,
    pods: Vec<PodFacts>,
    references: Arc<References>,
}

impl PartialEq for References {
    fn eq(&self, other: &Self) -> bool {
        self.datasets.len() == other.datasets.len()
    }
}

#[derive(Default)]
pub struct Controller {
    seen: Caches,
    /// What one process knows and the next one does not.
    refusal: Option<Refusal>,
    id: Option<i64>,
    /// When it looks again, if nothing happens before.
    pub due_ms: Option<i64>,
}

/// How a look may be cut off.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    /// The process ends.
    Dies,
    /// The write was done, and the answer was lost.
    Unheard,
}

impl Controller {
    /// A cache hears what has become of its objects.
    pub fn hear(&mut self, cluster: &Cluster, which: u32) {
        match which {
            0 => self.seen.export_job.clone_from(&cluster.export_job),
            1 => self.seen.export.clone_from(&cluster.export),
            2 => self.seen.abort.clone_from(&cluster.abort),
            3 => self.seen.pods = cluster.pods.iter().map(|pod| pod.facts.clone()).collect(),
            _ => self.seen.references = cluster.references.clone(),
        }
    }

    /// Some of them do; whether that is news.
    pub fn hear_some(&mut self, cluster: &Cluster, mut which: impl FnMut(u32) -> bool) -> bool {
        let before = self.seen.clone();
        (0..5)
            .filter(|cache| which(*cache))
            .for_each(|cache| self.hear(cluster, cache));
        self.seen != before
    }

    pub fn decide(&self, cluster: &Cluster) -> Option<Decision> {
        let export_job = self.seen.export_job.clone()?;
        Some(decide(&self.observe(cluster, export_job), &SETTINGS))
    }

    /// As the real one observes: a finished job costs nothing, and namespaces are asked for only when something goes.
    fn observe(&self, cluster: &Cluster, export_job: Arc<ExportJob>) -> Observed {
        let child = |job: &Option<JobFacts>| match job {
            None => ChildJob::Absent,
            Some(job) => ChildJob::Present(Box::new(job.clone())),
        };
        let phase = export_job.status.as_ref().and_then(|status| status.phase);
        let is_finished = phase.is_some_and(Phase::is_terminal);
        let pods = if is_finished {
            Vec::new()
        } else {
            self.seen.pods.clone()
        };
        let is_going = export_job.metadata.deletion_timestamp.is_some() || pods.iter().any(|pod| pod.deleting);
        let says_so = self
            .refusal
            .as_ref()
            .is_some_and(|refusal| refusal.message.contains("terminated"));
        let is_at_work = pods.iter().any(|pod| pod.running);
        Observed {
            now_ms: cluster.now_ms,
            id: self.id,
            references: self.seen.references.clone(),
            service_account: ServiceAccount::Allowed,
            namespace_terminating: says_so || (is_going && !is_finished && cluster.is_terminating),
            job: child(&self.seen.export),
            abort_job: child(&self.seen.abort),
            progress: is_at_work.then(|| ProgressReport {
                stage: Stage::Exporting,
                rows_read: cluster.now_ms - CREATED_MS,
                ..ProgressReport::default()
            }),
            pods,
            refusal: self.refusal.clone(),
            export_job,
        }
    }

    /// One look; what was done in words. Without `random` nothing goes wrong.
    pub fn look(&mut self, cluster: &mut Cluster, mut random: Option<&mut StdRng>) -> Vec<String> {
        let Some(mut decision) = self.decide(cluster) else {
            self.due_ms = None;
            return Vec::new();
        };
        if decision.actions.contains(&Act::LeaseId) {
            self.id.get_or_insert_with(|| cluster.next_id());
            decision = self.decide(cluster).unwrap_or(decision);
        }
        let mut told = kinds(&decision);
        let export_job = self.seen.export_job.as_ref();
        let mut version = export_job.and_then(|job| job.metadata.resource_version.clone());
        self.due_ms = match decision.next {
            Next::AwaitChange => None,
            Next::After(pause) => Some(cluster.now_ms + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)),
        };
        for act in &decision.actions {
            let cut = random.as_mut().and_then(|random| cut(random));
            if cut.is_some() && matches!(act, Act::ApplyJob(_)) && !cluster.troubles.exports_refused {
                // It arrives, at once or later.
                cluster.in_the_air = true;
                self.refusal = None;
            }
            if cut == Some(Cut::Dies) {
                *self = Self {
                    seen: std::mem::take(&mut self.seen),
                    due_ms: Some(cluster.now_ms),
                    ..Self::default()
                };
                told.push("…dies".to_owned());
                break;
            }
            let ends = self.apply(cluster, act, &mut version);
            if ends || cut == Some(Cut::Unheard) {
                self.due_ms = Some(cluster.now_ms + 30_000);
                told.push("…ends".to_owned());
                break;
            }
        }
        told
    }

    /// Whether what follows must not be done.
    fn apply(&mut self, cluster: &mut Cluster, act: &Act, version: &mut Option<String>) -> bool {
        match cluster.apply(act, version) {
            Answer::Done => {
                if matches!(act, Act::ApplyJob(_) | Act::ApplyAbortJob(_)) {
                    self.refusal = None;
                }
                false
            }
            Answer::Outdated => true,
            Answer::Refused(refusal) => {
                self.refusal = Some(refusal);
                true
            }
        }
    }
}

fn cut(random: &mut StdRng) -> Option<Cut> {
    match random.random_range(0..20) {
        0 => Some(Cut::Dies),
        1 => Some(Cut::Unheard),
        _ => None,
    }
}

/// Which Jobs and pods are there now, for a trace.
pub fn jobs(cluster: &Cluster) -> String {
    let word = |which: Which, job: &Option<JobFacts>| {
        job.as_ref().map_or(String::new(), |job| {
            let (end, suspended, deleting) = (&job.end, job.suspended, job.deleting);
            format!(" {which:?} {end:?} suspended {suspended} deleting {deleting};")
        })
    };
    let pods = cluster.pods.iter().map(|pod| {
        let facts = &pod.facts;
        format!(
            " pod for {:?} started {} ended {} deleting {} hangs {};",
            pod.works_for, facts.started, facts.ended, facts.deleting, pod.hangs
        )
    });
    let pods: String = pods.collect();
    format!(
        "{:?}{}{}{pods}",
        cluster.log,
        word(Which::Export, &cluster.export),
        word(Which::Abort, &cluster.abort)
    )
}
