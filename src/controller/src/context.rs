//! What a look at an ExportJob has at hand.

use std::sync::{Arc, OnceLock};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube_runtime::events::Recorder;

use crate::{
    backoff::Backoff, expectations::Expectations, ids::Ids, metrics::Metrics, progress::ProgressBoard,
    refusals::Refusals, register::ApiRegister, settings::Settings, stores::Stores,
};

/// One scope: a namespace, or the whole cluster.
pub struct Context {
    /// Its caches.
    pub stores: Stores,
    /// What all scopes share.
    pub shared: Arc<Shared>,
}

/// What all scopes share.
pub struct Shared {
    /// The API server.
    pub client: Client,
    /// The caches of all scopes, once they are filled.
    pub scopes: Arc<OnceLock<Vec<Stores>>>,
    /// The operator's settings.
    pub settings: Settings,
    /// Numbers of jobs.
    pub ids: Ids<ApiRegister<ConfigMap>>,
    /// Publishes Events.
    pub recorder: Recorder,
    /// The metrics.
    pub metrics: Metrics,
    /// How long to wait after errors.
    pub backoff: Backoff,
    /// What was written and is not yet seen.
    pub expectations: Expectations,
    /// How far running exports are.
    pub progress: ProgressBoard,
    /// Jobs that the API server did not take.
    pub refusals: Refusals,
}
