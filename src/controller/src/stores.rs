//! The caches of one scope (a namespace, or the whole cluster), and which ExportJobs a change concerns.

use std::fmt::Debug;

use exportjob_api::{Dataset, ExportJob, Phase, ProfileStore, SegmentDefinition};
use exportjob_plan::job_name;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        batch::v1::Job,
        core::v1::{Event, ObjectReference, Pod, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Api, Client, Resource, ResourceExt, core::ObjectMeta};
use kube_runtime::{
    reflector::{self, ObjectRef, Store, store::Writer},
    watcher::Config,
};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::{
    definitions::Changed,
    observed::shard,
    progress::Target,
    segments::can_tell,
    warnings::{self, Warnings},
    watch::{self, Observers, Watch, trim_metadata},
};

/// The caches. Clones share them.
#[derive(Clone, Debug)]
pub struct Stores {
    /// All ExportJobs.
    pub export_jobs: Store<ExportJob>,
    /// The Jobs that this operator made, without their pod templates.
    pub jobs: Store<Job>,
    /// The pods of those Jobs: metadata and status.
    pub pods: Store<Pod>,
    /// All ProfileStores.
    pub profile_stores: Store<ProfileStore>,
    /// All Datasets.
    pub datasets: Store<Dataset>,
    /// All SegmentDefinitions.
    pub definitions: Store<SegmentDefinition>,
    /// What only Events tell of Jobs and pods.
    pub warnings: Warnings,
}

/// Label of everything that this operator makes.
const SELECTOR: &str = "app.kubernetes.io/managed-by=exportjob-controller";

/// ExportJobs that something has happened to.
pub type Triggers = UnboundedReceiver<ObjectRef<ExportJob>>;

/// What a change is told to.
#[derive(Clone)]
struct Senders {
    /// ExportJobs to look at.
    export_jobs: UnboundedSender<ObjectRef<ExportJob>>,
    /// Namespaces whose definitions are to be judged.
    definitions: UnboundedSender<String>,
}

/// What a change concerns.
#[derive(Default)]
struct Concerned {
    export_jobs: Vec<ObjectRef<ExportJob>>,
    definitions_of: Option<String>,
}

impl From<Vec<ObjectRef<ExportJob>>> for Concerned {
    fn from(export_jobs: Vec<ObjectRef<ExportJob>>) -> Self {
        Self {
            export_jobs,
            definitions_of: None,
        }
    }
}

impl Senders {
    /// The receivers only go when the process ends.
    fn tell(&self, concerned: Concerned) {
        for export_job in concerned.export_jobs {
            let _ = self.export_jobs.unbounded_send(export_job);
        }
        if let Some(namespace) = concerned.definitions_of {
            let _ = self.definitions.unbounded_send(namespace);
        }
    }
}

/// A scope whose watches run.
pub struct Started {
    /// Its caches.
    pub stores: Stores,
    /// For telling of ExportJobs that something has happened to.
    pub trigger: UnboundedSender<ObjectRef<ExportJob>>,
    /// Who is told of those.
    pub triggers: Triggers,
    /// Who is told of definitions.
    pub changed: Changed,
}

/// Starts the watches of a scope and waits until its caches are filled. The watches end with `tasks`.
pub async fn start(
    client: &Client,
    namespace: Option<&str>,
    observers: &Observers,
    tasks: &mut JoinSet<()>,
) -> Started {
    let (trigger, triggers) = unbounded();
    let (definitions_changed, changed) = unbounded();
    let (export_jobs, export_jobs_writer) = reflector::store();
    let (jobs, jobs_writer) = reflector::store();
    let (pods, pods_writer) = reflector::store();
    let (profile_stores, profile_stores_writer) = reflector::store();
    let (datasets, datasets_writer) = reflector::store();
    let (definitions, definitions_writer) = reflector::store();
    let stores = Stores {
        export_jobs,
        jobs,
        pods,
        profile_stores,
        datasets,
        definitions,
        warnings: Warnings::default(),
    };
    let mut scope = Scope {
        client,
        namespace,
        observers,
        tasks,
        stores: &stores,
        senders: Senders {
            export_jobs: trigger.clone(),
            definitions: definitions_changed,
        },
    };
    scope.watch_jobs(export_jobs_writer, jobs_writer, pods_writer);
    scope.watch_references(profile_stores_writer, datasets_writer, definitions_writer);
    stores.filled().await;
    scope.watch_events();
    Started {
        stores,
        trigger,
        triggers,
        changed,
    }
}

struct Scope<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    observers: &'a Observers,
    tasks: &'a mut JoinSet<()>,
    stores: &'a Stores,
    senders: Senders,
}

/// A change of something that jobs refer to concerns the jobs of the namespace that have not started.
fn waiting_for<K: Resource>(stores: &Stores, object: &K) -> Concerned {
    stores.not_started(object.meta().namespace.as_deref()).into()
}

impl Scope<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn watch<K>(
        &mut self,
        resource: &'static str,
        config: &Config,
        writer: Writer<K>,
        trim: fn(&mut K),
        concerned: fn(&Stores, &K) -> Concerned,
    ) where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let watch = Watch {
            api: self.api::<K>(),
            config: config.clone(),
            resource,
            trim,
        };
        let (stores, senders) = (self.stores.clone(), self.senders.clone());
        self.tasks
            .spawn(watch::keep(watch, writer, self.observers.clone(), move |object| {
                senders.tell(concerned(&stores, object));
            }));
    }

    /// Jobs and what the operator makes for them.
    fn watch_jobs(&mut self, export_jobs: Writer<ExportJob>, jobs: Writer<Job>, pods: Writer<Pod>) {
        let all = Config::default();
        let ours = Config::default().labels(SELECTOR);
        self.watch("exportjobs", &all, export_jobs, trim_metadata, |_, export_job| {
            Concerned {
                export_jobs: vec![ObjectRef::from_obj(export_job)],
                definitions_of: export_job.namespace().filter(|_| can_tell(export_job)),
            }
        });
        self.watch("jobs", &ours, jobs, trim_job, |_, job| {
            Vec::from_iter(owner(&job.metadata)).into()
        });
        self.watch("pods", &ours, pods, trim_pod, |stores, pod| {
            Vec::from_iter(stores.owner_of_pod(pod)).into()
        });
    }

    /// What jobs refer to.
    fn watch_references(
        &mut self,
        profile_stores: Writer<ProfileStore>,
        datasets: Writer<Dataset>,
        definitions: Writer<SegmentDefinition>,
    ) {
        let all = Config::default();
        self.watch("profilestores", &all, profile_stores, trim_metadata, waiting_for);
        self.watch("datasets", &all, datasets, trim_metadata, waiting_for);
        self.watch(
            "segmentdefinitions",
            &all,
            definitions,
            trim_metadata,
            |stores, definition| Concerned {
                definitions_of: definition.namespace(),
                ..waiting_for(stores, definition)
            },
        );
    }

    fn watch_events(&mut self) {
        let (stores, senders) = (self.stores.clone(), self.senders.clone());
        let known = self.stores.clone();
        self.tasks.spawn(warnings::watch(
            self.api::<Event>(),
            self.stores.warnings.clone(),
            self.observers.clone(),
            move |object| known.owner_of(object).is_some(),
            move |object| {
                senders.tell(Vec::from_iter(stores.owner_of(object)).into());
            },
        ));
    }
}

impl Stores {
    /// Waits until everything has been read once. Watches that end before that only do so with the process.
    async fn filled(&self) {
        let _ = tokio::join!(
            self.export_jobs.wait_until_ready(),
            self.jobs.wait_until_ready(),
            self.pods.wait_until_ready(),
            self.profile_stores.wait_until_ready(),
            self.datasets.wait_until_ready(),
            self.definitions.wait_until_ready(),
        );
    }

    /// The cached Job of this name.
    pub fn job(&self, namespace: &str, name: &str) -> Option<std::sync::Arc<Job>> {
        self.jobs.get(&ObjectRef::new(name).within(namespace))
    }

    /// The ExportJob behind a pod, through its Job.
    pub fn owner_of_pod(&self, pod: &Pod) -> Option<ObjectRef<ExportJob>> {
        let job = controller(&pod.metadata).filter(|owner| owner.kind == Job::kind(&()))?;
        let job = self.job(pod.metadata.namespace.as_deref()?, &job.name)?;
        owner(&job.metadata)
    }

    /// The ExportJob behind the object of an Event.
    fn owner_of(&self, object: &ObjectReference) -> Option<ObjectRef<ExportJob>> {
        let (namespace, name) = (object.namespace.as_deref()?, object.name.as_deref()?);
        match object.kind.as_deref()? {
            "Job" => owner(&self.job(namespace, name)?.metadata),
            "Pod" => self.owner_of_pod(self.pods.get(&ObjectRef::new(name).within(namespace))?.as_ref()),
            _ => None,
        }
    }

    /// The running pods of exports, with the ExportJobs that they work for.
    pub fn running_exports(&self) -> Vec<Target<ObjectRef<ExportJob>>> {
        let pods = self.pods.state_filter(|pod| {
            let status = pod.status.as_ref();
            status.and_then(|status| status.phase.as_deref()) == Some("Running")
        });
        pods.iter().filter_map(|pod| self.target(pod)).collect()
    }

    fn target(&self, pod: &Pod) -> Option<Target<ObjectRef<ExportJob>>> {
        let job = controller(&pod.metadata)?;
        let export_job = self.owner_of_pod(pod)?;
        let uid = self.export_jobs.get(&export_job)?.uid()?;
        if job.name != job_name(&export_job.name, &uid) {
            // The pod of a clean-up has no progress.
            return None;
        }
        Some(Target {
            uid,
            export_job,
            shard: shard(pod),
            address: pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?,
        })
    }

    fn not_started(&self, namespace: Option<&str>) -> Vec<ObjectRef<ExportJob>> {
        let waiting = self.export_jobs.state_filter(|export_job| {
            let phase = export_job.status.as_ref().and_then(|status| status.phase);
            export_job.metadata.namespace.as_deref() == namespace && matches!(phase, None | Some(Phase::New))
        });
        waiting
            .iter()
            .map(|export_job| ObjectRef::from_obj(export_job.as_ref()))
            .collect()
    }
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let owners = metadata.owner_references.as_ref()?;
    owners.iter().find(|owner| owner.controller == Some(true))
}

/// The ExportJob that controls an object.
fn owner(metadata: &ObjectMeta) -> Option<ObjectRef<ExportJob>> {
    let owner = controller(metadata)
        .filter(|owner| owner.kind == ExportJob::kind(&()) && owner.api_version == ExportJob::api_version(&()))?;
    let namespace = metadata.namespace.as_deref()?;
    Some(ObjectRef::new(&owner.name).within(namespace))
}

/// The template of a Job is what the controller made it from: nobody reads it back.
fn trim_job(job: &mut Job) {
    trim_metadata(job);
    if let Some(spec) = job.spec.as_mut() {
        spec.template = PodTemplateSpec::default();
    }
}

/// Of a pod the metadata and the status are read.
fn trim_pod(pod: &mut Pod) {
    trim_metadata(pod);
    pod.spec = None;
    pod.annotations_mut().clear();
    if let Some(status) = pod.status.as_mut() {
        status.ephemeral_container_statuses = None;
        status.resource_claim_statuses = None;
    }
}

#[cfg(test)]
mod tests;
