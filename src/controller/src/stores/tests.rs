#![allow(clippy::unwrap_used)]

use kube_runtime::watcher;
use serde_json::json;

use super::*;

fn stores() -> (Stores, Writer<ExportJob>, Writer<Job>) {
    let (export_jobs, export_jobs_writer) = reflector::store();
    let (jobs, jobs_writer) = reflector::store();
    let stores = Stores {
        export_jobs,
        jobs,
        pods: reflector::store().0,
        profile_stores: reflector::store().0,
        datasets: reflector::store().0,
        definitions: reflector::store().0,
        warnings: Warnings::default(),
    };
    (stores, export_jobs_writer, jobs_writer)
}

fn job() -> Job {
    serde_json::from_value(json!({"metadata": {"name": "j", "namespace": "n", "ownerReferences": [
        {"apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob", "name": "e.x", "uid": "u", "controller": true}
    ]}, "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}}))
    .unwrap()
}

#[test]
fn a_pod_concerns_the_export_job_of_its_job() {
    let (stores, _, mut jobs) = stores();
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "ownerReferences": [
        {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": true}
    ]}}))
    .unwrap();
    assert_eq!(stores.owner_of_pod(&pod), None, "its Job is not known");
    jobs.apply_watcher_event(&watcher::Event::Apply(job()));
    assert_eq!(stores.owner_of_pod(&pod), Some(ObjectRef::new("e.x").within("n")));
}

#[test]
fn a_change_of_a_reference_concerns_the_jobs_of_its_namespace_that_have_not_started() {
    let (stores, mut export_jobs, _) = stores();
    for (name, namespace, phase) in [
        ("waiting", "n", json!({"phase": "NEW"})),
        ("fresh", "n", json!({})),
        ("running", "n", json!({"phase": "PROCESSING"})),
        ("elsewhere", "m", json!({"phase": "NEW"})),
    ] {
        let export_job = serde_json::from_value(json!({
            "apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"destination": {"datasetId": "d"}, "schema": {"name": "_xdm.context.profile"}},
            "status": phase
        }))
        .unwrap();
        export_jobs.apply_watcher_event(&watcher::Event::Apply(export_job));
    }
    let mut names: Vec<String> = stores
        .not_started(Some("n"))
        .into_iter()
        .map(|found| found.name)
        .collect();
    names.sort();
    assert_eq!(names, ["fresh", "waiting"]);
}

#[test]
fn a_cached_job_has_no_pod_template() {
    let mut job = job();
    trim_job(&mut job);
    assert_eq!(job.spec.unwrap().template, PodTemplateSpec::default());
    assert!(job.metadata.owner_references.is_some());
}
