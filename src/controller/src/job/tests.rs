#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::settings::Settings;

const UID: &str = "11111111-2222-3333-4444-555555555555";

fn settings() -> Settings {
    Settings {
        exporter_image: "exporter:1".to_owned(),
        exporter_image_pull_policy: "IfNotPresent".to_owned(),
        exporter_resources: serde_json::from_value(json!({"limits": {"memory": "2Gi"}, "requests": {"cpu": 1}}))
            .unwrap(),
        allowed_images: Vec::new(),
        allowed_host_paths: Vec::new(),
        backoff_limit: 3,
        ims_org_id: None,
        reference_timeout: std::time::Duration::ZERO,
        start_grace: std::time::Duration::ZERO,
        cancellation_timeout: std::time::Duration::ZERO,
        progress_interval: std::time::Duration::ZERO,
    }
}

fn export_job(execution: &Value) -> ExportJob {
    serde_json::from_value(json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob",
        "metadata": {"name": "loyal", "namespace": "n", "uid": UID},
        "spec": {"destination": {"datasetId": "d"}, "schema": {"name": "s"}, "execution": execution},
    }))
    .unwrap()
}

fn claim(name: &str) -> Value {
    json!({"persistentVolumeClaim": {"claimName": name}})
}

fn store(volume: &Value) -> ProfileStore {
    serde_json::from_value(json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "ProfileStore", "metadata": {"name": "ups"},
        "spec": {"volume": volume, "tables": {"fragments": [{"location": "file:///store/f", "format": "parquet"}]}},
    }))
    .unwrap()
}

fn dataset(spec: &Value) -> Dataset {
    serde_json::from_value(json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "d"}, "spec": spec,
    }))
    .unwrap()
}

fn landing() -> Landing {
    Landing::of(&dataset(
        &json!({"location": "file:///datasets/d", "volume": claim("datasets")}),
    ))
}

fn exported(execution: &Value) -> Value {
    let job = export(
        &export_job(execution),
        &store(&claim("profiles")),
        &landing(),
        &settings(),
    );
    serde_json::to_value(job).unwrap()
}

fn aborted(execution: &Value) -> Value {
    let job = abort(&export_job(execution), &landing(), true, false, &settings());
    serde_json::to_value(job).unwrap()
}

/// Volumes and mounts of an export from this volume of the store into this Dataset.
fn mounted(volume: &Value, spec: &Value) -> (Value, Value) {
    let landing = Landing::of(&dataset(spec));
    let job = export(&export_job(&json!({})), &store(volume), &landing, &settings());
    let job = serde_json::to_value(job).unwrap();
    let pod = &job["spec"]["template"]["spec"];
    (pod["volumes"].clone(), pod["containers"][0]["volumeMounts"].clone())
}

fn labels(component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "exportjob",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "exportjob-controller",
        "app.kubernetes.io/instance": "loyal",
        "exportjob.dev/export-job": "loyal",
        "exportjob.dev/uid": UID,
    })
}

fn names() -> (String, String, String) {
    (
        job_name("loyal", UID),
        plan_name("loyal", UID),
        abort_job_name("loyal", UID),
    )
}

fn owners() -> Value {
    json!([{
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob", "name": "loyal", "uid": UID,
        "controller": true, "blockOwnerDeletion": false,
    }])
}

fn template(component: &str) -> Value {
    let (_, plan, _) = names();
    let limit = |resource: &str| json!({"resourceFieldRef": {"containerName": "exporter", "resource": resource, "divisor": "1"}});
    let mut volumes = vec![
        json!({"name": "plan", "configMap": {"name": plan}}),
        json!({"name": "spill", "emptyDir": {}}),
    ];
    let mut mounts = vec![
        json!({"name": "plan", "mountPath": "/etc/exportjob", "readOnly": true}),
        json!({"name": "spill", "mountPath": "/tmp/exportjob"}),
    ];
    if component == "exporter" {
        volumes.push(json!({"name": "store", "persistentVolumeClaim": {"claimName": "profiles"}}));
        mounts.push(json!({"name": "store", "mountPath": "/store", "readOnly": true}));
    }
    volumes.push(json!({"name": "dataset", "persistentVolumeClaim": {"claimName": "datasets"}}));
    mounts.push(json!({"name": "dataset", "mountPath": "/datasets"}));
    json!({
        "metadata": {
            "labels": labels(component),
            "annotations": {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "exporter",
                "image": "exporter:1",
                "imagePullPolicy": "IfNotPresent",
                "args": [if component == "exporter" { "run" } else { "abort" }],
                "env": [
                    {"name": "MIMALLOC_PURGE_DELAY", "value": "1000"},
                    {"name": "EXPORTJOB_POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                    {"name": "EXPORTJOB_MEMORY_LIMIT", "valueFrom": limit("limits.memory")},
                    {"name": "EXPORTJOB_CPU_LIMIT", "valueFrom": limit("limits.cpu")},
                ],
                "ports": [{"name": "progress", "containerPort": 8081, "protocol": "TCP"}],
                "resources": {"limits": {"memory": "2Gi"}, "requests": {"cpu": "1"}},
                "volumeMounts": mounts,
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
            "volumes": volumes,
        },
    })
}

fn rule(code: u8) -> Value {
    json!({"action": "FailJob", "onExitCodes": {"containerName": "exporter", "operator": "In", "values": [code]}})
}

fn disruptions_are_ignored() -> Value {
    json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]})
}

fn landed() -> String {
    r#"{"dataset":"d","location":"file:///datasets/d","mountPath":"/datasets","volume":{"persistentVolumeClaim":{"claimName":"datasets"}}}"#.to_owned()
}

#[test]
fn an_export_is_one_restricted_pod_that_never_retries_what_cannot_go_well() {
    let (name, ..) = names();
    let expected = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": name, "namespace": "n", "labels": labels("exporter"), "ownerReferences": owners(),
            "annotations": {"exportjob.dev/landing": landed()},
        },
        "spec": {
            "completionMode": "Indexed", "completions": 1, "parallelism": 1, "podReplacementPolicy": "Failed",
            "backoffLimitPerIndex": 3, "maxFailedIndexes": 0, "suspend": false,
            "podFailurePolicy": {"rules": [rule(42), rule(43), disruptions_are_ignored()]},
            "template": template("exporter"),
        },
    });
    assert_eq!(exported(&json!({})), expected);
}

#[test]
fn shards_run_at_once_in_one_job_and_are_told_apart_by_kubernetes() {
    let job = exported(&json!({"shards": 3, "podTemplate": {"env": [
        {"name": "JOB_COMPLETION_INDEX", "value": "0"}, {"name": "RUST_LOG", "value": "debug"},
    ]}}));
    let spec = &job["spec"];
    assert_eq!((&spec["completions"], &spec["parallelism"]), (&json!(3), &json!(3)));
    assert_eq!(
        (&spec["backoffLimitPerIndex"], &spec["maxFailedIndexes"]),
        (&json!(3), &json!(0))
    );
    let names: Vec<&str> = spec["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"RUST_LOG") && !names.contains(&"JOB_COMPLETION_INDEX"),
        "{names:?}"
    );
    let clean_up = aborted(&json!({"shards": 3}));
    assert_eq!(clean_up["spec"]["completions"], json!(1));
}

#[test]
fn a_clean_up_is_such_a_pod_without_the_store_and_43_is_no_end_for_it() {
    let (.., name) = names();
    let expected = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": name, "namespace": "n", "labels": labels("clean-up"), "ownerReferences": owners(),
            "annotations": {"exportjob.dev/landing": landed(), "exportjob.dev/export-pods-started": "true"},
        },
        "spec": {
            "completionMode": "Indexed", "completions": 1, "parallelism": 1, "podReplacementPolicy": "Failed",
            "backoffLimitPerIndex": 4, "maxFailedIndexes": 0, "suspend": false,
            "podFailurePolicy": {"rules": [rule(42), disruptions_are_ignored()]},
            "template": template("clean-up"),
        },
    });
    assert_eq!(aborted(&json!({})), expected);
    let waits = abort(&export_job(&json!({})), &landing(), false, true, &settings());
    assert_eq!(waits.spec.as_ref().unwrap().suspend, Some(true));
    assert_eq!(waits.annotations()[PODS_STARTED_ANNOTATION], "false");
}

#[test]
fn a_plan_is_immutable_and_found_by_both_jobs() {
    let (_, name, _) = names();
    let references = (
        BTreeMap::from([("ups".to_owned(), store(&claim("profiles")))]),
        BTreeMap::from([(
            "d".to_owned(),
            dataset(&json!({"location": "file:///datasets/d", "volume": claim("c")})),
        )]),
    );
    let mut export_job = export_job(&json!({}));
    export_job.spec.schema.name = "_xdm.context.profile".to_owned();
    let plan = exportjob_plan::build(&exportjob_plan::Inputs {
        export_job: &export_job,
        id: 7,
        created_at_ms: 1,
        stores: &references.0,
        datasets: &references.1,
        definitions: &BTreeMap::new(),
        locate: &exportjob_plan::MountedLocations,
    })
    .unwrap();
    let config_map = plan_config_map(&export_job, &plan);
    assert_eq!(config_map.name_any(), name);
    assert_eq!(config_map.immutable, Some(true));
    assert_eq!(serde_json::to_value(config_map.owner_references()).unwrap(), owners());
    let text = &config_map.data.unwrap()["plan.json"];
    assert_eq!(serde_json::from_str::<ExportPlan>(text).unwrap(), plan);
}

#[test]
fn one_volume_at_one_path_is_mounted_once_and_writable() {
    let (volumes, mounts) = mounted(
        &claim("all"),
        &json!({"location": "file:///store/d", "volume": claim("all"), "volumeMountPath": "/store/"}),
    );
    assert_eq!(volumes.as_array().unwrap().len(), 3);
    assert_eq!(
        mounts.as_array().unwrap()[2..],
        [json!({"name": "dataset", "mountPath": "/store"})]
    );
}

#[test]
fn one_volume_at_two_paths_is_read_at_one_and_written_at_the_other() {
    let (volumes, mounts) = mounted(
        &claim("all"),
        &json!({"location": "file:///datasets/d", "volume": claim("all")}),
    );
    assert_eq!(
        volumes.as_array().unwrap()[2..],
        [json!({"name": "dataset", "persistentVolumeClaim": {"claimName": "all"}})],
        "a volume is listed once"
    );
    assert_eq!(
        mounts.as_array().unwrap()[2..],
        [
            json!({"name": "dataset", "mountPath": "/store", "readOnly": true}),
            json!({"name": "dataset", "mountPath": "/datasets"}),
        ]
    );
}

#[test]
fn a_folder_of_the_node_must_be_there() {
    let (volumes, _) = mounted(
        &json!({"hostPath": {"path": "/data/store"}}),
        &json!({"location": "file:///datasets/d", "volume": {"hostPath": {"path": "/data/sets"}}}),
    );
    assert_eq!(
        volumes.as_array().unwrap()[2..],
        [
            json!({"name": "store", "hostPath": {"path": "/data/store", "type": "Directory"}}),
            json!({"name": "dataset", "hostPath": {"path": "/data/sets", "type": "Directory"}}),
        ]
    );
}

#[test]
fn a_job_that_goes_through_a_queue_waits_for_it_and_its_clean_up_does_not() {
    let execution = json!({"queueName": "nightly"});
    let job = exported(&execution);
    assert_eq!(job["metadata"]["labels"][QUEUE_LABEL], "nightly");
    assert_eq!(job["spec"]["suspend"], true);
    assert_eq!(
        job["spec"]["template"]["metadata"]["labels"][QUEUE_LABEL],
        Value::Null,
        "the queue is the Job's"
    );
    let job = aborted(&execution);
    assert_eq!(
        (&job["metadata"]["labels"][QUEUE_LABEL], &job["spec"]["suspend"]),
        (&Value::Null, &json!(false))
    );
    assert_eq!(exported(&json!({"suspend": true}))["spec"]["suspend"], true);
}

#[test]
fn what_an_author_gives_is_added_and_the_operators_own_wins() {
    let job = exported(&json!({
        "image": "mine:2", "imagePullPolicy": "Always", "backoffLimit": 0, "serviceAccountName": "exports",
        "resources": {"limits": {"cpu": 2}},
        "podTemplate": {
            "labels": {"team": "a", "exportjob.dev/uid": "other"},
            "annotations": {"note": "b", "sidecar.istio.io/inject": "true"},
            "env": [
                {"name": "MIMALLOC_PURGE_DELAY", "value": "5"}, {"name": "RUST_LOG", "value": "debug"},
                {"name": "EXPORTJOB_POD_NAME", "value": "other"},
            ],
            "securityContext": {"runAsUser": 1000, "fsGroup": 2000, "supplementalGroups": [3000]},
            "nodeSelector": {"disk": "fast"},
        },
    }));
    let (template, mut expected) = (&job["spec"]["template"], template("exporter"));
    expected["metadata"]["labels"]["team"] = json!("a");
    expected["metadata"]["annotations"]["note"] = json!("b");
    expected["metadata"]["annotations"]["sidecar.istio.io/inject"] = json!("true");
    let pod = &mut expected["spec"];
    pod["serviceAccountName"] = json!("exports");
    pod["nodeSelector"] = json!({"disk": "fast"});
    pod["securityContext"]["runAsUser"] = json!(1000);
    pod["securityContext"]["fsGroup"] = json!(2000);
    pod["securityContext"]["supplementalGroups"] = json!([3000]);
    let container = &mut pod["containers"][0];
    (container["image"], container["imagePullPolicy"]) = (json!("mine:2"), json!("Always"));
    container["resources"] = json!({"limits": {"cpu": "2"}});
    let env = container["env"].as_array_mut().unwrap();
    env[0]["value"] = json!("5");
    env.insert(1, json!({"name": "RUST_LOG", "value": "debug"}));
    assert_eq!(template, &expected);
    assert_eq!(job["spec"]["backoffLimitPerIndex"], 0);
}

#[test]
fn a_clean_up_does_not_depend_on_an_image_of_the_author() {
    let job = aborted(&json!({"image": "mine:2", "imagePullPolicy": "Never"}));
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        (&container["image"], &container["imagePullPolicy"]),
        (&json!("exporter:1"), &json!("IfNotPresent"))
    );
}

#[test]
fn a_name_that_is_too_long_for_a_label_is_cut_and_stays_its_own() {
    let mut long = export_job(&json!({}));
    long.metadata.name = Some("x".repeat(200));
    let job = export(&long, &store(&claim("profiles")), &landing(), &settings());
    let label = &job.labels()[EXPORT_JOB_LABEL];
    assert!(label.len() <= 63, "{label}");
    assert_eq!(*label, job.name_any());
}

/// A pod's volumes and mounts that have to do with credentials.
fn credentials_of(job: &Job) -> (Vec<Value>, Vec<Value>) {
    let job = serde_json::to_value(job).unwrap();
    let pod = &job["spec"]["template"]["spec"];
    let named = |list: &Value| -> Vec<Value> {
        let of = |item: &&Value| item["name"].as_str().unwrap().ends_with("-credentials");
        list.as_array().unwrap().iter().filter(of).cloned().collect()
    };
    (named(&pod["volumes"]), named(&pod["containers"][0]["volumeMounts"]))
}

#[test]
fn secrets_are_mounted_read_only_where_they_are_declared_and_nowhere_else() {
    let secret = |name: &str| json!({"secretRef": {"name": name}});
    let mut read = store(&Value::Null);
    read.spec.credentials = serde_json::from_value(secret("reader")).unwrap();
    let landing = Landing::of(&dataset(
        &json!({"location": "s3://lake/d", "credentials": secret("writer")}),
    ));
    let job = export_job(&json!({}));
    let volume = |name: &str, secret: &str| json!({"name": name, "secret": {"secretName": secret, "defaultMode": 0o440, "optional": false}});
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path, "readOnly": true});
    let written = volume("dataset-credentials", "writer");
    let written_at = mount("dataset-credentials", "/etc/exportjob-credentials/dataset");
    let (volumes, mounts) = credentials_of(&export(&job, &read, &landing, &settings()));
    assert_eq!(volumes, [volume("store-credentials", "reader"), written.clone()]);
    assert_eq!(
        mounts,
        [
            mount("store-credentials", "/etc/exportjob-credentials/store"),
            written_at.clone()
        ]
    );
    // A clean-up reads nothing: it gets the dataset's alone.
    let (volumes, mounts) = credentials_of(&abort(&job, &landing, true, false, &settings()));
    assert_eq!((volumes, mounts), (vec![written], vec![written_at]));
    let none = Landing::of(&dataset(&json!({"location": "s3://lake/d"})));
    let bare = export(&job, &store(&Value::Null), &none, &settings());
    assert_eq!(credentials_of(&bare), (Vec::new(), Vec::new()));
}

#[test]
fn a_clean_up_finds_the_secret_of_a_dataset_that_is_gone() {
    let landing = Landing::of(&dataset(
        &json!({"location": "s3://lake/d", "credentials": {"secretRef": {"name": "writer"}}}),
    ));
    let (_, text) = landing_annotation(&landing);
    assert_eq!(serde_json::from_str::<Landing>(&text).unwrap(), landing);
    // What an operator of an earlier version has written.
    let old = r#"{"dataset":"d","location":"file:///datasets/d","mountPath":"/datasets"}"#;
    assert_eq!(serde_json::from_str::<Landing>(old).unwrap().credentials, None);
}
