//! From resources to a plan: defaults, references, merge policies, locations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{collections::BTreeMap, path::PathBuf};

use exportjob_api::{Dataset, ExportJob, Manifest, ProfileStore, SegmentDefinition, SegmentStatus, parse_manifests};
use exportjob_plan::{
    AttributeRule, ExportPlan, FieldSelection, IdentityGraphKind, Inputs, LocalLocations, Locate, MountedLocations,
    PlanError, Reference, UpsertDatasets, abort_job_name, batch_id, build, job_name, nearest, plan_name,
};
use serde_json::{Value, json};

const UID: &str = "0b7f6f0e-6f60-4b53-9d4e-7cf6f8a3b0aa";

struct World {
    job: Value,
    store: Value,
    dataset: Value,
    definitions: Vec<Value>,
}

impl World {
    fn new() -> Self {
        Self {
            job: json!({"destination": {"datasetId": "d"}, "schema": {"name": "_xdm.context.profile"}}),
            store: json!({
                "volume": {"persistentVolumeClaim": {"claimName": "profiles"}},
                "tables": {"fragments": [{"location": "file:///store/fragments", "format": "parquet"}]}
            }),
            dataset: json!({"location": "file:///datasets/d", "format": "delta", "volume": {"persistentVolumeClaim": {"claimName": "datasets"}}}),
            definitions: Vec::new(),
        }
    }

    fn policies(mut self, policies: Value) -> Self {
        self.store["mergePolicies"] = policies;
        self
    }

    fn segments(mut self, ids: &[&str]) -> Self {
        self.job["filter"]["segments"] = ids.iter().map(|id| json!({"segmentId": id})).collect();
        self
    }

    fn definition(mut self, id: &str, policy: &str) -> Self {
        self.definitions.push(json!({"apiVersion": "exportjob.dev/v1alpha1", "kind": "SegmentDefinition", "metadata": {"name": id}, "spec": {"mergePolicy": {"id": policy}}}));
        self
    }

    fn plan(&self) -> Result<ExportPlan, PlanError> {
        let mut stores = BTreeMap::new();
        stores.insert("ups".to_owned(), self.store());
        let mut datasets = BTreeMap::new();
        datasets.insert("d".to_owned(), self.dataset());
        self.plan_with(&stores, &datasets, &MountedLocations)
    }

    fn plan_with(
        &self,
        stores: &BTreeMap<String, ProfileStore>,
        datasets: &BTreeMap<String, Dataset>,
        locate: &dyn Locate,
    ) -> Result<ExportPlan, PlanError> {
        let definitions: BTreeMap<String, SegmentDefinition> = self
            .definitions
            .iter()
            .map(|value| match one(value) {
                Manifest::SegmentDefinition(d) => (d.metadata.name.clone().unwrap(), *d),
                other => panic!("{other:?}"),
            })
            .collect();
        build(&Inputs {
            export_job: &self.job(),
            id: 7,
            created_at_ms: 1_000,
            stores,
            datasets,
            definitions: &definitions,
            locate,
        })
    }

    fn job(&self) -> ExportJob {
        match one(
            &json!({"apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob", "metadata": {"name": "j", "namespace": "n", "uid": UID}, "spec": self.job}),
        ) {
            Manifest::ExportJob(job) => *job,
            other => panic!("{other:?}"),
        }
    }

    fn store(&self) -> ProfileStore {
        match one(
            &json!({"apiVersion": "exportjob.dev/v1alpha1", "kind": "ProfileStore", "metadata": {"name": "ups"}, "spec": self.store}),
        ) {
            Manifest::ProfileStore(store) => *store,
            other => panic!("{other:?}"),
        }
    }

    fn dataset(&self) -> Dataset {
        match one(
            &json!({"apiVersion": "exportjob.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "d"}, "spec": self.dataset}),
        ) {
            Manifest::Dataset(dataset) => *dataset,
            other => panic!("{other:?}"),
        }
    }
}

fn one(value: &Value) -> Manifest {
    parse_manifests(&value.to_string()).unwrap().remove(0)
}

fn policy(id: &str, version: u32) -> Value {
    json!({"id": id, "version": version, "identityGraph": {"type": "pdg"}, "attributeMerge": {"type": "timestampOrdered"}})
}

#[test]
fn the_defaults_are_those_of_the_api() {
    let plan = World::new().plan().unwrap();
    assert_eq!(plan.fields, FieldSelection::All);
    assert_eq!(plan.events, None);
    assert!(!plan.selection.empty_profiles);
    assert_eq!(
        (plan.merge_policy.id.as_str(), plan.merge_policy.version),
        ("timestampOrdered-none-mp", 1)
    );
    assert_eq!(plan.merge_policy.identity_graph, IdentityGraphKind::None);
    assert_eq!(plan.started_at, 1_000_000, "microseconds");
    assert_eq!(plan.store.upsert_datasets, UpsertDatasets::Listed(Vec::new()));
    let segment = World::new()
        .segments(&["s"])
        .plan()
        .unwrap()
        .selection
        .segments
        .remove(0);
    assert_eq!((segment.namespace.as_str(), segment.id.as_str()), ("ups", "s"));
    assert_eq!(segment.statuses, [SegmentStatus::Realized, SegmentStatus::Existing]);
}

#[test]
fn an_empty_list_of_segments_is_as_if_absent() {
    let plan = World::new().segments(&[]).plan().unwrap();
    assert_eq!(plan.selection.segments, []);
    assert_eq!(plan.batches.len(), 1);
}

#[test]
fn a_plan_survives_its_serialised_form() {
    let plan = World::new().segments(&["a", "b"]).plan().unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<ExportPlan>(&text).unwrap(), plan);
}

#[test]
fn batch_ids_never_change() {
    // These values are what running jobs have recorded: a change here would let a batch be written twice.
    assert_eq!(batch_id(UID, None).as_str(), "e574e5f4d3915828bd9d01ca936fdadb");
    assert_eq!(
        batch_id(UID, Some(("ups", "s"))).as_str(),
        "3a349a4382ba58389c8073b78d727dc3"
    );
    assert_eq!(
        batch_id(UID, Some(("UPS", "s"))),
        batch_id(UID, Some(("ups", "s"))),
        "case of the namespace"
    );
    assert_ne!(batch_id(UID, Some(("ups", "s"))), batch_id(UID, Some(("ups", "t"))));
}

#[test]
fn names_are_labels_and_differ_between_jobs_of_one_name() {
    let long = "a".repeat(253);
    for name in [
        job_name(&long, UID),
        abort_job_name(&long, UID),
        plan_name("my.export.job", UID),
    ] {
        assert!(name.len() <= 63 && !name.contains('.'), "{name}");
    }
    assert_ne!(job_name("j", UID), job_name("j", "another"));
}

#[test]
fn segment_per_batch_makes_one_batch_for_each_segment_in_listed_order() {
    let mut world = World::new().segments(&["b", "a"]);
    world.job["destination"]["segmentPerBatch"] = json!(true);
    let plan = world.plan().unwrap();
    let indices: Vec<_> = plan.batches.iter().map(|batch| batch.segment).collect();
    assert_eq!(indices, [Some(0), Some(1)]);
    assert_eq!(plan.batches[0].id, batch_id(UID, Some(("ups", "b"))));
}

#[test]
fn without_a_version_the_highest_one_is_used() {
    let mut world = World::new().policies(json!([policy("p", 2), policy("p", 10), policy("p", 9)]));
    world.job["mergePolicy"] = json!({"id": "p"});
    assert_eq!(world.plan().unwrap().merge_policy.version, 10);
    world.job["mergePolicy"] = json!({"id": "p", "version": 2});
    assert_eq!(
        world.plan().unwrap().merge_policy.version,
        2,
        "old versions stay usable"
    );
    world.job["mergePolicy"] = json!({"id": "p", "version": 3});
    let error = world.plan().unwrap_err();
    assert_eq!(error.reason(), "MergePolicyNotFound");
    assert!(error.can_heal());
    assert!(
        error.to_string().contains("\"p\" version 3 of ProfileStore \"ups\""),
        "{error}"
    );
}

#[test]
fn the_built_in_policy_is_there_unless_its_id_is_declared() {
    let mut world = World::new();
    world.job["mergePolicy"] = json!({"id": "timestampOrdered-none-mp", "version": 1});
    assert_eq!(
        world.plan().unwrap().merge_policy.identity_graph,
        IdentityGraphKind::None
    );
    let mut world = world.policies(json!([policy("timestampOrdered-none-mp", 2)]));
    assert_eq!(
        world.plan().unwrap_err().reason(),
        "MergePolicyNotFound",
        "only version 2 is declared"
    );
    world.job.as_object_mut().unwrap().remove("mergePolicy");
    let plan = world.plan().unwrap();
    assert_eq!(
        (plan.merge_policy.version, plan.merge_policy.identity_graph),
        (2, IdentityGraphKind::Pdg)
    );
}

#[test]
fn segments_that_agree_decide_and_segments_that_differ_are_named() {
    let world = World::new()
        .policies(json!([policy("p", 1), policy("q", 1)]))
        .segments(&["a", "b"]);
    let world = world.definition("a", "p").definition("b", "p");
    assert_eq!(world.plan().unwrap().merge_policy.id, "p");
    let world = World::new()
        .policies(json!([policy("p", 1), policy("q", 1)]))
        .segments(&["a", "b"]);
    let mut world = world.definition("a", "p").definition("b", "q");
    let error = world.plan().unwrap_err();
    assert_eq!(error.code(), "MERGE_POLICY_CONFLICT");
    assert!(error.to_string().contains("a: p version 1, b: q version 1"), "{error}");
    world.job["mergePolicy"] = json!({"id": "q"});
    assert_eq!(world.plan().unwrap().merge_policy.id, "q", "a given policy governs");
}

#[test]
fn a_definition_of_another_namespace_is_not_the_segments() {
    let mut world = World::new().policies(json!([policy("p", 1)])).definition("a", "p");
    world.job["filter"] = json!({"segments": [{"segmentId": "a", "segmentNs": "AAM"}]});
    assert_eq!(world.plan().unwrap().merge_policy.id, "timestampOrdered-none-mp");
    world.job["filter"] = json!({"segments": [{"segmentId": "a", "segmentNs": "UPS"}]});
    assert_eq!(world.plan().unwrap().merge_policy.id, "p");
}

#[test]
fn the_stores_default_policy_and_precedence_are_taken_over() {
    let plan = World::new()
        .policies(json!([
            policy("p", 1),
            {"id": "q", "default": true, "identityGraph": {"type": "none"}, "attributeMerge": {"type": "dataSetPrecedence", "order": ["crm", "web"], "eventDatasets": ["web"]}}
        ]))
        .plan()
        .unwrap();
    assert_eq!(
        plan.merge_policy.attributes,
        AttributeRule::DataSetPrecedence(vec!["crm".into(), "web".into()])
    );
    assert_eq!(plan.merge_policy.event_datasets, Some(vec!["web".to_owned()]));
}

#[test]
fn missing_references_are_named_with_the_nearest_that_exists() {
    let world = World::new();
    let (mut stores, mut datasets) = (BTreeMap::new(), BTreeMap::new());
    let error = world.plan_with(&stores, &datasets, &MountedLocations).unwrap_err();
    assert_eq!(error.reason(), "ProfileStoreNotFound");
    stores.insert("upss".to_owned(), world.store());
    let error = world.plan_with(&stores, &datasets, &MountedLocations).unwrap_err();
    assert!(
        matches!(&error, PlanError::NotFound { reference: Reference::ProfileStore(_), nearest: Some(near) } if near == "upss")
    );
    stores.insert("ups".to_owned(), world.store());
    let error = world.plan_with(&stores, &datasets, &MountedLocations).unwrap_err();
    assert_eq!(error.reason(), "DatasetNotFound");
    datasets.insert("d".to_owned(), world.dataset());
    assert!(world.plan_with(&stores, &datasets, &MountedLocations).is_ok());
}

#[test]
fn a_schema_that_the_store_does_not_declare_is_refused() {
    let mut world = World::new();
    world.job["schema"]["name"] = json!("_xdm.context.account");
    assert_eq!(world.plan().unwrap_err().reason(), "SchemaNotFound");
    world.store["schemas"] = json!(["_xdm.context.account"]);
    assert!(world.plan().is_ok());
}

#[test]
fn the_profile_filter_applies_to_events_unless_they_have_their_own() {
    let mut world = World::new();
    world.job["filter"] = json!({"fromIngestTimestamp": "1970-01-01T00:00:01Z"});
    world.job["additionalFields"] = json!({"eventList": {}});
    assert_eq!(world.plan().unwrap().events.unwrap().ingested_after, Some(1_000_000));
    world.job["additionalFields"] =
        json!({"eventList": {"filter": {"fromIngestTimestamp": "1970-01-01T01:00:00.5+01:00"}}});
    assert_eq!(world.plan().unwrap().events.unwrap().ingested_after, Some(500_000));
}

#[test]
fn fields_are_dotted_paths_separated_by_commas() {
    let parse = |text: &str| FieldSelection::parse("spec.fields", Some(text));
    let paths = |text: &str| match parse(text).unwrap() {
        FieldSelection::Paths(paths) => paths.iter().map(ToString::to_string).collect::<Vec<_>>(),
        FieldSelection::All => vec!["all".to_owned()],
    };
    assert_eq!(paths(" person.name , a.*,person.name"), ["a", "person.name"]);
    assert_eq!(paths("  "), ["all"]);
    assert_eq!(paths("a,*"), ["all"]);
    for bad in ["a,,b", "a..b", "a.*.b", ".a", "a b", ","] {
        let error = parse(bad).unwrap_err();
        assert_eq!(error.code(), "INVALID_SPEC", "{bad}");
        assert!(error.to_string().starts_with("spec.fields: "), "{error}");
    }
}

#[test]
fn what_is_suggested_differs_in_the_fewest_letters() {
    let known = [
        "identities",
        "identities.id",
        "personalEmail",
        "personalEmail.address",
        "segmentMembership",
        "segmentMembership.status",
    ];
    for (path, expected) in [
        ("identities.ID", Some("identities.id")),
        ("personalemail", Some("personalEmail")),
        ("email.address", Some("personalEmail.address")),
        ("segmentMembership.state", Some("segmentMembership.status")),
        ("string", None),
    ] {
        assert_eq!(nearest(path, known), expected, "{path}");
    }
}

#[test]
fn locations_stay_below_the_mount() {
    let locate = |location: &str, mount| {
        MountedLocations
            .locate("ProfileStore \"ups\"", location, mount)
            .map(|url| url.to_string())
    };
    assert_eq!(locate("file:///store/a", Some("/store")).unwrap(), "file:///store/a/");
    for (location, mount, part) in [
        ("file:///store/../etc", Some("/store"), "not below /store"),
        ("file:///storey", Some("/store"), "not below /store"),
        ("file:///store/a", None, "spec.volume is missing"),
        ("file://host/store", Some("/store"), "three slashes"),
        ("store/a", Some("/store"), "not a URL"),
        ("ftp://lake/a", Some("/store"), "s3://BUCKET/PREFIX"),
    ] {
        let error = locate(location, mount).unwrap_err().to_string();
        assert!(
            error.contains(part) && error.contains("ProfileStore \"ups\""),
            "{error}"
        );
    }
}

#[test]
fn local_locations_are_relative_to_the_manifest_or_mapped() {
    let local = LocalLocations {
        base: PathBuf::from("/manifests"),
        volumes: vec![
            ("/store".into(), "/data".into()),
            ("/store/deep".into(), "/elsewhere".into()),
        ],
    };
    let locate = |location: &str| local.locate("Dataset \"d\"", location, None).unwrap().to_string();
    assert_eq!(locate("out/d"), "file:///manifests/out/d/");
    assert_eq!(locate("../d"), "file:///d/");
    assert_eq!(locate("file:out/d"), "file:///manifests/out/d/");
    assert_eq!(locate("file:///store/a"), "file:///data/a/");
    assert_eq!(locate("/store/deep/a"), "file:///elsewhere/a/");
    assert_eq!(locate("file:///other"), "file:///other/");
    assert_eq!(locate("s3://lake/d"), "s3://lake/d/");
    assert!(local.locate("Dataset \"d\"", "ftp://lake/d", None).is_err());
}

#[test]
fn shards_share_the_buckets_of_a_store_and_need_one_each() {
    let bucketed = |location: &str| json!({"location": location, "format": "parquet", "bucketing": {"column": "ups_profile", "count": 4}});
    let mut world = World::new();
    assert_eq!(world.plan().unwrap().shards, 1);
    world.job["execution"] = json!({"shards": 4});
    let error = world.plan().unwrap_err();
    assert_eq!((error.code(), error.can_heal()), ("NOT_BUCKETED", false));
    for part in [
        "spec.execution.shards",
        "\"ups\"",
        "bucketing",
        "exportjob-exporter bucket",
    ] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    world.store["tables"]["fragments"] = json!([bucketed("file:///store/fragments")]);
    assert_eq!(world.plan().unwrap().shards, 4);
    world.job["execution"] = json!({"shards": 5});
    let error = world.plan().unwrap_err().to_string();
    assert!(error.contains("have 4 buckets"), "{error}");
    world.job["execution"] = json!({"shards": 4});
    world.store["tables"]["events"] = json!([{"location": "file:///store/events", "format": "parquet"}]);
    assert_eq!(
        world.plan().unwrap_err().code(),
        "NOT_BUCKETED",
        "every table must be bucketed"
    );
}

#[test]
fn two_volumes_at_one_mount_path_are_refused() {
    let mut world = World::new();
    world.dataset["volumeMountPath"] = json!("/store");
    world.dataset["location"] = json!("file:///store/out");
    assert!(world.plan().unwrap_err().to_string().contains("volumeMountPath"));
    world.dataset["volume"] = world.store["volume"].clone();
    assert!(world.plan().is_ok(), "one volume for both");
}
