//! Credentials of object stores: by reference only.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

/// Where the credentials of an object store are.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The Secret that holds them.
    pub secret_ref: SecretReference,
}

/// A Secret of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the Secret. Its keys are named as the settings of the store are, for example `AWS_ACCESS_KEY_ID`.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(rules::IS_NAME).message("must name a Secret of this namespace"))]
    pub name: String,
}
