//! A job that is over: how it is told, and when it goes.

use exportjob_api::{ErrorRecord, Phase};
use exportjob_plan::{RunReport, job_name};
use kube::ResourceExt as _;

use super::{Look, duration};
use crate::{
    decision::{Act, Decision, Next},
    notice::Notice,
    observed::JobEnd,
    status,
};

/// What is left to do for a job that is over: nothing but to let it go when it is deleted or its time has run out.
pub fn finished(look: &Look<'_>) -> Decision {
    if look.is_deleted() {
        return once(vec![Act::RemoveFinalizer]);
    }
    if let Some(stray) = stray_job(look) {
        return once(vec![stray]);
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

/// A Job that works for a job that has failed: made by a controller that did not know, yet, that it leads no more.
fn stray_job(look: &Look<'_>) -> Option<Act> {
    let job = look.observed.job.present()?;
    let strays = look.status.phase == Some(Phase::Failed) && job.end == JobEnd::NotYet && !job.deleting;
    strays.then(|| Act::DeleteJob {
        name: job_name(&look.export_job().name_any(), &look.uid),
        uid: job.uid.clone(),
    })
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
    }
    let written = report.and_then(|report| report.dataset_write).map_or(0, |(_, end)| end);
    status::succeed(&mut status, report, end_ms.max(written), look.now_ms());
    let told = match report {
        Some(report) => format!("{} profiles are in the dataset", report.profiles_written),
        None => "the batches are in the dataset".to_owned(),
    };
    let mut actions: Vec<Act> = status::write(look, status).into_iter().collect();
    actions.push(Act::Publish(Notice::normal("Succeeded", told)));
    if look.execution().cancel == Some(true) || !look.status.errors.is_empty() {
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
