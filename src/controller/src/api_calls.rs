//! A layer around the Kubernetes client: counts requests, ends those that hang, and remembers when each watch was last
//! seen alive.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use hyper::{Method, Request, Response};
use tokio::time::{Instant, timeout};
use tower::{BoxError, Layer, Service};

use crate::metrics::{ApiCall, Metrics};

/// Longest wait for the head of an answer. Watches may be silent for longer only after their head has come.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// When each watch was last started by the API server. Watches are started anew every five minutes even when nothing
/// happens, so that a watch that was not started for much longer is stuck.
#[derive(Clone, Debug, Default)]
pub struct WatchActivity {
    started: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl WatchActivity {
    /// From now on the watch of `path` is expected to be alive.
    pub fn expect(&self, path: &str) {
        self.note(path, true);
    }

    /// Watches that were not started within `limit`, by path.
    pub fn silent_for(&self, limit: Duration) -> Vec<String> {
        self.started
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|(_, started)| started.elapsed() > limit)
            .map(|(path, _)| path.clone())
            .collect()
    }

    fn note(&self, path: &str, always: bool) {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = started.get_mut(path) {
            *at = Instant::now();
        } else if always {
            started.insert(path.to_owned(), Instant::now());
        }
    }
}

/// Puts [`ApiCalls`] around a client.
#[derive(Clone, Debug)]
pub struct ApiCallsLayer {
    metrics: Metrics,
    watches: WatchActivity,
}

impl ApiCallsLayer {
    /// A layer that reports to `metrics` and `watches`.
    pub fn new(metrics: Metrics, watches: WatchActivity) -> Self {
        Self { metrics, watches }
    }
}

impl<S> Layer<S> for ApiCallsLayer {
    type Service = ApiCalls<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ApiCalls {
            inner,
            layer: self.clone(),
        }
    }
}

/// A client that is watched.
#[derive(Clone, Debug)]
pub struct ApiCalls<S> {
    inner: S,
    layer: ApiCallsLayer,
}

impl<S, A, B> Service<Request<A>> for ApiCalls<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let uri = request.uri();
        let watch = is_watch(uri.query().unwrap_or_default());
        let path = watch.then(|| uri.path().to_owned());
        let (verb, resource) = classify(request.method(), uri.path(), watch);
        let layer = self.layer.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = match timeout(ANSWER_WITHIN, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(elapsed) => Err(BoxError::from(elapsed)),
            };
            let code = match &answer {
                Ok(answer) => code_class(answer.status().as_u16()),
                Err(_) => "error",
            };
            layer.metrics.api_call(ApiCall { verb, resource, code });
            if let Some(path) = path
                && code == "2xx"
            {
                layer.watches.note(&path, false);
            }
            answer
        })
    }
}

fn is_watch(query: &str) -> bool {
    query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
}

fn code_class(code: u16) -> &'static str {
    match code / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// The Kubernetes verb of a request, and what it is about.
fn classify(method: &Method, path: &str, watch: bool) -> (&'static str, &'static str) {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    match parts.next() {
        Some("api") => drop(parts.next()),
        Some("apis") => drop((parts.next(), parts.next())),
        _ => return (verb(method, false, watch), "other"),
    }
    let mut rest: Vec<&str> = parts.collect();
    // `namespaces/NAME` alone is about the namespace itself.
    if rest.len() > 2 && rest.first() == Some(&"namespaces") {
        rest.drain(..2);
    }
    let resource = match (rest.first().copied(), rest.get(2).copied()) {
        (Some("exportjobs"), Some("status")) => "exportjobs/status",
        (Some("exportjobs"), _) => "exportjobs",
        (Some("profilestores"), _) => "profilestores",
        (Some("datasets"), _) => "datasets",
        (Some("segmentdefinitions"), Some("status")) => "segmentdefinitions/status",
        (Some("segmentdefinitions"), _) => "segmentdefinitions",
        (Some("jobs"), _) => "jobs",
        (Some("pods"), _) => "pods",
        (Some("configmaps"), _) => "configmaps",
        (Some("leases"), _) => "leases",
        (Some("events"), _) => "events",
        (Some("serviceaccounts"), _) => "serviceaccounts",
        (Some("namespaces"), _) => "namespaces",
        _ => "other",
    };
    (verb(method, rest.len() > 1, watch), resource)
}

fn verb(method: &Method, named: bool, watch: bool) -> &'static str {
    match *method {
        _ if watch => "watch",
        Method::GET if named => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hyper::StatusCode;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    #[test]
    fn requests_are_named_as_rbac_names_them() {
        let group = "/apis/exportjob.dev/v1alpha1";
        for (method, path, watch, expected) in [
            (
                Method::GET,
                format!("{group}/exportjobs"),
                true,
                ("watch", "exportjobs"),
            ),
            (
                Method::PATCH,
                format!("{group}/namespaces/a/exportjobs/b/status"),
                false,
                ("patch", "exportjobs/status"),
            ),
            (
                Method::POST,
                "/apis/batch/v1/namespaces/a/jobs".to_owned(),
                false,
                ("create", "jobs"),
            ),
            (
                Method::DELETE,
                "/apis/batch/v1/namespaces/a/jobs/b".to_owned(),
                false,
                ("delete", "jobs"),
            ),
            (Method::GET, "/api/v1/pods".to_owned(), false, ("list", "pods")),
            (
                Method::GET,
                "/api/v1/namespaces/a".to_owned(),
                false,
                ("get", "namespaces"),
            ),
            (
                Method::PUT,
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/b".to_owned(),
                false,
                ("update", "leases"),
            ),
            (
                Method::GET,
                "/openapi/v3/apis/exportjob.dev/v1alpha1".to_owned(),
                false,
                ("list", "other"),
            ),
        ] {
            assert_eq!(classify(&method, &path, watch), expected, "{method} {path}");
        }
    }

    fn client(
        status: StatusCode,
    ) -> impl Service<Request<()>, Response = Response<()>, Error = BoxError, Future: Send> + Clone {
        service_fn(move |_| async move {
            let mut response = Response::new(());
            *response.status_mut() = status;
            Ok::<_, BoxError>(response)
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_not_started_again_is_told_apart_from_one_that_is() {
        let watches = WatchActivity::default();
        watches.expect("/api/v1/pods");
        watches.expect("/apis/batch/v1/jobs");
        let layer = ApiCallsLayer::new(Metrics::default(), watches.clone());
        let limit = Duration::from_mins(10);
        tokio::time::advance(Duration::from_secs(400)).await;
        let request = |path: &str| Request::get(path).body(()).unwrap();
        layer
            .layer(client(StatusCode::OK))
            .oneshot(request("/api/v1/pods?watch=true&resourceVersion=1"))
            .await
            .unwrap();
        layer
            .layer(client(StatusCode::FORBIDDEN))
            .oneshot(request("/apis/batch/v1/jobs?watch=true"))
            .await
            .unwrap();
        tokio::time::advance(Duration::from_secs(400)).await;
        assert_eq!(watches.silent_for(limit), ["/apis/batch/v1/jobs"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_is_ended() {
        let hanging = service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, BoxError>>());
        let layer = ApiCallsLayer::new(Metrics::default(), WatchActivity::default());
        let answer = layer
            .layer(hanging)
            .oneshot(Request::get("/api/v1/pods").body(()).unwrap())
            .await;
        assert!(answer.is_err());
    }
}
