//! The benchmark keeps its own promises: stores that follow from their seed, engines that write what the exporter
//! writes, and a failure where they do not. Small stores; nothing here is about time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use exportjob_tests::{
    programs::{Finished, repository, run, succeed, workspace_binary},
    random::Random,
};
use serde_json::Value;

const PROFILES: u32 = 1_500;

fn seed() -> u64 {
    Random::from_environment().below(1 << 31)
}

fn generate(seed: u64, layout: &str, out: &Path) {
    let arguments = [
        "--profiles",
        &PROFILES.to_string(),
        "--seed",
        &seed.to_string(),
        "--layout",
        layout,
        "--out",
        out.to_str().unwrap(),
    ];
    succeed(&repository().join("tests/bench/generate"), &arguments, b"");
}

/// Runs the benchmark on small stores in a folder of its own; the documentation is left alone.
fn bench(folder: &Path, seed: u64, program: &Path, engines: &str) -> Finished {
    let variables = [
        format!("BENCH_PROFILES={PROFILES}"),
        format!("BENCH_SEED={seed}"),
        format!("BENCH_ENGINES={engines}"),
        format!("BENCH_WORK={}", folder.display()),
        format!("BENCH_PROGRAM={}", program.display()),
        "BENCH_ROUNDS=1".to_owned(),
        "BENCH_REPORT=0".to_owned(),
    ];
    let script = repository().join("tests/bench/run").display().to_string();
    let arguments: Vec<String> = variables.into_iter().chain([script]).collect();
    run(Path::new("/usr/bin/env"), &arguments, b"")
}

fn results(folder: &Path) -> Value {
    let mut files = fs::read_dir(folder.join("results")).unwrap();
    let file = files.next().unwrap().unwrap().path();
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn every_engine_writes_the_rows_that_the_exporter_writes() {
    let folder = tempfile::tempdir().unwrap();
    let program = workspace_binary("kubectl-exportjob");
    let finished = bench(folder.path(), seed(), &program, "exporter duckdb polars datafusion");
    assert_eq!(finished.code, Some(0), "{}", finished.everything());
    let samples = results(folder.path())["samples"].as_array().unwrap().clone();
    assert_eq!(
        samples.len(),
        6 * 5,
        "four engines, two of them on both layouts, five exports"
    );
    for sample in samples {
        assert_eq!(sample["exit"], 0, "{sample}");
        for measure in ["wall", "cpu", "peak_mib", "first_read"] {
            assert!(sample[measure].as_f64().is_some_and(|value| value > 0.0), "{sample}");
        }
    }
}

#[test]
fn rows_that_differ_fail_the_benchmark() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (5, 6);
    let elsewhere = folder.path().join("elsewhere");
    generate(other, "append", &elsewhere);
    // The exporter reads another store than the others do.
    let store = folder.path().join(format!("stores/{PROFILES}-{one}-16-append"));
    let program = folder.path().join("program");
    let script = format!(
        "#!/bin/bash\nexec {} \"${{@//{}/{}}}\"\n",
        workspace_binary("kubectl-exportjob").display(),
        store.display().to_string().replace('/', "\\/"),
        elsewhere.display(),
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let finished = bench(folder.path(), one, &program, "exporter duckdb");
    assert_eq!(finished.code, Some(1), "{}", finished.everything());
    assert!(finished.stderr.contains("wrote other rows"), "{}", finished.stderr);
    assert_eq!(results(folder.path())["wrong"].as_array().unwrap().len(), 5);
}

#[test]
fn the_rows_of_a_store_follow_from_its_seed_and_not_from_its_layout() {
    let folder = tempfile::tempdir().unwrap();
    let seed = seed();
    let mut found = Vec::new();
    for (name, seed, layout) in [
        ("a", seed, "append"),
        ("b", seed, "bucketed"),
        ("c", seed ^ 1, "append"),
    ] {
        let store = folder.path().join(name);
        generate(seed, layout, &store);
        found.push(rows(&store));
    }
    assert_eq!(found[0], found[1]);
    for table in ["fragments", "events", "identities", "memberships"] {
        assert!(
            found[0][table][0].as_u64().is_some_and(|rows| rows > 100),
            "{}",
            found[0]
        );
        assert_ne!(found[0][table][1], found[2][table][1], "{table}");
    }
}

/// Numbers and hashes of the rows of a store's tables.
fn rows(store: &Path) -> Value {
    let arguments = ["-m", "rows", store.to_str().unwrap()];
    serde_json::from_slice(&succeed(&repository().join("tests/bench/python"), &arguments, b"")).unwrap()
}
