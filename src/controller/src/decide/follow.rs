//! A job whose Job is there: it is followed until it ends.

use std::time::Duration;

use exportjob_api::{ErrorRecord, ExportJobStatus, Phase, Shards};
use exportjob_plan::{Outcome, RunReport, code, exit};

use super::{LOOK_AGAIN, Look, REPORT_WITHIN, SHORTLY, duration, finish, launch, stop, whole_ms};
use crate::{
    decision::{Act, Decision},
    notice::Notice,
    observed::{JobEnd, JobFacts, PodFacts, Trouble},
    status::{self, Class, Progressing},
};

/// How long the pods of a Job that fails may take to stop: longer than their grace.
const STOPPED_WITHIN: Duration = Duration::from_mins(1);

/// What is to be done about a job whose Job is there.
pub fn follow(look: &Look<'_>, job: &JobFacts) -> Decision {
    match &job.end {
        JobEnd::Complete { at_ms } => complete(look, job, *at_ms),
        JobEnd::Failed { at_ms, reason, message } => failed(look, job, *at_ms, &format!("{reason}: {message}")),
        JobEnd::NotYet => match &job.failing {
            Some((at_ms, said)) => failing(look, job, *at_ms, said),
            None => at_work(look, job),
        },
    }
}

fn complete(look: &Look<'_>, job: &JobFacts, at_ms: i64) -> Decision {
    let report = conclusion(look, job);
    if report.is_none() && is_recent(look, at_ms) {
        return look.decision(Vec::new(), SHORTLY);
    }
    if report.is_none() && job.shards > 1 {
        // Each of them has done its part, and the one that committed is not heard. The clean-up finds the commit in the
        // log, with its counts; if there were none, nothing must land later.
        let message = "all shards have ended, and none of them has told of the commit";
        return stop::fail(look, vec![status::error(code::COMMIT_UNREPORTED, message)]);
    }
    look.decision(finish::succeed(look, report, at_ms), LOOK_AGAIN)
}

/// What a pod of the Job that ended well has told of the end of the batches; shards that have only done their part know of
/// none.
pub fn conclusion<'a>(look: &Look<'a>, job: &JobFacts) -> Option<&'a RunReport> {
    let pods = look.pods_of(job).into_iter();
    pods.filter(|pod| pod.exit_code == Some(0))
        .filter_map(|pod| pod.report.as_ref())
        .find(|report| report.outcome != Outcome::Staged)
}

/// Whether the pod may still come into the cache.
pub fn is_recent(look: &Look<'_>, ended_ms: i64) -> bool {
    look.now_ms() - ended_ms < whole_ms(REPORT_WITHIN)
}

/// One shard has failed, and the pods of the others are being stopped. One that cannot be, on a node that is lost, must not
/// hold up the end for ever.
fn failing(look: &Look<'_>, job: &JobFacts, at_ms: i64, said: &str) -> Decision {
    let left = whole_ms(STOPPED_WITHIN) - (look.now_ms() - at_ms);
    if left <= 0 {
        return failed(look, job, at_ms, said);
    }
    let mut decision = at_work(look, job);
    decision.look_within(duration(left));
    decision
}

fn failed(look: &Look<'_>, job: &JobFacts, at_ms: i64, said: &str) -> Decision {
    let pods = look.pods_of(job);
    // One that left with such a code failed the Job, whichever pod was last.
    let fatal = |pod: &&&PodFacts| {
        let code = pod.exit_code.and_then(|code| u8::try_from(code).ok());
        matches!(code, Some(exit::USER_ERROR | exit::ABORTED))
    };
    if let Some(pod) = pods.iter().find(fatal) {
        return stop::fail(look, fatal_errors(pod));
    }
    let failed = || pods.iter().filter(|pod| pod.exit_code.is_some_and(|code| code != 0));
    let known = i32::try_from(failed().count()).unwrap_or(i32::MAX);
    // The one that says why may be the one that the cache does not have yet.
    if known < job.failed.max(1) && is_recent(look, at_ms) {
        return look.decision(Vec::new(), SHORTLY);
    }
    // Those of other shards were stopped because the Job had failed.
    let last = failed().find(|pod| !pod.deleting).or_else(|| failed().next());
    stop::fail(look, exhausted(look, job, last.copied(), said))
}

/// Another try would have failed in the same way.
fn fatal_errors(pod: &PodFacts) -> Vec<ErrorRecord> {
    let errors = reported(pod);
    if errors.is_empty() {
        return vec![status::error(
            code::INTERNAL,
            format!("{}, and did not say why", ending(pod)),
        )];
    }
    errors
}

/// Too many tries have failed.
fn exhausted(look: &Look<'_>, job: &JobFacts, last: Option<&PodFacts>, said: &str) -> Vec<ErrorRecord> {
    let limit = look.execution().backoff_limit.unwrap_or(look.settings.backoff_limit);
    let how = last.map_or_else(|| said.to_owned(), ending);
    let hint = match last.and_then(|pod| pod.exit_reason.as_deref()) {
        Some("OOMKilled") => ". It needed more memory than its limit: raise spec.execution.resources.limits.memory",
        _ => "",
    };
    let message = format!(
        "{} of the export failed, more than spec.execution.backoffLimit ({limit}) allows: {how}{hint}",
        if job.shards > 1 {
            "pods of one shard".to_owned()
        } else if job.failed == 1 {
            "a pod".to_owned()
        } else {
            format!("{} pods", job.failed)
        }
    );
    let mut errors = vec![status::error(code::BACKOFF_LIMIT_EXCEEDED, message)];
    errors.extend(last.map(reported).unwrap_or_default());
    errors
}

fn reported(pod: &PodFacts) -> Vec<ErrorRecord> {
    pod.report
        .as_ref()
        .map(|report| status::reported(&report.errors))
        .unwrap_or_default()
}

fn ending(pod: &PodFacts) -> String {
    let code = pod.exit_code.unwrap_or_default();
    let reason = pod
        .exit_reason
        .as_deref()
        .filter(|reason| !matches!(*reason, "Error" | "Completed"));
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("pod {} ended with exit code {code}{reason}", pod.name)
}

fn at_work(look: &Look<'_>, job: &JobFacts) -> Decision {
    if let Some(error) = look.must_end() {
        return stop::fail(look, vec![error]);
    }
    let said = saying(look, job);
    if let Some(error) = launch::overdue(look, &said) {
        return stop::fail(look, vec![error]);
    }
    let mut status = base(look, job);
    let held = (said.class == Class::Suspended).then_some((said.reason.as_str(), said.message.as_str()));
    status::set_suspended(&mut status, held, look.now_ms());
    status::set_progress(&mut status, &said, look.now_ms());
    let (write, mut pause) = with_progress(look, job, status);
    let notice = write.as_ref().and_then(|_| news(look, &said));
    let mut actions: Vec<Act> = write.into_iter().collect();
    actions.extend(suspension(look, job));
    actions.extend(notice.map(Act::Publish));
    if let Some(lasted) = look.since(said.class).filter(|_| said.class.is_trouble()) {
        pause = pause.min(duration(whole_ms(look.settings.start_grace) - lasted));
    } else if said.class.is_trouble() {
        pause = pause.min(look.settings.start_grace);
    }
    look.decision(actions, pause)
}

fn base(look: &Look<'_>, job: &JobFacts) -> ExportJobStatus {
    let mut status = status::base(look);
    status
        .compute_gateway_job_id
        .get_or_insert_default()
        .export_job
        .clone_from(&job.uid);
    if !job.suspended {
        status.phase = Some(Phase::Processing);
    }
    status
}

/// What the job is doing.
fn saying(look: &Look<'_>, job: &JobFacts) -> Progressing {
    if look.wants_suspension() {
        let message = "pods are stopped until spec.execution.suspend is false; the export starts over then";
        return Progressing::new(Class::Suspended, "Suspended", message);
    }
    match look.execution().queue_name {
        Some(queue) if job.suspended => {
            let message = format!("queue {queue:?} has not admitted the export's Job");
            Progressing::new(Class::Suspended, "Queued", message)
        }
        _ => match trouble(look, job) {
            Some((class, trouble)) => Progressing::trouble(class, &trouble),
            None => Progressing::working("Exporting", at_work_message(look, job)),
        },
    }
}

/// That pods are at work, and why others are not yet: shards may wait for room that others leave.
fn at_work_message(look: &Look<'_>, job: &JobFacts) -> String {
    let message = format!("Job {} is at work", look.job_name());
    let pods = look.pods_of(job);
    let waits = pods.iter().find(|pod| is_live(pod) && pod.trouble.is_some());
    match waits.and_then(|pod| pod.trouble.as_ref()) {
        Some(trouble) => format!("{message}; some of its pods wait: {}", trouble.reason),
        None => message,
    }
}

fn is_live(pod: &PodFacts) -> bool {
    !pod.ended && !pod.deleting
}

/// Why no pod of a Job starts. As long as one is at work, others may wait.
pub fn trouble(look: &Look<'_>, job: &JobFacts) -> Option<(Class, Trouble)> {
    let pods = look.pods_of(job);
    let live = || pods.iter().filter(|pod| is_live(pod));
    if live().any(|pod| pod.running) {
        return None;
    }
    let Some(pod) = live().find(|pod| pod.trouble.is_some()).or_else(|| live().next()) else {
        // What an Event said of pods that could not be made is over when one was made after it.
        let made = pods.first().map(|pod| pod.created_at_ms).max(job.started_at_ms);
        let warning = job
            .warning
            .clone()
            .filter(|warning| warning.at_ms.is_none_or(|at| Some(at) > made));
        return warning.map(|warning| (Class::Placement, warning));
    };
    let class = if pod.scheduled {
        Class::Starting
    } else {
        Class::Placement
    };
    pod.trouble.clone().map(|trouble| (class, trouble))
}

/// The status with what the pods say of its progress, unless that is all that is new and it is too early for it.
fn with_progress(look: &Look<'_>, job: &JobFacts, status: ExportJobStatus) -> (Option<Act>, Duration) {
    let mut told = status.clone();
    told.progress = look.observed.progress.as_ref().map(status::progress).or(told.progress);
    told.shards = shards(job).or(told.shards);
    let interval = whole_ms(look.settings.progress_interval);
    let written = look.status.update_time.unwrap_or(0);
    let left = written.saturating_add(interval) - look.now_ms();
    let is_only_progress = status::write(look, status).is_none();
    let write = status::write(look, told);
    if is_only_progress && write.is_some() && left > 0 {
        return (None, LOOK_AGAIN.min(duration(left)));
    }
    (write, LOOK_AGAIN)
}

/// How many shards have done their part.
pub fn shards(job: &JobFacts) -> Option<Shards> {
    (job.shards > 1).then_some(Shards {
        total: job.shards,
        succeeded: job.succeeded,
    })
}

/// Stops or starts the pods.
fn suspension(look: &Look<'_>, job: &JobFacts) -> Option<Act> {
    if job.deleting {
        return None;
    }
    let wanted = look.wants_suspension();
    if look.execution().queue_name.is_some() {
        // Whether it is suspended is the queue's business: the Job is taken out of the queue, and comes back later.
        return look.delete_job(job).filter(|_| wanted);
    }
    (wanted != job.suspended).then(|| Act::SetJobSuspend {
        name: look.job_name(),
        uid: job.uid.clone(),
        suspend: wanted,
    })
}

/// What is worth an Event.
fn news(look: &Look<'_>, said: &Progressing) -> Option<Notice> {
    let before = status::recorded(&look.status).map(|(before, _)| before.class);
    match said.class {
        Class::Placement | Class::Starting if launch::is_news(look, said) => Some(Notice::warning(
            "PodCannotStart",
            format!("{}: {}", said.reason, said.message),
        )),
        Class::Suspended if before != Some(Class::Suspended) => Some(Notice::normal("Suspended", said.message.clone())),
        Class::Working if before == Some(Class::Suspended) => Some(Notice::normal("Resumed", "pods may run")),
        Class::Working if look.status.phase != Some(Phase::Processing) => {
            Some(Notice::normal("Launched", format!("Job {} exports", look.job_name())))
        }
        _ => None,
    }
}
