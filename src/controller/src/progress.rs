//! Asks running export pods how far they are. A pod that does not answer is no error: progress is a courtesy, and a
//! network policy may forbid it.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use exportjob_plan::{ProgressReport, pod::PROGRESS_PORT};
use futures::{StreamExt as _, stream};
use hyper::{StatusCode, Uri, http::uri::InvalidUri};
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::{
    http::{GetError, Getter},
    metrics::Metrics,
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
    /// Its address.
    pub address: IpAddr,
}

/// What the pods said last, by UID of the ExportJob. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ProgressBoard {
    latest: Arc<Mutex<HashMap<String, ProgressReport>>>,
}

impl ProgressBoard {
    /// What the pod of this ExportJob said last, while it runs.
    pub fn of(&self, uid: &str) -> Option<ProgressReport> {
        self.lock().get(uid).copied()
    }

    /// Remembers an answer; whether it is news.
    fn note(&self, uid: &str, report: ProgressReport) -> bool {
        self.lock().insert(uid.to_owned(), report) != Some(report)
    }

    /// Forgets all jobs but these.
    fn keep(&self, uids: &HashSet<&str>) {
        self.lock().retain(|uid, _| uids.contains(uid.as_str()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, ProgressReport>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
                Ok(report) if board.note(&target.uid, report) => news(target.export_job),
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
        assert!(board.note("a", report(1)));
        assert!(!board.note("a", report(1)));
        assert!(board.note("a", report(2)));
        board.note("b", report(1));
        board.keep(&HashSet::from(["a"]));
        assert_eq!(board.of("a"), Some(report(2)));
        assert_eq!(board.of("b"), None);
    }
}
