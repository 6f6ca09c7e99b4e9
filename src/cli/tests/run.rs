//! The command line as a user meets it: exit codes, messages, and a small store end to end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use datafusion::{
    arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray},
    parquet::arrow::ArrowWriter,
};
use serde_json::Value;
use tempfile::TempDir;

const STORE: &str = "
apiVersion: exportjob.dev/v1alpha1
kind: ProfileStore
metadata: {name: ups}
spec:
  tables:
    fragments: [{location: \"file:store/fragments\", format: parquet}]
";
const DATASET: &str = "
apiVersion: exportjob.dev/v1alpha1
kind: Dataset
metadata: {name: people}
spec: {location: \"file:out/people\"}
";

fn job(name: &str, more: &str) -> String {
    format!(
        "
apiVersion: exportjob.dev/v1alpha1
kind: ExportJob
metadata: {{name: {name}}}
spec:
  destination: {{datasetId: people}}
  schema: {{name: _xdm.context.profile}}
{more}"
    )
}

/// A folder with a store of three people, one of whom was seen twice.
fn store() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let fragments = folder.path().join("store/fragments");
    fs::create_dir_all(&fragments).unwrap();
    let text = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3, 4]).with_timezone("UTC"));
    let rows = RecordBatch::try_from_iter([
        ("ups_namespace", text(&["email", "email", "email", "crm"])),
        ("ups_identity", text(&["a@x", "a@x", "b@x", "7"])),
        ("ups_dataset", text(&["web", "web", "web", "crm"])),
        ("ups_ingested", times),
        ("name", text(&["old", "new", "b", "seven"])),
    ])
    .unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(fragments.join("0.parquet")).unwrap(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    folder
}

fn write(folder: &Path, name: &str, documents: &[&str]) {
    fs::write(folder.join(name), documents.join("\n---")).unwrap();
}

/// Runs the program somewhere else than in `folder`, so that only manifests can make paths relative to it.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-exportjob"));
    command.current_dir("/").arg("run");
    for argument in arguments {
        if Path::new(argument).extension().is_some_and(|end| end == "yaml") {
            command.arg(folder.join(argument));
        } else {
            command.arg(argument);
        }
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Asserts the exit code and that standard error has all `words`.
fn ends(output: &Output, exit_code: i32, words: &[&str]) {
    let message = text(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(exit_code),
        "{message}{}",
        text(&output.stdout)
    );
    for word in words {
        assert!(message.contains(word), "{word:?} in {message}");
    }
}

#[test]
fn a_small_store_is_exported_and_the_status_printed() {
    let folder = store();
    write(folder.path(), "all.yaml", &[&job("everybody", ""), STORE, DATASET]);
    let output = run(folder.path(), &["-f", "all.yaml", "-o", "json"]);
    ends(&output, 0, &["batch "]);
    let job: Value = serde_json::from_slice(&output.stdout).unwrap();
    let status = &job["status"];
    assert_eq!(job["kind"], "ExportJob");
    assert_eq!(job["metadata"]["namespace"], "default");
    assert_eq!(status["phase"], "SUCCEEDED");
    assert_eq!(status["profileInstanceId"], "ups");
    assert_eq!(status["mergePolicy"]["id"], "timestampOrdered-none-mp");
    assert_eq!(status["metrics"]["totalExportedProfileCounter"], 3);
    assert_eq!(status["metrics"]["exportedProfileByNamespaceCounter"]["email"], 2);
    assert_eq!(status["conditions"][0]["type"], "Complete");
    let batch = status["destination"]["batchId"].as_str().unwrap();
    assert!(text(&output.stderr).contains(batch));
    assert!(folder.path().join(format!("out/people/_batchId={batch}")).is_dir());
}

#[test]
fn each_run_is_a_job_of_its_own() {
    let folder = store();
    write(folder.path(), "all.yaml", &[&job("everybody", ""), STORE, DATASET]);
    let ids: Vec<Value> = (0..2)
        .map(|_| {
            let output = run(folder.path(), &["-f", "all.yaml", "-o", "yaml"]);
            ends(&output, 0, &[]);
            serde_yaml::from_slice::<Value>(&output.stdout).unwrap()["status"].clone()
        })
        .collect();
    assert_ne!(ids[0]["destination"]["batchId"], ids[1]["destination"]["batchId"]);
    assert!(ids[0]["id"].as_i64() < ids[1]["id"].as_i64());
}

#[test]
fn the_table_shows_the_job_in_one_line() {
    let folder = store();
    write(folder.path(), "all.yaml", &[&job("everybody", ""), STORE, DATASET]);
    let output = run(folder.path(), &["-f", "all.yaml"]);
    ends(&output, 0, &[]);
    let table = text(&output.stdout);
    assert!(table.starts_with("NAME"), "{table}");
    let line = table.lines().nth(1).unwrap();
    assert!(
        line.starts_with("everybody") && line.contains("SUCCEEDED") && line.contains("people"),
        "{line}"
    );
}

#[test]
fn locations_are_relative_to_the_manifest_that_has_them() {
    let folder = store();
    let elsewhere = tempfile::tempdir().unwrap();
    write(folder.path(), "store.yaml", &[STORE]);
    write(elsewhere.path(), "dataset.yaml", &[DATASET, &job("everybody", "")]);
    let dataset = elsewhere.path().join("dataset.yaml");
    let output = run(
        Path::new("/"),
        &[
            "-f",
            dataset.to_str().unwrap(),
            "-f",
            folder.path().join("store.yaml").to_str().unwrap(),
        ],
    );
    ends(&output, 0, &[]);
    assert!(elsewhere.path().join("out/people/_delta_log").is_dir());
    assert!(!folder.path().join("out").exists());
}

#[test]
fn a_folder_stands_for_a_volume() {
    let folder = store();
    let mounted = STORE.replace("file:store/fragments", "file:///store/fragments");
    write(folder.path(), "all.yaml", &[&job("everybody", ""), &mounted, DATASET]);
    let volume = format!("/store={}", folder.path().join("store").display());
    ends(&run(folder.path(), &["-f", "all.yaml", "--volume", &volume]), 0, &[]);
    ends(
        &run(folder.path(), &["-f", "all.yaml", "--volume", "store=x"]),
        2,
        &["must be an absolute path"],
    );
}

#[test]
fn manifests_may_come_from_standard_input() {
    let folder = store();
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-exportjob"))
        .current_dir(folder.path())
        .args(["run", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all([&job("everybody", ""), STORE, DATASET].join("---").as_bytes())
        .unwrap();
    ends(&child.wait_with_output().unwrap(), 0, &[]);
}

#[test]
fn an_export_that_fails_prints_its_status_and_exits_with_1() {
    let folder = store();
    write(
        folder.path(),
        "all.yaml",
        &[&job("everybody", "  fields: nmae"), STORE, DATASET],
    );
    let output = run(folder.path(), &["-f", "all.yaml", "-o", "json"]);
    ends(&output, 1, &[]);
    let job: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(job["status"]["phase"], "FAILED");
    assert_eq!(job["status"]["errors"][0]["code"], "UNKNOWN_FIELD");
    let message = job["status"]["errors"][0]["msg"].as_str().unwrap();
    assert!(message.contains("nmae") && message.contains("name"), "{message}");
    assert!(!folder.path().join("out/people/_delta_log").exists());
}

#[test]
fn bad_input_exits_with_2_and_says_where() {
    let folder = store();
    let bad = |name: &str, documents: &[&str], arguments: &[&str], words: &[&str]| {
        write(folder.path(), name, documents);
        let mut all = vec!["-f", name];
        all.extend(arguments);
        let output = run(folder.path(), &all);
        ends(&output, 2, words);
        assert!(output.stdout.is_empty());
    };
    bad("syntax.yaml", &["a: [1"], &[], &["syntax.yaml", "document 1"]);
    bad(
        "unknown.yaml",
        &[STORE, &job("j", "  filed: x")],
        &[],
        &["document 2", "spec.filed"],
    );
    bad(
        "time.yaml",
        &[&job("j", "  filter: {fromIngestTimestamp: yesterday}")],
        &[],
        &["fromIngestTimestamp"],
    );
    bad("none.yaml", &[STORE, DATASET], &[], &["no ExportJob"]);
    bad("two.yaml", &[&job("a", ""), &job("b", "")], &[], &["--name", "a, b"]);
    bad("other.yaml", &[&job("a", ""), STORE], &["--name", "c"], &["\"c\"", "a"]);
    bad(
        "twice.yaml",
        &[&job("a", ""), STORE, STORE],
        &[],
        &["ProfileStore \"ups\"", "twice"],
    );
    bad(
        "nostore.yaml",
        &[&job("a", ""), DATASET],
        &[],
        &["ProfileStore \"ups\" does not exist"],
    );
    bad(
        "suspended.yaml",
        &[&job("a", "  execution: {suspend: true}")],
        &[],
        &["suspended"],
    );
    bad(
        "cancelled.yaml",
        &[&job("a", "  execution: {cancel: true}")],
        &[],
        &["cancelled"],
    );
    bad(
        "memory.yaml",
        &[
            &job("a", "  execution: {resources: {limits: {memory: 2GB}}}"),
            STORE,
            DATASET,
        ],
        &[],
        &["resources.limits.memory", "2GB"],
    );
}

#[test]
fn bad_arguments_exit_with_2_too() {
    let folder = store();
    write(folder.path(), "none.yaml", &[STORE, DATASET]);
    ends(&run(folder.path(), &["-f", "absent.yaml"]), 2, &["absent.yaml"]);
    ends(&run(folder.path(), &[]), 2, &["--filename"]);
    ends(&run(folder.path(), &["-f", "none.yaml", "-o", "xml"]), 2, &["xml"]);
    ends(
        &run(folder.path(), &["-f", "none.yaml", "--memory", "lots"]),
        2,
        &["lots"],
    );
}

#[test]
fn one_of_several_jobs_is_chosen_by_name() {
    let folder = store();
    write(
        folder.path(),
        "all.yaml",
        &[&job("a", ""), &job("b", ""), STORE, DATASET],
    );
    let output = run(folder.path(), &["-f", "all.yaml", "--name", "b"]);
    ends(&output, 0, &[]);
    assert!(text(&output.stdout).lines().nth(1).unwrap().starts_with('b'));
}

#[test]
fn help_says_what_matters_on_a_cluster_only() {
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-exportjob"))
        .args(["run", "--help"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for word in ["on a cluster only", "podTemplate", "Exit code"] {
        assert!(help.contains(word), "{word}");
    }
}
