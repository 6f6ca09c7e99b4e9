//! `GET /healthz`, `/readyz` and `/metrics`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use thiserror::Error;
use tokio::{net::TcpListener, sync::watch, time::Instant};

use crate::{api_calls::WatchActivity, lease::LeaseState, metrics::Metrics};

/// A lease that was not read or renewed for this long is stuck: a leader would have stopped long before.
const LEASE_SILENCE: Duration = Duration::from_mins(2);
/// A watch is started anew at least every 295 s; one that missed that twice is stuck.
const WATCH_SILENCE: Duration = Duration::from_secs(2 * 295 + 60);
/// Content type of OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why the server of health checks does not run.
#[derive(Debug, Error)]
pub enum HealthError {
    /// The address cannot be used.
    #[error("cannot listen on {address} (--metrics-addr): {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server ended.
    #[error("the server of health checks ended: {0}")]
    Serve(#[source] std::io::Error),
}

/// What is known about this process.
pub struct Health {
    /// When the process started.
    pub started: Instant,
    /// The election.
    pub lease: watch::Receiver<LeaseState>,
    /// The watches.
    pub watches: WatchActivity,
    /// What is wrong with the custom resources; empty: nothing. `None`: not known yet.
    pub resources: watch::Receiver<Option<String>>,
    /// Whether the caches of a leader are filled.
    pub warm: Arc<AtomicBool>,
    /// The metrics.
    pub metrics: Metrics,
    /// Brings gauges up to date before they are read.
    pub refresh: Box<dyn Fn(&Metrics) + Send + Sync>,
}

impl Health {
    /// What is stuck; empty: nothing is.
    fn stuck(&self) -> Vec<String> {
        let mut stuck = Vec::new();
        let lease = *self.lease.borrow();
        if lease.last_contact.unwrap_or(self.started).elapsed() > LEASE_SILENCE {
            stuck.push(format!(
                "the lease was not read or renewed for more than {} s",
                LEASE_SILENCE.as_secs()
            ));
        }
        for path in self.watches.silent_for(WATCH_SILENCE) {
            stuck.push(format!(
                "the watch of {path} was not started for more than {} s",
                WATCH_SILENCE.as_secs()
            ));
        }
        stuck
    }

    /// What is not ready; empty: all is.
    fn not_ready(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        match &*self.resources.borrow() {
            None => waiting.push("the custom resources are being checked".to_owned()),
            Some(wrong) if !wrong.is_empty() => waiting.push(wrong.clone()),
            Some(_) => {}
        }
        if self.lease.borrow().leading && !self.warm.load(Ordering::Acquire) {
            waiting.push("the caches are being filled".to_owned());
        }
        waiting
    }
}

/// Listens on `address`.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, HealthError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| HealthError::Bind { address, source })
}

/// Answers on `listener`, for ever.
pub async fn serve(listener: TcpListener, health: Health) -> Result<(), HealthError> {
    axum::serve(listener, router(health)).await.map_err(HealthError::Serve)
}

fn router(health: Health) -> Router {
    Router::new()
        .route(
            "/healthz",
            get(|State(health): State<Arc<Health>>| async move { verdict(&health.stuck()) }),
        )
        .route(
            "/readyz",
            get(|State(health): State<Arc<Health>>| async move { verdict(&health.not_ready()) }),
        )
        .route(
            "/metrics",
            get(|State(health): State<Arc<Health>>| async move { metrics(&health) }),
        )
        .with_state(Arc::new(health))
}

fn verdict(complaints: &[String]) -> Response {
    if complaints.is_empty() {
        return "ok\n".into_response();
    }
    let text = format!("{}\n", complaints.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn metrics(health: &Health) -> Response {
    (health.refresh)(&health.metrics);
    match health.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    struct Fixture {
        router: Router,
        lease: watch::Sender<LeaseState>,
        resources: watch::Sender<Option<String>>,
        warm: Arc<AtomicBool>,
        watches: WatchActivity,
    }

    fn fixture() -> Fixture {
        let lease = watch::Sender::new(LeaseState::default());
        let resources = watch::Sender::new(None);
        let warm = Arc::new(AtomicBool::new(false));
        let watches = WatchActivity::default();
        let router = router(Health {
            started: Instant::now(),
            lease: lease.subscribe(),
            watches: watches.clone(),
            resources: resources.subscribe(),
            warm: warm.clone(),
            metrics: Metrics::default(),
            refresh: Box::new(|metrics| metrics.set_leading(true)),
        });
        Fixture {
            router,
            lease,
            resources,
            warm,
            watches,
        }
    }

    impl Fixture {
        async fn get(&self, path: &str) -> (u16, String) {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = self.router.clone().oneshot(request).await.unwrap();
            let code = answer.status().as_u16();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (code, String::from_utf8(body.to_vec()).unwrap())
        }

        fn contact(&self, leading: bool) {
            self.lease.send_replace(LeaseState {
                leading,
                last_contact: Some(Instant::now()),
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_stuck_turns_health_red() {
        let fixture = fixture();
        assert_eq!(fixture.get("/healthz").await.0, 200);
        tokio::time::advance(LEASE_SILENCE * 2).await;
        let (code, text) = fixture.get("/healthz").await;
        assert_eq!(code, 503);
        assert!(text.starts_with("the lease was not read"), "{text}");
        fixture.contact(false);
        assert_eq!(fixture.get("/healthz").await.0, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_stuck_turns_health_red_and_is_named() {
        let fixture = fixture();
        fixture.watches.expect("/api/v1/pods");
        tokio::time::advance(WATCH_SILENCE * 2).await;
        fixture.contact(true);
        let (code, text) = fixture.get("/healthz").await;
        assert_eq!(code, 503);
        assert!(text.starts_with("the watch of /api/v1/pods"), "{text}");
    }

    #[tokio::test]
    async fn readiness_is_red_until_the_resources_are_right_and_says_what_to_do() {
        let fixture = fixture();
        assert_eq!(fixture.get("/readyz").await.0, 503);
        fixture
            .resources
            .send_replace(Some("ExportJob is too old: upgrade it".to_owned()));
        assert_eq!(
            fixture.get("/readyz").await,
            (503, "ExportJob is too old: upgrade it\n".to_owned())
        );
        fixture.resources.send_replace(Some(String::new()));
        assert_eq!(fixture.get("/readyz").await.0, 200);
    }

    #[tokio::test]
    async fn a_leader_is_ready_when_its_caches_are_filled_and_a_standby_at_once() {
        let fixture = fixture();
        fixture.resources.send_replace(Some(String::new()));
        assert_eq!(fixture.get("/readyz").await.0, 200);
        fixture.contact(true);
        assert_eq!(fixture.get("/readyz").await.0, 503);
        fixture.warm.store(true, Ordering::Release);
        assert_eq!(fixture.get("/readyz").await.0, 200);
    }

    #[tokio::test]
    async fn gauges_are_brought_up_to_date_when_metrics_are_read() {
        let (code, text) = fixture().get("/metrics").await;
        assert_eq!(code, 200);
        assert!(text.contains("exportjob_leader 1"), "{text}");
    }
}
