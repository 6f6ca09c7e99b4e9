//! A batch lands once or never, whoever comes, however often and in whatever order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{collections::BTreeMap, sync::Arc};

use common::{
    behind, counts, export, export_without_reading, files, plan, plan_of_segments, seed, some_profiles, visible,
};
use exportjob_exporter::abort;
use exportjob_plan::{Outcome, code};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::{Barrier, Notify, oneshot};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_committers_of_one_batch_have_exactly_one_winner() {
    for round in 0..25 {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(folder.path(), &format!("job-{round}"));
        let barrier = Arc::new(Barrier::new(2));
        let gate = || {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
                Ok(())
            }
        };
        let (one, two) = tokio::join!(
            export(&plan, behind(gate(), some_profiles(10, 1))),
            export(&plan, behind(gate(), some_profiles(10, 1))),
        );
        let (one, two) = (one.unwrap(), two.unwrap());
        let mut outcomes = [format!("{:?}", one.outcome), format!("{:?}", two.outcome)];
        outcomes.sort();
        assert_eq!(outcomes, ["AlreadyCommitted", "Committed"], "round {round}");
        assert_eq!((one.profiles_written, two.profiles_written), (10, 10), "round {round}");
        assert_eq!(counts(folder.path()).await.values().sum::<usize>(), 10, "round {round}");
        assert_eq!(files(folder.path()), visible(folder.path()).await, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_creators_of_one_dataset_both_land() {
    for round in 0..25 {
        let folder = tempfile::tempdir().unwrap();
        let plans = [plan(folder.path(), "one"), plan(folder.path(), "two")];
        let (one, two) = tokio::join!(
            export(&plans[0], some_profiles(4, 1)),
            export(&plans[1], common::texts("name", &["a", "b", "c"])),
        );
        assert_eq!(one.unwrap().outcome, Outcome::Committed, "round {round}");
        assert_eq!(two.unwrap().outcome, Outcome::Committed, "round {round}");
        let expected = BTreeMap::from([
            (plans[0].batches[0].id.to_string(), 4),
            (plans[1].batches[0].id.to_string(), 3),
        ]);
        assert_eq!(counts(folder.path()).await, expected, "round {round}");
        let rows = common::rows(folder.path()).await;
        assert_eq!(common::text(&rows, "id").iter().flatten().count(), 4, "round {round}");
        assert_eq!(common::text(&rows, "name").iter().flatten().count(), 3, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_commit_and_an_abort_exactly_one_wins() {
    let mut random = StdRng::seed_from_u64(seed());
    let (mut committed, mut aborted) = (0, 0);
    for round in 0..40 {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan_of_segments(folder.path(), &format!("job-{round}"), 2);
        if random.random_bool(0.5) {
            export(&common::plan(folder.path(), "earlier"), some_profiles(2, 1))
                .await
                .unwrap();
        }
        let turns: u32 = random.random_range(0..400);
        let late = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            abort(&plan, None).await
        };
        let (exported, ended) = tokio::join!(export(&plan, some_profiles(6, 2)), late);
        let ended = ended.unwrap();
        let counts = counts(folder.path()).await;
        let of = |index: usize| counts.get(plan.batches[index].id.as_str()).copied().unwrap_or(0);
        match exported {
            Ok(report) => {
                committed += 1;
                assert_eq!(report.outcome, Outcome::Committed, "round {round}");
                assert_eq!(ended.outcome, Outcome::AlreadyCommitted, "round {round}");
                assert_eq!(ended.profiles_written, 12, "round {round}");
                assert_eq!((of(0), of(1)), (6, 6), "round {round}");
            }
            Err(error) => {
                aborted += 1;
                assert_eq!(error.code(), code::BATCH_ABORTED, "round {round}: {error}");
                assert_eq!(ended.outcome, Outcome::Aborted, "round {round}");
                assert_eq!((of(0), of(1)), (0, 0), "round {round}");
            }
        }
        assert_eq!(files(folder.path()), visible(folder.path()).await, "round {round}");
    }
    println!("{committed} committed, {aborted} aborted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_attempt_finds_the_recorded_result_and_reads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_of_segments(folder.path(), "job", 2);
    let first = export(&plan, some_profiles(8, 2)).await.unwrap();
    // Others commit in between.
    for other in ["x", "y"] {
        export(&common::plan(folder.path(), other), some_profiles(1, 1))
            .await
            .unwrap();
    }
    let second = export_without_reading(&plan).await.unwrap();
    assert_eq!(second.outcome, Outcome::AlreadyCommitted);
    assert_eq!(second.profiles_written, 16);
    assert_eq!(second.profiles_matched, 8);
    assert_eq!(second.profiles_by_namespace, BTreeMap::from([("email".to_owned(), 16)]));
    assert_eq!(second.batches, first.batches);
    assert_eq!(second.table_version, first.table_version);
    assert_eq!(counts(folder.path()).await.values().sum::<usize>(), 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_pod_that_is_still_writing_does_not_land_the_batch_again() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Arc::new(plan(folder.path(), "job"));
    let (writing, open_gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let gate = {
        let (writing, open_gate) = (Arc::clone(&writing), Arc::clone(&open_gate));
        async move {
            writing.notify_one();
            open_gate.notified().await;
            Ok(())
        }
    };
    let slow = tokio::spawn({
        let plan = Arc::clone(&plan);
        async move { export(&plan, behind(gate, some_profiles(100, 1))).await }
    });
    writing.notified().await;
    let fast = export(&plan, some_profiles(10, 1)).await.unwrap();
    assert_eq!(fast.outcome, Outcome::Committed);
    open_gate.notify_one();
    let slow = slow.await.unwrap().unwrap();
    assert_eq!((slow.outcome, slow.profiles_written), (Outcome::AlreadyCommitted, 10));
    assert_eq!(counts(folder.path()).await.values().sum::<usize>(), 10);
    assert_eq!(files(folder.path()), visible(folder.path()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_batch_never_lands_however_late_its_pod_is() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Arc::new(plan(folder.path(), "job"));
    let (writing, is_writing) = oneshot::channel::<()>();
    let open_gate = Arc::new(Notify::new());
    let gate = {
        let open_gate = Arc::clone(&open_gate);
        async move {
            writing.send(()).unwrap();
            open_gate.notified().await;
            Ok(())
        }
    };
    let late = tokio::spawn({
        let plan = Arc::clone(&plan);
        async move { export(&plan, behind(gate, some_profiles(100, 1))).await }
    });
    is_writing.await.unwrap();
    assert_eq!(abort(&plan, None).await.unwrap().outcome, Outcome::Aborted);
    open_gate.notify_one();
    let error = late.await.unwrap().unwrap_err();
    assert_eq!(error.code(), code::BATCH_ABORTED);
    assert_eq!(
        export_without_reading(&plan).await.unwrap_err().code(),
        code::BATCH_ABORTED
    );
    assert!(counts(folder.path()).await.is_empty());
    assert!(files(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_of_a_dataset_that_does_not_exist_fences_the_batch_and_leaves_room_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("not/yet");
    let cancelled = plan(&place, "cancelled");
    assert_eq!(abort(&cancelled, None).await.unwrap().outcome, Outcome::Aborted);
    assert_eq!(abort(&cancelled, None).await.unwrap().outcome, Outcome::Aborted);
    assert_eq!(
        export_without_reading(&cancelled).await.unwrap_err().code(),
        code::BATCH_ABORTED
    );
    let other = plan(&place, "other");
    export(&other, some_profiles(5, 1)).await.unwrap();
    assert_eq!(
        counts(&place).await,
        BTreeMap::from([(other.batches[0].id.to_string(), 5)])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committed_batch_cannot_be_aborted() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), "job");
    export(&plan, some_profiles(5, 1)).await.unwrap();
    let before = files(folder.path());
    let report = abort(&plan, None).await.unwrap();
    assert_eq!(
        (report.outcome, report.profiles_written),
        (Outcome::AlreadyCommitted, 5)
    );
    assert_eq!(files(folder.path()), before);
    assert_eq!(counts(folder.path()).await.values().sum::<usize>(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_jobs_into_one_dataset_at_once_all_land() {
    let folder = tempfile::tempdir().unwrap();
    let plans: Vec<_> = (0..12)
        .map(|index| plan(folder.path(), &format!("job-{index}")))
        .collect();
    let runs = plans.iter().map(|plan| export(plan, some_profiles(3, 1)));
    for report in futures::future::join_all(runs).await {
        assert_eq!(report.unwrap().outcome, Outcome::Committed);
    }
    let expected: BTreeMap<_, _> = plans.iter().map(|plan| (plan.batches[0].id.to_string(), 3)).collect();
    assert_eq!(counts(folder.path()).await, expected);
}
