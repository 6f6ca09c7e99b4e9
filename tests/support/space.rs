//! A namespace for one test, with what a test does in it.

use std::{collections::BTreeMap, fmt::Debug, fs, panic::AssertUnwindSafe, path::Path, pin::Pin};

use exportjob_api::{ExportJob, Manifest, Phase, parse_manifests};
use exportjob_plan::{code, job_name};
use futures::FutureExt as _;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        batch::v1::Job,
        core::v1::{Namespace, Pod},
    },
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    data, operator,
    programs::{run, tool},
    wait,
};

/// A namespace in which only restricted pods may run.
pub struct Space {
    /// Client of the cluster under test.
    pub client: Client,
    /// Name of the namespace.
    pub name: String,
}

/// Runs a test on the cluster, in a namespace of its own; without a cluster it says so and passes. When the test fails,
/// the namespace's story is printed.
pub fn on_cluster(name: &str, test: impl AsyncFnOnce(&Space)) -> Pin<Box<impl Future<Output = ()>>> {
    Box::pin(async move {
        if operator::wanted() {
            run_in_space(name, test).await;
        }
    })
}

async fn run_in_space(name: &str, test: impl AsyncFnOnce(&Space)) {
    tokio::task::spawn_blocking(operator::ensure_installed)
        .await
        .expect("the operator is installed");
    let space = Space::create(name).await;
    let outcome = AssertUnwindSafe(Box::pin(test(&space))).catch_unwind().await;
    if outcome.is_err() {
        space.tell();
    }
    if outcome.is_ok() || std::env::var_os("EXPORTJOB_E2E_KEEP").is_none() {
        space.abandon().await;
    }
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Space {
    async fn create(name: &str) -> Self {
        let client = Client::try_default().await.expect("KUBECONFIG names a cluster");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "generateName": format!("e2e-{name}-"),
                "labels": {"pod-security.kubernetes.io/enforce": "restricted", "exportjob.dev/e2e": "true"},
            },
        });
        let namespace = serde_json::from_value(namespace).unwrap();
        let created = namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .expect("a namespace can be created");
        Self {
            client,
            name: created.name_any(),
        }
    }

    /// Objects of one kind in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Creates an object from JSON.
    pub async fn create_object<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
        K::DynamicType: Default,
    {
        let typed: K = serde_json::from_value(object).expect("the test's object has the right shape");
        let created = self.api().create(&PostParams::default(), &typed).await;
        created.unwrap_or_else(|error| panic!("cannot create {:?}: {error}", typed.meta().name))
    }

    /// Creates an `ExportJob`.
    pub async fn export(&self, name: &str, spec: Value) -> ExportJob {
        self.create_object(json!({
            "apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob", "metadata": {"name": name}, "spec": spec,
        }))
        .await
    }

    /// Applies a file as `kubectl apply` does.
    pub fn apply_file(&self, path: &Path) {
        operator::kubectl(
            &["--namespace", &self.name, "apply", "--filename", operator::path(path)],
            b"",
        );
    }

    /// Applies the store, the datasets and the segments of the examples.
    pub fn apply_settings(&self) {
        for name in ["profilestore.yaml", "datasets.yaml", "segmentdefinitions.yaml"] {
            self.apply_file(&data::example(name));
        }
    }

    /// Creates the job of an example, for which `change` may change the spec.
    pub async fn export_example(&self, file: &str, change: impl FnOnce(&mut Value)) -> ExportJob {
        let text = fs::read_to_string(data::example(file)).expect("the example can be read");
        let Some(Manifest::ExportJob(job)) = parse_manifests(&text).expect("the example is valid").pop() else {
            panic!("{file} is not an ExportJob");
        };
        let mut spec = serde_json::to_value(&job.spec).unwrap();
        change(&mut spec);
        self.export(&job.name_any(), spec).await
    }

    /// Waits until something holds of an `ExportJob`.
    pub async fn until_job(&self, name: &str, what: &str, condition: impl Fn(&ExportJob) -> bool) -> ExportJob {
        wait::until_it(self.api(), name, what, condition).await
    }

    /// Waits until an `ExportJob` has ended, in that phase.
    pub async fn until_ended(&self, name: &str, expected: Phase) -> ExportJob {
        let job = self
            .until_job(name, "ended", |job| phase(job).is_some_and(Phase::is_terminal))
            .await;
        assert_eq!(phase(&job), Some(expected), "{name}: {:#?}", job.status);
        job
    }

    /// Waits until a pod of the job's `batch/v1` Job is running, and returns it.
    pub async fn until_running(&self, job: &ExportJob) -> Pod {
        self.until_pod(job, "running", |pod| {
            let status = pod.status.as_ref();
            let containers = status
                .and_then(|status| status.container_statuses.as_deref())
                .unwrap_or_default();
            containers
                .iter()
                .any(|one| one.state.as_ref().is_some_and(|state| state.running.is_some()))
        })
        .await
    }

    /// Waits until something holds of a pod of the job.
    pub async fn until_pod(&self, job: &ExportJob, what: &str, condition: impl Fn(&Pod) -> bool) -> Pod {
        use futures::TryStreamExt as _;
        use kube::runtime::{WatchStreamExt as _, watcher};
        let config = watcher::Config::default().labels(&pod_selector(job));
        let mut pods = std::pin::pin!(watcher(self.api::<Pod>(), config).default_backoff().applied_objects());
        let found = async {
            loop {
                let pod = pods
                    .try_next()
                    .await
                    .expect("pods can be watched")
                    .expect("a watch does not end");
                if pod.metadata.deletion_timestamp.is_none() && condition(&pod) {
                    return pod;
                }
            }
        };
        tokio::time::timeout(wait::PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("no pod of {} is {what} within {:?}", job.name_any(), wait::PATIENCE))
    }

    /// The pods of the job, whatever has become of them.
    pub async fn pods(&self, job: &ExportJob) -> Vec<Pod> {
        let selected = ListParams::default().labels(&pod_selector(job));
        self.api::<Pod>()
            .list(&selected)
            .await
            .expect("pods can be listed")
            .items
    }

    /// The `batch/v1` Job of the job, once it is there.
    pub async fn until_launched(&self, job: &ExportJob) -> Job {
        wait::until_it(self.api(), &child_name(job), "there", |_| true).await
    }

    /// Reasons of the Events about an `ExportJob`, oldest first.
    pub async fn reasons(&self, job: &ExportJob) -> Vec<String> {
        use k8s_openapi::api::events::v1::Event;
        let selected = ListParams::default().fields(&format!("regarding.uid={}", job.uid().expect("it has a UID")));
        let mut events = self
            .api::<Event>()
            .list(&selected)
            .await
            .expect("Events can be listed")
            .items;
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        events.into_iter().filter_map(|event| event.reason).collect()
    }

    /// Deletes an `ExportJob` and waits until it is gone.
    pub async fn delete_and_wait(&self, job: &ExportJob) {
        let jobs: Api<ExportJob> = self.api();
        jobs.delete(&job.name_any(), &DeleteParams::default())
            .await
            .expect("it can be deleted");
        wait::until_gone(jobs, &job.name_any(), &job.uid().expect("it has a UID")).await;
    }

    /// Prints what stands in the namespace, for somebody who looks for the reason of a failure.
    fn tell(&self) {
        let controller = format!("deployment/{}", operator::RELEASE);
        let stories: [&[&str]; 4] = [
            &["get", "exportjobs,jobs,pods", "--output", "yaml"],
            &["get", "events", "--sort-by", ".metadata.creationTimestamp"],
            &[
                "logs",
                "--selector",
                "batch.kubernetes.io/job-name",
                "--prefix",
                "--tail",
                "30",
            ],
            &[
                "--namespace",
                operator::NAMESPACE,
                "logs",
                &controller,
                "--tail",
                "2000",
            ],
        ];
        for story in stories {
            let mut arguments = vec!["--namespace", self.name.as_str()];
            arguments.extend(story);
            let said = run(&tool("kubectl"), &arguments, b"").everything();
            let about_this = |line: &&str| !story.contains(&operator::NAMESPACE) || line.contains(&self.name);
            let said: Vec<&str> = said.lines().filter(about_this).collect();
            eprintln!("---- kubectl {}\n{}", arguments.join(" "), said.join("\n"));
        }
    }

    /// Deletes the namespace without waiting for the end of it.
    async fn abandon(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        // It may be gone already: some tests delete their own.
        let _ = namespaces.delete(&self.name, &DeleteParams::background()).await;
    }
}

/// Phase of a job, where it has one.
pub fn phase(job: &ExportJob) -> Option<Phase> {
    job.status.as_ref().and_then(|status| status.phase)
}

fn pod_selector(job: &ExportJob) -> String {
    format!("batch.kubernetes.io/job-name={}", child_name(job))
}

/// Name of the `batch/v1` Job of an `ExportJob`.
pub fn child_name(job: &ExportJob) -> String {
    job_name(&job.name_any(), &job.uid().expect("it has a UID"))
}

/// Conditions of a job by type, as `status/reason: message`.
pub fn conditions(job: &ExportJob) -> BTreeMap<String, String> {
    let conditions = job.status.iter().flat_map(|status| &status.conditions);
    conditions
        .map(|one| {
            (
                one.type_.clone(),
                format!("{}/{}: {}", one.status, one.reason, one.message),
            )
        })
        .collect()
}

/// Code and message of the error of a job: the only one, but for a clean-up that was not possible.
pub fn error(job: &ExportJob) -> (String, String) {
    let errors = job
        .status
        .as_ref()
        .map(|status| status.errors.as_slice())
        .unwrap_or_default();
    match errors {
        [only] => (only.code.clone(), only.msg.clone()),
        [main, left_behind] if left_behind.code == code::CLEAN_UP_ABANDONED => (main.code.clone(), main.msg.clone()),
        _ => panic!("not one error: {errors:?}"),
    }
}

/// Batch ids of a job in order.
pub fn batches(job: &ExportJob) -> Vec<String> {
    let destination = job
        .status
        .as_ref()
        .and_then(|status| status.destination.as_ref())
        .expect("it has batch ids");
    match &destination.batch_id {
        Some(id) => vec![id.clone()],
        None => destination.batches.iter().map(|batch| batch.batch_id.clone()).collect(),
    }
}
