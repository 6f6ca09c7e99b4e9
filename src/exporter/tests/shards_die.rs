//! Shards that are killed at any moment, again and again: their files land in one commit, or never.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{
    future::Future,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use common::{
    counts, plan_of_segments, seed,
    shards::{EACH, assert_landed, assert_totals, attempt, commits, sharded, shards, share},
    texts,
};
use exportjob_exporter::{Result, Shard, abort};
use exportjob_plan::{ExportPlan, Outcome, RunReport, code};
use futures::future::join_all;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Is killed, as by a lost node, when it has been polled so often.
struct Mortal<F> {
    inner: Pin<Box<F>>,
    polls: u32,
}

impl<F: Future> Future for Mortal<F> {
    /// `None`: killed.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.inner.as_mut().poll(context).map(Some)
    }
}

/// One pod after another works for a shard, until one ends.
async fn pods(plan: &ExportPlan, shard: Shard, mut lives: Vec<u32>) -> Result<RunReport> {
    loop {
        let work = attempt(plan, shard, share(shard, plan.batches.len()));
        let Some(polls) = lives.pop() else { return work.await };
        let mortal = Mortal {
            inner: Box::pin(work),
            polls,
        };
        match mortal.await {
            Some(Err(error)) if error.code() != code::BATCH_ABORTED => println!("{shard:?}: {error}"),
            Some(ended) => return ended,
            None => {}
        }
    }
}

/// Rounds of the schedule test, unless the environment variable `ROUNDS` says how many.
const ROUNDS: u32 = 40;

/// What people and Kubernetes do to one export.
struct Round {
    plan: ExportPlan,
    /// The pods, one after the other, of each that works for a shard: after how many polls they are killed.
    lives: Vec<(Shard, Vec<u32>)>,
    /// After how many turns the job is cancelled.
    cancelled_after: Option<u32>,
    told: String,
}

impl Round {
    fn new(random: &mut StdRng, folder: &Path, round: u32) -> Self {
        let (batches, count) = (random.random_range(1..3), random.random_range(2..5));
        let plan = sharded(plan_of_segments(folder, &format!("job-{round}"), batches), count);
        let mut lives = Vec::new();
        for shard in shards(&plan) {
            // Now and then two pods work for one shard at once.
            for _ in 0..if random.random_bool(0.2) { 2 } else { 1 } {
                let deaths = random.random_range(0..4);
                lives.push((shard, (0..deaths).map(|_| random.random_range(1..120)).collect()));
            }
        }
        let cancelled_after = random.random_bool(0.25).then(|| random.random_range(0..600));
        let told = format!("round {round}: {count} shards, {batches} batches, cancelled after {cancelled_after:?}");
        Self {
            plan,
            lives,
            cancelled_after,
            told,
        }
    }

    /// What became of each, and of the cancellation.
    async fn run(&self) -> (Vec<Result<RunReport>>, Option<RunReport>) {
        let works = self
            .lives
            .iter()
            .map(|(shard, lives)| pods(&self.plan, *shard, lives.clone()));
        let cancel = async {
            for _ in 0..self.cancelled_after? {
                tokio::task::yield_now().await;
            }
            Some(abort(&self.plan, None).await.unwrap())
        };
        tokio::join!(join_all(works), cancel)
    }

    async fn assert_aborted(&self, reports: Vec<Result<RunReport>>, folder: &Path) {
        for report in reports {
            // One that had handed in before has done its part.
            let is_done = report.as_ref().is_ok_and(|report| report.outcome == Outcome::Staged);
            let is_stopped = report.as_ref().is_err_and(|error| error.code() == code::BATCH_ABORTED);
            assert!(is_done || is_stopped, "{}: {report:?}", self.told);
        }
        assert!(counts(folder).await.is_empty(), "{}", self.told);
        for batch in &self.plan.batches {
            assert_eq!(commits(folder, batch.id.as_str(), 1), 0, "{}", self.told);
        }
    }

    async fn assert_landed(&self, reports: Vec<Result<RunReport>>, folder: &Path) {
        let mut has_told = false;
        for report in reports {
            let report = report.unwrap_or_else(|error| panic!("{}: {error}", self.told));
            if report.outcome == Outcome::Staged {
                assert_eq!(report.profiles_matched, EACH, "{}", self.told);
            } else {
                has_told = true;
                assert_totals(&report, &self.plan, &self.told);
            }
        }
        assert!(has_told, "somebody tells of the commit: {}", self.told);
        assert_landed(&self.plan, folder, &self.told).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_shards_die_when_and_how_often_their_batch_lands_once_or_never() {
    let mut random = StdRng::seed_from_u64(seed());
    let rounds = std::env::var("ROUNDS")
        .ok()
        .map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let (mut landed, mut aborted) = (0, 0);
    for round in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        if random.random_bool(0.5) {
            // The table is there already.
            let earlier = common::export(&common::plan(folder.path(), "earlier"), texts("name", &[])).await;
            earlier.unwrap();
        }
        let round = Round::new(&mut random, folder.path(), round);
        let (reports, ended) = round.run().await;
        if ended.is_some_and(|ended| ended.outcome == Outcome::Aborted) {
            aborted += 1;
            round.assert_aborted(reports, folder.path()).await;
        } else {
            landed += 1;
            round.assert_landed(reports, folder.path()).await;
        }
    }
    println!("{landed} landed, {aborted} aborted");
}
