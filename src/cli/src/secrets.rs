//! Credentials of a local run: from a Secret among the manifests, or from the environment.

use exportjob_exporter::Credentials;
use exportjob_plan::{CredentialsPlan, ExportPlan};

use crate::{error::Error, manifests::Resources};

/// Credentials of the two sides; `None`: those of the environment.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// Of the profile store.
    pub(crate) store: Option<Credentials>,
    /// Of the dataset.
    pub(crate) dataset: Option<Credentials>,
}

/// Finds the Secrets that the plan names. One that is not among the manifests is left out of the plan, too: nothing is
/// mounted here.
pub(crate) fn find(resources: &Resources, plan: &mut ExportPlan) -> Result<Secrets, Error> {
    Ok(Secrets {
        store: side(resources, &mut plan.store.credentials)?,
        dataset: side(resources, &mut plan.destination.credentials)?,
    })
}

fn side(resources: &Resources, plan: &mut Option<CredentialsPlan>) -> Result<Option<Credentials>, Error> {
    let Some(name) = plan.as_ref().map(|plan| plan.secret.clone()) else {
        return Ok(None);
    };
    let Some(secret) = resources.secrets.get(&name) else {
        eprintln!("Secret {name:?} is not among the manifests: credentials come from the environment");
        *plan = None;
        return Ok(None);
    };
    let credentials = Credentials::new(&name, secret.keys.clone());
    credentials.map(Some).map_err(|error| Error::Input(error.to_string()))
}
