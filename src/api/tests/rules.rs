//! The rules of the resources, offline: each bad field is refused with a message that names it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
// Tables of cases are long, and their changes are expressions.
#![allow(clippy::too_many_lines, clippy::semicolon_if_nothing_returned)]

use exportjob_api::{ExportJob, Manifest, ManifestError, parse_manifests};
use serde_json::{Value, json};

type Change = fn(&mut Value);

fn job(change: impl FnOnce(&mut Value)) -> Value {
    let mut value = json!({
        "apiVersion": "exportjob.dev/v1alpha1",
        "kind": "ExportJob",
        "metadata": {"name": "loyal-emails"},
        "spec": {
            "destination": {"datasetId": "5b7c86968f7b6501e21ba9df"},
            "schema": {"name": "_xdm.context.profile"},
        }
    });
    change(&mut value["spec"]);
    value
}

fn refusal(value: &Value) -> String {
    match parse_manifests(&value.to_string()) {
        Ok(_) => panic!("accepted: {value}"),
        Err(error) => error.to_string(),
    }
}

fn accepted(value: &Value) -> ExportJob {
    match parse_manifests(&value.to_string()).unwrap().remove(0) {
        Manifest::ExportJob(job) => *job,
        other => panic!("{other:?}"),
    }
}

fn segments(spec: &mut Value, segments: &Value) {
    spec["filter"] = json!({"segments": segments});
}

#[test]
fn the_body_of_the_api_page_is_accepted_unchanged() {
    let body = json!({
        "fields": "identities.id,personalEmail.address",
        "mergePolicy": {"id": "timestampOrdered-none-mp", "version": 1},
        "filter": {
            "segments": [{"segmentId": "52c26d0d-45f2-47a2-ab30-ed06abc981ff", "segmentNs": "ups", "status": ["realized"]}],
            "segmentQualificationTime": {"startTime": "2018-01-01T00:00:00Z", "endTime": "2018-02-01T00:00:00Z"},
            "fromIngestTimestamp": "2018-01-01T00:00:00Z",
            "emptyProfiles": true
        },
        "additionalFields": {"eventList": {"fields": "string", "filter": {
            "fromIngestTimestamp": "2018-01-01T00:00:00Z", "toIngestTimestamp": "2020-01-01T00:00:00Z"}}},
        "destination": {"datasetId": "5b7c86968f7b6501e21ba9df", "segmentPerBatch": false},
        "schema": {"name": "_xdm.context.profile"},
        "evaluationInfo": {"segmentation": true}
    });
    let parsed = accepted(&job(|spec| *spec = body.clone()));
    assert_eq!(
        serde_json::to_value(&parsed.spec).unwrap(),
        body,
        "defaults are not echoed into the spec"
    );
}

#[test]
fn each_bad_field_is_refused_with_its_name_and_what_it_must_be() {
    let cases: &[(&str, Change, &[&str])] = &[
        (
            "empty dataset",
            |s| s["destination"]["datasetId"] = json!(""),
            &["spec.destination.datasetId", "must name a Dataset"],
        ),
        (
            "empty schema",
            |s| s["schema"]["name"] = json!(""),
            &["spec.schema.name", "must name a schema"],
        ),
        (
            "bad time",
            |s| s["filter"] = json!({"fromIngestTimestamp": "yesterday"}),
            &["spec.filter.fromIngestTimestamp", "RFC 3339"],
        ),
        (
            "no zone",
            |s| s["filter"] = json!({"fromIngestTimestamp": "2018-01-01T00:00:00"}),
            &["RFC 3339"],
        ),
        (
            "30th of February",
            |s| s["filter"] = json!({"fromIngestTimestamp": "2020-02-30T00:00:00Z"}),
            &["RFC 3339"],
        ),
        (
            "29th of February",
            |s| s["filter"] = json!({"fromIngestTimestamp": "1900-02-29T00:00:00Z"}),
            &["RFC 3339"],
        ),
        (
            "nanoseconds",
            |s| s["filter"] = json!({"fromIngestTimestamp": "2020-01-01T00:00:00.1234567Z"}),
            &["six digits"],
        ),
        (
            "two lines",
            |s| s["filter"] = json!({"fromIngestTimestamp": "2020-01-01T00:00:00Z\n"}),
            &["RFC 3339"],
        ),
        (
            "empty segment",
            |s| segments(s, &json!([{"segmentId": ""}])),
            &["spec.filter.segments[0].segmentId", "must name a segment"],
        ),
        (
            "duplicate",
            |s| {
                segments(
                    s,
                    &json!([{"segmentId": "a"}, {"segmentId": "b"}, {"segmentId": "a", "segmentNs": "UPS"}]),
                )
            },
            &["spec.filter.segments", "twice"],
        ),
        (
            "unknown status",
            |s| segments(s, &json!([{"segmentId": "a", "status": ["left"]}])),
            &["left", "realized"],
        ),
        (
            "no status",
            |s| segments(s, &json!([{"segmentId": "a", "status": []}])),
            &["spec.filter.segments[0].status", "at least one"],
        ),
        (
            "start after end",
            |s| s["filter"] = json!({"segments": [{"segmentId": "a"}], "segmentQualificationTime": {"startTime": "2018-02-01T00:00:00Z", "endTime": "2018-01-01T00:00:00+01:00"}}),
            &[
                "spec.filter.segmentQualificationTime",
                "startTime must not be after endTime",
            ],
        ),
        (
            "window without segments",
            |s| s["filter"] = json!({"segmentQualificationTime": {"startTime": "2018-02-01T00:00:00Z"}}),
            &["filter.segmentQualificationTime needs"],
        ),
        (
            "window with no segment",
            |s| s["filter"] = json!({"segments": [], "segmentQualificationTime": {}}),
            &["filter.segmentQualificationTime needs"],
        ),
        (
            "batches without segments",
            |s| s["destination"]["segmentPerBatch"] = json!(true),
            &["destination.segmentPerBatch needs"],
        ),
        (
            "events backwards",
            |s| s["additionalFields"] = json!({"eventList": {"filter": {"fromIngestTimestamp": "2019-01-01T00:00:00Z", "toIngestTimestamp": "2018-01-01T00:00:00Z"}}}),
            &["spec.additionalFields.eventList.filter", "must not be after"],
        ),
        (
            "policy version",
            |s| s["mergePolicy"] = json!({"id": "a", "version": 0}),
            &["spec.mergePolicy.version", "1 or more"],
        ),
        (
            "broken version",
            |s| s["mergePolicy"] = json!({"id": "a", "version": 1.5}),
            &["1.5 is not a whole number"],
        ),
        (
            "shards",
            |s| s["execution"] = json!({"shards": 257}),
            &["spec.execution.shards", "must be between 1 and 256"],
        ),
        (
            "root",
            |s| s["execution"] = json!({"podTemplate": {"securityContext": {"runAsUser": 0}}}),
            &["runAsUser", "root"],
        ),
        (
            "backoff",
            |s| s["execution"] = json!({"backoffLimit": -1}),
            &["spec.execution.backoffLimit"],
        ),
        (
            "pull policy",
            |s| s["execution"] = json!({"imagePullPolicy": "Sometimes"}),
            &["spec.execution.imagePullPolicy"],
        ),
        (
            "too long",
            |s| s["profileInstanceId"] = json!("x".repeat(300)),
            &["spec.profileInstanceId", "253"],
        ),
        ("wrong type", |s| s["fields"] = json!(7), &["invalid type"]),
        (
            "missing destination",
            |s| {
                s.as_object_mut().unwrap().remove("destination");
            },
            &["destination"],
        ),
        (
            "mistyped segments",
            |s| s["filter"] = json!({"segmnets": [{"segmentId": "a"}]}),
            &["unknown field spec.filter.segmnets"],
        ),
    ];
    for (name, change, expected) in cases {
        let message = refusal(&job(change));
        for part in *expected {
            assert!(message.contains(part), "{name}: {part:?} is not in {message:?}");
        }
    }
}

#[test]
fn good_times_are_accepted() {
    for time in [
        "2018-01-01T00:00:00Z",
        "2020-02-29T23:59:59.123456+05:30",
        "2000-02-29T00:00:00-00:00",
    ] {
        accepted(&job(|spec| spec["filter"] = json!({"fromIngestTimestamp": time})));
    }
}

#[test]
fn a_version_with_a_zero_fraction_is_that_version() {
    let parsed = accepted(&job(|spec| spec["mergePolicy"] = json!({"id": "a", "version": 1.0})));
    assert_eq!(parsed.spec.merge_policy.unwrap().version, Some(1));
}

#[test]
fn the_spec_is_immutable_but_for_suspend_cancel_and_ttl() {
    let base = |spec: &mut Value| {
        spec["fields"] = json!("person");
        segments(spec, &json!([{"segmentId": "a"}]));
        spec["execution"] = json!({"suspend": true, "backoffLimit": 2});
    };
    let old = accepted(&job(base));
    let refused: &[(&str, Change)] = &[
        ("fields changed", |s| s["fields"] = json!("all")),
        ("fields removed", |s| {
            s.as_object_mut().unwrap().remove("fields");
        }),
        ("policy added", |s| s["mergePolicy"] = json!({"id": "a"})),
        ("segment added", |s| {
            segments(s, &json!([{"segmentId": "a"}, {"segmentId": "b"}]))
        }),
        ("dataset changed", |s| s["destination"]["datasetId"] = json!("other")),
        ("backoff changed", |s| s["execution"]["backoffLimit"] = json!(3)),
        ("backoff removed", |s| {
            s["execution"].as_object_mut().unwrap().remove("backoffLimit");
        }),
        ("execution removed", |s| {
            s.as_object_mut().unwrap().remove("execution");
        }),
        ("image added", |s| s["execution"]["image"] = json!("x")),
    ];
    for (name, change) in refused {
        let new = accepted(&job(|spec| {
            base(spec);
            change(spec);
        }));
        let error = new.validate_cel_update(&old).expect_err(name).to_string();
        assert!(
            error.contains("cannot be changed once the job is accepted"),
            "{name}: {error}"
        );
    }
    let allowed: &[Change] = &[
        |s| s["execution"]["suspend"] = json!(false),
        |s| s["execution"]["cancel"] = json!(true),
        |s| s["execution"]["ttlSecondsAfterFinished"] = json!(10),
    ];
    for change in allowed {
        let new = accepted(&job(|spec| {
            base(spec);
            change(spec);
        }));
        new.validate_cel_update(&old).unwrap();
    }
}

#[test]
fn a_cancellation_cannot_be_taken_back() {
    let old = accepted(&job(|spec| spec["execution"] = json!({"cancel": true})));
    for execution in [json!({"cancel": false}), json!({}), Value::Null] {
        let new = accepted(&job(|spec| {
            if !execution.is_null() {
                spec["execution"] = execution.clone();
            }
        }));
        let error = new.validate_cel_update(&old).expect_err("taken back").to_string();
        assert!(error.contains("cannot be taken back"), "{error}");
    }
}

#[test]
fn a_store_with_two_defaults_or_a_policy_twice_is_refused() {
    let store = |policies: Value| {
        json!({
            "apiVersion": "exportjob.dev/v1alpha1", "kind": "ProfileStore", "metadata": {"name": "ups"},
            "spec": {"tables": {"fragments": [{"location": "file:///store/f", "format": "parquet"}]}, "mergePolicies": policies}
        })
    };
    let policy = |id: &str, version: u8, default: bool| json!({"id": id, "version": version, "default": default, "identityGraph": {"type": "pdg"}, "attributeMerge": {"type": "timestampOrdered"}});
    assert!(parse_manifests(&store(json!([policy("a", 1, true), policy("a", 2, false)])).to_string()).is_ok());
    let message = refusal(&store(json!([policy("a", 1, true), policy("b", 1, true)])));
    assert!(
        message.contains("spec.mergePolicies") && message.contains("two defaults"),
        "{message}"
    );
    let message = refusal(&store(json!([policy("a", 1, false), policy("a", 1, false)])));
    assert!(message.contains("twice"), "{message}");
    let mut precedence = policy("a", 1, false);
    precedence["attributeMerge"] = json!({"type": "dataSetPrecedence"});
    let message = refusal(&store(json!([precedence])));
    assert!(message.contains("needs at least one dataset"), "{message}");
}

#[test]
fn documents_that_are_not_ours_are_refused_and_empty_ones_skipped() {
    assert!(matches!(
        parse_manifests("apiVersion: v1\nkind: ConfigMap\n"),
        Err(ManifestError::Kind { document: 1, .. })
    ));
    assert!(matches!(
        parse_manifests("{unclosed"),
        Err(ManifestError::Syntax { document: 1, .. })
    ));
    let two = format!("---\n{}\n---\n---\n{}\n", job(|_| ()), job(|_| ()));
    assert_eq!(parse_manifests(&two).unwrap().len(), 2);
}

#[test]
fn every_field_is_documented() {
    fn walk(path: &str, schema: &Value, missing: &mut Vec<String>) {
        if let Some(properties) = schema["properties"].as_object() {
            for (name, schema) in properties {
                let path = format!("{path}.{name}");
                if path == ".metadata" {
                    continue;
                }
                if schema["description"].as_str().is_none_or(str::is_empty) {
                    missing.push(path.clone());
                }
                walk(&path, schema, missing);
            }
        }
        walk_into(path, schema, missing);
    }
    fn walk_into(path: &str, schema: &Value, missing: &mut Vec<String>) {
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                walk(path, &schema[inner], missing);
            }
        }
    }
    for crd in exportjob_api::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let mut missing = Vec::new();
        walk(
            "",
            &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"],
            &mut missing,
        );
        missing.retain(|path| ![".apiVersion", ".kind"].contains(&path.as_str()));
        assert_eq!(missing, Vec::<String>::new(), "fields without a description");
    }
}

#[test]
fn a_volume_is_mounted_where_it_hides_nothing() {
    let store = |path: &str| {
        json!({
            "apiVersion": "exportjob.dev/v1alpha1", "kind": "ProfileStore", "metadata": {"name": "ups"},
            "spec": {
                "volumeMountPath": path,
                "tables": {"fragments": [{"location": "file:///store/f", "format": "parquet"}]},
            },
        })
    };
    let dataset = |path: &str| {
        json!({
            "apiVersion": "exportjob.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "d"},
            "spec": {"location": "file:///store/d", "volumeMountPath": path},
        })
    };
    for path in ["/store", "/lake/", "/mnt/user_data/v1.2", "/usr2", "/var/lib/profiles"] {
        parse_manifests(&store(path).to_string()).unwrap_or_else(|error| panic!("{path}: {error}"));
        parse_manifests(&dataset(path).to_string()).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    for path in [
        "/",
        "",
        "store",
        "//usr/local/bin",
        "/./usr",
        "/store/../usr",
        "/store/..",
        "/.hidden",
        "/a b",
    ] {
        for said in [refusal(&store(path)), refusal(&dataset(path))] {
            assert!(
                said.contains("volumeMountPath") && said.contains("must be an absolute path"),
                "{path}: {said}"
            );
        }
    }
    for path in [
        "/usr",
        "/usr/",
        "/usr/local/bin",
        "/etc/exportjob",
        "/tmp/exportjob",
        "/dev",
        "/proc/1",
    ] {
        for said in [refusal(&store(path)), refusal(&dataset(path))] {
            assert!(
                said.contains("volumeMountPath") && said.contains("must not be, or be below"),
                "{path}: {said}"
            );
        }
    }
}
