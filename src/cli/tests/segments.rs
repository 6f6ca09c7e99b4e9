//! Segments on the command line: a job that evaluates them, and expressions that are checked against a store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use datafusion::{
    arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
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
    fragments: [{location: \"file:///store/fragments\", format: parquet}]
    events: [{location: \"events\", format: parquet}]
";
const JOB: &str = "
apiVersion: exportjob.dev/v1alpha1
kind: ExportJob
metadata: {name: buyers}
spec:
  filter: {segments: [{segmentId: buyers}]}
  evaluationInfo: {segmentation: true}
  destination: {datasetId: people}
  schema: {name: _xdm.context.profile}
---
apiVersion: exportjob.dev/v1alpha1
kind: Dataset
metadata: {name: people}
spec: {location: \"file:out/people\"}
";

fn definition(id: &str, expression: &str) -> String {
    format!(
        "
apiVersion: exportjob.dev/v1alpha1
kind: SegmentDefinition
metadata: {{name: {id}}}
spec: {{expression: {{type: PQL, format: pql/text, value: '{expression}'}}}}"
    )
}

fn write(folder: &Path, columns: &[(&str, ArrayRef)]) {
    fs::create_dir_all(folder).unwrap();
    let rows = columns.first().unwrap().1.len();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; rows])) };
    let ingested: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1; rows]).with_timezone("UTC"));
    let own = [
        ("ups_namespace", text("email")),
        ("ups_dataset", text("web")),
        ("ups_ingested", ingested),
    ];
    let rows = RecordBatch::try_from_iter(own.into_iter().chain(columns.iter().cloned())).unwrap();
    let file = File::create(folder.join("0.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

/// Three people; one of them bought once and one three times.
fn store() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let ages: ArrayRef = Arc::new(Int64Array::from(vec![30, 40, 50]));
    let people = [("ups_identity", text(&["a@x", "b@x", "c@x"])), ("age", ages)];
    write(&folder.path().join("mounted/fragments"), &people);
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3, 4]).with_timezone("UTC"));
    let events = [
        ("ups_identity", text(&["a@x", "b@x", "b@x", "b@x"])),
        ("_id", text(&["1", "2", "3", "4"])),
        ("timestamp", times),
        ("eventType", text(&["buy", "buy", "buy", "buy"])),
    ];
    write(&folder.path().join("events"), &events);
    fs::write(folder.path().join("store.yaml"), STORE).unwrap();
    folder
}

fn program(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-exportjob"));
    let volume = format!("/store={}", folder.join("mounted").display());
    command.current_dir(folder).args(arguments).args(["--volume", &volume]);
    command.output().unwrap()
}

fn run(folder: &Path, definitions: &[(&str, &str)]) -> Output {
    let mut documents = vec![JOB.to_owned()];
    documents.extend(definitions.iter().map(|(id, text)| definition(id, text)));
    fs::write(folder.join("job.yaml"), documents.join("\n---")).unwrap();
    program(folder, &["run", "-f", "store.yaml", "-f", "job.yaml", "-o", "json"])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_job_takes_who_matches_the_definitions_beside_it() {
    let folder = store();
    let definitions = [
        (
            "buyers",
            "xEvent[eventType = \"buy\"].count() > 2 and inSegment(\"old\")",
        ),
        ("old", "age >= 40"),
    ];
    let output = run(folder.path(), &definitions);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let job: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(job["status"]["metrics"]["totalExportedProfileCounter"], 1);
}

#[test]
fn what_is_wrong_with_a_definition_is_said_before_anything_is_written() {
    let folder = store();
    let wrong = |definitions: &[(&str, &str)], exit: i32, words: &[&str]| {
        let output = run(folder.path(), definitions);
        let said = text(&output.stderr) + &text(&output.stdout);
        assert_eq!(output.status.code(), Some(exit), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} in {said}");
        }
        assert!(!folder.path().join("out/people/_delta_log").exists());
    };
    wrong(&[("others", "age > 1")], 2, &["SegmentDefinition", "buyers", "others"]);
    wrong(&[("buyers", "age > ")], 2, &["buyers", "line 1, column"]);
    wrong(&[("buyers", "inSegment(\"buyers\")")], 2, &["buyers → buyers"]);
    wrong(
        &[("buyers", "aeg > 1")],
        1,
        &["PQL_UNKNOWN_FIELD", "buyers", "has no field \\\"aeg"],
    );
    wrong(&[("buyers", "age = \"1\"")], 1, &["PQL_TYPE", "int and string"]);
}

fn check(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = program(folder, &[&["pql", "check"], arguments].concat());
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn an_expression_is_checked_against_the_columns_of_a_store() {
    let folder = store();
    let (exit, said, _) = check(folder.path(), &["xEvent[eventType = \"buy\"]", "--store", "store.yaml"]);
    assert_eq!(exit, Some(0));
    assert_eq!(said, "ok: xEvent[eventType = \"buy\"]\ntype: list of struct\n");
    let (exit, said, _) = check(folder.path(), &["age > 5", "--store", "store.yaml"]);
    assert_eq!((exit, said.as_str()), (Some(0), "ok: age > 5\ntype: bool\n"));
    let (exit, _, error) = check(
        folder.path(),
        &["age > 5 and\n  eventTpye = 1", "--store", "store.yaml"],
    );
    assert_eq!(exit, Some(2));
    assert!(
        error.contains("line 2, column 3: the profile has no field \"eventTpye\""),
        "{error}"
    );
    let (exit, _, error) = check(folder.path(), &["age.contains(\"5\")", "--store", "store.yaml"]);
    assert_eq!(exit, Some(2));
    assert!(error.contains("line 1, column 1: ") && error.contains("int"), "{error}");
}

#[test]
fn a_store_that_cannot_be_opened_is_bad_input() {
    let folder = store();
    fs::write(folder.path().join("other.yaml"), JOB).unwrap();
    fs::write(folder.path().join("lost.yaml"), STORE.replace("events", "evnets")).unwrap();
    for (file, word) in [
        ("other.yaml", "no ProfileStore"),
        ("lost.yaml", "evnets"),
        ("absent.yaml", "absent.yaml"),
    ] {
        let (exit, _, error) = check(folder.path(), &["age > 5", "--store", file]);
        assert_eq!(exit, Some(2), "{error}");
        assert!(error.contains(word), "{word:?} in {error}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-exportjob"))
        .args(["pql", "check", "age > 5"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--store"));
}
