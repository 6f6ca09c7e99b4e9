//! Object stores, against a real S3 server: what is read is what is on volumes, batches land once or never, and what goes
//! wrong is said in words without secrets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod common;
#[allow(dead_code, reason = "shared by several test binaries, none of which needs all of it")]
mod s3;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use common::{behind, counts, plan, seed, some_profiles};
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use exportjob_exporter::{Credentials, Error, Export, Profiles, Progress, Result, abort};
use exportjob_plan::{CredentialsPlan, ExportPlan, Outcome, RunReport, code};
use rand::{Rng, SeedableRng, rngs::StdRng};
use s3::{
    proxy::{Fault, INTERNAL_ERROR, Proxy, SLOW_DOWN},
    server::{ACCESS_KEY, AUTHORITY, SECRET_KEY, Server, keys, url, walk},
};
use tokio::sync::Barrier;

/// A server behind a proxy.
struct Lake {
    server: Server,
    proxy: Proxy,
}

impl Lake {
    async fn new() -> Self {
        Self::with(|_| Fault::None).await
    }

    async fn with(decide: impl Fn(&str) -> Fault + Send + Sync + 'static) -> Self {
        let server = Server::start();
        let proxy = Proxy::start(server.socket(), decide).await;
        Self { server, proxy }
    }

    fn keys(&self, more: &[(&str, &str)]) -> Credentials {
        keys(&self.proxy, more)
    }

    /// One attempt at `plan` with these profiles.
    async fn export(&self, plan: &ExportPlan, profiles: Profiles) -> Result<RunReport> {
        let mut export = Export::new(plan, Arc::new(Progress::default()), "test");
        export.credentials = Some(self.keys(&[]));
        export.execute(|| async { Ok(profiles) }).await
    }

    async fn abort(&self, plan: &ExportPlan) -> Result<RunReport> {
        abort(plan, Some(&self.keys(&[]))).await
    }

    /// The dataset's objects as files.
    fn dataset(&self) -> PathBuf {
        self.server.bucket().join("out/d")
    }

    /// Names of the objects of the dataset's batches, without those that no reader sees.
    fn data(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.dataset(), &mut found);
        let names = found
            .iter()
            .map(|path| path.strip_prefix(self.dataset()).unwrap().display().to_string());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("_batchId=")).collect();
        names.sort();
        names
    }
}

fn to_lake(uid: &str) -> ExportPlan {
    let mut plan = plan(std::path::Path::new("/nonexistent"), uid);
    plan.destination.location = url("out/d");
    plan
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_lands_in_an_object_store() {
    let lake = Lake::new().await;
    let first = to_lake("one");
    let report = lake.export(&first, some_profiles(10, 1)).await.unwrap();
    assert_eq!((report.outcome, report.profiles_written), (Outcome::Committed, 10));
    let again = lake.export(&first, some_profiles(10, 1)).await.unwrap();
    assert_eq!((again.outcome, again.profiles_written), (Outcome::AlreadyCommitted, 10));
    let second = to_lake("two");
    lake.export(&second, some_profiles(4, 1)).await.unwrap();
    // Another reader, on the files behind the server.
    let expected = BTreeMap::from([
        (first.batches[0].id.to_string(), 10),
        (second.batches[0].id.to_string(), 4),
    ]);
    assert_eq!(counts(&lake.dataset()).await, expected);
    assert!(
        !lake.dataset().join("_exportjob").exists()
            || std::fs::read_dir(lake.dataset().join("_exportjob"))
                .unwrap()
                .next()
                .is_none()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_committers_of_one_batch_have_exactly_one_winner() {
    let lake = Lake::new().await;
    let mut expected = BTreeMap::new();
    for round in 0..8 {
        let plan = to_lake(&format!("job-{round}"));
        let barrier = Arc::new(Barrier::new(2));
        let gate = || {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
                Ok(())
            }
        };
        let (one, two) = tokio::join!(
            lake.export(&plan, behind(gate(), some_profiles(10, 1))),
            lake.export(&plan, behind(gate(), some_profiles(10, 1))),
        );
        let mut outcomes = [
            format!("{:?}", one.unwrap().outcome),
            format!("{:?}", two.unwrap().outcome),
        ];
        outcomes.sort();
        assert_eq!(outcomes, ["AlreadyCommitted", "Committed"], "round {round}");
        expected.insert(plan.batches[0].id.to_string(), 10);
        assert_eq!(counts(&lake.dataset()).await, expected, "round {round}");
    }
    assert_eq!(lake.data().len(), 2 * 8, "files of the losers are gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_commit_and_an_abort_exactly_one_wins() {
    let lake = Lake::new().await;
    let mut random = StdRng::seed_from_u64(seed());
    lake.export(&to_lake("first"), some_profiles(2, 1)).await.unwrap();
    for round in 0..12 {
        let plan = to_lake(&format!("job-{round}"));
        let turns: u32 = random.random_range(0..4000);
        let aborting = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            lake.abort(&plan).await
        };
        let (exported, aborted) = tokio::join!(lake.export(&plan, some_profiles(10, 1)), aborting);
        let id = plan.batches[0].id.to_string();
        let visible = counts(&lake.dataset()).await.contains_key(&id);
        match (exported, aborted.unwrap().outcome) {
            (Ok(_), Outcome::AlreadyCommitted) => assert!(visible, "round {round}"),
            (Err(error), Outcome::Aborted) => {
                assert_eq!(error.code(), code::BATCH_ABORTED, "round {round}: {error}");
                assert!(!visible, "round {round}");
                assert!(
                    !lake.data().iter().any(|file| file.contains(&id)),
                    "round {round}: files stay"
                );
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_ignores_conditions_is_refused_before_anything_is_written() {
    let lake = Lake::with(|_| Fault::IgnoresConditions).await;
    for error in [
        lake.export(&to_lake("one"), some_profiles(10, 1)).await.unwrap_err(),
        lake.abort(&to_lake("one")).await.unwrap_err(),
    ] {
        assert_eq!((error.code(), error.exit_code()), (code::DATASET_UNUSABLE, 42));
        assert!(error.to_string().contains("If-None-Match"), "{error}");
    }
    let mut left = Vec::new();
    walk(&lake.dataset(), &mut left);
    assert_eq!(left, Vec::<PathBuf>::new());
}

/// Both ends of what a user sees of a failure: its text, and its causes as they stand in a report.
fn everything(error: &Error) -> String {
    format!("{error}\n{error:?}\n{:?}", error.reported())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_user_can_put_right_is_said_and_nothing_secret_with_it() {
    let lake = Lake::new().await;
    let wrong = |more: &[(&str, &str)], location: &str| {
        let mut plan = to_lake("one");
        plan.destination.location = location.parse().unwrap();
        let keys = lake.keys(more);
        async move {
            let mut export = Export::new(&plan, Arc::new(Progress::default()), "test");
            export.credentials = Some(keys);
            export.execute(|| async { Ok(some_profiles(2, 1)) }).await.unwrap_err()
        }
    };
    let out = "s3://lake/out/d/";
    for (error, words) in [
        (
            wrong(&[("AWS_SECRET_ACCESS_KEY", "not-the-right-secret")], out).await,
            "correct them in Secret \"lake-keys\"",
        ),
        (
            wrong(&[("AWS_ACCESS_KEY_ID", "AKIDNOBODYKNOWS")], out).await,
            "correct them in Secret \"lake-keys\"",
        ),
        (wrong(&[("AWS_REGION", "us-other-1")], out).await, "AWS_REGION"),
        (
            wrong(&[], "s3://no-such-bucket/out/").await,
            "create it, or correct the location",
        ),
        (wrong(&[("AWS_ALLOW_HTTP", "false")], out).await, "AWS_ALLOW_HTTP"),
        (wrong(&[("ca.crt", "no certificate")], out).await, "ca.crt"),
    ] {
        assert_eq!(error.exit_code(), 42, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        let said = everything(&error);
        for secret in [
            SECRET_KEY,
            ACCESS_KEY,
            "not-the-right-secret",
            "AKIDNOBODYKNOWS",
            "Signature=",
            "Credential=",
        ] {
            assert!(!said.contains(secret), "{secret} in {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bad_day_of_the_store_ends_in_the_same_batch_or_in_none() {
    let seed = seed();
    for round in 0..4 {
        let random = std::sync::Mutex::new(StdRng::seed_from_u64(seed + round));
        let faults = [
            SLOW_DOWN,
            INTERNAL_ERROR,
            Fault::Reset,
            Fault::LostAnswer,
            Fault::HalfAnswer,
            Fault::SlowAnswer,
        ];
        let lake = Lake::with(move |_| {
            let mut random = random.lock().unwrap();
            if random.random_bool(0.15) {
                faults[random.random_range(0..faults.len())]
            } else {
                Fault::None
            }
        })
        .await;
        let plan = to_lake("one");
        let done = lake.export(&plan, some_profiles(1000, 1)).await;
        let is_table = lake.dataset().join("_delta_log").exists();
        let landed = if is_table {
            counts(&lake.dataset()).await
        } else {
            BTreeMap::new()
        };
        match done {
            Ok(report) => {
                assert_eq!(report.profiles_written, 1000);
                assert_eq!(
                    landed,
                    BTreeMap::from([(plan.batches[0].id.to_string(), 1000)]),
                    "round {round}"
                );
            }
            Err(error) => {
                println!("round {round}: {error}");
                assert_eq!(landed, BTreeMap::new(), "round {round}: {error}");
                assert!(
                    [code::DATASET_UNWRITABLE].contains(&error.code()),
                    "{}",
                    everything(&error)
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_stays_down_is_tried_again_by_the_next_pod() {
    let down = async |part: &'static str| {
        let server = Server::start();
        let up = Lake {
            proxy: Proxy::start(server.socket(), |_| Fault::None).await,
            server,
        };
        up.export(&to_lake("earlier"), some_profiles(2, 1)).await.unwrap();
        let Lake { server, .. } = up;
        let decide = move |target: &str| if target.contains(part) { SLOW_DOWN } else { Fault::None };
        let proxy = Proxy::start(server.socket(), decide).await;
        let lake = Lake { server, proxy };
        let error = lake.export(&to_lake("one"), some_profiles(10, 1)).await.unwrap_err();
        (part, error, lake.data().len())
    };
    // The probe; the list of the log; an entry of the log; a file of the batch.
    let all = tokio::join!(
        down("PUT /lake/out/d/_exportjob"),
        down("list-type"),
        down("GET /lake/out/d/_delta_log/0"),
        down("PUT /lake/out/d/_batchId"),
    );
    for (part, error, files) in [all.0, all.1, all.2, all.3] {
        assert_eq!(
            (error.code(), error.exit_code()),
            (code::DATASET_UNWRITABLE, 44),
            "{part}: {error}"
        );
        assert!(error.to_string().contains("503 SlowDown"), "{part}: {error}");
        assert_eq!(files, 2, "{part}: files of the earlier batch alone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_upload_that_is_not_finished_is_aborted() {
    // Rows that do not compress, in a file of several parts; the last part never arrives.
    let lake = Lake::with(|target| {
        if target.contains("partNumber=2") {
            Fault::Answer("403 Forbidden", "AccessDenied")
        } else {
            Fault::None
        }
    })
    .await;
    let error = lake.export(&to_lake("one"), random_texts(12, 1)).await.unwrap_err();
    assert_eq!(
        (error.code(), error.exit_code()),
        (code::DATASET_UNWRITABLE, 42),
        "{error}"
    );
    assert_eq!(lake.server.parts(), Vec::<PathBuf>::new());
    assert_eq!(lake.data(), Vec::<String>::new());
}

/// What a pod says: its log and its report.
async fn pod(lake: &Lake, command: &str, plan: &ExportPlan, more: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    let endpoint = lake.proxy.endpoint();
    let mut secret = BTreeMap::from([
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", s3::server::REGION),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("AWS_ALLOW_HTTP", "true"),
    ]);
    secret.extend(more.iter().copied());
    for (key, value) in secret {
        std::fs::write(keys.join(key), value).unwrap();
    }
    // As the kubelet has it beside the keys.
    std::fs::create_dir(keys.join("..data")).unwrap();
    let mut plan = plan.clone();
    let credentials = CredentialsPlan {
        secret: "lake-keys".to_owned(),
        folder: keys,
    };
    plan.store.credentials = Some(credentials.clone());
    plan.destination.credentials = Some(credentials);
    let (path, log) = (folder.path().join("plan.json"), folder.path().join("report.json"));
    std::fs::write(&path, serde_json::to_vec(&plan).unwrap()).unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_exportjob-exporter"))
        .arg(command)
        .arg("--plan")
        .arg(&path)
        .arg("--termination-log")
        .arg(&log)
        .env("RUST_LOG", "trace,h2=trace,object_store=trace,hyper_util::client=trace")
        .output()
        .await
        .unwrap();
    let report = std::fs::read_to_string(log).unwrap_or_default();
    let said = format!("{}{report}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_pod_tells_a_secret_whatever_it_is_asked_to_log() {
    let lake = Lake::new().await;
    let mut plan = to_lake("one");
    plan.store.fragments = vec![exportjob_plan::TablePlan {
        location: url("nothing"),
        format: exportjob_api::TableFormat::Parquet,
        dataset: None,
        columns: BTreeMap::new(),
        only_mapped: false,
        bucketing: None,
    }];
    let token = ("AWS_SESSION_TOKEN", "a-token-that-nobody-may-see");
    let wrong = ("AWS_SECRET_ACCESS_KEY", "another-secret-that-is-wrong");
    for (command, more, code, words) in [
        ("run", &[][..], 42, "holds no files"),
        ("abort", &[], 0, "aborted"),
        ("run", &[wrong, token], 42, "correct them in Secret"),
        ("abort", &[wrong, token], 42, "correct them in Secret"),
        (
            "run",
            &[("AWS_SECRET_KEY", wrong.1)],
            42,
            "did you mean AWS_SECRET_ACCESS_KEY",
        ),
    ] {
        let (ended, said) = pod(&lake, command, &plan, more).await;
        assert_eq!(ended, Some(code), "{command}: {said}");
        assert!(said.contains(words), "{command}: {said}");
        for secret in [SECRET_KEY, ACCESS_KEY, token.1, wrong.1, "Signature=", "AWS4-HMAC"] {
            assert!(!said.contains(secret), "{command} tells {secret}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_private_authority_is_trusted_when_the_secret_names_it() {
    let server = Server::with_tls();
    let proxy = Proxy::tunnel(server.socket()).await;
    let lake = Lake { server, proxy };
    let endpoint = lake.proxy.endpoint().replace("http:", "https:");
    let plan = to_lake("one");
    let attempt = async |more: &[(&str, &str)]| {
        let more = [
            more,
            &[("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_ALLOW_HTTP", "false")],
        ]
        .concat();
        let mut export = Export::new(&plan, Arc::new(Progress::default()), "test");
        export.credentials = Some(lake.keys(&more));
        export.execute(|| async { Ok(some_profiles(2, 1)) }).await
    };
    let error = attempt(&[]).await.unwrap_err();
    assert_eq!(error.exit_code(), 42, "{error}");
    assert!(error.to_string().contains("as ca.crt"), "{error}");
    let report = attempt(&[("ca.crt", AUTHORITY)]).await.unwrap();
    assert_eq!(report.outcome, Outcome::Committed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_batches_with_little_memory_are_put_in_pieces_that_a_store_takes() {
    let lake = Lake::new().await;
    let mut plan = common::plan_of_segments(std::path::Path::new("/nonexistent"), "many", 24);
    plan.destination.location = url("out/d");
    let mut export = Export::new(&plan, Arc::new(Progress::default()), "test");
    export.credentials = Some(lake.keys(&[]));
    // For parts of 5 MiB, each batch would need more than ten.
    export.write_bytes = 16 << 20;
    let report = export.execute(|| async { Ok(random_texts(2, 24)) }).await.unwrap();
    let counts = counts(&lake.dataset()).await;
    assert_eq!(counts.len(), 24);
    assert!(counts.values().all(|count| *count == 2 * 2000), "{counts:?}");
    assert_eq!(report.profiles_written, 24 * 2 * 2000);
    assert!(lake.data().len() > 24, "each batch has several files");
}

/// Profiles that do not compress, 1 MB a round, in one part.
fn random_texts(rounds: usize, batches: usize) -> Profiles {
    let mut random = StdRng::seed_from_u64(7);
    let mut parts = Vec::new();
    for _ in 0..rounds {
        let texts: Vec<String> = (0..2000)
            .map(|_| (0..512).map(|_| char::from(random.random_range(b' '..=b'~'))).collect())
            .collect();
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        parts.push(common::batch(
            RecordBatch::try_from_iter([("name", texts)]).unwrap(),
            batches,
        ));
    }
    let schema = parts[0].rows.schema();
    common::profiles(vec![parts], schema)
}
