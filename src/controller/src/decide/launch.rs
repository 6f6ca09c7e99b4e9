//! A job without a Job: it is accepted, waits for what it refers to, and is launched.

use exportjob_api::{Dataset, ErrorRecord, ExportJobStatus, MergePolicyStatus, ProfileStore, Volume};
use exportjob_plan::{ExportPlan, Inputs, MountedLocations, build, code};

use super::{LOOK_AGAIN, Look, SHORTLY, duration, stop, whole_ms};
use crate::{
    decision::{Act, Decision},
    job::{self, Landing},
    notice::Notice,
    observed::ServiceAccount,
    status::{self, Class, Progressing},
};

/// Reason of a job whose Job the API server does not take now.
const REFUSED: &str = "JobRefused";

/// Everything that a launch needs.
struct Ready<'a> {
    plan: ExportPlan,
    store: &'a ProfileStore,
    landing: Landing,
}

/// Why a job cannot be launched.
enum Obstacle {
    /// Another resource can put it right.
    Wait { reason: &'static str, error: ErrorRecord },
    /// Nothing can.
    Fail(ErrorRecord),
}

/// Accepts the job, and launches it if it has all that it needs.
pub fn launch(look: &Look<'_>) -> Decision {
    if let Some(error) = look.must_end() {
        return stop::fail(look, vec![error]);
    }
    if look.wants_suspension() {
        return hold(look);
    }
    match prepare(look) {
        Ok(ready) => go(look, &ready),
        Err(Obstacle::Wait { reason, error }) => wait(look, reason, error),
        Err(Obstacle::Fail(error)) => stop::fail(look, vec![error]),
    }
}

fn prepare<'a>(look: &Look<'a>) -> Result<Ready<'a>, Obstacle> {
    check_image(look)?;
    check_service_account(look)?;
    let references = look.observed.references.as_ref();
    let inputs = Inputs {
        export_job: look.export_job(),
        id: look.id().unwrap_or_default(),
        created_at_ms: look.created_ms,
        stores: &references.stores,
        datasets: &references.datasets,
        definitions: &references.definitions,
        locate: &MountedLocations,
    };
    let plan = build(&inputs).map_err(|error| {
        let record = status::error(error.code(), error.to_string());
        if error.can_heal() {
            Obstacle::Wait {
                reason: error.reason(),
                error: record,
            }
        } else {
            Obstacle::Fail(record)
        }
    })?;
    let found = (
        references.stores.get(&plan.store.name),
        references.datasets.get(&plan.destination.dataset),
    );
    let (Some(store), Some(dataset)) = found else {
        // A plan names only what it was built from.
        return Err(Obstacle::Fail(status::error(
            code::INTERNAL,
            "the plan names a resource that does not exist",
        )));
    };
    check_volumes(look, store, dataset)?;
    Ok(Ready {
        plan,
        store,
        landing: Landing::of(dataset),
    })
}

/// The plan once more, if it can be made: somebody may have removed it.
pub fn plan(look: &Look<'_>) -> Option<Act> {
    let ready = prepare(look).ok()?;
    Some(Act::ApplyPlan(Box::new(job::plan_config_map(
        look.export_job(),
        &ready.plan,
    ))))
}

fn check_image(look: &Look<'_>) -> Result<(), Obstacle> {
    match look.execution().image {
        Some(image) if !look.settings.allows_image(&image) => Err(not_allowed(format!(
            "spec.execution.image: the operator does not allow {image:?}: leave it out, or have the operator's administrator add it to exporter.allowedImages"
        ))),
        _ => Ok(()),
    }
}

fn check_service_account(look: &Look<'_>) -> Result<(), Obstacle> {
    let name = look.execution().service_account_name.unwrap_or_default();
    match look.observed.service_account {
        ServiceAccount::Allowed => Ok(()),
        ServiceAccount::NotAllowed => Err(not_allowed(format!(
            "spec.execution.serviceAccountName: ServiceAccount {name:?} does not carry the annotation exportjob.dev/export-pods: allowed, by which its owner lets export pods use it"
        ))),
        ServiceAccount::Missing => Err(Obstacle::Wait {
            reason: "ServiceAccountNotFound",
            error: status::error(
                code::REFERENCE_NOT_FOUND,
                format!("ServiceAccount {name:?} does not exist: create it and the job goes on, or delete the job"),
            ),
        }),
    }
}

fn check_volumes(look: &Look<'_>, store: &ProfileStore, dataset: &Dataset) -> Result<(), Obstacle> {
    for (kind, name, volume) in [
        ("ProfileStore", &store.metadata.name, store.spec.volume.as_ref()),
        ("Dataset", &dataset.metadata.name, dataset.spec.volume.as_ref()),
    ] {
        if let Some(path) = volume.and_then(|volume| forbidden_path(look, volume)) {
            let name = name.as_deref().unwrap_or_default();
            return Err(not_allowed(format!(
                "{kind} {name:?}: the operator does not allow hostPath {path:?}: use a PersistentVolumeClaim, or have the operator's administrator add a folder above it to exporter.allowedHostPaths"
            )));
        }
    }
    Ok(())
}

/// The folder of the node that the volume is, if the operator does not allow it.
pub fn forbidden_path<'a>(look: &Look<'_>, volume: &'a Volume) -> Option<&'a str> {
    let path = volume.host_path.as_ref()?.path.as_str();
    (!look.settings.allows_host_path(path)).then_some(path)
}

fn not_allowed(message: String) -> Obstacle {
    Obstacle::Fail(status::error(code::NOT_ALLOWED, message))
}

/// The plan and the Job, and before them what must not be lost: the finalizer, the ids.
fn go(look: &Look<'_>, ready: &Ready<'_>) -> Decision {
    let said = match look.refusal() {
        None => unrefused(look),
        Some(refusal) if refusal.permanent => {
            let message = format!("the API server refused the export's Job: {}", refusal.message);
            return stop::fail(look, vec![status::error(code::JOB_REFUSED, message)]);
        }
        Some(refusal) => {
            let said = Progressing::new(Class::Placement, REFUSED, refusal.message.clone());
            if let Some(error) = overdue(look, &said) {
                return stop::fail(look, vec![error]);
            }
            said
        }
    };
    let notice = (said.reason == REFUSED).then(|| Notice::warning(REFUSED, said.message.clone()));
    let mut status = status::base(look);
    status.merge_policy.get_or_insert_with(|| MergePolicyStatus {
        id: ready.plan.merge_policy.id.clone(),
        version: ready.plan.merge_policy.version,
    });
    status::set_suspended(&mut status, None, look.now_ms());
    let mut actions = accept(look, status, &said);
    actions.extend(notice.filter(|_| is_news(look, &said)).map(Act::Publish));
    actions.push(Act::ApplyPlan(Box::new(job::plan_config_map(
        look.export_job(),
        &ready.plan,
    ))));
    let job = job::export(look.export_job(), ready.store, &ready.landing, look.settings);
    actions.push(Act::ApplyJob(Box::new(job)));
    look.decision(actions, LOOK_AGAIN)
}

/// What is said of a job whose Job nobody has refused, as far as this process knows: what another process said of that
/// holds until this one has tried.
fn unrefused(look: &Look<'_>) -> Progressing {
    let before = status::recorded(&look.status).map(|(said, _)| said);
    before
        .filter(|said| said.reason == REFUSED)
        .unwrap_or_else(|| Progressing::working("Launching", "the export's Job is being created"))
}

/// The job waits for another resource, for a bounded time.
fn wait(look: &Look<'_>, reason: &'static str, error: ErrorRecord) -> Decision {
    let said = Progressing::new(Class::Waiting, reason, error.msg.clone());
    let limit = whole_ms(look.settings.reference_timeout);
    let waited = look.since(Class::Waiting).unwrap_or(0);
    let has_deadline = look.left_ms().is_some();
    if !has_deadline && waited >= limit {
        let seconds = look.settings.reference_timeout.as_secs();
        let message = format!(
            "{}. The job has waited for {seconds} s, the operator's timeouts.referenceSeconds",
            error.msg
        );
        return stop::fail(look, vec![status::error(&error.code, message)]);
    }
    let mut status = status::base(look);
    status::set_suspended(&mut status, None, look.now_ms());
    let mut actions = accept(look, status, &said);
    if is_news(look, &said) {
        actions.push(Act::Publish(Notice::warning(reason, error.msg)));
    }
    let mut pause = LOOK_AGAIN;
    if !has_deadline {
        pause = pause.min(duration(limit - waited));
    }
    if look.observed.service_account == ServiceAccount::Missing {
        // Nothing watches service accounts.
        pause = pause.min(SHORTLY * 5);
    }
    look.decision(actions, pause)
}

/// The job is held back by its author.
fn hold(look: &Look<'_>) -> Decision {
    let mut status = status::base(look);
    status::set_suspended(
        &mut status,
        Some(("Suspended", "spec.execution.suspend is true")),
        look.now_ms(),
    );
    let said = Progressing::new(
        Class::Suspended,
        "Suspended",
        "the job waits until spec.execution.suspend is false",
    );
    let actions = accept(look, status, &said);
    look.decision(actions, LOOK_AGAIN)
}

/// The finalizer before the status, the status before all else. Where there is nothing to write, what follows still
/// needs to know that the job is what it was.
fn accept(look: &Look<'_>, mut status: ExportJobStatus, said: &Progressing) -> Vec<Act> {
    let mut actions = Vec::new();
    if !look.has_finalizer() {
        actions.push(Act::AddFinalizer);
    }
    status::set_progress(&mut status, said, look.now_ms());
    let is_working = said.class == Class::Working || said.class == Class::Placement;
    match status::write(look, status) {
        Some(write) => actions.push(write),
        None if is_working => actions.push(Act::ConfirmCurrent),
        None => {}
    }
    actions
}

/// What the job fails with when it has been unable to start for too long.
pub fn overdue(look: &Look<'_>, said: &Progressing) -> Option<ErrorRecord> {
    let grace = look.settings.start_grace;
    let lasted = look.since(said.class)?;
    (said.class.is_trouble() && lasted >= whole_ms(grace)).then(|| {
        let message = format!(
            "no pod could start within {} s (the operator's timeouts.startGraceSeconds): {}: {}",
            grace.as_secs(),
            said.reason,
            said.message
        );
        status::error(code::POD_CANNOT_START, message)
    })
}

/// Whether the status said something else before.
pub fn is_news(look: &Look<'_>, said: &Progressing) -> bool {
    status::recorded(&look.status).is_none_or(|(before, _)| before.class != said.class || before.reason != said.reason)
}
