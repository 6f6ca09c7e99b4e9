//! A job whose Job is there: it is followed until it ends.

use exportjob_api::{ErrorRecord, ExportJobStatus, Phase};
use exportjob_plan::{code, exit};

use super::{LOOK_AGAIN, Look, REPORT_WITHIN, SHORTLY, duration, finish, launch, stop, whole_ms};
use crate::{
    decision::{Act, Decision},
    notice::Notice,
    observed::{JobEnd, JobFacts, PodFacts, Trouble},
    status::{self, Class, Progressing},
};

/// What is to be done about a job whose Job is there.
pub fn follow(look: &Look<'_>, job: &JobFacts) -> Decision {
    match &job.end {
        JobEnd::Complete { at_ms } => complete(look, job, *at_ms),
        JobEnd::Failed { at_ms, reason, message } => failed(look, job, *at_ms, &format!("{reason}: {message}")),
        JobEnd::NotYet => at_work(look, job),
    }
}

fn complete(look: &Look<'_>, job: &JobFacts, at_ms: i64) -> Decision {
    let report = look
        .pods_of(job)
        .into_iter()
        .filter(|pod| pod.exit_code == Some(0))
        .find_map(|pod| pod.report.as_ref());
    if report.is_none() && is_recent(look, at_ms) {
        return look.decision(Vec::new(), SHORTLY);
    }
    look.decision(finish::succeed(look, report, at_ms), LOOK_AGAIN)
}

/// Whether the pod may still come into the cache.
pub fn is_recent(look: &Look<'_>, ended_ms: i64) -> bool {
    look.now_ms() - ended_ms < whole_ms(REPORT_WITHIN)
}

fn failed(look: &Look<'_>, job: &JobFacts, at_ms: i64, said: &str) -> Decision {
    let pods = look.pods_of(job);
    let mut last = pods.iter().filter(|pod| pod.exit_code.is_some());
    let known = i32::try_from(last.clone().count()).unwrap_or(i32::MAX);
    let last = last.next();
    // The one that says why may be the one that the cache does not have yet.
    if known < job.failed.max(1) && is_recent(look, at_ms) {
        return look.decision(Vec::new(), SHORTLY);
    }
    // One that left with such a code failed the Job, whichever pod was last.
    let fatal = |pod: &&&PodFacts| {
        let code = pod.exit_code.and_then(|code| u8::try_from(code).ok());
        matches!(code, Some(exit::USER_ERROR | exit::ABORTED))
    };
    let errors = match pods.iter().find(fatal) {
        Some(pod) => fatal_errors(pod),
        None => exhausted(look, job, last.copied(), said),
    };
    stop::fail(look, errors)
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
        if job.failed == 1 {
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
    let (write, mut pause) = with_progress(look, status);
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
            None => Progressing::working("Exporting", format!("Job {} is at work", look.job_name())),
        },
    }
}

/// Why no pod of a Job starts.
pub fn trouble(look: &Look<'_>, job: &JobFacts) -> Option<(Class, Trouble)> {
    let pods = look.pods_of(job);
    let Some(pod) = pods.iter().find(|pod| !pod.ended && !pod.deleting) else {
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

/// The status with what the pod says of its progress, unless that is all that is new and it is too early for it.
fn with_progress(look: &Look<'_>, status: ExportJobStatus) -> (Option<Act>, std::time::Duration) {
    let mut told = status.clone();
    told.progress = look.observed.progress.as_ref().map(status::progress).or(told.progress);
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
