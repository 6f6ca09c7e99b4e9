//! A job that is over: how it is told, and when it goes.

use exportjob_api::{ErrorRecord, Phase};
use exportjob_plan::{RunReport, code};

use super::{Look, duration, follow};
use crate::{
    decision::{Act, Decision, Next},
    notice::Notice,
    observed::{JobEnd, JobFacts},
    status,
};

/// What is left to do for a job that is over: nothing but to let it go when it is deleted or its time has run out.
pub fn finished(look: &Look<'_>) -> Decision {
    if look.is_deleted() {
        return once(vec![Act::RemoveFinalizer]);
    }
    let strays = strays(look);
    if !strays.is_empty() {
        return once(strays);
    }
    let mut status = look.status.clone();
    status.observed_generation = look.export_job().metadata.generation;
    if let Some(write) = status::write(look, status) {
        // What may still be changed in the spec of a job that is over needs no more than to be seen.
        return once(vec![write]);
    }
    let Some(ttl) = look.execution().ttl_seconds_after_finished else {
        return Decision::rest();
    };
    let total = look.status.metrics.as_ref().and_then(|metrics| metrics.total_time);
    let ended = total.and_then(|span| span.end_time_in_ms).unwrap_or(look.created_ms);
    let left = ended.saturating_add(ttl.saturating_mul(1000)) - look.now_ms();
    if left <= 0 {
        return once(vec![Act::DeleteExportJob { uid: look.uid.clone() }]);
    }
    Decision {
        actions: Vec::new(),
        next: Next::After(duration(left)),
    }
}

/// Jobs that must not go on: a clean-up that was given up, and an export for a job that has failed, made by a controller
/// that did not know, yet, that it leads no more.
fn strays(look: &Look<'_>) -> Vec<Act> {
    let goes_on = |job: &&JobFacts| job.end == JobEnd::NotYet;
    let has_failed = look.status.phase == Some(Phase::Failed);
    let export = look.observed.job.present().filter(goes_on).filter(|_| has_failed);
    let abort = look.observed.abort_job.present().filter(goes_on);
    let strays = [
        export.and_then(|job| look.delete_job(job)),
        abort.and_then(|job| look.delete_abort_job(job)),
    ];
    strays.into_iter().flatten().collect()
}

/// The batches are in the dataset since `end_ms`. Without a report the counts are not known.
pub fn succeed(look: &Look<'_>, report: Option<&RunReport>, end_ms: i64) -> Vec<Act> {
    let mut status = status::base(look);
    if let Some(job) = look.observed.job.present() {
        status
            .compute_gateway_job_id
            .get_or_insert_default()
            .export_job
            .clone_from(&job.uid);
        status.shards = follow::shards(job).or(status.shards);
    }
    if let Some(shards) = &mut status.shards {
        shards.succeeded = shards.total;
    }
    let written = report.and_then(|report| report.dataset_write).map_or(0, |(_, end)| end);
    status::succeed(&mut status, report, end_ms.max(written), look.now_ms());
    let told = match report {
        Some(report) => format!("{} profiles are in the dataset", report.profiles_written),
        None => "the batches are in the dataset".to_owned(),
    };
    let mut actions: Vec<Act> = status::write(look, status).into_iter().collect();
    actions.push(Act::Publish(Notice::normal("Succeeded", told)));
    let was_to_stop = |error: &ErrorRecord| error.code != code::COMMIT_UNREPORTED;
    if look.execution().cancel == Some(true) || look.status.errors.iter().any(was_to_stop) {
        actions.push(Act::Publish(kept(look)));
    }
    actions
}

/// The batches were committed before the job could be stopped.
pub fn kept(look: &Look<'_>) -> Notice {
    Notice::normal(
        "AlreadyCommitted",
        format!(
            "the export was faster: {} committed to Dataset {:?} before the job could be stopped",
            batches(look),
            look.export_job().spec.destination.dataset_id
        ),
    )
}

/// The job has failed, and nothing of it will ever be in the dataset.
pub fn fail(look: &Look<'_>, errors: Vec<ErrorRecord>) -> Vec<Act> {
    let mut status = status::base(look);
    let main = errors.first().cloned().unwrap_or_default();
    status::fail(&mut status, errors, look.now_ms());
    let mut actions: Vec<Act> = status::write(look, status).into_iter().collect();
    actions.push(Act::Publish(Notice::warning(
        "Failed",
        format!("{}: {}", main.code, main.msg),
    )));
    actions
}

/// The batches of the job, for a sentence that goes on with what was done to them.
pub fn batches(look: &Look<'_>) -> String {
    /// Most ids that are named.
    const NAMED: usize = 8;
    let ids = status::batch_ids(&look.status);
    match ids.as_slice() {
        [one] => format!("batch {one} was"),
        ids if ids.len() <= NAMED => format!("batches {} were", ids.join(", ")),
        ids => {
            let named = ids.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            format!("batches {named} and {} more were", ids.len() - NAMED)
        }
    }
}

fn once(actions: Vec<Act>) -> Decision {
    Decision {
        actions,
        next: Next::AwaitChange,
    }
}
