//! The Helm chart, rendered: objects as JSON values.

use std::{env, path::PathBuf};

use serde::Deserialize as _;
use serde_json::Value;

use crate::programs::{Finished, repository, run, tool};

/// Name of the release that [`render`] renders.
pub const RELEASE: &str = "release-name";
/// Namespace of that release.
pub const NAMESPACE: &str = "exportjob-system";

/// Folder of the chart.
pub fn folder() -> PathBuf {
    repository().join("charts/exportjob-operator")
}

/// Runs helm, which `$HELM` may name.
pub fn helm(arguments: &[&str]) -> Finished {
    let program = env::var_os("HELM").map_or_else(|| tool("helm"), PathBuf::from);
    run(&program, arguments, b"")
}

/// `helm template` with these further arguments.
pub fn template(arguments: &[&str]) -> Finished {
    template_release(RELEASE, arguments)
}

/// `helm template` of a release with this name.
pub fn template_release(release: &str, arguments: &[&str]) -> Finished {
    let chart = folder();
    let chart = chart.to_str().expect("a path in UTF-8");
    let fixed = [
        "template",
        release,
        chart,
        "--namespace",
        NAMESPACE,
        "--kube-version",
        "1.34.0",
    ];
    helm(&[&fixed, arguments].concat())
}

/// The objects of the chart with these `--set` values.
pub fn render(values: &[&str]) -> Vec<Value> {
    let arguments: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
    let finished = template(&arguments);
    assert!(
        finished.code == Some(0),
        "helm template {values:?}:\n{}",
        finished.stderr
    );
    objects(&finished.text())
}

/// All documents of a YAML text that are not empty.
pub fn objects(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("YAML"))
        .filter(|document| !document.is_null())
        .collect()
}

/// Objects of one kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The only object of a kind.
pub fn the<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "objects of kind {kind}");
    found[0]
}

/// Kind, namespace and name of an object, for messages.
pub fn title(object: &Value) -> String {
    let meta = &object["metadata"];
    format!("{} {}/{}", object["kind"], meta["namespace"], meta["name"])
}
