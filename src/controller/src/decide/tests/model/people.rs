//! What people do to a job.

use std::sync::Arc;

use exportjob_api::{Execution, ExportJob};
use rand::{Rng as _, rngs::StdRng};
use serde_json::json;

use super::{
    super::fixture::*,
    cluster::{Cluster, Troubles, Which},
    kubernetes::stray_pod,
};
use crate::observed::References;

/// A job as somebody may have made it.
pub fn new_job(random: &mut StdRng) -> ExportJob {
    let shards = if random.random_bool(0.4) {
        random.random_range(1..4)
    } else {
        1
    };
    let mut some = |share: f64, value: serde_json::Value| random.random_bool(share).then_some(value);
    let execution = json!({
        "shards": shards,
        "suspend": some(0.1, json!(true)),
        "queueName": some(0.1, json!("q")),
        "activeDeadlineSeconds": some(0.2, json!(120)),
        "ttlSecondsAfterFinished": some(0.1, json!(60)),
    });
    let mut new = situation_of(&json!({"execution": execution}));
    new.job().clone()
}

impl Cluster {
    fn execution(&mut self, change: impl FnOnce(&mut Execution)) {
        self.change(|job| {
            change(job.spec.execution.get_or_insert_default());
            *job.metadata.generation.get_or_insert(1) += 1;
        });
    }

    fn asked_for(&self) -> Execution {
        let spec = self.export_job.as_ref().map(|job| &job.spec);
        spec.and_then(|spec| spec.execution.clone()).unwrap_or_default()
    }

    /// Somebody does something; what it was.
    pub fn mischief(&mut self, random: &mut StdRng) -> &'static str {
        let what = random.random_range(0..18);
        self.record.has_excuse |= matches!(what, 10..=15);
        match what {
            0..3 => {
                self.delete_export_job();
                "the job is deleted"
            }
            3..6 => {
                self.execution(|execution| execution.cancel = Some(true));
                "the job is cancelled"
            }
            6..8 => {
                self.execution(|execution| execution.suspend = Some(execution.suspend != Some(true)));
                "suspend is changed"
            }
            8 => self.remove_by_hand(Which::Export, random.random_range(0..3)),
            9 => self.remove_by_hand(Which::Abort, random.random_range(0..3)),
            10 => {
                self.has_plan = false;
                "the plan is removed by hand"
            }
            11 => {
                self.toggle_dataset();
                "the Dataset goes or comes"
            }
            12 => {
                self.is_terminating = true;
                "the namespace is deleted"
            }
            13 => {
                self.troubles.quota = !self.troubles.quota;
                "the quota changes"
            }
            14 => {
                self.troubles.nodes = !self.troubles.nodes;
                "nodes go or come"
            }
            15 => {
                self.troubles.aborts_refused = !self.troubles.aborts_refused;
                "the clean-up's Job is refused, or no longer"
            }
            16 => {
                self.queue();
                "the queue changes its mind"
            }
            _ => {
                if self.had_pod {
                    self.pods.push(stray_pod(self.now_ms));
                }
                "a pod of the same plan is made by hand"
            }
        }
    }

    fn remove_by_hand(&mut self, which: Which, cascade: u32) -> &'static str {
        let Some(job) = self.slot(which) else { return "" };
        match cascade {
            0 => job.deleting = true,
            1 => {
                let uid = job.uid.clone();
                *self.slot(which) = None;
                let pods = self.pods.iter_mut().filter(|pod| pod.facts.job_uid == uid);
                pods.for_each(|pod| pod.facts.deleting = true);
            }
            // Its pods go on alone.
            _ => *self.slot(which) = None,
        }
        "a Job is removed by hand"
    }

    fn toggle_dataset(&mut self) {
        let is_there = !self.references.datasets.is_empty();
        self.references = Arc::new(References {
            datasets: if is_there { [].into() } else { references().datasets },
            ..references()
        });
    }

    fn queue(&mut self) {
        let is_queued = self.asked_for().queue_name.is_some();
        if let Some(job) = self.export.as_mut().filter(|_| is_queued) {
            job.suspended = !job.suspended;
        }
    }

    /// Nothing goes wrong from now on, and nobody changes his mind. What hangs while it is stopped hangs for ever.
    pub fn calm_down(&mut self) {
        self.troubles = Troubles::default();
        if self.asked_for().suspend == Some(true) {
            self.execution(|execution| execution.suspend = Some(false));
        }
        let is_deleted = self
            .export_job
            .as_ref()
            .is_none_or(|job| job.metadata.deletion_timestamp.is_some());
        let is_stopped = is_deleted || self.asked_for().cancel == Some(true);
        for pod in &mut self.pods {
            pod.hangs &= is_stopped && pod.works_for == Which::Export;
        }
    }
}
