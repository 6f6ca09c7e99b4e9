//! The single writes, each safe to repeat, and what the API server's answers to them mean.

#[cfg(test)]
mod tests;

use std::fmt::Debug;

use exportjob_api::{ExportJob, ExportJobStatus, FIELD_MANAGER, FINALIZER};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{batch::v1::Job, core::v1::ConfigMap},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::{Request, Status, params::ValidationDirective},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{ActError, Written};
use crate::{expectations::Expectations, observed::belongs_to, refusals::Refusal};

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
    deleted: bool,
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
            deleted: export_job.metadata.deletion_timestamp.is_some(),
        }
    }

    pub fn uid(&self) -> &str {
        &self.uid
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

    /// Asks the API server whether the ExportJob is still what was observed, or what this writer made of it.
    pub async fn confirm_current(&mut self) -> Result<Written, ActError> {
        let patch = serde_json::from_value(json!([
            {"op": "test", "path": "/metadata/uid", "value": self.uid},
            {"op": "test", "path": "/metadata/resourceVersion", "value": self.version},
        ]))
        .map_err(|error| failed("confirm the ExportJob", kube::Error::SerdeError(error)))?;
        let answer = self
            .api::<ExportJob>()
            .patch(&self.name, &strict(), &Patch::<()>::Json(patch))
            .await;
        match answer {
            // A test that does not hold.
            Err(kube::Error::Api(status)) if status.code == 422 => Ok(Written::Stale),
            answer => self.settle("confirm the ExportJob", answer),
        }
    }

    /// Asks the API server whether there is no Job of this name. One that is somebody else's is none of this ExportJob.
    pub async fn confirm_no_job(&self, name: &str) -> Result<Written, ActError> {
        let found = self.api::<Job>().get_metadata_opt(name).await;
        match found.map_err(|error| failed("look for the Job", error))? {
            Some(job) if belongs_to(&job.metadata, &self.uid) => Ok(Written::Stale),
            _ => Ok(Written::Done),
        }
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
    pub async fn remove_finalizer(&mut self) -> Result<Written, ActError> {
        if !self.finalizers.iter().any(|found| found == FINALIZER) {
            return Ok(Written::Done);
        }
        let mut finalizers = self.finalizers.clone();
        finalizers.retain(|found| found != FINALIZER);
        let written = self.set_finalizers("remove the finalizer", &finalizers).await?;
        if self.deleted && written != Written::Stale {
            self.expectations.released(&self.uid);
        }
        Ok(written)
    }

    async fn set_finalizers(&mut self, step: &'static str, finalizers: &[String]) -> Result<Written, ActError> {
        // The resource version makes this a compare-and-swap: finalizers of others are never lost.
        let patch = json!({"metadata": {
            "uid": self.uid, "resourceVersion": self.version, "finalizers": finalizers
        }});
        let answer = self
            .api::<ExportJob>()
            .patch(&self.name, &strict(), &Patch::Merge(&patch))
            .await;
        self.settle(step, answer)
    }

    pub async fn apply_status(&mut self, status: &ExportJobStatus) -> Result<Written, ActError> {
        let patch = json!({
            "apiVersion": ExportJob::api_version(&()),
            "kind": ExportJob::kind(&()),
            "metadata": {"name": self.name, "uid": self.uid, "resourceVersion": self.version},
            "status": status,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force().validation_strict();
        let answer = self
            .api::<ExportJob>()
            .patch_status(&self.name, &parameters, &Patch::Apply(&patch))
            .await;
        self.settle("write the status", answer)
    }

    pub async fn delete_export_job(&mut self, uid: &str) -> Result<Written, ActError> {
        let parameters = DeleteParams::background().preconditions(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        let answer = self.api::<ExportJob>().delete(&self.name, &parameters).await;
        match accept("delete the ExportJob", answer)? {
            Answer::Outdated => return Ok(Written::Stale),
            Answer::Gone => {}
            Answer::Current(deleted) => {
                if let Some(export_job) = deleted.left() {
                    self.wrote(&export_job);
                }
            }
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
        let answer = self.api::<Job>().patch(name, &strict(), &Patch::Merge(&patch)).await;
        match accept("suspend or resume the Job", answer)? {
            Answer::Current(job) => {
                self.expectations.wrote_job(&self.uid, &job);
                Ok(Written::Done)
            }
            _ => Ok(Written::Stale),
        }
    }

    /// Deletes the Job, which stays until its pods are gone.
    pub async fn delete_job(&self, name: &str, uid: &str) -> Result<Written, ActError> {
        let parameters = DeleteParams::foreground().preconditions(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        let answer = self.api::<Job>().delete(name, &parameters).await;
        if let Answer::Outdated = accept("delete the Job", answer)? {
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
        let refused = |code: u16, message: String, namespace_terminating: bool| {
            ActError::Refused(Refusal {
                kind,
                name: name.clone(),
                message,
                code,
                namespace_terminating,
            })
        };
        let refusal = match strict_create(self.client, &api, object).await {
            Ok(created) => return Ok(created),
            Err(kube::Error::Api(status)) if status.is_already_exists() => None,
            // Quota and admission refuse an object that is there already in the same words.
            Err(kube::Error::Api(status)) if is_refusal(&status) => Some(status),
            Err(error) => return Err(failed("create an object", error)),
        };
        let found = api
            .get_opt(&name)
            .await
            .map_err(|error| failed("look at an object", error))?;
        match (found, refusal) {
            (Some(found), _) if belongs_to(found.meta(), &self.uid) => Ok(found),
            (_, Some(status)) => {
                let going = namespace_is_going(&status);
                Err(refused(status.code, status.message.clone(), going))
            }
            (None, None) => Err(ActError::Vanished { kind, name }),
            (Some(_), None) => {
                let message = "an object of this name that does not belong to the ExportJob is in the way: delete it, and the job goes on";
                Err(refused(409, message.to_owned(), false))
            }
        }
    }

    fn settle(&mut self, step: &'static str, answer: Result<ExportJob, kube::Error>) -> Result<Written, ActError> {
        match accept(step, answer)? {
            Answer::Current(export_job) => {
                self.wrote(&export_job);
                Ok(Written::Done)
            }
            Answer::Gone => Ok(Written::Gone),
            Answer::Outdated => Ok(Written::Stale),
        }
    }
}

/// What the API server made of a write to an object that was observed.
pub(super) enum Answer<T> {
    /// It did it; the object as it is now.
    Current(T),
    /// There is no such object any more.
    Gone,
    /// The object is not what was observed.
    Outdated,
}

/// Not found and conflict are answers, no errors.
pub(super) fn accept<T>(step: &'static str, answer: Result<T, kube::Error>) -> Result<Answer<T>, ActError> {
    match answer {
        Ok(object) => Ok(Answer::Current(object)),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Answer::Gone),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Answer::Outdated),
        Err(error) => Err(failed(step, error)),
    }
}

fn failed(step: &'static str, source: kube::Error) -> ActError {
    ActError::Api {
        step,
        source: Box::new(source),
    }
}

fn strict() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
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
