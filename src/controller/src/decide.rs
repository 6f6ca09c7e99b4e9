//! What to do about one ExportJob: a pure function of what was observed.
//!
//! | the job is | decided in |
//! |---|---|
//! | without a Job: new, waiting for what it refers to, held back | [`launch`] |
//! | with a Job that runs or has ended | [`follow`] |
//! | to be stopped: deleted, cancelled, failed, over its deadline | [`stop`] |
//! | over | [`finish`] |
//!
//! What has been decided once must not be forgotten by the next look, which may be another process: that a job is to
//! fail stands in `status.errors` before anything is done about it.

mod finish;
mod follow;
mod launch;
mod stop;
#[cfg(test)]
mod tests;

use std::time::Duration;

use exportjob_api::{ErrorRecord, Execution, ExportJob, ExportJobStatus, FINALIZER, Phase};
use exportjob_plan::{abort_job_name, code, job_name};
use kube::ResourceExt as _;

use crate::{
    decision::{Act, Decision, Next},
    observed::{JobFacts, Observed, PodFacts, Refusal, millis},
    settings::Settings,
    status,
};

/// An unfinished job is looked at again after this time even if nothing seems to have happened: watches can lose what
/// happens while they are interrupted.
const LOOK_AGAIN: Duration = Duration::from_mins(2);
/// How long the report of a pod is waited for once its Job has ended: they come by two watches.
const REPORT_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two looks at what no watch tells.
const SHORTLY: Duration = Duration::from_secs(1);

/// Decides what to do. Nothing here can fail: what is wrong becomes part of the decision.
pub fn decide(observed: &Observed, settings: &Settings) -> Decision {
    let look = Look::new(observed, settings);
    if look.is_deleted() && !look.has_finalizer() {
        return Decision::rest();
    }
    if look.status.phase.is_some_and(Phase::is_terminal) {
        return finish::finished(&look);
    }
    if look.is_deleted() {
        return stop::cancel(&look);
    }
    if look.id().is_none() {
        return look.decision(vec![Act::LeaseId], LOOK_AGAIN);
    }
    if !look.status.errors.is_empty() {
        return stop::fail(&look, look.status.errors.clone());
    }
    match observed.job.present() {
        Some(job) => follow::follow(&look, job),
        None => launch::launch(&look),
    }
}

/// One look at a job: what was observed, with what every decision asks of it.
pub struct Look<'a> {
    /// What was observed.
    pub observed: &'a Observed,
    /// The operator's settings.
    pub settings: &'a Settings,
    /// The job's status as it was observed.
    pub status: ExportJobStatus,
    /// The job's UID.
    pub uid: String,
    /// When the job was created.
    pub created_ms: i64,
}

impl<'a> Look<'a> {
    fn new(observed: &'a Observed, settings: &'a Settings) -> Self {
        let metadata = &observed.export_job.metadata;
        Self {
            observed,
            settings,
            status: observed.export_job.status.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            created_ms: millis(metadata.creation_timestamp.as_ref()).unwrap_or(observed.now_ms),
        }
    }

    /// The job.
    pub fn export_job(&self) -> &'a ExportJob {
        &self.observed.export_job
    }

    /// The time.
    pub fn now_ms(&self) -> i64 {
        self.observed.now_ms
    }

    fn id(&self) -> Option<i64> {
        self.status.id.or(self.observed.id)
    }

    fn is_deleted(&self) -> bool {
        self.export_job().metadata.deletion_timestamp.is_some()
    }

    fn has_finalizer(&self) -> bool {
        let finalizers = self.export_job().metadata.finalizers.iter().flatten();
        finalizers.into_iter().any(|finalizer| finalizer == FINALIZER)
    }

    fn execution(&self) -> Execution {
        self.export_job().spec.execution.clone().unwrap_or_default()
    }

    fn wants_suspension(&self) -> bool {
        self.execution().suspend == Some(true)
    }

    /// UID of its Job, once one has been seen.
    fn known_job(&self) -> Option<&str> {
        let job = self.status.compute_gateway_job_id.as_ref()?;
        Some(job.export_job.as_str()).filter(|uid| !uid.is_empty())
    }

    /// Whether the status says that a Job is made: the merge policy is written before that.
    fn is_to_launch(&self) -> bool {
        self.status.merge_policy.is_some()
    }

    /// Whether there is, or may once have been, a Job of it. One that was made and is gone again before anybody saw it
    /// has left no trace but the intention, unless the API server refuses to take it. In a namespace in deletion it
    /// refuses everything, and Jobs go by themselves.
    fn was_launched(&self) -> bool {
        matches!(self.status.phase, Some(Phase::Processing | Phase::Cancelling))
            || self.known_job().is_some()
            || self.observed.job.present().is_some()
            || self.observed.abort_job.present().is_some()
            || (self.is_to_launch() && (self.refusal().is_none() || self.observed.namespace_terminating))
    }

    /// Name of the export's Job.
    fn job_name(&self) -> String {
        job_name(&self.export_job().name_any(), &self.uid)
    }

    /// Name of the clean-up's Job.
    fn abort_job_name(&self) -> String {
        abort_job_name(&self.export_job().name_any(), &self.uid)
    }

    /// How the API server refused the export's Job, or its plan, without which there is no Job.
    fn refusal(&self) -> Option<&'a Refusal> {
        let refusal = self.observed.refusal.as_ref();
        refusal.filter(|refusal| refusal.name != self.abort_job_name())
    }

    /// How it refused the clean-up's Job, or the plan.
    fn clean_up_refusal(&self) -> Option<&'a Refusal> {
        let refusal = self.observed.refusal.as_ref();
        refusal.filter(|refusal| refusal.name != self.job_name())
    }

    /// The write that removes the export's Job, unless it goes already.
    fn delete_job(&self, job: &JobFacts) -> Option<Act> {
        delete(job, self.job_name())
    }

    /// The write that removes the clean-up's Job, unless it goes already.
    fn delete_abort_job(&self, job: &JobFacts) -> Option<Act> {
        delete(job, self.abort_job_name())
    }

    /// Pods of a Job, newest first.
    fn pods_of(&self, job: &JobFacts) -> Vec<&'a PodFacts> {
        let mut pods: Vec<&PodFacts> = self.observed.pods.iter().filter(|pod| pod.job_uid == job.uid).collect();
        pods.sort_by(|a, b| (b.created_at_ms, &b.name).cmp(&(a.created_at_ms, &a.name)));
        pods
    }

    /// Milliseconds left until the deadline, if the job has one. A job that is suspended keeps what is left.
    fn left_ms(&self) -> Option<i64> {
        let seconds = self.execution().active_deadline_seconds?;
        let now = self.now_ms();
        let suspended = self.status.suspended_time_in_ms.unwrap_or(0)
            + status::suspended_since(&self.status).map_or(0, |since| (now - since).max(0));
        Some(seconds.saturating_mul(1000) - (now - self.created_ms - suspended))
    }

    /// Why the job has to end, whatever it is doing.
    fn must_end(&self) -> Option<ErrorRecord> {
        if self.observed.namespace_terminating {
            return Some(status::error(
                code::CANCELLED,
                "the namespace of the job is being deleted",
            ));
        }
        let execution = self.execution();
        if execution.cancel == Some(true) {
            return Some(status::error(
                code::CANCELLED,
                "the job was cancelled: spec.execution.cancel is true",
            ));
        }
        self.left_ms().filter(|left| *left <= 0)?;
        let seconds = execution.active_deadline_seconds.unwrap_or_default();
        let mut message = format!("the job did not end within spec.execution.activeDeadlineSeconds ({seconds} s)");
        let trouble = status::recorded(&self.status).filter(|(said, _)| !said.class.is_progress());
        if let Some((said, _)) = trouble {
            message = format!("{message}; at its end: {}: {}", said.reason, said.message);
        }
        Some(status::error(code::DEADLINE_EXCEEDED, message))
    }

    /// Milliseconds since the time that a condition of this class began, if that is what the status says.
    fn since(&self, class: status::Class) -> Option<i64> {
        status::recorded(&self.status)
            .filter(|(said, _)| said.class == class)
            .map(|(_, since)| self.now_ms() - since)
    }

    /// A decision whose next look comes after `pause` or at the deadline.
    fn decision(&self, actions: Vec<Act>, pause: Duration) -> Decision {
        let suspended = status::suspended_since(&self.status).is_some();
        let left = self.left_ms().filter(|left| *left > 0 && !suspended);
        let pause = left.map_or(pause, |left| pause.min(duration(left)));
        Decision {
            actions,
            next: Next::After(pause),
        }
    }
}

fn delete(job: &JobFacts, name: String) -> Option<Act> {
    let uid = job.uid.clone();
    (!job.deleting).then_some(Act::DeleteJob { name, uid })
}

fn duration(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// A duration of the settings in milliseconds.
fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
