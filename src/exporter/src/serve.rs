//! How far a run is, over HTTP.

use std::{
    fmt::Write as _,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use axum::{Json, Router, extract::State, http::header, response::IntoResponse, routing::get};
use exportjob_plan::{ProgressReport, Stage};
use tokio::net::TcpListener;

use crate::Progress;

/// `GET /progress` ([`ProgressReport`] as JSON), `GET /healthz`, `GET /metrics` (Prometheus text).
pub fn router(progress: Arc<Progress>) -> Router {
    Router::new()
        .route(
            "/progress",
            get(|State(progress): State<Arc<Progress>>| async move { Json(progress.report()) }),
        )
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics))
        .with_state(progress)
}

/// Serves [`router`] on all addresses until the future is dropped. An export does not fail because nobody can watch it.
pub(crate) async fn serve(port: u16, progress: Arc<Progress>) {
    let served = async { axum::serve(listen(port).await?, router(progress)).await };
    if let Err(error) = served.await {
        tracing::warn!(%error, port, "progress is not served");
    }
}

/// Listens on all addresses: of both families where the machine has both.
async fn listen(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
    }
}

async fn metrics(State(progress): State<Arc<Progress>>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        exposition(&progress.report()),
    )
}

fn exposition(report: &ProgressReport) -> String {
    let stage = match report.stage {
        Stage::Starting => 0,
        Stage::Exporting => 1,
        Stage::Committing => 2,
        Stage::Done => 3,
    };
    let mut text = String::new();
    for (name, help, value) in [
        (
            "stage",
            "What the export does: 0 opening tables, 1 exporting, 2 committing, 3 done.",
            stage,
        ),
        ("rows_read", "Rows read from the profile store.", report.rows_read),
        (
            "rows_total",
            "Rows that will be read, as far as is known.",
            report.rows_total.unwrap_or(0),
        ),
        (
            "profiles_matched",
            "Profiles found to be in the audience.",
            report.profiles_matched,
        ),
        (
            "profiles_written",
            "Profiles written, over all batches.",
            report.profiles_written,
        ),
    ] {
        let _ = write!(
            text,
            "# HELP exportjob_{name} {help}\n# TYPE exportjob_{name} gauge\nexportjob_{name} {value}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::{
        body::{Body, to_bytes},
        http::{Request, StatusCode},
    };
    use tower::ServiceExt;

    use super::*;

    async fn body(path: &str) -> String {
        let progress = Progress::default();
        progress.enter(Stage::Exporting);
        progress.rows_expected(10);
        progress.rows_read(4);
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router(Arc::new(progress)).oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        String::from_utf8(to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn progress_is_the_report_that_the_controller_reads() {
        let report: ProgressReport = serde_json::from_str(&body("/progress").await).unwrap();
        assert_eq!(
            (report.stage, report.rows_read, report.rows_total),
            (Stage::Exporting, 4, Some(10))
        );
    }

    #[tokio::test]
    async fn metrics_are_prometheus_text() {
        let text = body("/metrics").await;
        assert!(
            text.contains("# TYPE exportjob_rows_read gauge\nexportjob_rows_read 4\n"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn progress_is_served_on_the_addresses_of_both_families() {
        let listener = listen(0).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let reach = async |address: std::net::IpAddr| tokio::net::TcpStream::connect((address, port)).await.is_ok();
        assert!(reach(Ipv4Addr::LOCALHOST.into()).await);
        let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok();
        assert_eq!(reach(Ipv6Addr::LOCALHOST.into()).await, has_ipv6);
    }

    #[tokio::test]
    async fn a_running_export_is_healthy() {
        assert_eq!(body("/healthz").await, "ok\n");
    }
}
