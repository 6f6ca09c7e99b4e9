//! The one write to a SegmentDefinition.

use exportjob_api::{FIELD_MANAGER, SegmentDefinition, SegmentDefinitionStatus};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{
    ActError,
    writer::{Answer, accept},
};

/// Makes `status` the status of `definition`, and returns the resource version that it has then. `None`: it is gone, or is
/// not what was observed any more, and nothing was written.
pub async fn apply_definition_status(
    client: &Client,
    definition: &SegmentDefinition,
    status: &SegmentDefinitionStatus,
) -> Result<Option<String>, ActError> {
    let name = definition.name_any();
    let namespace = definition.namespace().unwrap_or_default();
    let patch = json!({
        "apiVersion": SegmentDefinition::api_version(&()),
        "kind": SegmentDefinition::kind(&()),
        "metadata": {"name": name, "uid": definition.uid(), "resourceVersion": definition.resource_version()},
        "status": status,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force().validation_strict();
    let answer = Api::<SegmentDefinition>::namespaced(client.clone(), &namespace)
        .patch_status(&name, &parameters, &Patch::Apply(&patch))
        .await;
    match accept("write the status of a SegmentDefinition", answer)? {
        Answer::Current(written) => Ok(written.resource_version()),
        Answer::Gone | Answer::Outdated => Ok(None),
    }
}
