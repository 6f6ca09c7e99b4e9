//! Everything that is written to the API server.

mod definition;
mod register;
mod writer;

use exportjob_api::ExportJob;
use kube::Resource;
use kube_runtime::events::{Event, EventType};
use thiserror::Error;
use tracing::warn;

use crate::{context::Shared, decision::Act, notice::Notice, refusals::Refusal};
pub use definition::apply_definition_status;
use writer::Writer;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is done, now or before.
    Done,
    /// What was observed is outdated: nothing was written, and the job has to be looked at again.
    Stale,
    /// The ExportJob is gone.
    Gone,
}

/// What became of several writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acted {
    /// How many were done.
    pub writes: usize,
    /// How the last one ended.
    pub ended: Written,
}

/// Why a write was not done.
#[derive(Debug, Error)]
pub enum ActError {
    /// The API server did not answer as hoped.
    #[error("failed to {step}: {source}")]
    Api {
        /// What was tried.
        step: &'static str,
        /// The answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server does not take an object.
    #[error("{} {} was refused: {}", .0.kind, .0.name, .0.message)]
    Refused(Refusal),
    /// An object was there and was not there.
    #[error("{kind} {name} was deleted while it was being made: trying again")]
    Vanished {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

impl ActError {
    /// The error as a word for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Api { .. } => "API",
            Self::Refused(_) => "REFUSED",
            Self::Vanished { .. } => "VANISHED",
        }
    }
}

/// Does what was decided about `export_job`, in this order, and stops at the first write that finds the observation
/// outdated. Each may be repeated safely.
pub async fn act(shared: &Shared, export_job: &ExportJob, actions: &[Act]) -> Result<Acted, ActError> {
    let mut writer = Writer::new(&shared.client, &shared.expectations, export_job);
    let mut acted = Acted {
        writes: 0,
        ended: Written::Done,
    };
    for action in actions {
        let ended = match action {
            // Leased before the decision that is acted on here.
            Act::LeaseId => continue,
            Act::ConfirmCurrent => writer.confirm_current().await?,
            Act::ConfirmNoJob { name } => writer.confirm_no_job(name).await?,
            Act::AddFinalizer => writer.add_finalizer().await?,
            Act::ApplyStatus(status) => writer.apply_status(status).await?,
            Act::ApplyPlan(plan) => writer.create_plan(plan).await?,
            Act::ApplyJob(job) | Act::ApplyAbortJob(job) => {
                let written = writer.create_job(job).await;
                // It was taken, or nobody knows whether it was.
                if !matches!(written, Err(ActError::Refused(_))) {
                    shared.refusals.forget(writer.uid());
                }
                written?
            }
            Act::SetJobSuspend { name, uid, suspend } => writer.suspend_job(name, uid, *suspend).await?,
            Act::DeleteJob { name, uid } => writer.delete_job(name, uid).await?,
            Act::Publish(notice) => publish(shared, export_job, notice).await,
            Act::RemoveFinalizer => writer.remove_finalizer().await?,
            Act::DeleteExportJob { uid } => writer.delete_export_job(uid).await?,
        };
        acted.ended = ended;
        if ended != Written::Done {
            break;
        }
        acted.writes += 1;
    }
    Ok(acted)
}

/// Publishes an Event. Events are a courtesy: one that is not taken holds nothing up.
async fn publish(shared: &Shared, export_job: &ExportJob, notice: &Notice) -> Written {
    let event = Event {
        type_: if notice.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: notice.reason.to_owned(),
        note: Some(notice.message.clone()),
        action: notice.reason.to_owned(),
        secondary: None,
    };
    let regarding = export_job.object_ref(&());
    if let Err(error) = shared.recorder.publish(&event, &regarding).await {
        warn!(reason = notice.reason, note = notice.message, %error, "an Event was not published");
    }
    Written::Done
}
