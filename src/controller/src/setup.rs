//! From the command line to a running controller, and down again.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use exportjob_api::{ExportJob, FIELD_MANAGER};
use futures::{
    StreamExt as _,
    future::{join_all, ready},
    stream,
};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::ConfigMap};
use kube::{Api, Client};
use kube_runtime::{
    Config, Controller,
    controller::Error as ControllerError,
    events::{Recorder, Reporter},
    watcher,
};
use rand::Rng as _;
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::{
    api_calls::{ApiCallsLayer, WatchActivity},
    args::Args,
    backoff::Backoff,
    client::{self, ClientError},
    context::{Context, Shared},
    definitions,
    expectations::Expectations,
    health::{self, Health, HealthError},
    ids::Ids,
    lease::{Elector, Lost},
    metrics::Metrics,
    progress,
    reconcile::{error_policy, reconcile},
    refusals::Refusals,
    register::ApiRegister,
    schema,
    stores::{self, Started, Stores, Triggers},
    telemetry,
    watch::Observers,
};

/// How often missing or outdated custom resources are looked for again.
const RESOURCES_RETRY: Duration = Duration::from_secs(5);
/// How often custom resources that were right are looked at again.
const RESOURCES_RECHECK: Duration = Duration::from_mins(5);
/// Longest wait for what is in flight when the controller is told to stop: less than the usual grace of a pod.
const DRAIN_WITHIN: Duration = Duration::from_secs(20);

/// Why the controller ends other than by being told to.
#[derive(Debug, Error)]
pub enum SetupError {
    /// Logging could not be started.
    #[error("logging cannot be started: {0}")]
    Telemetry(#[from] tracing_subscriber::util::TryInitError),
    /// A signal handler could not be installed.
    #[error("SIGTERM and SIGINT cannot be listened to: {0}")]
    Signal(#[source] std::io::Error),
    /// There is no client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Health checks are not served.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// This process does not lead any more.
    #[error("{0}: ending, so that only one controller works")]
    Lost(Lost),
    /// A part that must run for ever has ended.
    #[error("a watch has ended unexpectedly: {0}")]
    Watch(String),
}

type Result<T, E = SetupError> = std::result::Result<T, E>;

/// Runs the controller until SIGTERM or SIGINT, then finishes what is in flight and gives the lease back.
pub async fn run(args: Args) -> Result<()> {
    telemetry::init(args.log_format)?;
    let stop = stop_on_signal()?;
    let process = Process::new(args, stop).await?;
    let (resources, resources_seen) = watch::channel(None);
    let listener = health::bind(process.args.metrics_addr).await?;
    let mut elector = process.elector();
    let serving = health::serve(listener, process.health(&elector, resources_seen.clone()));
    tokio::select! {
        ended = serving => ended?,
        () = process.check_resources(resources) => {}
        ended = process.work(&mut elector, resources_seen) => ended?,
    }
    info!("stopped");
    Ok(())
}

/// What there is before this process leads.
struct Process {
    args: Args,
    client: Client,
    /// The operator's own namespace.
    namespace: String,
    identity: String,
    observers: Observers,
    /// The caches, once they are filled.
    scopes: Arc<OnceLock<Vec<Stores>>>,
    warm: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Process {
    async fn new(args: Args, stop: CancellationToken) -> Result<Self> {
        let observers = Observers {
            metrics: Metrics::default(),
            activity: WatchActivity::default(),
        };
        let calls = ApiCallsLayer::new(observers.metrics.clone(), observers.activity.clone());
        let client = client::connect(calls).await?;
        let namespace = args
            .lease_namespace
            .clone()
            .unwrap_or_else(|| client.default_namespace().to_owned());
        let identity = args.identity.clone().unwrap_or_else(random_identity);
        info!(
            version = env!("CARGO_PKG_VERSION"),
            namespace,
            identity,
            watched = ?args.watch_namespaces,
            "starting"
        );
        Ok(Self {
            args,
            client,
            namespace,
            identity,
            observers,
            scopes: Arc::default(),
            warm: Arc::default(),
            stop,
        })
    }

    fn elector(&self) -> Elector<ApiRegister<Lease>> {
        let leases = Api::namespaced(self.client.clone(), &self.namespace);
        let name = &self.args.lease_name;
        Elector::new(ApiRegister::new(leases, name), name, &self.identity)
    }

    fn health(&self, elector: &Elector<ApiRegister<Lease>>, resources: watch::Receiver<Option<String>>) -> Health {
        let scopes = self.scopes.clone();
        Health {
            started: Instant::now(),
            lease: elector.state(),
            watches: self.observers.activity.clone(),
            resources,
            warm: self.warm.clone(),
            metrics: self.observers.metrics.clone(),
            refresh: Box::new(move |metrics| {
                let scopes = scopes.get().map(Vec::as_slice).unwrap_or_default();
                let export_jobs = scopes.iter().flat_map(|stores| stores.export_jobs.state());
                metrics.set_export_jobs(
                    export_jobs.map(|export_job| export_job.status.as_ref().and_then(|status| status.phase)),
                );
            }),
        }
    }

    /// Looks at the custom resources of the cluster, for ever, and says what is wrong with them.
    async fn check_resources(&self, resources: watch::Sender<Option<String>>) {
        loop {
            let wrong = schema::check(&self.client).await.err();
            let pause = if wrong.is_some() {
                RESOURCES_RETRY
            } else {
                RESOURCES_RECHECK
            };
            let wrong = wrong.map(|wrong| wrong.to_string()).unwrap_or_default();
            let before = resources.send_replace(Some(wrong.clone()));
            if !wrong.is_empty() && before.as_ref() != Some(&wrong) {
                error!(error = wrong, "not ready: looking again every few seconds");
            }
            sleep(pause).await;
        }
    }

    /// Waits for the custom resources and the lease, then reconciles until it is told to stop.
    async fn work(
        &self,
        elector: &mut Elector<ApiRegister<Lease>>,
        mut resources: watch::Receiver<Option<String>>,
    ) -> Result<()> {
        let lead = async {
            // The sender lives as long as this.
            let _ = resources.wait_for(|wrong| wrong.as_deref() == Some("")).await;
            elector.acquire().await;
        };
        tokio::select! {
            () = lead => {}
            () = self.stop.cancelled() => return Ok(()),
        }
        self.observers.metrics.set_leading(true);
        let ended = tokio::select! {
            lost = elector.hold() => Err(SetupError::Lost(lost)),
            ended = self.reconcile() => ended,
        };
        self.observers.metrics.set_leading(false);
        if !matches!(ended, Err(SetupError::Lost(_))) {
            elector.release().await;
        }
        ended
    }

    /// Fills the caches and reconciles until it is told to stop.
    async fn reconcile(&self) -> Result<()> {
        let shared = self.shared();
        let mut tasks = JoinSet::new();
        let filled = self.fill(&shared, &mut tasks);
        let scopes = tokio::select! {
            scopes = filled => scopes,
            () = self.stop.cancelled() => return Ok(()),
        };
        let _ = self
            .scopes
            .set(scopes.iter().map(|(context, _)| context.stores.clone()).collect());
        self.warm.store(true, Ordering::Release);
        info!("caches are filled");
        let controllers = join_all(
            scopes
                .into_iter()
                .map(|(context, triggers)| self.control(context, triggers)),
        );
        let drained = async {
            self.stop.cancelled().await;
            info!("stopping: finishing what is in flight");
            sleep(DRAIN_WITHIN).await;
        };
        tokio::select! {
            _ = controllers => Ok(()),
            () = drained => {
                warn!("some reconciliations did not end in time");
                Ok(())
            }
            Some(ended) = tasks.join_next() => Err(SetupError::Watch(match ended {
                Ok(()) => "it returned".to_owned(),
                Err(error) => error.to_string(),
            })),
        }
    }

    fn shared(&self) -> Arc<Shared> {
        let config_maps = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        let ids = &self.args.ids_config_map;
        let reporter = Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance: Some(self.identity.clone()),
        };
        Arc::new(Shared {
            client: self.client.clone(),
            scopes: self.scopes.clone(),
            settings: self.args.settings.clone(),
            ids: Ids::new(ApiRegister::new(config_maps, ids), ids),
            recorder: Recorder::new(self.client.clone(), reporter),
            metrics: self.observers.metrics.clone(),
            backoff: Backoff::default(),
            expectations: Expectations::default(),
            progress: progress::ProgressBoard::default(),
            refusals: Refusals::default(),
        })
    }

    /// Starts the watches of all scopes and waits until they are filled.
    async fn fill(&self, shared: &Arc<Shared>, tasks: &mut JoinSet<()>) -> Vec<(Arc<Context>, Triggers)> {
        let mut namespaces: Vec<Option<&str>> = self
            .args
            .watch_namespaces
            .iter()
            .map(|namespace| Some(namespace.as_str()))
            .collect();
        if namespaces.is_empty() {
            namespaces.push(None);
        }
        let mut scopes = Vec::new();
        for namespace in namespaces {
            let Started {
                stores,
                trigger,
                triggers,
                changed,
            } = stores::start(&self.client, namespace, &self.observers, tasks).await;
            tasks.spawn(definitions::keep(
                self.client.clone(),
                stores.definitions.clone(),
                stores.export_jobs.clone(),
                changed,
            ));
            let running = stores.clone();
            tasks.spawn(progress::poll(
                shared.settings.progress_interval,
                shared.progress.clone(),
                shared.metrics.clone(),
                move || running.running_exports(),
                move |export_job| {
                    // The receiver only goes when the process ends.
                    let _ = trigger.unbounded_send(export_job);
                },
            ));
            let context = Context {
                stores,
                shared: shared.clone(),
            };
            scopes.push((Arc::new(context), triggers));
        }
        scopes
    }

    /// Reconciles one scope until it is told to stop, and then what is in flight to its end.
    async fn control(&self, context: Arc<Context>, triggers: Triggers) {
        // Each cache is kept by a task of its own, which sends what it has touched.
        let nothing = stream::pending::<Result<ExportJob, watcher::Error>>();
        Controller::for_stream(nothing, context.stores.export_jobs.clone())
            .with_config(Config::default().concurrency(self.args.concurrency))
            .reconcile_on(triggers)
            .graceful_shutdown_on(self.stop.clone().cancelled_owned())
            .run(reconcile, error_policy, context)
            .for_each(|result| {
                match result {
                    // Gone between the trigger and the look.
                    Err(ControllerError::ObjectNotFound(export_job)) => {
                        debug!(%export_job, "gone");
                    }
                    // Told where it happened.
                    Ok(_) | Err(ControllerError::ReconcilerFailed(..)) => {}
                    Err(error) => warn!(%error, "the queue of ExportJobs is disturbed"),
                }
                ready(())
            })
            .await;
    }
}

fn stop_on_signal() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    let mut terminate = signal(SignalKind::terminate()).map_err(SetupError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SetupError::Signal)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

/// A name that no other process has.
fn random_identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "exportjob-controller".to_owned());
    format!("{host}-{:08x}", rand::rng().random::<u32>())
}
