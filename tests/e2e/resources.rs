//! What the API server itself says of the resources: rules, columns, documentation.

use exportjob_api::ExportJob;
use exportjob_tests::{
    operator, programs,
    space::{Space, on_cluster},
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::common::EXAMPLE;

/// A job that says no more than it must, but for `change`.
fn job(change: impl FnOnce(&mut Value)) -> Value {
    let mut job = json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob", "metadata": {"name": "case"},
        "spec": {"destination": {"datasetId": "d"}, "schema": {"name": "_xdm.context.profile"}},
    });
    change(&mut job["spec"]);
    job
}

/// What `kubectl apply --dry-run=server` says.
fn dry_run(space: &Space, object: &Value) -> programs::Finished {
    let arguments = [
        "--namespace",
        &space.name,
        "apply",
        "--dry-run=server",
        "--filename",
        "-",
    ];
    programs::run(&programs::tool("kubectl"), &arguments, object.to_string().as_bytes())
}

type Change = fn(&mut Value);

/// A change that makes a spec bad, and what the refusal must say.
const BAD: &[(Change, &[&str])] = &[
    (
        |s| s["destination"]["datasetId"] = json!(""),
        &["spec.destination.datasetId", "must name a Dataset"],
    ),
    (
        |s| s["destination"] = json!({}),
        &["spec.destination.datasetId", "Required"],
    ),
    (
        |s| s["schema"]["name"] = json!(""),
        &["spec.schema.name", "must name a schema"],
    ),
    (|s| s["schema"] = Value::Null, &["spec.schema"]),
    (
        |s| s["profileInstanceId"] = json!(""),
        &["spec.profileInstanceId", "must name a ProfileStore"],
    ),
    (
        |s| s["mergePolicy"] = json!({"id": ""}),
        &["spec.mergePolicy.id", "must name a merge policy"],
    ),
    (
        |s| s["mergePolicy"] = json!({"id": "a", "version": 0}),
        &["spec.mergePolicy.version", "must be 1 or more"],
    ),
    (
        |s| s["filter"] = json!({"fromIngestTimestamp": "yesterday"}),
        &["spec.filter.fromIngestTimestamp", "RFC 3339"],
    ),
    (
        |s| s["filter"] = json!({"fromIngestTimestamp": "2020-02-30T00:00:00Z"}),
        &["spec.filter.fromIngestTimestamp", "RFC 3339"],
    ),
    (
        |s| s["filter"] = json!({"fromIngestTimestamp": "2020-01-01T00:00:00"}),
        &["spec.filter.fromIngestTimestamp", "RFC 3339"],
    ),
    (
        |s| s["filter"] = json!({"segments": [{"segmentId": ""}]}),
        &["spec.filter.segments[0].segmentId", "must name a segment"],
    ),
    (
        |s| s["filter"] = json!({"segments": [{"segmentId": "a", "segmentNs": ""}]}),
        &["spec.filter.segments[0].segmentNs", "must name a segment namespace"],
    ),
    (
        |s| s["filter"] = json!({"segments": [{"segmentId": "a"}, {"segmentId": "a", "segmentNs": "UPS"}]}),
        &["spec.filter.segments", "twice"],
    ),
    (
        |s| s["filter"] = json!({"segments": [{"segmentId": "a", "status": ["left"]}]}),
        &["spec.filter.segments[0].status[0]", "realized"],
    ),
    (
        |s| s["filter"] = json!({"segments": [{"segmentId": "a", "status": []}]}),
        &["spec.filter.segments[0].status", "at least one"],
    ),
    (
        |s| s["filter"] = json!({"segments": [{"segmentId": "a"}], "segmentQualificationTime": {"startTime": "2018-02-01T00:00:00Z", "endTime": "2018-01-01T00:00:00Z"}}),
        &[
            "spec.filter.segmentQualificationTime",
            "startTime must not be after endTime",
        ],
    ),
    (
        |s| s["filter"] = json!({"segmentQualificationTime": {"startTime": "2018-02-01T00:00:00Z"}}),
        &["filter.segmentQualificationTime needs"],
    ),
    (
        |s| s["destination"]["segmentPerBatch"] = json!(true),
        &["destination.segmentPerBatch needs"],
    ),
    (
        |s| s["additionalFields"] = json!({"eventList": {"filter": {"fromIngestTimestamp": "2019-01-01T00:00:00Z", "toIngestTimestamp": "2018-01-01T00:00:00Z"}}}),
        &["spec.additionalFields.eventList.filter", "must not be after"],
    ),
    (
        |s| s["execution"] = json!({"shards": 257}),
        &["spec.execution.shards", "must be between 1 and 256"],
    ),
    (
        |s| s["execution"] = json!({"backoffLimit": -1}),
        &["spec.execution.backoffLimit", "between 0 and 100"],
    ),
    (
        |s| s["execution"] = json!({"activeDeadlineSeconds": 0}),
        &["spec.execution.activeDeadlineSeconds", "1 or more"],
    ),
    (
        |s| s["execution"] = json!({"ttlSecondsAfterFinished": -1}),
        &["spec.execution.ttlSecondsAfterFinished", "0 or more"],
    ),
    (
        |s| s["execution"] = json!({"imagePullPolicy": "Sometimes"}),
        &["spec.execution.imagePullPolicy", "must be Always"],
    ),
    (
        |s| s["execution"] = json!({"queueName": "Not A Queue"}),
        &["spec.execution.queueName", "name of a queue"],
    ),
    (
        |s| s["execution"] = json!({"podTemplate": {"securityContext": {"runAsUser": 0}}}),
        &["runAsUser", "do not run as root"],
    ),
];

#[tokio::test]
async fn the_api_server_refuses_each_bad_field_and_names_it() {
    on_cluster("rules", async |space: &Space| {
        for (change, expected) in BAD {
            let object = job(change);
            let said = dry_run(space, &object);
            assert_ne!(said.code, Some(0), "accepted: {object}");
            for part in *expected {
                assert!(said.stderr.contains(part), "{part:?} is not in: {}", said.stderr);
            }
        }
        let said = dry_run(space, &job(|_| ()));
        assert_eq!(said.code, Some(0), "the job without a change is good: {}", said.stderr);
    })
    .await;
}

#[tokio::test]
async fn unknown_fields_are_refused_by_name() {
    on_cluster("unknown", async |space: &Space| {
        let mistyped = [
            (
                job(|s| s["filter"] = json!({"segmnets": [{"segmentId": "a"}]})),
                "spec.filter.segmnets",
            ),
            (
                job(|s| s["destination"]["datasetID"] = json!("d")),
                "spec.destination.datasetID",
            ),
            (
                job(|s| s["execution"] = json!({"podTemplate": {"volumes": []}})),
                "spec.execution.podTemplate.volumes",
            ),
        ];
        for (object, field) in mistyped {
            let said = dry_run(space, &object);
            assert_ne!(said.code, Some(0), "accepted: {object}");
            assert!(
                said.stderr.contains("unknown field") && said.stderr.contains(field),
                "{}",
                said.stderr
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_accepted_spec_stays_but_for_suspend_cancel_and_ttl() {
    on_cluster("immutable", async |space: &Space| {
        let spec = json!({
            "fields": "person", "destination": {"datasetId": "nowhere"}, "schema": {"name": "_xdm.context.profile"},
            "filter": {"segments": [{"segmentId": "a"}]}, "execution": {"backoffLimit": 2, "suspend": true},
        });
        space.export("kept", spec).await;
        let jobs: Api<ExportJob> = space.api();
        let dry = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let refused = [
            json!({"fields": "all"}),
            json!({"fields": null}),
            json!({"mergePolicy": {"id": "other"}}),
            json!({"destination": {"datasetId": "other"}}),
            json!({"filter": {"segments": []}}),
            json!({"execution": {"backoffLimit": 3}}),
            json!({"execution": {"image": "other"}}),
            json!({"execution": null}),
        ];
        for spec in refused {
            let answer = jobs.patch("kept", &dry, &Patch::Merge(json!({"spec": spec}))).await;
            let message = answer.expect_err("the change is refused").to_string();
            assert!(
                message.contains("cannot be changed once the job is accepted"),
                "{spec}: {message}"
            );
        }
        for execution in [
            json!({"suspend": false}),
            json!({"cancel": true}),
            json!({"ttlSecondsAfterFinished": 5}),
        ] {
            jobs.patch("kept", &dry, &Patch::Merge(json!({"spec": {"execution": execution}})))
                .await
                .unwrap();
        }
        let cancel = json!({"spec": {"execution": {"cancel": true}}});
        jobs.patch("kept", &PatchParams::default(), &Patch::Merge(cancel))
            .await
            .unwrap();
        let back = json!({"spec": {"execution": {"cancel": false}}});
        let message = jobs
            .patch("kept", &dry, &Patch::Merge(back))
            .await
            .expect_err("it is refused")
            .to_string();
        assert!(message.contains("cannot be taken back"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn the_body_of_the_api_page_applies_as_it_is() {
    on_cluster("page", async |space: &Space| {
        let file = programs::repository().join("examples/api-body.yaml");
        let arguments = [
            "--namespace",
            &space.name,
            "apply",
            "--dry-run=server",
            "--output",
            "json",
            "--filename",
        ];
        let mut arguments = arguments.to_vec();
        arguments.push(operator::path(&file));
        let answer: Value = serde_json::from_slice(&operator::kubectl(&arguments, b"")).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let sent: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(
            answer["spec"], sent["spec"],
            "nothing is added to the body or taken from it"
        );
    })
    .await;
}

#[tokio::test]
async fn kubectl_explains_the_fields() {
    on_cluster("explain", async |_: &Space| {
        for (path, expected) in [
            (
                "exportjob.spec.filter",
                vec![
                    "segmentQualificationTime",
                    "fromIngestTimestamp",
                    "emptyProfiles",
                    "strictly after",
                ],
            ),
            ("exportjob.spec.destination.segmentPerBatch", vec!["batch of its own"]),
            (
                "profilestore.spec.mergePolicies.attributeMerge",
                vec!["order", "eventDatasets"],
            ),
            ("dataset.spec.location", vec!["URL"]),
        ] {
            let said = String::from_utf8(operator::kubectl(&["explain", path], b"")).unwrap();
            for part in expected {
                assert!(said.contains(part), "{path}: {part:?} is not in {said}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_store_that_contradicts_itself_is_refused() {
    on_cluster("stores", async |space: &Space| {
        let store = |policies: Value| {
            json!({
                "apiVersion": "exportjob.dev/v1alpha1", "kind": "ProfileStore", "metadata": {"name": "ups"},
                "spec": {"tables": {"fragments": [{"location": "file:///store/f", "format": "parquet"}]}, "mergePolicies": policies},
            })
        };
        let policy = |id: &str| json!({"id": id, "default": true, "identityGraph": {"type": "pdg"}, "attributeMerge": {"type": "timestampOrdered"}});
        for (policies, expected) in [
            (json!([policy("a"), policy("b")]), "two defaults"),
            (json!([policy("a"), {"id": "a", "identityGraph": {"type": "none"}, "attributeMerge": {"type": "timestampOrdered"}}]), "twice"),
            (json!([{"id": "a", "identityGraph": {"type": "none"}, "attributeMerge": {"type": "dataSetPrecedence"}}]), "at least one dataset"),
        ] {
            let said = dry_run(space, &store(policies));
            assert!(said.code != Some(0) && said.stderr.contains(expected), "{expected}: {}", said.everything());
        }
        for (spec, expected) in [
            (json!({"location": "ftp://lake/d"}), "file: URL"),
            (json!({"location": "s3://key:secret@lake/d"}), "stand in the Secret"),
            (json!({"location": "s3://lake/d", "format": "iceberg"}), "exactly once"),
        ] {
            let dataset = json!({
                "apiVersion": "exportjob.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "d"}, "spec": spec,
            });
            let said = dry_run(space, &dataset);
            assert!(said.code != Some(0) && said.stderr.contains(expected), "{expected}: {}", said.everything());
        }
    })
    .await;
}

#[tokio::test]
async fn kubectl_lists_jobs_with_their_columns_and_selects_them() {
    on_cluster("columns", async |space: &Space| {
        space.furnish(1).await;
        let job = space.export_example(EXAMPLE, |_| ()).await;
        let waited = [
            "--namespace",
            &space.name,
            "wait",
            "--for=condition=Complete",
            "ej/bought-twice",
            "--timeout=180s",
        ];
        operator::kubectl(&waited, b"");
        let listed = String::from_utf8(operator::kubectl(&["--namespace", &space.name, "get", "ej"], b"")).unwrap();
        let header: Vec<&str> = listed.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(
            header,
            ["NAME", "PHASE", "ID", "DATASET", "PROFILES", "PROGRESS", "AGE"]
        );
        let row = listed.lines().nth(1).unwrap();
        assert!(row.contains("SUCCEEDED") && row.contains("cdnow-audiences"), "{row}");
        let jobs: Api<ExportJob> = space.api();
        for (selector, found) in [
            ("status.phase=SUCCEEDED", 1),
            ("status.phase=FAILED", 0),
            ("spec.destination.datasetId=cdnow-audiences", 1),
            ("spec.destination.datasetId=other", 0),
        ] {
            assert_eq!(
                jobs.list(&ListParams::default().fields(selector))
                    .await
                    .unwrap()
                    .items
                    .len(),
                found,
                "{selector}"
            );
        }
        assert_eq!(jobs.get("bought-twice").await.unwrap().metadata.uid, job.metadata.uid);
    })
    .await;
}
