//! Keeps a cache of one kind of object, and tells which objects were touched.

use std::{fmt::Debug, hash::Hash, pin::pin};

use futures::StreamExt as _;
use kube::{Api, Resource, ResourceExt};
use kube_runtime::{
    WatchStreamExt as _,
    reflector::store::Writer,
    watcher::{self, watcher},
};
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use crate::{api_calls::WatchActivity, metrics::Metrics};

/// What is watched.
#[derive(Clone, Debug)]
pub struct Watch<K> {
    /// Where.
    pub api: Api<K>,
    /// Which objects.
    pub config: watcher::Config,
    /// Plural of the resource, for logs and metrics.
    pub resource: &'static str,
    /// Cuts off what nobody reads, before an object is kept.
    pub trim: fn(&mut K),
}

/// Who hears of watches.
#[derive(Clone, Debug)]
pub struct Observers {
    /// Counts interruptions.
    pub metrics: Metrics,
    /// Knows when each watch was last alive.
    pub activity: WatchActivity,
}

/// Keeps the store behind `writer` up to date, for ever. `touched` is called for each object after it was added,
/// changed or removed in the store.
///
/// After an interruption `touched` is called for every object that is or was there: what happened meanwhile is not
/// known, and an object that vanished has no event of its own.
pub async fn keep<K>(watch: Watch<K>, mut writer: Writer<K>, observers: Observers, touched: impl Fn(&K))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone,
{
    observers.activity.expect(watch.api.resource_url());
    let mut config = watch.config.clone().streaming_lists();
    loop {
        let mut events = pin!(watcher(watch.api.clone(), config).default_backoff());
        let mut before = Vec::new();
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event.modify(watch.trim),
                Err(error) if lists_cannot_stream(&error) => {
                    info!(
                        resource = watch.resource,
                        "the API server does not stream lists: reading pages"
                    );
                    break;
                }
                Err(error) => {
                    observers.metrics.watch_failed(watch.resource);
                    warn!(resource = watch.resource, %error, "watch interrupted: trying again");
                    continue;
                }
            };
            if matches!(event, watcher::Event::Init) {
                before = writer.as_reader().state();
            }
            writer.apply_watcher_event(&event);
            match event {
                watcher::Event::Apply(object) | watcher::Event::Delete(object) => touched(&object),
                watcher::Event::InitDone => {
                    for object in before.drain(..).chain(writer.as_reader().state()) {
                        touched(&object);
                    }
                }
                watcher::Event::Init | watcher::Event::InitApply(_) => {}
            }
        }
        config = watch.config.clone();
    }
}

/// Whether a server without streaming lists refused one.
fn lists_cannot_stream(error: &watcher::Error) -> bool {
    let refused = |status: &kube::core::Status| {
        (status.code == 400 || status.code == 422) && status.message.contains("sendInitialEvents")
    };
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => refused(status),
        _ => false,
    }
}

/// Cuts off what nobody reads of any object: who owns which field, and the copy that `kubectl apply` keeps.
pub fn trim_metadata<K: ResourceExt>(object: &mut K) {
    object.managed_fields_mut().clear();
    object
        .annotations_mut()
        .remove("kubectl.kubernetes.io/last-applied-configuration");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::sync::{Arc, Mutex};

    use hyper::{Request, Response};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Client, client::Body};
    use kube_runtime::reflector;
    use serde_json::json;
    use tower_test::mock::Handle;

    use super::*;

    type Server = Handle<Request<Body>, Response<Body>>;

    fn object(name: &str, version: u32) -> serde_json::Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "namespace": "n", "uid": name, "resourceVersion": version.to_string(),
            "managedFields": [{"manager": "m"}]
        }})
    }

    async fn answer(server: &mut Server, expected: &str, code: u16, body: String) {
        let (request, send) = server.next_request().await.expect("a request");
        let uri = request.uri().to_string();
        assert!(uri.contains(expected), "{uri}");
        let response = Response::builder().status(code);
        send.send_response(response.body(Body::from(body.into_bytes())).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_vanished_during_an_interruption_is_touched() {
        let (service, mut server) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let api = Api::<ConfigMap>::all(Client::new(service, "n"));
        let (store, writer) = reflector::store::<ConfigMap>();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let names = seen.clone();
        let watch = Watch {
            api,
            config: watcher::Config::default(),
            resource: "configmaps",
            trim: trim_metadata,
        };
        let observers = Observers {
            metrics: Metrics::default(),
            activity: WatchActivity::default(),
        };
        let keeper = tokio::spawn(keep(watch, writer, observers, move |object| {
            names.lock().unwrap().push(object.name_any());
        }));
        let refusal = json!({"kind": "Status", "status": "Failure", "code": 422, "reason": "Invalid",
            "message": "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"});
        let list = |names: &[&str]| {
            json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "5"},
                "items": names.iter().map(|name| object(name, 1)).collect::<Vec<_>>()})
            .to_string()
        };
        let gone = json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure",
            "code": 410, "reason": "Expired", "message": "too old resource version"}});
        answer(&mut server, "sendInitialEvents=true", 422, refusal.to_string()).await;
        answer(&mut server, "limit=500", 200, list(&["a", "b"])).await;
        answer(&mut server, "watch=true", 200, format!("{gone}\n")).await;
        answer(&mut server, "limit=500", 200, list(&["b"])).await;
        let (request, _open) = server.next_request().await.expect("the second watch");
        assert!(request.uri().to_string().contains("watch=true"));
        assert_eq!(store.len(), 1);
        assert!(store.state().iter().all(|o| o.managed_fields().is_empty()));
        let mut seen = seen.lock().unwrap().clone();
        seen.sort();
        assert_eq!(seen, ["a", "a", "b", "b", "b"]);
        keeper.abort();
    }
}
