//! One look at an ExportJob: observe, decide, act.

use std::{sync::Arc, time::Duration};

use exportjob_api::ExportJob;
use kube::ResourceExt;
use kube_runtime::controller::Action;
use rand::Rng as _;
use tokio::time::Instant;
use tracing::{Instrument as _, debug, info, info_span, warn};

use crate::{
    act::{ActError, Acted, Written, act},
    context::Context,
    decide::decide,
    decision::{Act, Decision, Next},
    error::ReconcileError,
    ids::IdError,
    metrics::ReconcileOutcome,
    observe::{caught_up, known, observe},
    refusals::Refusal,
};

/// Looked at again after this time when the caches are behind our own writes, unless they catch up before.
const CACHE_PAUSE: Duration = Duration::from_secs(1);
/// Looked at again after this time when something that was observed had changed.
const STALE_PAUSE: Duration = Duration::from_millis(500);
/// Pauses from this one on are spread, so that jobs that were made together are not looked at together for ever.
const SPREAD_FROM: Duration = Duration::from_mins(1);

/// Brings an ExportJob a step nearer to what its spec asks for, and says when to look again.
pub async fn reconcile(export_job: Arc<ExportJob>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let started = Instant::now();
    let metrics = &context.shared.metrics;
    let in_flight = metrics.reconcile_started();
    let span = info_span!(
        "reconcile",
        namespace = export_job.namespace(),
        export_job = export_job.name_any(),
        uid = export_job.uid(),
        id = export_job.status.as_ref().and_then(|status| status.id),
    );
    let result = step(&export_job, &context).instrument(span).await;
    let outcome = match &result {
        Ok((_, outcome)) => *outcome,
        Err(_) => ReconcileOutcome::Failed,
    };
    metrics.reconciled(outcome, started.elapsed());
    drop(in_flight);
    let (action, _) = result?;
    context.shared.backoff.forget(uid_of(&export_job));
    Ok(action)
}

/// After an error: later and later.
#[allow(clippy::needless_pass_by_value)]
pub fn error_policy(export_job: Arc<ExportJob>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let pause = context.shared.backoff.failed(uid_of(&export_job));
    context.shared.metrics.reconcile_failed(error.code());
    warn!(
        namespace = export_job.namespace(),
        export_job = export_job.name_any(),
        uid = export_job.uid(),
        code = error.code(),
        %error,
        retry_in_seconds = pause.as_secs_f32(),
        "failed: trying again"
    );
    Action::requeue(pause)
}

async fn step(export_job: &Arc<ExportJob>, context: &Context) -> Result<(Action, ReconcileOutcome), ReconcileError> {
    if !caught_up(context, export_job) {
        return Ok((Action::requeue(CACHE_PAUSE), ReconcileOutcome::Waiting));
    }
    let decision = match look(export_job, context).await {
        Ok(decision) => decision,
        // Another look has given it one, or it is gone.
        Err(ReconcileError::Id(IdError::NotWaiting)) => {
            return Ok((Action::requeue(STALE_PAUSE), ReconcileOutcome::Waiting));
        }
        Err(error) => return Err(error),
    };
    match act(&context.shared, export_job, &decision.actions).await {
        Ok(acted) => {
            tell(export_job, &decision);
            Ok(follow_up(&acted, decision.next))
        }
        Err(ActError::Refused(refusal)) => refused(context, export_job, refusal),
        Err(error) => Err(error.into()),
    }
}

/// Observes and decides; a number for the job is leased in between if the decision asks for one.
async fn look(export_job: &Arc<ExportJob>, context: &Context) -> Result<Decision, ReconcileError> {
    let shared = &context.shared;
    let observed = observe(context, export_job, None).await?;
    let decision = decide(&observed, &shared.settings);
    if !decision.actions.contains(&Act::LeaseId) {
        return Ok(decision);
    }
    let id = shared
        .ids
        .id_of(uid_of(export_job), || known(shared.scopes.get().into_iter().flatten()))
        .await?;
    let observed = observe(context, export_job, Some(id)).await?;
    Ok(decide(&observed, &shared.settings))
}

/// The API server did not take something. That is told to the next look, which comes at once if it is news.
fn refused(
    context: &Context,
    export_job: &ExportJob,
    refusal: Refusal,
) -> Result<(Action, ReconcileOutcome), ReconcileError> {
    let uid = uid_of(export_job);
    if context.shared.refusals.note(uid, refusal.clone()) {
        info!(
            kind = refusal.kind,
            object = refusal.name,
            message = refusal.message,
            "refused"
        );
        return Ok((Action::requeue(Duration::ZERO), ReconcileOutcome::Applied));
    }
    Err(ActError::Refused(refusal).into())
}

fn follow_up(acted: &Acted, next: Next) -> (Action, ReconcileOutcome) {
    let outcome = if acted.writes > 0 {
        ReconcileOutcome::Applied
    } else {
        ReconcileOutcome::Unchanged
    };
    match acted.ended {
        Written::Done => (action(next), outcome),
        Written::Gone => (Action::await_change(), outcome),
        Written::Stale => (Action::requeue(STALE_PAUSE), ReconcileOutcome::Waiting),
    }
}

fn action(next: Next) -> Action {
    match next {
        Next::AwaitChange => Action::await_change(),
        Next::After(pause) if pause < SPREAD_FROM => Action::requeue(pause),
        Next::After(pause) => Action::requeue(pause + pause.mul_f64(rand::rng().random_range(0.0..0.1))),
    }
}

/// Logs changes of phase, and everything else that was done for those who look closely.
fn tell(export_job: &ExportJob, decision: &Decision) {
    let before = export_job.status.as_ref().and_then(|status| status.phase);
    for act in &decision.actions {
        match act {
            Act::ApplyStatus(status) if status.phase != before => {
                let phase = status.phase.map(exportjob_api::Phase::as_str);
                info!(phase, id = status.id, "phase");
            }
            Act::RemoveFinalizer if export_job.metadata.deletion_timestamp.is_some() => {
                info!("released");
            }
            act => debug!(?act, "done"),
        }
    }
}

fn uid_of(export_job: &ExportJob) -> &str {
    export_job.metadata.uid.as_deref().unwrap_or_default()
}
