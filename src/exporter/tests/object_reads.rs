//! Profile stores in an object store, against a real S3 server: the same answer as from a volume, on good days and bad.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

#[allow(dead_code, reason = "shared by several test binaries, none of which needs all of it")]
mod reference;
#[allow(dead_code, reason = "shared by several test binaries, none of which needs all of it")]
mod s3;
#[allow(dead_code, reason = "shared by several test binaries, none of which needs all of it")]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use exportjob_exporter::Error;
use exportjob_plan::{ExportPlan, TablePlan, code};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use s3::{
    proxy::{Fault, INTERNAL_ERROR, Proxy, SLOW_DOWN},
    server::{Server, keys, url, walk},
};
use support::{
    generate::{Case, Ties, case},
    run,
};

/// Object stores keep whole seconds: so does the volume that they are compared with.
fn whole_seconds(folder: &Path) {
    let mut files = Vec::new();
    walk(folder, &mut files);
    for file in files {
        let file = fs::File::options().write(true).open(file).unwrap();
        let micros = file
            .metadata()
            .unwrap()
            .modified()
            .unwrap()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let whole = std::time::UNIX_EPOCH + std::time::Duration::from_secs(micros.as_secs());
        file.set_modified(whole).unwrap();
    }
}

/// The same plan with its tables in the bucket, below `prefix`.
fn in_bucket(plan: &ExportPlan, folder: &Path, prefix: &str) -> ExportPlan {
    let moved = |tables: &[TablePlan]| -> Vec<TablePlan> {
        let table = |table: &TablePlan| {
            let path = table.location.to_file_path().unwrap();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            TablePlan {
                location: url(&format!("{prefix}/{}", name.trim_end_matches('/'))),
                ..table.clone()
            }
        };
        tables.iter().map(table).collect()
    };
    let mut plan = plan.clone();
    plan.store.fragments = moved(&plan.store.fragments);
    plan.store.events = moved(&plan.store.events);
    plan.store.identities = moved(&plan.store.identities);
    plan.store.memberships = moved(&plan.store.memberships);
    plan
}

/// Writes the store of a case behind the server; its plan on the volume and in the bucket.
fn written(case: &Case, server: &Server, prefix: &str) -> (ExportPlan, ExportPlan) {
    let folder = server.bucket().join(prefix);
    let mut plan = case.plan.clone();
    case.store.write(&folder, &mut plan);
    whole_seconds(&folder);
    let moved = in_bucket(&plan, &folder, prefix);
    (plan, moved)
}

fn is_empty_table(error: &Error) -> bool {
    error.code() == code::STORE_UNREADABLE && error.to_string().contains("holds no files")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_an_object_store_is_read_as_one_on_a_volume() {
    let server = Server::start();
    let proxy = Proxy::start(server.socket(), |_| Fault::None).await;
    let spill = tempfile::tempdir().unwrap();
    let (mut compared, mut deltas) = (0, 0);
    for seed in 0..40 {
        let case = case(&mut StdRng::seed_from_u64(seed), Ties::None);
        let (local, remote) = written(&case, &server, &format!("case-{seed}"));
        let expected = run::export(&local, spill.path()).await.unwrap();
        let answer = match run::export_from(&remote, spill.path(), Some(keys(&proxy, &[]))).await {
            Err(error) if is_empty_table(&error) => continue,
            answer => answer.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{:?}", error.reported())),
        };
        assert_eq!(
            run::lines(&answer.exported),
            run::lines(&expected.exported),
            "seed {seed}"
        );
        assert_eq!(answer.by_namespace, expected.by_namespace, "seed {seed}");
        compared += 1;
        let is_delta = |table: &&TablePlan| table.format == exportjob_api::TableFormat::Delta;
        deltas += remote.store.fragments.iter().filter(is_delta).count();
    }
    assert!(
        compared > 20 && deltas > 5,
        "{compared} cases were compared, with {deltas} Delta tables"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_day_of_the_store_changes_no_row() {
    let first = rand::random::<u64>() >> 32;
    println!("SEED={first}");
    let server = Server::start();
    let spill = tempfile::tempdir().unwrap();
    let mut done = 0;
    for seed in first..first + 6 {
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        let faults = [
            SLOW_DOWN,
            INTERNAL_ERROR,
            Fault::Reset,
            Fault::LostAnswer,
            Fault::HalfAnswer,
            Fault::SlowAnswer,
        ];
        let proxy = Proxy::start(server.socket(), move |_| {
            let mut random = random.lock().unwrap();
            if random.random_bool(0.1) {
                faults[random.random_range(0..faults.len())]
            } else {
                Fault::None
            }
        })
        .await;
        let case = case(&mut StdRng::seed_from_u64(seed), Ties::None);
        let (local, remote) = written(&case, &server, &format!("case-{seed}"));
        let expected = run::export(&local, spill.path()).await.unwrap();
        match run::export_from(&remote, spill.path(), Some(keys(&proxy, &[]))).await {
            Err(error) if is_empty_table(&error) => {}
            Err(error) => assert_eq!(error.code(), code::STORE_UNREADABLE, "seed {seed}: {error}"),
            Ok(answer) => {
                assert_eq!(
                    run::lines(&answer.exported),
                    run::lines(&expected.exported),
                    "seed {seed}"
                );
                done += 1;
            }
        }
    }
    println!("{done} of 6 were read to their end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_replaced_while_it_is_read_is_noticed() {
    let server = Server::start();
    let spill = tempfile::tempdir().unwrap();
    let case = case(&mut StdRng::seed_from_u64(3), Ties::None);
    // After the footers, every object is another one.
    let proxy = Proxy::start(server.socket(), |request| {
        if request.starts_with("GET") && request.contains(".parquet") {
            Fault::Answer("412 Precondition Failed", "PreconditionFailed")
        } else {
            Fault::None
        }
    })
    .await;
    let (_, remote) = written(&case, &server, "replaced");
    let error = run::export_from(&remote, spill.path(), Some(keys(&proxy, &[])))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.exit_code()),
        (code::STORE_UNREADABLE, 44),
        "{error}"
    );
    assert!(error.to_string().contains("was replaced while it was read"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_location_that_is_wrong_is_a_mistake_of_the_user() {
    let server = Server::start();
    let proxy = Proxy::start(server.socket(), |_| Fault::None).await;
    let spill = tempfile::tempdir().unwrap();
    let mut plan = support::plan::plan();
    let read = async |plan: &ExportPlan, more: &[(&str, &str)]| {
        run::export_from(plan, spill.path(), Some(keys(&proxy, more)))
            .await
            .unwrap_err()
    };
    for (format, location, more, words) in [
        (
            exportjob_api::TableFormat::Parquet,
            "s3://lake/nothing/",
            &[][..],
            "holds no files",
        ),
        (
            exportjob_api::TableFormat::Delta,
            "s3://lake/nothing/",
            &[],
            "is not a Delta table",
        ),
        (
            exportjob_api::TableFormat::Parquet,
            "s3://no-such-bucket/a/",
            &[],
            "create it, or correct the location",
        ),
        (
            exportjob_api::TableFormat::Delta,
            "s3://no-such-bucket/a/",
            &[],
            "create it, or correct the location",
        ),
        (
            exportjob_api::TableFormat::Parquet,
            "s3://lake/nothing/",
            &[("AWS_SECRET_ACCESS_KEY", "wrong-secret")],
            "correct them in Secret",
        ),
        (
            exportjob_api::TableFormat::Delta,
            "s3://lake/nothing/",
            &[("AWS_SECRET_ACCESS_KEY", "wrong-secret")],
            "correct them in Secret",
        ),
        (
            exportjob_api::TableFormat::Parquet,
            "s3://lake/nothing/",
            &[("AWS_REGION", "us-other-1")],
            "AWS_REGION",
        ),
    ] {
        plan.store.fragments = vec![TablePlan {
            location: location.parse().unwrap(),
            ..support::plan::table(format)
        }];
        let error = read(&plan, more).await;
        assert_eq!(error.exit_code(), 42, "{error}");
        assert!(error.to_string().contains(words), "{format:?} {location}: {error}");
        assert!(!format!("{error:?}").contains("wrong-secret"), "{error:?}");
    }
    let delta: PathBuf = server.bucket().join("table/_delta_log");
    fs::create_dir_all(&delta).unwrap();
    fs::write(delta.join("00000000000000000000.json"), "{}").unwrap();
    plan.store.fragments = vec![TablePlan {
        location: url("table"),
        ..support::plan::table(exportjob_api::TableFormat::Parquet)
    }];
    let error = read(&plan, &[]).await;
    assert!(error.to_string().contains("format: delta"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stays_down_is_read_by_the_next_pod() {
    let server = Server::start();
    let spill = tempfile::tempdir().unwrap();
    let (mut seed, mut found) = (0, Vec::new());
    // A case with a Delta table of fragments, and one with Parquet files.
    for format in [exportjob_api::TableFormat::Delta, exportjob_api::TableFormat::Parquet] {
        let remote = loop {
            seed += 1;
            let case = case(&mut StdRng::seed_from_u64(seed), Ties::None);
            if case.store.fragments.iter().all(|(table, _)| table.format == format) {
                let (_, remote) = written(&case, &server, &format!("case-{seed}"));
                let mut files = Vec::new();
                walk(&server.bucket().join(format!("case-{seed}/fragments-0")), &mut files);
                if files
                    .iter()
                    .any(|file| file.extension().is_some_and(|end| end == "parquet"))
                {
                    break remote;
                }
            }
        };
        found.push((format, remote));
    }
    let (delta, parquet) = (&found[0].1, &found[1].1);
    let read = async |plan: &ExportPlan, part: &'static str| {
        let decide = move |target: &str| {
            if target.contains(part) {
                INTERNAL_ERROR
            } else {
                Fault::None
            }
        };
        let proxy = Proxy::start(server.socket(), decide).await;
        let error = run::export_from(plan, spill.path(), Some(keys(&proxy, &[])))
            .await
            .unwrap_err();
        (part, error)
    };
    let all = tokio::join!(
        read(delta, "list-type"),
        read(delta, ".json"),
        read(delta, ".parquet"),
        read(parquet, "list-type"),
        read(parquet, ".parquet"),
    );
    for (part, error) in [all.0, all.1, all.2, all.3, all.4] {
        assert_eq!(
            (error.code(), error.exit_code()),
            (code::STORE_UNREADABLE, 44),
            "{part}: {error}"
        );
        assert!(error.to_string().contains("500 InternalError"), "{part}: {error}");
    }
}
