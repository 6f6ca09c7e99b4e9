//! Jobs and what surrounds them, built from a few words.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use exportjob_api::{Dataset, ErrorRecord, ExportJob, ExportJobStatus, FINALIZER, Phase, ProfileStore, Resources};
use exportjob_plan::{Outcome, RunReport, job_name};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::{Value, json};

use crate::{
    decide::decide,
    decision::{Act, Decision, Next},
    job::Landing,
    observed::{ChildJob, JobEnd, JobFacts, Observed, PodFacts, References, Trouble},
    settings::Settings,
};

/// When every job of these tests was created.
pub const CREATED_MS: i64 = 1_800_000_000_000;
pub const UID: &str = "11111111-2222-3333-4444-555555555555";
pub const JOB_UID: &str = "job-uid";
pub const ABORT_UID: &str = "abort-uid";

pub fn settings() -> Settings {
    Settings {
        exporter_image: "exporter:1".to_owned(),
        exporter_image_pull_policy: "IfNotPresent".to_owned(),
        exporter_resources: Resources::default(),
        allowed_images: vec!["registry.example/*".to_owned()],
        allowed_host_paths: vec!["/data".to_owned()],
        backoff_limit: 3,
        ims_org_id: Some("org".to_owned()),
        reference_timeout: Duration::from_mins(10),
        start_grace: Duration::from_mins(5),
        cancellation_timeout: Duration::from_mins(10),
        progress_interval: Duration::from_secs(10),
    }
}

/// A situation: an ExportJob over a store and a dataset that are there, a second after its creation.
#[derive(Clone)]
pub struct Situation {
    pub observed: Observed,
}

pub fn situation() -> Situation {
    situation_of(&json!({}))
}

/// With these fields of the spec in place of its own.
pub fn situation_of(change: &Value) -> Situation {
    let mut spec = json!({"destination": {"datasetId": "d"}, "schema": {"name": "_xdm.context.profile"}});
    for (key, value) in change.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let mut export_job: ExportJob = serde_json::from_value(json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob",
        "metadata": {"name": "loyal", "namespace": "n", "uid": UID, "resourceVersion": "1", "generation": 1},
        "spec": spec,
    }))
    .unwrap();
    export_job.metadata.creation_timestamp = Some(time(CREATED_MS));
    Situation {
        observed: Observed {
            now_ms: CREATED_MS + 1_000,
            export_job: Arc::new(export_job),
            id: Some(7),
            references: Arc::new(references()),
            service_account: crate::observed::ServiceAccount::Allowed,
            namespace_terminating: false,
            job: ChildJob::Absent,
            abort_job: ChildJob::Absent,
            pods: Vec::new(),
            progress: None,
            refusal: None,
        },
    }
}

pub fn references() -> References {
    let store: ProfileStore = serde_json::from_value(json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "ProfileStore", "metadata": {"name": "ups"},
        "spec": {
            "volume": {"persistentVolumeClaim": {"claimName": "profiles"}},
            "tables": {"fragments": [{
                "location": "file:///store/fragments", "format": "parquet",
                "bucketing": {"column": "ups_profile", "count": 4},
            }]},
        },
    }))
    .unwrap();
    References {
        stores: BTreeMap::from([("ups".to_owned(), store)]),
        datasets: BTreeMap::from([("d".to_owned(), dataset())]),
        definitions: BTreeMap::new(),
    }
}

pub fn dataset() -> Dataset {
    serde_json::from_value(json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "d"},
        "spec": {"location": "file:///datasets/d", "volume": {"persistentVolumeClaim": {"claimName": "datasets"}}},
    }))
    .unwrap()
}

pub fn time(ms: i64) -> Time {
    Time(Timestamp::from_millisecond(ms).unwrap())
}

impl Situation {
    pub fn decide(&self) -> Decision {
        decide(&self.observed, &settings())
    }

    pub fn job(&mut self) -> &mut ExportJob {
        Arc::make_mut(&mut self.observed.export_job)
    }

    pub fn status(&self) -> ExportJobStatus {
        self.observed.export_job.status.clone().unwrap_or_default()
    }

    /// So many seconds after its creation.
    pub fn at(mut self, seconds: i64) -> Self {
        self.observed.now_ms = CREATED_MS + seconds * 1_000;
        self
    }

    pub fn deleted(mut self) -> Self {
        let now = self.observed.now_ms;
        self.job().metadata.deletion_timestamp = Some(time(now));
        self
    }

    pub fn execution(mut self, field: &str, value: &Value) -> Self {
        let mut execution = serde_json::to_value(self.job().spec.execution.clone().unwrap_or_default()).unwrap();
        execution[field] = value.clone();
        self.job().spec.execution = Some(serde_json::from_value(execution).unwrap());
        self
    }

    /// Does what was decided about the ExportJob itself, as the API server would.
    pub fn after(mut self, decision: &Decision) -> Self {
        for act in &decision.actions {
            match act {
                Act::AddFinalizer => self.job().metadata.finalizers = Some(vec![FINALIZER.to_owned()]),
                Act::ApplyStatus(status) => self.job().status = Some(stored(status)),
                _ => {}
            }
        }
        self
    }

    /// As it is once it was decided about.
    pub fn decided(self) -> Self {
        let decision = self.decide();
        self.after(&decision)
    }

    /// Accepted: its finalizer and first status are there, and no Job.
    pub fn accepted(self) -> Self {
        self.decided()
    }

    /// At work: its Job is there and known, and the status says so.
    pub fn processing(self) -> Self {
        self.accepted().with_job(|_| ()).decided()
    }

    pub fn with_job(mut self, change: impl FnOnce(&mut JobFacts)) -> Self {
        let mut facts = JobFacts {
            uid: JOB_UID.to_owned(),
            created_at_ms: self.observed.now_ms,
            started_at_ms: Some(self.observed.now_ms),
            active: 1,
            shards: 1,
            landing: Some(Landing::of(&dataset())),
            pods_started: true,
            ..JobFacts::default()
        };
        if let ChildJob::Present(known) = &self.observed.job {
            facts = JobFacts::clone(known);
        }
        change(&mut facts);
        self.observed.job = ChildJob::Present(Box::new(facts));
        self
    }

    pub fn without_job(mut self) -> Self {
        self.observed.job = ChildJob::Absent;
        self.observed.pods.retain(|pod| pod.job_uid != JOB_UID);
        self
    }

    pub fn with_abort_job(mut self, change: impl FnOnce(&mut JobFacts)) -> Self {
        let mut facts = JobFacts {
            uid: ABORT_UID.to_owned(),
            created_at_ms: self.observed.now_ms,
            started_at_ms: Some(self.observed.now_ms),
            active: 1,
            shards: 1,
            landing: Some(Landing::of(&dataset())),
            pods_started: true,
            ..JobFacts::default()
        };
        if let ChildJob::Present(known) = &self.observed.abort_job {
            facts = JobFacts::clone(known);
        }
        change(&mut facts);
        self.observed.abort_job = ChildJob::Present(Box::new(facts));
        self
    }

    pub fn with_pod(mut self, pod: PodFacts) -> Self {
        self.observed.pods.push(pod);
        self
    }

    /// The Job ends well, with a pod that reports `profiles`.
    pub fn complete(self, profiles: i64) -> Self {
        let at_ms = self.observed.now_ms;
        let mut report = report(Outcome::Committed);
        report.profiles_written = profiles;
        self.with_job(|job| job.end = JobEnd::Complete { at_ms })
            .with_pod(ended(JOB_UID, 0, Some(report)))
    }
}

/// What the API server keeps of a status: times of conditions lose their fractions of a second.
pub fn stored(status: &ExportJobStatus) -> ExportJobStatus {
    let mut status = status.clone();
    for condition in &mut status.conditions {
        let seconds = condition.last_transition_time.0.as_second();
        condition.last_transition_time = Time(Timestamp::from_second(seconds).unwrap());
    }
    status
}

pub fn report(outcome: Outcome) -> RunReport {
    RunReport::new(outcome)
}

/// A running pod of the Job with this UID.
pub fn running(job_uid: &str) -> PodFacts {
    PodFacts {
        name: format!("pod-of-{job_uid}"),
        job_uid: job_uid.to_owned(),
        created_at_ms: CREATED_MS,
        scheduled: true,
        started: true,
        running: true,
        ..PodFacts::default()
    }
}

/// A pod that does not start.
pub fn stuck(job_uid: &str, scheduled: bool, reason: &str, message: &str) -> PodFacts {
    PodFacts {
        scheduled,
        started: false,
        running: false,
        trouble: Some(Trouble {
            reason: reason.to_owned(),
            message: message.to_owned(),
            at_ms: None,
        }),
        ..running(job_uid)
    }
}

/// A pod that has ended.
pub fn ended(job_uid: &str, exit_code: i32, report: Option<RunReport>) -> PodFacts {
    PodFacts {
        running: false,
        ended: true,
        exit_code: Some(exit_code),
        report,
        ..running(job_uid)
    }
}

/// Status that the decision writes.
pub fn written(decision: &Decision) -> ExportJobStatus {
    let found = decision.actions.iter().find_map(|act| match act {
        Act::ApplyStatus(status) => Some(ExportJobStatus::clone(status)),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no status is written: {:?}", kinds(decision)))
}

/// `status/reason: message` of a condition.
pub fn condition(status: &ExportJobStatus, type_: &str) -> String {
    let found = status.conditions.iter().find(|condition| condition.type_ == type_);
    found
        .map(|one| format!("{}/{}: {}", one.status, one.reason, one.message))
        .unwrap_or_default()
}

/// Phase, and code and message of the errors.
pub fn outcome(status: &ExportJobStatus) -> (Option<Phase>, Vec<(String, String)>) {
    let errors = status
        .errors
        .iter()
        .map(|ErrorRecord { code, msg, .. }| (code.clone(), msg.clone()));
    (status.phase, errors.collect())
}

/// The decision in words: one for each action.
pub fn kinds(decision: &Decision) -> Vec<String> {
    let word = |act: &Act| match act {
        Act::LeaseId => "lease id".to_owned(),
        Act::ConfirmCurrent => "confirm current".to_owned(),
        Act::ConfirmNoJob { name } => format!("confirm no {}", short(name)),
        Act::AddFinalizer => "add finalizer".to_owned(),
        Act::ApplyStatus(status) => format!("status {}", status.phase.map_or("-", Phase::as_str)),
        Act::ApplyPlan(_) => "plan".to_owned(),
        Act::ApplyJob(_) => "job".to_owned(),
        Act::ApplyAbortJob(job) => {
            let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
            if suspended {
                "abort job, suspended".to_owned()
            } else {
                "abort job".to_owned()
            }
        }
        Act::SetJobSuspend { name, suspend, .. } => {
            format!("{} {}", if *suspend { "suspend" } else { "resume" }, short(name))
        }
        Act::DeleteJob { name, .. } => format!("delete {}", short(name)),
        Act::Publish(notice) => format!("event {}", notice.reason),
        Act::RemoveFinalizer => "remove finalizer".to_owned(),
        Act::DeleteExportJob { .. } => "delete export job".to_owned(),
    };
    decision.actions.iter().map(word).collect()
}

fn short(name: &str) -> &'static str {
    if name == job_name("loyal", UID) {
        "job"
    } else {
        "abort job"
    }
}

/// Message of the Event with this reason.
pub fn event(decision: &Decision, reason: &str) -> String {
    let found = decision.actions.iter().find_map(|act| match act {
        Act::Publish(notice) if notice.reason == reason => Some(notice.message.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no Event {reason}: {:?}", kinds(decision)))
}

/// Seconds until the next look.
pub fn pause(decision: &Decision) -> Option<u64> {
    match decision.next {
        Next::AwaitChange => None,
        Next::After(pause) => Some(pause.as_secs()),
    }
}
