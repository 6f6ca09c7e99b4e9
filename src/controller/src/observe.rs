//! What is known of an ExportJob: from the caches, and from single reads where no cache is kept.

use std::{collections::BTreeMap, sync::Arc};

use exportjob_api::ExportJob;
use exportjob_plan::{abort_job_name, job_name};
use k8s_openapi::{
    api::core::v1::{self, Namespace, Pod},
    jiff::Timestamp,
};
use kube::{Api, Client, Resource, ResourceExt};
use kube_runtime::reflector::Store;

use crate::{
    context::Context,
    error::ReconcileError,
    ids::Known,
    job::UID_LABEL,
    observed::{ChildJob, Observed, PodFacts, References, Refusal, ServiceAccount, Trouble},
    progress::combined,
    stores::Stores,
};

/// Annotation by which the owner of a service account lets export pods run as it.
const ALLOWANCE: &str = "exportjob.dev/export-pods";

/// Whether the caches show what this process has written for the job. Before that nothing may be decided.
pub fn caught_up(context: &Context, export_job: &ExportJob) -> bool {
    let namespace = export_job.namespace().unwrap_or_default();
    context.shared.expectations.are_met(
        export_job.metadata.uid.as_deref().unwrap_or_default(),
        export_job.metadata.resource_version.as_deref(),
        |name| context.stores.job(&namespace, name),
    )
}

/// Everything that is known of the job. `leased_id` is the number that was leased for it, if one was.
///
/// The API server is asked only for a service account that a new job names, and whether the namespace is going while the
/// job or a pod of it is being deleted.
pub async fn observe(
    context: &Context,
    export_job: &Arc<ExportJob>,
    leased_id: Option<i64>,
) -> Result<Observed, ReconcileError> {
    let (stores, shared) = (&context.stores, &context.shared);
    let namespace = export_job.namespace().unwrap_or_default();
    let (name, uid) = (export_job.name_any(), export_job.uid().unwrap_or_default());
    let child = |job_name: &str| {
        let job = stores.job(&namespace, job_name);
        let warning = job.as_ref().and_then(|job| trouble(stores, job.as_ref()));
        ChildJob::of(job.as_deref(), &uid, warning)
    };
    let refusal = shared.refusals.of(&uid);
    let mut observed = Observed {
        now_ms: Timestamp::now().as_millisecond(),
        export_job: export_job.clone(),
        id: leased_id,
        references: Arc::default(),
        service_account: ServiceAccount::default(),
        namespace_terminating: refusal.as_ref().is_some_and(|refusal| refusal.namespace_terminating),
        job: child(&job_name(&name, &uid)),
        abort_job: child(&abort_job_name(&name, &uid)),
        pods: Vec::new(),
        progress: None,
        refusal: refusal.map(|refusal| Refusal {
            permanent: refusal.is_permanent(),
            name: refusal.name,
            message: refusal.message,
        }),
    };
    if is_finished(export_job) {
        return Ok(observed);
    }
    observed.pods = pods(stores, &namespace, &uid);
    if let ChildJob::Present(job) = &observed.job {
        observed.progress = combined(&shared.progress.of(&uid), &observed.pods, job);
    }
    observed.references = Arc::new(references(stores, &namespace));
    if observed.job.present().is_none() {
        observed.service_account = service_account(&shared.client, export_job).await?;
    }
    if is_being_removed(&observed) && !observed.namespace_terminating {
        observed.namespace_terminating = is_terminating(&shared.client, &namespace).await?;
    }
    Ok(observed)
}

/// What the numbering has to know of all jobs.
pub fn known<'a>(scopes: impl Iterator<Item = &'a Stores>) -> Known {
    let mut known = Known::default();
    let mut waiting = Vec::new();
    for export_job in scopes.flat_map(|stores| stores.export_jobs.state()) {
        match export_job.status.as_ref().and_then(|status| status.id) {
            Some(id) => known.highest = known.highest.max(id),
            None => waiting.push(export_job),
        }
    }
    // Times of creation are whole seconds; within one the API server's own count decides.
    waiting.sort_by_cached_key(|export_job| {
        let created = export_job.metadata.creation_timestamp.as_ref();
        let version = export_job.metadata.resource_version.as_deref();
        (
            created.map(|time| time.0),
            version.and_then(|version| version.parse::<u64>().ok()),
            export_job.uid(),
        )
    });
    known.waiting = waiting.iter().filter_map(|export_job| export_job.uid()).collect();
    known
}

/// Whether the job, or a pod of it, is being deleted: perhaps because its namespace is, in which pods go first.
fn is_being_removed(observed: &Observed) -> bool {
    observed.export_job.metadata.deletion_timestamp.is_some() || observed.pods.iter().any(|pod| pod.deleting)
}

fn is_finished(export_job: &ExportJob) -> bool {
    let phase = export_job.status.as_ref().and_then(|status| status.phase);
    phase.is_some_and(exportjob_api::Phase::is_terminal)
}

fn pods(stores: &Stores, namespace: &str, uid: &str) -> Vec<PodFacts> {
    let ours = stores.pods.state_filter(|pod: &Pod| {
        pod.metadata.namespace.as_deref() == Some(namespace)
            && pod.labels().get(UID_LABEL).is_some_and(|label| label == uid)
    });
    ours.iter()
        .map(|pod| PodFacts::of(pod, trouble(stores, pod.as_ref())))
        .collect()
}

fn trouble(stores: &Stores, object: &impl ResourceExt) -> Option<Trouble> {
    let warning = stores.warnings.of(&object.uid()?)?;
    Some(Trouble {
        reason: warning.reason,
        message: warning.message,
        at_ms: warning.at_ms,
    })
}

fn references(stores: &Stores, namespace: &str) -> References {
    References {
        stores: by_name(&stores.profile_stores, namespace),
        datasets: by_name(&stores.datasets, namespace),
        definitions: by_name(&stores.definitions, namespace),
    }
}

fn by_name<K>(store: &Store<K>, namespace: &str) -> BTreeMap<String, K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store
        .state_filter(|object| object.meta().namespace.as_deref() == Some(namespace))
        .into_iter()
        .map(|object| (object.name_any(), K::clone(&object)))
        .collect()
}

async fn service_account(client: &Client, export_job: &ExportJob) -> Result<ServiceAccount, ReconcileError> {
    let execution = export_job.spec.execution.as_ref();
    let Some(name) = execution.and_then(|execution| execution.service_account_name.as_deref()) else {
        return Ok(ServiceAccount::Allowed);
    };
    let namespace = export_job.namespace().unwrap_or_default();
    let found = Api::<v1::ServiceAccount>::namespaced(client.clone(), &namespace)
        .get_opt(name)
        .await
        .map_err(|error| failed_read("ServiceAccount", name, error))?;
    Ok(match found {
        None => ServiceAccount::Missing,
        Some(account) if is_allowed(&account) => ServiceAccount::Allowed,
        Some(_) => ServiceAccount::NotAllowed,
    })
}

fn is_allowed(account: &v1::ServiceAccount) -> bool {
    let allowance = account.annotations().get(ALLOWANCE);
    allowance.is_some_and(|allowance| allowance == "allowed")
}

async fn is_terminating(client: &Client, namespace: &str) -> Result<bool, ReconcileError> {
    let found = Api::<Namespace>::all(client.clone())
        .get_opt(namespace)
        .await
        .map_err(|error| failed_read("Namespace", namespace, error))?;
    Ok(found.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()))
}

fn failed_read(kind: &'static str, name: &str, source: kube::Error) -> ReconcileError {
    ReconcileError::Read {
        kind,
        name: name.to_owned(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use kube_runtime::{reflector, watcher};
    use serde_json::json;

    use super::*;
    use crate::warnings::Warnings;

    #[test]
    fn jobs_without_number_are_known_in_order_of_creation() {
        let (export_jobs, mut writer) = reflector::store::<ExportJob>();
        for (name, created, version, id) in [
            ("c", "2026-01-02T00:00:00Z", "30", None),
            ("b", "2026-01-01T00:00:00Z", "9", None),
            ("a", "2026-01-01T00:00:00Z", "10", None),
            ("done", "2025-01-01T00:00:00Z", "40", Some(77)),
        ] {
            let export_job = serde_json::from_value(json!({
                "apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob",
                "metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": version,
                    "creationTimestamp": created},
                "spec": {"destination": {"datasetId": "d"}, "schema": {"name": "_xdm.context.profile"}},
                "status": {"id": id}
            }));
            writer.apply_watcher_event(&watcher::Event::Apply(export_job.unwrap()));
        }
        let stores = Stores {
            export_jobs,
            jobs: reflector::store().0,
            pods: reflector::store().0,
            profile_stores: reflector::store().0,
            datasets: reflector::store().0,
            definitions: reflector::store().0,
            warnings: Warnings::default(),
        };
        let known = known([&stores].into_iter());
        assert_eq!(known.waiting, ["b", "a", "c"]);
        assert_eq!(known.highest, 77);
    }

    #[test]
    fn a_service_account_is_used_only_with_its_owners_leave() {
        let account = |annotations| {
            serde_json::from_value::<v1::ServiceAccount>(json!({"metadata": {"annotations": annotations}})).unwrap()
        };
        assert!(is_allowed(&account(json!({ALLOWANCE: "allowed"}))));
        assert!(!is_allowed(&account(json!({ALLOWANCE: "yes"}))));
        assert!(!is_allowed(&account(json!({}))));
    }
}
