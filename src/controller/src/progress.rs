//! Asks running export pods how far they are. A pod that does not answer is no error: progress is a courtesy, and a
//! network policy may forbid it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use exportjob_plan::{Outcome, ProgressReport, Stage, pod::PROGRESS_PORT};
use futures::{StreamExt as _, stream};
use hyper::{StatusCode, Uri, http::uri::InvalidUri};
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::{
    http::{GetError, Getter},
    metrics::Metrics,
    observed::{JobFacts, PodFacts},
};

/// Longest wait for one pod.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Pods that are asked at once.
const AT_ONCE: usize = 16;

/// A running export pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<R> {
    /// UID of its ExportJob.
    pub uid: String,
    /// Its ExportJob.
    pub export_job: R,
    /// Which shard of the export it is, from 0.
    pub shard: i32,
    /// Its address.
    pub address: IpAddr,
}

/// What the pods of an export said last, by shard.
pub type Latest = BTreeMap<i32, ProgressReport>;

/// What the pods said last, by UID of the ExportJob. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ProgressBoard {
    latest: Arc<Mutex<HashMap<String, Latest>>>,
}

impl ProgressBoard {
    /// What the pods of this ExportJob said last, while one of them runs.
    pub fn of(&self, uid: &str) -> Latest {
        self.lock().get(uid).cloned().unwrap_or_default()
    }

    /// Remembers an answer; whether it is news.
    fn note(&self, uid: &str, shard: i32, report: ProgressReport) -> bool {
        self.lock().entry(uid.to_owned()).or_default().insert(shard, report) != Some(report)
    }

    /// Forgets all jobs but these.
    fn keep(&self, uids: &HashSet<&str>) {
        self.lock().retain(|uid, _| uids.contains(uid.as_str()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Latest>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far an export of so many shards is: what its running pods said last, and what those said at their end that have
/// ended well.
pub fn combined(latest: &Latest, pods: &[PodFacts], job: &JobFacts) -> Option<ProgressReport> {
    let mut known = latest.clone();
    let done = pods
        .iter()
        .filter(|pod| pod.job_uid == job.uid && pod.exit_code == Some(0))
        .filter_map(|pod| Some((pod.shard, pod.report.as_ref()?)));
    for (shard, report) in done {
        // The report of the one that commits is about all of them.
        if report.outcome == Outcome::Staged {
            let ended = ProgressReport {
                stage: Stage::Done,
                rows_read: report.rows_read,
                rows_total: Some(report.rows_read),
                profiles_matched: report.profiles_matched,
                profiles_written: report.profiles_written,
            };
            known.insert(shard, ended);
        }
    }
    let known: Vec<ProgressReport> = known.into_values().collect();
    ProgressReport::of_shards(&known, usize::try_from(job.shards).unwrap_or(1))
}

/// Why a pod's progress is not known.
#[derive(Debug, Error)]
enum PollError {
    #[error(transparent)]
    Get(#[from] GetError),
    #[error("it answered {0}")]
    Refused(StatusCode),
    #[error("its answer is no progress report: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Address(#[from] InvalidUri),
}

/// Asks all `targets` every `every`, for ever, and calls `news` for each job whose progress has changed.
pub async fn poll<R>(
    every: Duration,
    board: ProgressBoard,
    metrics: Metrics,
    targets: impl Fn() -> Vec<Target<R>>,
    news: impl Fn(R),
) {
    let getter = Getter::new(ANSWER_WITHIN);
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let targets = targets();
        board.keep(&targets.iter().map(|target| target.uid.as_str()).collect());
        let mut answers = stream::iter(targets)
            .map(|target| {
                let getter = getter.clone();
                async move {
                    let answer = ask(&getter, SocketAddr::new(target.address, PROGRESS_PORT)).await;
                    (target, answer)
                }
            })
            .buffer_unordered(AT_ONCE);
        while let Some((target, answer)) = answers.next().await {
            metrics.progress_polled(answer.is_ok());
            match answer {
                Ok(report) if board.note(&target.uid, target.shard, report) => news(target.export_job),
                Ok(_) => {}
                Err(error) => {
                    debug!(uid = target.uid, address = %target.address, %error, "no progress");
                }
            }
        }
    }
}

async fn ask(getter: &Getter, address: SocketAddr) -> Result<ProgressReport, PollError> {
    let uri: Uri = format!("http://{address}/progress").parse()?;
    match getter.get(uri).await? {
        (StatusCode::OK, body) => Ok(serde_json::from_slice(&body)?),
        (status, _) => Err(PollError::Refused(status)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::{Json, Router, routing::get};
    use exportjob_plan::RunReport;
    use tokio::net::TcpListener;

    use super::*;

    fn report(rows_read: i64) -> ProgressReport {
        ProgressReport {
            rows_read,
            ..ProgressReport::default()
        }
    }

    async fn serve(router: Router) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[tokio::test]
    async fn a_pod_says_how_far_it_is() {
        let router = Router::new().route("/progress", get(|| async { Json(report(42)) }));
        let address = serve(router).await;
        let getter = Getter::new(ANSWER_WITHIN);
        assert_eq!(ask(&getter, address).await.unwrap(), report(42));
    }

    #[tokio::test]
    async fn nonsense_and_long_answers_are_no_progress() {
        let getter = Getter::new(ANSWER_WITHIN);
        let long = || async { "1".repeat(100_000) };
        let address = serve(Router::new().route("/progress", get(long))).await;
        assert!(matches!(
            ask(&getter, address).await,
            Err(PollError::Get(GetError::Body(_)))
        ));
        let address = serve(Router::new().route("/progress", get(|| async { "soon" }))).await;
        assert!(matches!(ask(&getter, address).await, Err(PollError::Json(_))));
        let address = serve(Router::new()).await;
        assert!(matches!(ask(&getter, address).await, Err(PollError::Refused(_))));
    }

    #[test]
    fn only_running_jobs_are_remembered_and_only_news_counts() {
        let board = ProgressBoard::default();
        assert!(board.note("a", 0, report(1)));
        assert!(!board.note("a", 0, report(1)));
        assert!(board.note("a", 0, report(2)));
        assert!(board.note("a", 1, report(2)), "another shard");
        board.note("b", 0, report(1));
        board.keep(&HashSet::from(["a"]));
        assert_eq!(board.of("a"), Latest::from([(0, report(2)), (1, report(2))]));
        assert_eq!(board.of("b"), Latest::new());
    }

    #[test]
    fn the_progress_of_all_shards_is_told_as_one() {
        let say = |rows_read, rows_total| ProgressReport {
            stage: Stage::Exporting,
            rows_read,
            rows_total,
            profiles_written: 1,
            ..ProgressReport::default()
        };
        let job = JobFacts {
            uid: "j".to_owned(),
            shards: 4,
            ..JobFacts::default()
        };
        let latest = Latest::from([(0, say(10, Some(100))), (2, say(30, Some(100)))]);
        assert_eq!(combined(&Latest::new(), &[], &job), None);
        let all = combined(&latest, &[], &job).unwrap();
        assert_eq!(
            (all.rows_read, all.rows_total),
            (40, Some(400)),
            "two are not heard of yet"
        );
        let mut staged = RunReport::new(Outcome::Staged);
        (staged.rows_read, staged.profiles_written) = (90, 5);
        let done = PodFacts {
            job_uid: "j".to_owned(),
            shard: 2,
            exit_code: Some(0),
            report: Some(staged),
            ..PodFacts::default()
        };
        let stranger = PodFacts {
            job_uid: "other".to_owned(),
            shard: 1,
            ..done.clone()
        };
        let all = combined(&latest, &[done, stranger], &job).unwrap();
        assert_eq!(
            (all.rows_read, all.rows_total, all.profiles_written),
            (100, Some(380), 6)
        );
        let unknown = Latest::from([(0, say(10, Some(100))), (1, say(3, None))]);
        assert_eq!(combined(&unknown, &[], &job).unwrap().rows_total, None);
    }
}
