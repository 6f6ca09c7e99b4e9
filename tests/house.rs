//! The walls of the house: who may depend on whom, where writes may stand, and that generated files are up to date.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use exportjob_api::{crds, parse_manifests};
use exportjob_tests::{
    chart::{self, objects},
    programs::{repository, succeed},
};

/// Crates, each with what it must not reach, by whatever way.
const WALLS: &[(&str, &[&str])] = &[
    (
        "exportjob-api",
        &["tokio", "kube-client", "kube-runtime", "datafusion", "exportjob-plan"],
    ),
    (
        "exportjob-plan",
        &[
            "tokio",
            "kube-client",
            "kube-runtime",
            "datafusion",
            "deltalake",
            "object_store",
        ],
    ),
    (
        "exportjob-pql",
        &[
            "tokio",
            "kube",
            "datafusion",
            "arrow",
            "object_store",
            "exportjob-api",
            "exportjob-plan",
        ],
    ),
    (
        "exportjob-controller",
        &[
            "datafusion",
            "deltalake",
            "arrow",
            "parquet",
            "object_store",
            "exportjob-exporter",
        ],
    ),
    (
        "exportjob-exporter",
        &["kube-client", "kube-runtime", "exportjob-controller"],
    ),
];

/// Crates of which two versions would be two worlds.
const SINGLE: &[&str] = &[
    "arrow",
    "parquet",
    "object_store",
    "datafusion",
    "deltalake",
    "kube",
    "k8s-openapi",
    "schemars",
];

/// All that `crate_name` is built with, by name: features of this crate alone, not those of the workspace.
fn dependencies(crate_name: &str) -> BTreeSet<String> {
    let cargo = PathBuf::from(env::var_os("CARGO").expect("cargo runs the tests"));
    let manifest = repository().join("Cargo.toml");
    let arguments = [
        "tree",
        "--manifest-path",
        manifest.to_str().unwrap(),
        "--package",
        crate_name,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--locked",
        "--offline",
    ];
    let tree = String::from_utf8(succeed(&cargo, &arguments, b"")).unwrap();
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// All files below `folder` whose name ends like this.
fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, suffix));
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Lines of the sources of a crate that contain one of `words`, tests aside, outside of the modules `allowed`.
fn lines_with(crate_folder: &str, allowed: &[&str], words: &[&str]) -> Vec<String> {
    let root = repository().join(crate_folder).join("src");
    let mut found = Vec::new();
    for file in files(&root, ".rs") {
        let name = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        if allowed.iter().any(|module| name.starts_with(module)) || name.contains("test") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let comment = line.trim_start().starts_with("//");
            if !comment && words.iter().any(|word| line.contains(word)) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn no_crate_reaches_over_its_wall() {
    for (name, forbidden) in WALLS {
        let reached = dependencies(name);
        assert!(reached.contains(*name), "cargo tree knows {name}");
        let over: Vec<_> = forbidden
            .iter()
            .filter(|crate_name| reached.contains(**crate_name))
            .collect();
        assert!(
            over.is_empty(),
            "{name} must not depend on {over:?}; `cargo tree -p {name} -i CRATE` shows how it does"
        );
    }
}

#[test]
fn there_is_one_version_of_what_is_shared() {
    let lock = fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut lines = lock.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("name = ") {
            let version = lines.peek().and_then(|line| line.strip_prefix("version = ")).unwrap();
            versions
                .entry(name.trim_matches('"'))
                .or_default()
                .push(version.trim_matches('"'));
        }
    }
    for name in SINGLE {
        let found = versions
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not in Cargo.lock"));
        assert_eq!(found.len(), 1, "{name} is there in the versions {found:?}");
    }
}

#[test]
fn every_write_to_the_api_server_stands_in_act() {
    // No call that writes does without one of these types; Events are published by a recorder.
    let words = ["PostParams", "PatchParams", "DeleteParams", "Patch::", ".publish("];
    let found = lines_with("src/controller", &["act.rs", "act/"], &words);
    assert!(found.is_empty(), "writes outside of act:\n{}", found.join("\n"));
}

#[test]
fn every_write_to_a_delta_log_stands_in_commit() {
    let words = [
        "CommitBuilder",
        "CreateBuilder",
        "PreparedCommit",
        "CommitProperties",
        "DeltaOps",
        "write_commit_entry",
    ];
    let found = lines_with("src/exporter", &["commit"], &words);
    assert!(
        found.is_empty(),
        "writes to the log outside of commit:\n{}",
        found.join("\n")
    );
}

#[test]
fn the_core_of_the_controller_knows_no_clock_and_no_chance() {
    let words = [
        "Timestamp::now",
        "SystemTime::now",
        "Instant::now",
        "rand::",
        "std::env",
        "kube::Client",
        ".await",
    ];
    let folder = repository().join("src/controller/src");
    let core = [
        "decide.rs",
        "decide/",
        "job.rs",
        "job/",
        "status.rs",
        "decision.rs",
        "observed.rs",
        "settings.rs",
        "notice.rs",
        "segments.rs",
    ];
    let others: Vec<String> = files(&folder, ".rs")
        .iter()
        .map(|file| file.strip_prefix(&folder).unwrap().to_string_lossy().into_owned())
        .filter(|name| !core.iter().any(|module| name.starts_with(module)))
        .collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let found = lines_with("src/controller", &others, &words);
    assert!(found.is_empty(), "not pure:\n{}", found.join("\n"));
}

#[test]
fn the_definitions_are_those_of_the_types() {
    for folder in [repository().join("crds"), chart::folder().join("files/crds")] {
        let mut expected = BTreeSet::new();
        for crd in crds() {
            let file = folder.join(format!("{}.yaml", crd.spec.names.plural));
            let generated = serde_yaml::to_string(&crd).unwrap();
            let found = fs::read_to_string(&file).unwrap_or_default();
            let differs = generated.lines().zip(found.lines()).find(|(new, old)| new != old);
            assert!(
                generated == found,
                "{} is not what the types say ({differs:?}): run `make crds`",
                file.display()
            );
            expected.insert(file);
        }
        assert_eq!(
            files(&folder, "").into_iter().collect::<BTreeSet<_>>(),
            expected,
            "files that no type stands for"
        );
    }
}

#[test]
fn every_example_is_accepted() {
    let mut seen = 0;
    for file in files(&repository().join("examples"), ".yaml") {
        let text = fs::read_to_string(&file).unwrap();
        let kinds = objects(&text);
        if kinds
            .iter()
            .all(|object| object["apiVersion"] != "exportjob.dev/v1alpha1")
        {
            continue;
        }
        let manifests = parse_manifests(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        seen += manifests.len();
    }
    assert!(seen >= 4, "examples/ has {seen} resources");
}
