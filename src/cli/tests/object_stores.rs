//! A run without a cluster over an object store: credentials from a Secret among the manifests, or from the environment.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

#[allow(dead_code, reason = "shared with the tests of the exporter")]
#[path = "../../exporter/tests/s3/mod.rs"]
mod s3;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::{
    arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray},
    parquet::arrow::ArrowWriter,
};
use s3::{
    proxy::{Fault, Proxy},
    server::{ACCESS_KEY, REGION, SECRET_KEY, Server},
};
use tokio::process::Command;

const RESOURCES: &str = "
apiVersion: exportjob.dev/v1alpha1
kind: ExportJob
metadata: {name: everybody}
spec: {destination: {datasetId: people}, schema: {name: _xdm.context.profile}}
---
apiVersion: exportjob.dev/v1alpha1
kind: ProfileStore
metadata: {name: ups}
spec:
  credentials: {secretRef: {name: lake}}
  tables:
    fragments: [{location: \"s3://lake/store/fragments\", format: parquet}]
---
apiVersion: exportjob.dev/v1alpha1
kind: Dataset
metadata: {name: people}
spec: {location: \"s3://lake/out/people\", credentials: {secretRef: {name: lake}}}
";

/// Two people.
fn fragments(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let text = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1, 2]).with_timezone("UTC"));
    let rows = RecordBatch::try_from_iter([
        ("ups_namespace", text(&["email", "email"])),
        ("ups_identity", text(&["a@x", "b@x"])),
        ("ups_dataset", text(&["web", "web"])),
        ("ups_ingested", times),
    ])
    .unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(folder.join("0.parquet")).unwrap(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

/// Exit code and everything that was said.
async fn run(files: &[PathBuf], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-exportjob"));
    command.arg("run").envs(env.iter().copied());
    for file in files {
        command.arg("-f").arg(file);
    }
    let output = command.output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_come_from_a_secret_or_from_the_environment() {
    let server = Server::start();
    let proxy = Proxy::start(server.socket(), |_| Fault::None).await;
    fragments(&server.bucket().join("store/fragments"));
    let folder = tempfile::tempdir().unwrap();
    let (all, secret) = (folder.path().join("all.yaml"), folder.path().join("secret.yaml"));
    fs::write(&all, RESOURCES).unwrap();
    let write = |key: &str| {
        let endpoint = proxy.endpoint();
        let text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: lake}}\nstringData:\n  AWS_ACCESS_KEY_ID: {ACCESS_KEY}\n  {key}: {SECRET_KEY}\n  AWS_REGION: {REGION}\n  AWS_ENDPOINT_URL: {endpoint}\n  AWS_ALLOW_HTTP: 'true'\n"
        );
        fs::write(&secret, text).unwrap();
    };

    write("AWS_SECRET_ACCESS_KEY");
    let (code, said) = run(&[all.clone(), secret.clone()], &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(server.bucket().join("out/people/_delta_log").is_dir(), "{said}");

    let endpoint = proxy.endpoint();
    let env = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", REGION),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    let (code, said) = run(std::slice::from_ref(&all), &env).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Secret \"lake\" is not among the manifests"), "{said}");

    write("AWS_SECRET_KEY");
    let (code, said) = run(&[all, secret], &env).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("AWS_SECRET_ACCESS_KEY") && !said.contains(SECRET_KEY),
        "{said}"
    );
}
