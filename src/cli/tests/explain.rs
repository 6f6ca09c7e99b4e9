//! What a job would read and whom it would reach, of a store as it comes and of the same store bucketed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use datafusion::{
    arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray},
    parquet::arrow::ArrowWriter,
};
use exportjob_exporter::pod;
use serde_json::Value;
use tempfile::TempDir;

const MANIFESTS: &str = "
apiVersion: exportjob.dev/v1alpha1
kind: ExportJob
metadata: {name: members}
spec:
  fields: email
  filter: {segments: [{segmentId: s}, {segmentId: t}]}
  destination: {datasetId: people}
  schema: {name: _xdm.context.profile}
---
apiVersion: exportjob.dev/v1alpha1
kind: Dataset
metadata: {name: people}
spec: {location: \"file:out/people\"}
";
const STORE: &str = "
apiVersion: exportjob.dev/v1alpha1
kind: ProfileStore
metadata: {name: ups}
spec:
  tables:
    fragments: [{location: \"file:///store/fragments\", format: parquet, dataset: crm}]
    identities: [{location: \"file:///store/identities\", format: parquet}]
    memberships: [{location: \"file:///store/memberships\", format: parquet}]
  mergePolicies:
  - {id: joined, default: true, identityGraph: {type: pdg}, attributeMerge: {type: timestampOrdered}}
";

fn write(folder: &Path, columns: &[(&str, &[&str])]) {
    fs::create_dir_all(folder).unwrap();
    let rows = columns[0].1.len();
    let text = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1; rows]).with_timezone("UTC"));
    let all = columns.iter().map(|(name, values)| (*name, text(values)));
    let all = all.chain([("ups_ingested", times.clone()), ("lastQualificationTime", times)]);
    let rows = RecordBatch::try_from_iter(all).unwrap();
    let file = File::create(folder.join("0.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

/// Two profiles: one of two identities, both of which are members of `s`, and one that is a member of both segments.
fn store() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join("store").join(name);
    let (namespaces, ids) = (["crm", "web", "crm"], ["1", "2", "3"]);
    let own = [("ups_namespace", namespaces.as_slice()), ("ups_identity", &ids)];
    let emails = [
        own.as_slice(),
        &[("email", &["a@x", "b@x", "c@x"]), ("name", &["A", "B", "C"])],
    ]
    .concat();
    write(&place("fragments"), &emails);
    write(
        &place("identities"),
        &[own.as_slice(), &[("ups_profile", &["p", "p", "q"])]].concat(),
    );
    let members: [(&str, &[&str]); 5] = [
        ("ups_namespace", &["crm", "web", "crm", "crm"]),
        ("ups_identity", &["1", "2", "3", "3"]),
        ("segmentNs", &["ups", "ups", "ups", "ups"]),
        ("segmentId", &["s", "s", "s", "t"]),
        ("status", &["realized", "realized", "existing", "realized"]),
    ];
    write(&place("memberships"), &members);
    fs::write(folder.path().join("store.yaml"), STORE).unwrap();
    fs::write(folder.path().join("job.yaml"), MANIFESTS).unwrap();
    folder
}

fn explain(folder: &Path, store: &str, tables: &str, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-exportjob"));
    let volume = format!("/store={}", folder.join(tables).display());
    command
        .current_dir(folder)
        .args(["explain", "-f", store, "-f", "job.yaml", "--volume", &volume]);
    let done = command.args(options).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(!folder.join("out").exists(), "nothing is written");
    done
}

fn json(folder: &Path, store: &str, tables: &str, options: &[&str]) -> Value {
    let options = [&["-o", "json"], options].concat();
    serde_json::from_slice(&explain(folder, store, tables, &options).stdout).unwrap()
}

fn sizes(answer: &Value) -> Vec<i64> {
    let audience = answer["audience"].as_array().unwrap().iter();
    audience.map(|size| size["profiles"].as_i64().unwrap()).collect()
}

#[test]
fn an_estimate_is_not_too_small_and_a_count_is_right() {
    let folder = store();
    let estimated = json(folder.path(), "store.yaml", "store", &[]);
    assert_eq!(sizes(&estimated), [3, 1], "membership rows of s and of t");
    assert_eq!(estimated["mergePolicy"]["id"], "joined");
    assert_eq!(
        estimated["mergePolicy"]["because"],
        "it is the default of the ProfileStore"
    );
    assert_eq!(estimated["strategy"], "shuffled");
    assert_eq!(estimated["columns"], serde_json::json!(["email"]));
    let fragments = &estimated["tables"][0];
    assert_eq!(
        (&fragments["kind"], &fragments["rows"]),
        (&"fragments".into(), &3.into())
    );
    assert!(
        fragments["bytesRead"].as_u64() < fragments["bytes"].as_u64(),
        "names are not read: {fragments}"
    );
    let counted = json(folder.path(), "store.yaml", "store", &["--exact"]);
    assert_eq!(sizes(&counted), [2, 1, 2], "profiles of s, of t, and of both together");
    let text = String::from_utf8(explain(folder.path(), "store.yaml", "store", &[]).stdout).unwrap();
    assert!(text.contains("PROFILES (AT MOST)") && text.contains("ups/s"), "{text}");
}

#[test]
fn a_store_that_was_bucketed_is_read_bucket_by_bucket_and_has_the_same_audience() {
    let folder = store();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let volume = format!("/store={}", path("store"));
    let (manifest, new) = (path("store.yaml"), path("new"));
    let arguments = [
        "exportjob-exporter",
        "bucket",
        "--store",
        &manifest,
        "--buckets",
        "3",
        "--out",
        &new,
        "--volume",
        &volume,
    ];
    let arguments = || arguments.iter().map(Into::into);
    assert_eq!(pod::run(arguments()), std::process::ExitCode::SUCCESS);
    let answer = json(folder.path(), "new/store.yaml", "new", &["--exact"]);
    assert_eq!(answer["strategy"], "bucketed");
    assert_eq!(sizes(&answer), [2, 1, 2]);
    // A second run would mix its files with those of the first.
    assert_eq!(pod::run(arguments()), exportjob_plan::exit::USER_ERROR.into());
}
