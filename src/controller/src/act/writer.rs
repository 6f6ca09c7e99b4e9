//! The single writes, each safe to repeat, and what the API server's answers to them mean.

use std::fmt::Debug;

use exportjob_api::{ExportJob, ExportJobStatus, FIELD_MANAGER, FINALIZER};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{batch::v1::Job, core::v1::ConfigMap},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
    core::{Request, Status, params::ValidationDirective},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{ActError, Written};
use crate::expectations::Expectations;

/// Writes on behalf of one ExportJob.
///
/// Every write to the ExportJob itself carries the resource version that was observed, or that the write before it has
/// made: what was decided on an outdated observation is refused and not done.
pub(super) struct Writer<'a> {
    client: &'a Client,
    expectations: &'a Expectations,
    namespace: String,
    name: String,
    uid: String,
    version: Option<String>,
    finalizers: Vec<String>,
}

impl<'a> Writer<'a> {
    pub fn new(client: &'a Client, expectations: &'a Expectations, export_job: &ExportJob) -> Writer<'a> {
        Self {
            client,
            expectations,
            namespace: export_job.namespace().unwrap_or_default(),
            name: export_job.name_any(),
            uid: export_job.uid().unwrap_or_default(),
            version: export_job.resource_version(),
            finalizers: export_job.finalizers().to_vec(),
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Remembers what a write has made of the ExportJob.
    fn wrote(&mut self, export_job: &ExportJob) {
        self.version = export_job.resource_version();
        self.finalizers = export_job.finalizers().to_vec();
        self.expectations.wrote(&self.uid, self.version.as_deref());
    }

    pub async fn add_finalizer(&mut self) -> Result<Written, ActError> {
        if self.finalizers.iter().any(|found| found == FINALIZER) {
            return Ok(Written::Done);
        }
        let mut finalizers = self.finalizers.clone();
        finalizers.push(FINALIZER.to_owned());
        self.set_finalizers("add the finalizer", &finalizers).await
    }

    /// Removes the finalizer. An ExportJob in deletion may be gone after that.
    pub async fn remove_finalizer(&mut self, deleted: bool) -> Result<Written, ActError> {
        if !self.finalizers.iter().any(|found| found == FINALIZER) {
            return Ok(Written::Done);
        }
        let mut finalizers = self.finalizers.clone();
        finalizers.retain(|found| found != FINALIZER);
        let written = self.set_finalizers("remove the finalizer", &finalizers).await?;
        if deleted && written != Written::Stale {
            self.expectations.released(&self.uid);
        }
        Ok(written)
    }

    async fn set_finalizers(&mut self, step: &'static str, finalizers: &[String]) -> Result<Written, ActError> {
        // The resource version makes this a compare-and-swap: finalizers of others are never lost.
        let patch = json!({"metadata": {
            "uid": self.uid, "resourceVersion": self.version, "finalizers": finalizers
        }});
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        let answer = self
            .api::<ExportJob>()
            .patch(&self.name, &parameters, &Patch::Merge(&patch))
            .await;
        self.settle(step, answer)
    }

    pub async fn apply_status(&mut self, status: &ExportJobStatus) -> Result<Written, ActError> {
        let patch = json!({
            "apiVersion": ExportJob::api_version(&()),
            "kind": ExportJob::kind(&()),
            "metadata": {"name": self.name, "resourceVersion": self.version},
            "status": status,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force().validation_strict();
        let answer = self
            .api::<ExportJob>()
            .patch_status(&self.name, &parameters, &Patch::Apply(&patch))
            .await;
        self.settle("write the status", answer)
    }

    pub async fn delete_export_job(&mut self) -> Result<Written, ActError> {
        let parameters = DeleteParams::background().preconditions(Preconditions {
            uid: Some(self.uid.clone()),
            resource_version: None,
        });
        let answer = self.api::<ExportJob>().delete(&self.name, &parameters).await;
        let Some(answer) = accept("delete the ExportJob", answer)? else {
            return Ok(Written::Stale);
        };
        if let Some(export_job) = answer.and_then(|deleted| deleted.left()) {
            self.wrote(&export_job);
        }
        Ok(Written::Done)
    }

    pub async fn create_plan(&self, plan: &ConfigMap) -> Result<Written, ActError> {
        self.create("ConfigMap", plan).await?;
        Ok(Written::Done)
    }

    pub async fn create_job(&self, job: &Job) -> Result<Written, ActError> {
        let created = self.create("Job", job).await?;
        self.expectations.wrote_job(&self.uid, &created);
        Ok(Written::Done)
    }

    pub async fn suspend_job(&self, name: &str, uid: &str, suspend: bool) -> Result<Written, ActError> {
        // A patch that names another UID than the object's is refused.
        let patch = json!({"metadata": {"uid": uid}, "spec": {"suspend": suspend}});
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        let answer = self.api::<Job>().patch(name, &parameters, &Patch::Merge(&patch)).await;
        match accept("suspend or resume the Job", answer)? {
            Some(Some(job)) => {
                self.expectations.wrote_job(&self.uid, &job);
                Ok(Written::Done)
            }
            _ => Ok(Written::Stale),
        }
    }

    pub async fn delete_job(&self, name: &str, uid: &str, propagation: PropagationPolicy) -> Result<Written, ActError> {
        let parameters = DeleteParams {
            propagation_policy: Some(propagation),
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let answer = self.api::<Job>().delete(name, &parameters).await;
        if accept("delete the Job", answer)?.is_none() {
            return Ok(Written::Stale);
        }
        self.expectations.deleted_job(&self.uid, name, uid);
        Ok(Written::Done)
    }

    /// Creates an object. One that is there already is fine if it belongs to this ExportJob: it was made before.
    async fn create<K>(&self, kind: &'static str, object: &K) -> Result<K, ActError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let name = object.name_any();
        let api = self.api::<K>();
        let refused = |status: &Status| ActError::Refused {
            kind,
            name: name.clone(),
            code: status.code,
            message: status.message.clone(),
            namespace_terminating: namespace_is_going(status),
        };
        let failed = |source| ActError::Api {
            step: "create an object",
            source: Box::new(source),
        };
        match strict_create(self.client, &api, object).await {
            Ok(created) => return Ok(created),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(kube::Error::Api(status)) if is_refusal(&status) => return Err(refused(&status)),
            Err(error) => return Err(failed(error)),
        }
        let Some(found) = api.get_opt(&name).await.map_err(failed)? else {
            return Err(ActError::Vanished { kind, name });
        };
        let owners = found.owner_references();
        if owners.iter().any(|owner| owner.uid == self.uid) {
            Ok(found)
        } else {
            Err(ActError::NameTaken { kind, name })
        }
    }

    fn settle(&mut self, step: &'static str, answer: Result<ExportJob, kube::Error>) -> Result<Written, ActError> {
        match accept(step, answer)? {
            Some(Some(export_job)) => {
                self.wrote(&export_job);
                Ok(Written::Done)
            }
            Some(None) => Ok(Written::Gone),
            None => Ok(Written::Stale),
        }
    }
}

/// `None`: what was observed is outdated. `Some(None)`: the object is gone. Both are answers, no errors.
fn accept<T>(step: &'static str, answer: Result<T, kube::Error>) -> Result<Option<Option<T>>, ActError> {
    match answer {
        Ok(object) => Ok(Some(Some(object))),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Some(None)),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(None),
        Err(source) => Err(ActError::Api {
            step,
            source: Box::new(source),
        }),
    }
}

/// Whether the API server will not take this object however often it is offered, or not now: quota, admission, rights,
/// or a field with a wrong value.
fn is_refusal(status: &Status) -> bool {
    matches!(status.code, 400 | 403 | 413 | 422)
}

fn namespace_is_going(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|details| {
        details
            .causes
            .iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
    })
}

/// Creates with strict field validation: a field that an older API server does not know is refused, not dropped.
async fn strict_create<K>(client: &Client, api: &Api<K>, object: &K) -> Result<K, kube::Error>
where
    K: Resource + Serialize + DeserializeOwned,
{
    let parameters = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
    let mut request = Request::new(api.resource_url())
        .create(&parameters, body)
        .map_err(kube::Error::BuildRequest)?;
    let uri = format!("{}&fieldValidation=Strict", request.uri());
    *request.uri_mut() = uri
        .parse()
        .map_err(|error: hyper::http::uri::InvalidUri| kube::Error::HttpError(error.into()))?;
    request.extensions_mut().insert("create");
    client.request(request).await
}
