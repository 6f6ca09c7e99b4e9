//! A job that has to stop, because it was deleted or because it fails: its pods are stopped, then a clean-up pod fences
//! its batches off in the dataset's log. Of a commit and the abort exactly one wins; who it was decides how the job ends.

use exportjob_api::{ErrorRecord, ExportJobStatus, Phase};
use exportjob_plan::{Outcome, RunReport, code};

use super::{
    LOOK_AGAIN, Look, SHORTLY, duration, finish,
    follow::{conclusion, is_recent, trouble},
    launch::{self, forbidden_path},
    whole_ms,
};
use crate::{
    decision::{Act, Decision},
    job::{self, Landing},
    notice::Notice,
    observed::{JobEnd, JobFacts},
    status::{self, Class, Progressing},
};

/// A clean-up that cannot start is given up after this time if no export pod was seen to start: there is hardly anything
/// to clean up.
const NOTHING_TO_CLEAN_MS: i64 = 10_000;

const STOPPING: &str = "pods are being stopped";
const ABORTING: &str = "the batches are being aborted";

/// How a stop stands.
enum Stop {
    /// It goes on.
    Going { actions: Vec<Act>, message: String },
    /// It waits for what will be there in a moment.
    Soon,
    /// It is over.
    Over(Ending),
}

/// How a stop ended.
enum Ending {
    /// The batches are aborted.
    Aborted,
    /// The batches had been committed at that time.
    Committed(Option<Box<RunReport>>, i64),
    /// The batches could not be aborted.
    Abandoned(String),
}

impl Stop {
    fn going(actions: Vec<Act>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Going { actions, message }
    }
}

/// Fails the job for these reasons, once nothing of it can land any more.
pub fn fail(look: &Look<'_>, errors: Vec<ErrorRecord>) -> Decision {
    if !look.was_launched() {
        let mut actions = never_launched(look);
        actions.extend(finish::fail(look, errors));
        return look.decision(actions, LOOK_AGAIN);
    }
    match stop(look) {
        Stop::Going { actions, message } => {
            let mut status = status::base(look);
            status.errors = errors;
            going(look, status, ("Aborting", message), actions)
        }
        // The reasons are remembered at once: what they were read from may go.
        Stop::Soon if look.status.errors.is_empty() => {
            let mut status = status::base(look);
            status.errors = errors;
            going(
                look,
                status,
                ("Aborting", "the job is being stopped".to_owned()),
                Vec::new(),
            )
        }
        Stop::Soon => look.decision(Vec::new(), SHORTLY),
        Stop::Over(Ending::Aborted) => look.decision(finish::fail(look, errors), LOOK_AGAIN),
        Stop::Over(Ending::Committed(report, at_ms)) => {
            look.decision(finish::succeed(look, report.as_deref(), at_ms), LOOK_AGAIN)
        }
        Stop::Over(Ending::Abandoned(why)) => {
            let notice = abandoned(look, &why);
            let left_behind = status::error(code::CLEAN_UP_ABANDONED, notice.message.clone());
            let mut actions = finish::fail(look, [errors, vec![left_behind]].concat());
            actions.push(Act::Publish(notice));
            look.decision(actions, LOOK_AGAIN)
        }
    }
}

/// Works off a deletion, and lets the job go.
pub fn cancel(look: &Look<'_>) -> Decision {
    if !look.was_launched() {
        let mut actions = never_launched(look);
        actions.push(Act::RemoveFinalizer);
        return look.decision(actions, LOOK_AGAIN);
    }
    let notice = match stop(look) {
        Stop::Going { actions, message } => {
            let mut status = status::base(look);
            status.phase = Some(Phase::Cancelling);
            return going(look, status, ("Cancelling", message), actions);
        }
        Stop::Soon => return look.decision(Vec::new(), SHORTLY),
        Stop::Over(Ending::Aborted) => Notice::normal("Cancelled", format!("{} not committed", finish::batches(look))),
        Stop::Over(Ending::Committed(..)) => finish::kept(look),
        Stop::Over(Ending::Abandoned(why)) => abandoned(look, &why),
    };
    look.decision(vec![Act::Publish(notice), Act::RemoveFinalizer], LOOK_AGAIN)
}

/// A job that has no Job in the cache and none in its status: there is none, if the API server says so as well.
fn never_launched(look: &Look<'_>) -> Vec<Act> {
    // Before the first status there cannot have been one.
    let ask = look.status.phase.is_some();
    ask.then(|| confirm_no_job(look)).flatten().into_iter().collect()
}

fn going(look: &Look<'_>, mut status: ExportJobStatus, said: (&str, String), then: Vec<Act>) -> Decision {
    let said = Progressing::new(Class::Stopping, said.0, said.1);
    status::set_progress(&mut status, &said, look.now_ms());
    let mut actions: Vec<Act> = status::write(look, status).into_iter().collect();
    let makes = |act: &Act| matches!(act, Act::ApplyAbortJob(_));
    if actions.is_empty() && then.iter().any(makes) {
        actions.push(Act::ConfirmCurrent);
    }
    actions.extend(then);
    let left = whole_ms(look.settings.cancellation_timeout) - look.since(Class::Stopping).unwrap_or(0);
    look.decision(actions, duration(left.clamp(1, NOTHING_TO_CLEAN_MS)))
}

fn stop(look: &Look<'_>) -> Stop {
    let completed = look.observed.job.present().and_then(completed);
    if let Some(over) = completed.and_then(|(job, at_ms)| committed(look, job, at_ms)) {
        return over;
    }
    let abort = look.observed.abort_job.present();
    if let Some(over) = abort.and_then(|abort| followed(look, abort)) {
        return over;
    }
    let pods_are_gone = match look.observed.job.present() {
        None => true,
        Some(job) => job.end != JobEnd::NotYet,
    };
    if look.observed.namespace_terminating && pods_are_gone {
        let why = "its namespace is being deleted, and no pod can be made in it";
        return Stop::Over(Ending::Abandoned(why.to_owned()));
    }
    let lasted = look.since(Class::Stopping).unwrap_or(0);
    let limit = whole_ms(look.settings.cancellation_timeout);
    if lasted >= limit {
        let seconds = look.settings.cancellation_timeout.as_secs();
        return Stop::Over(Ending::Abandoned(format!(
            "it was not done within {seconds} s (the operator's timeouts.cancellationSeconds){}",
            hindrance(look)
        )));
    }
    if look.observed.namespace_terminating {
        return Stop::going(delete_job(look), STOPPING);
    }
    match abort {
        None => begin(look, pods_are_gone),
        Some(abort) if abort.deleting => Stop::going(delete_job(look), "the clean-up is made anew"),
        // To abort twice is the same as once, and says how it ended.
        Some(abort) if abort.end != JobEnd::NotYet => Stop::going(
            look.delete_abort_job(abort).into_iter().collect(),
            "the clean-up is made anew: its report was lost",
        ),
        Some(abort) => attend(look, abort, pods_are_gone || lasted >= limit / 2),
    }
}

fn completed(job: &JobFacts) -> Option<(&JobFacts, i64)> {
    match job.end {
        JobEnd::Complete { at_ms } => Some((job, at_ms)),
        _ => None,
    }
}

/// The export itself ended well. Of one in shards this alone is no proof of a commit: one of them must have told of it.
fn committed(look: &Look<'_>, job: &JobFacts, at_ms: i64) -> Option<Stop> {
    match conclusion(look, job) {
        None if is_recent(look, at_ms) => Some(Stop::Soon),
        None if job.shards > 1 => None,
        report => Some(Stop::Over(Ending::Committed(report.cloned().map(Box::new), at_ms))),
    }
}

/// Stops the pods, and makes the clean-up, which waits until they are gone.
fn begin(look: &Look<'_>, pods_are_gone: bool) -> Stop {
    let mut actions = delete_job(look);
    let message = if pods_are_gone { ABORTING } else { STOPPING };
    let landing = match landing(look) {
        Ok(landing) => landing,
        Err(why) if pods_are_gone => return Stop::Over(Ending::Abandoned(why)),
        Err(_) => return Stop::going(actions, message),
    };
    let refusal = look.clean_up_refusal();
    if let Some(refusal) = refusal.filter(|refusal| refusal.permanent && pods_are_gone) {
        let why = format!("the API server refused its Job: {}", refusal.message);
        return Stop::Over(Ending::Abandoned(why));
    }
    actions.extend(confirm_no_job(look));
    if pods_are_gone {
        actions.extend(launch::plan(look));
    }
    let abort = job::abort(
        look.export_job(),
        &landing,
        pods_started(look),
        !pods_are_gone,
        look.settings,
    );
    actions.push(Act::ApplyAbortJob(Box::new(abort)));
    Stop::going(actions, format!("{message}{}", hindrance(look)))
}

/// Lets the clean-up run once the pods are gone.
fn attend(look: &Look<'_>, abort: &JobFacts, may_run: bool) -> Stop {
    let mut actions = delete_job(look);
    if !may_run {
        return Stop::going(actions, STOPPING);
    }
    if abort.suspended {
        actions.extend(confirm_no_job(look));
        actions.extend(launch::plan(look));
        actions.push(Act::SetJobSuspend {
            name: look.abort_job_name(),
            uid: abort.uid.clone(),
            suspend: false,
        });
    }
    let why = hindrance(look);
    let tried_ms = abort.started_at_ms.map_or(0, |started| look.now_ms() - started);
    if !abort.pods_started && !abort.suspended && tried_ms >= NOTHING_TO_CLEAN_MS && !why.is_empty() {
        return Stop::Over(Ending::Abandoned(format!(
            "no pod of the export was seen to start, and that of the clean-up cannot{why}"
        )));
    }
    Stop::going(actions, format!("{ABORTING}{why}"))
}

/// How the clean-up ended, if it has and that is known.
fn followed(look: &Look<'_>, abort: &JobFacts) -> Option<Stop> {
    match &abort.end {
        JobEnd::NotYet => None,
        JobEnd::Complete { at_ms } => Some(match conclusion(look, abort) {
            Some(report) if report.outcome == Outcome::Aborted => Stop::Over(Ending::Aborted),
            Some(report) => Stop::Over(Ending::Committed(Some(Box::new(report.clone())), *at_ms)),
            None if is_recent(look, *at_ms) => Stop::Soon,
            None => return None,
        }),
        JobEnd::Failed { at_ms, message, .. } => {
            let pods = look.pods_of(abort);
            let said = pods.iter().find_map(|pod| pod.report.as_ref()?.errors.first());
            if said.is_none() && is_recent(look, *at_ms) {
                return Some(Stop::Soon);
            }
            let why = said.map_or_else(|| message.clone(), |said| format!("{}: {}", said.code, said.msg));
            Some(Stop::Over(Ending::Abandoned(format!("it failed: {why}"))))
        }
    }
}

/// Why the clean-up does not start, to be put after what is said; empty if it does.
fn hindrance(look: &Look<'_>) -> String {
    let trouble = look.observed.abort_job.present().and_then(|abort| trouble(look, abort));
    let refusal = look.clean_up_refusal();
    match (trouble, refusal) {
        (Some((_, trouble)), _) => format!(": {}: {}", trouble.reason, trouble.message),
        (None, Some(refusal)) => format!(": {}", refusal.message),
        (None, None) => String::new(),
    }
}

/// Whether a pod of the export may have written something. Once its Job is gone this is not known.
fn pods_started(look: &Look<'_>) -> bool {
    let Some(job) = look.observed.job.present() else {
        return true;
    };
    job.failed > 0 || look.observed.progress.is_some() || look.pods_of(job).iter().any(|pod| pod.started)
}

/// Where the export writes to: what its Job says, for the Dataset may have changed or gone.
fn landing(look: &Look<'_>) -> Result<Landing, String> {
    let name = &look.export_job().spec.destination.dataset_id;
    let told = look.observed.job.present().and_then(|job| job.landing.clone());
    let dataset = look.observed.references.datasets.get(name);
    let landing = told.or_else(|| dataset.map(Landing::of));
    let landing = landing.ok_or_else(|| format!("Dataset {name:?} does not exist any more"))?;
    match landing.volume.as_ref().and_then(|volume| forbidden_path(look, volume)) {
        Some(path) => Err(format!(
            "Dataset {name:?} is on hostPath {path:?}, which the operator does not allow"
        )),
        None => Ok(landing),
    }
}

fn delete_job(look: &Look<'_>) -> Vec<Act> {
    let running = look.observed.job.present().filter(|job| job.end == JobEnd::NotYet);
    running.and_then(|job| look.delete_job(job)).into_iter().collect()
}

/// That the cache has no Job does not mean that there is none.
fn confirm_no_job(look: &Look<'_>) -> Option<Act> {
    let name = look.job_name();
    look.observed
        .job
        .present()
        .is_none()
        .then_some(Act::ConfirmNoJob { name })
}

fn abandoned(look: &Look<'_>, why: &str) -> Notice {
    let dataset = &look.export_job().spec.destination.dataset_id;
    let location = landing(look)
        .map(|landing| format!(" at {}", landing.location))
        .unwrap_or_default();
    Notice::warning(
        "CleanUpAbandoned",
        format!(
            "{} perhaps not aborted in Dataset {dataset:?}{location}, and files may be left behind in its folders _batchId=…: {why}",
            finish::batches(look)
        ),
    )
}
