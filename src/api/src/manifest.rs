//! Manifests read without an API server: the same strictness, the same rules.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{CustomResourceExt, core::cel::ValidationErrors};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{Dataset, ExportJob, ProfileStore, SegmentDefinition};

/// One resource out of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// An ExportJob.
    ExportJob(Box<ExportJob>),
    /// A ProfileStore.
    ProfileStore(Box<ProfileStore>),
    /// A Dataset.
    Dataset(Box<Dataset>),
    /// A SegmentDefinition.
    SegmentDefinition(Box<SegmentDefinition>),
    /// A Secret with the credentials of a store or a dataset.
    Secret(Box<SecretManifest>),
}

/// A Secret out of a manifest. It does not show its values when it is printed.
#[derive(Clone, PartialEq)]
pub struct SecretManifest {
    /// Its name and namespace.
    pub metadata: ObjectMeta,
    /// Its keys, those of `stringData` over those of `data`.
    pub keys: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for SecretManifest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.keys.keys().collect();
        out.debug_struct("SecretManifest")
            .field("name", &self.metadata.name)
            .field("keys", &names)
            .finish()
    }
}

/// Why a manifest was refused. `document` counts from 1.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Not YAML or JSON at all.
    #[error("document {document} is not valid YAML: {source}")]
    Syntax {
        /// Which document.
        document: usize,
        /// Where and why.
        #[source]
        source: serde_yaml::Error,
    },
    /// Not one of our resources.
    #[error(
        "document {document} is a {found}: expected apiVersion exportjob.dev/v1alpha1 and kind ExportJob, ProfileStore, Dataset or SegmentDefinition, or a Secret"
    )]
    Kind {
        /// Which document.
        document: usize,
        /// What it says it is.
        found: String,
    },
    /// A field of the wrong type, a missing field, an unknown value.
    #[error("document {document} ({kind}): {message}")]
    Shape {
        /// Which document.
        document: usize,
        /// Kind of the resource.
        kind: &'static str,
        /// What is wrong.
        message: String,
    },
    /// Fields that the resource does not have.
    #[error("document {document} ({kind}): unknown field {}", .fields.join(", "))]
    UnknownFields {
        /// Which document.
        document: usize,
        /// Kind of the resource.
        kind: &'static str,
        /// Paths of the fields.
        fields: Vec<String>,
    },
    /// Rules of the resource that do not hold.
    #[error("document {document} ({kind}): {}", .messages.join("; "))]
    Invalid {
        /// Which document.
        document: usize,
        /// Kind of the resource.
        kind: &'static str,
        /// One entry for each rule: the field and what it must be.
        messages: Vec<String>,
    },
}

/// Reads all documents of `text` (YAML or JSON), refuses unknown fields and runs the rules that the API server runs.
/// Empty documents are skipped.
pub fn parse_manifests(text: &str) -> Result<Vec<Manifest>, ManifestError> {
    let mut manifests = Vec::new();
    for (index, deserializer) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let document = index + 1;
        let value = Value::deserialize(deserializer).map_err(|source| ManifestError::Syntax { document, source })?;
        if !value.is_null() {
            manifests.push(parse(document, value)?);
        }
    }
    Ok(manifests)
}

fn parse(document: usize, value: Value) -> Result<Manifest, ManifestError> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("(none)").to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if api_version == "v1" && kind == "Secret" {
        return secret(document, value);
    }
    if api_version != format!("{}/{}", crate::GROUP, crate::VERSION) {
        return Err(ManifestError::Kind {
            document,
            found: format!("{api_version} {kind}"),
        });
    }
    match kind.as_str() {
        "ExportJob" => read(document, "ExportJob", value, ExportJob::validate_cel).map(Manifest::ExportJob),
        "ProfileStore" => read(document, "ProfileStore", value, ProfileStore::validate_cel).map(Manifest::ProfileStore),
        "Dataset" => read(document, "Dataset", value, Dataset::validate_cel).map(Manifest::Dataset),
        "SegmentDefinition" => {
            read(document, "SegmentDefinition", value, SegmentDefinition::validate_cel).map(Manifest::SegmentDefinition)
        }
        _ => Err(ManifestError::Kind {
            document,
            found: format!("{api_version} {kind}"),
        }),
    }
}

/// What is wrong with a Secret is told without what stands in it.
fn secret(document: usize, value: Value) -> Result<Manifest, ManifestError> {
    let secret: Secret = serde_json::from_value(value).map_err(|_| ManifestError::Shape {
        document,
        kind: "Secret",
        message: "data must hold texts in base64, stringData plain texts, and metadata a name".to_owned(),
    })?;
    let mut keys: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    keys.extend(
        secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.0)),
    );
    let plain = secret.string_data.unwrap_or_default();
    keys.extend(plain.into_iter().map(|(key, value)| (key, value.into_bytes())));
    Ok(Manifest::Secret(Box::new(SecretManifest {
        metadata: secret.metadata,
        keys,
    })))
}

fn read<K: CustomResourceExt + DeserializeOwned>(
    document: usize,
    kind: &'static str,
    mut value: Value,
    rules: impl Fn(&K) -> Result<(), ValidationErrors>,
) -> Result<Box<K>, ManifestError> {
    let shape = |message: String| ManifestError::Shape {
        document,
        kind,
        message,
    };
    let schema = K::crd()
        .spec
        .versions
        .first()
        .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
        .and_then(|schema| serde_json::to_value(schema).ok())
        .unwrap_or_default();
    let mut fields = Vec::new();
    unknown_fields(&value, &schema, "", &mut fields);
    if !fields.is_empty() {
        return Err(ManifestError::UnknownFields { document, kind, fields });
    }
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
    }
    let mut limits = Vec::new();
    too_long(&value, &schema, "", &mut limits);
    let resource: K = serde_json::from_value(value).map_err(|error| shape(error.to_string()))?;
    if let Err(errors) = rules(&resource) {
        limits.extend(errors.into_vec().into_iter().map(|error| {
            if error.field_path.is_empty() {
                error.message
            } else {
                format!("{}: {}", error.field_path, error.message)
            }
        }));
    }
    if limits.is_empty() {
        Ok(Box::new(resource))
    } else {
        Err(ManifestError::Invalid {
            document,
            kind,
            messages: limits,
        })
    }
}

/// Collects the paths in `value` that `schema` does not know. The top level's metadata is free.
fn unknown_fields(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let rest = schema.get("additionalProperties").filter(|rest| rest.is_object());
            for (name, value) in object {
                let path = join(path, name);
                match (properties.and_then(|properties| properties.get(name)), rest) {
                    (Some(schema), _) | (None, Some(schema)) => {
                        unknown_fields(value, schema, &path, found);
                    }
                    (None, None) if properties.is_none() || TOP_LEVEL.contains(&path.as_str()) => {}
                    (None, None) => found.push(path),
                }
            }
        }
        Value::Array(items) => {
            let schema = schema.get("items").unwrap_or(&Value::Null);
            for (index, item) in items.iter().enumerate() {
                unknown_fields(item, schema, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

const TOP_LEVEL: &[&str] = &["apiVersion", "kind", "metadata"];

/// Collects the bounds on lengths that `value` exceeds: the API server checks them beside the CEL rules.
fn too_long(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    let bound = |name: &str| {
        schema
            .get(name)
            .and_then(Value::as_u64)
            .and_then(|bound| usize::try_from(bound).ok())
    };
    match value {
        Value::String(text) => {
            if let Some(bound) = bound("maxLength").filter(|bound| text.chars().count() > *bound) {
                found.push(format!("{path}: may not be longer than {bound} characters"));
            }
        }
        Value::Array(items) => {
            if let Some(bound) = bound("maxItems").filter(|bound| items.len() > *bound) {
                found.push(format!("{path}: must have at most {bound} items"));
            }
            let schema = schema.get("items").unwrap_or(&Value::Null);
            for (index, item) in items.iter().enumerate() {
                too_long(item, schema, &format!("{path}[{index}]"), found);
            }
        }
        Value::Object(object) => {
            let none = Map::new();
            let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
            for (name, value) in object {
                if let Some(schema) = properties.get(name).or_else(|| schema.get("additionalProperties")) {
                    too_long(value, schema, &join(path, name), found);
                }
            }
        }
        _ => {}
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
