//! Whether the cluster serves the custom resources as this build knows them.
//!
//! The API server's OpenAPI document is read for this: unlike the definitions themselves every account may read it.

use std::collections::BTreeSet;

use exportjob_api::{GROUP, VERSION, crds};
use hyper::Request;
use kube::Client;
use serde_json::Value;
use thiserror::Error;

/// Fields that are named in a message.
const NAMED: usize = 5;

/// What is wrong with the custom resources of the cluster.
#[derive(Debug, Error)]
pub enum SchemaError {
    /// The API server could not be asked.
    #[error("cannot read which custom resources the cluster has: {0}")]
    Api(#[source] Box<kube::Error>),
    /// Resources that are not there.
    #[error(
        "the cluster does not have the custom resources {}: install them (kubectl apply --server-side -f crds/, or the chart with crds.install=true)",
        .kinds.join(", ")
    )]
    Missing {
        /// Kinds of the resources.
        kinds: Vec<String>,
    },
    /// Resources of an older version.
    #[error(
        "the custom resource {kind} of the cluster is older than this controller: it lacks {}{}: upgrade it (kubectl apply --server-side --force-conflicts -f crds/, or the chart with crds.install=true)",
        .fields.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "),
        if .fields.len() > NAMED { " and more" } else { "" }
    )]
    Outdated {
        /// Kind of the resource.
        kind: String,
        /// Paths of the fields that it lacks.
        fields: Vec<String>,
    },
}

/// Checks that the cluster serves all custom resources with every field that this build knows. Fields that this build
/// does not know are fine.
pub async fn check(client: &Client) -> Result<(), SchemaError> {
    let request = Request::get(format!("/openapi/v3/apis/{GROUP}/{VERSION}"))
        .body(Vec::new())
        .map_err(|error| SchemaError::Api(Box::new(kube::Error::HttpError(error))))?;
    let document: Value = match client.request(request).await {
        Ok(document) => document,
        Err(kube::Error::Api(status)) if status.code == 404 => Value::Null,
        Err(error) => return Err(SchemaError::Api(Box::new(error))),
    };
    compare(&document)
}

/// Compares an OpenAPI document with the resources of this build.
fn compare(document: &Value) -> Result<(), SchemaError> {
    let mut missing = Vec::new();
    for crd in crds() {
        let kind = crd.spec.names.kind;
        let Some(served) = find(document, &kind) else {
            missing.push(kind);
            continue;
        };
        let ours = crd
            .spec
            .versions
            .first()
            .and_then(|version| version.schema.as_ref())
            .and_then(|schema| serde_json::to_value(&schema.open_api_v3_schema).ok())
            .unwrap_or_default();
        let fields: Vec<String> = paths(&ours).difference(&paths(served)).cloned().collect();
        if !fields.is_empty() {
            return Err(SchemaError::Outdated { kind, fields });
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(SchemaError::Missing { kinds: missing })
    }
}

fn find<'a>(document: &'a Value, kind: &str) -> Option<&'a Value> {
    let schemas = document.pointer("/components/schemas")?.as_object()?;
    schemas.values().find(|schema| {
        let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        kinds.is_some_and(|kinds| {
            kinds.iter().any(|found| {
                found.get("group").and_then(Value::as_str) == Some(GROUP)
                    && found.get("version").and_then(Value::as_str) == Some(VERSION)
                    && found.get("kind").and_then(Value::as_str) == Some(kind)
            })
        })
    })
}

/// Dotted paths of all fields below `spec` and `status`.
fn paths(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in ["spec", "status"] {
        if let Some(schema) = schema.get("properties").and_then(|fields| fields.get(part)) {
            found.insert(part.to_owned());
            collect(schema, part, &mut found);
        }
    }
    found
}

fn collect(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        for (name, schema) in fields {
            let path = format!("{path}.{name}");
            collect(schema, &path, found);
            found.insert(path);
        }
    }
    for (part, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(schema) = schema.get(part) {
            collect(schema, &format!("{path}{suffix}"), found);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Map, json};

    use super::*;

    /// The document of a cluster with the resources of this build.
    fn document() -> Value {
        let schemas: Map<String, Value> = crds()
            .into_iter()
            .map(|crd| {
                let kind = crd.spec.names.kind;
                let schema = crd.spec.versions[0].schema.as_ref().unwrap();
                let mut schema = serde_json::to_value(&schema.open_api_v3_schema).unwrap();
                schema["x-kubernetes-group-version-kind"] = json!([{"group": GROUP, "version": VERSION, "kind": kind}]);
                (format!("dev.exportjob.v1alpha1.{kind}"), schema)
            })
            .collect();
        json!({"components": {"schemas": schemas}})
    }

    #[test]
    fn the_resources_of_this_build_are_accepted() {
        compare(&document()).unwrap();
    }

    #[test]
    fn a_field_that_this_build_does_not_know_is_fine() {
        let mut document = document();
        document["components"]["schemas"]["dev.exportjob.v1alpha1.ExportJob"]["properties"]["spec"]["properties"]["priority"] =
            json!({"type": "string"});
        compare(&document).unwrap();
    }

    #[test]
    fn a_lacking_field_is_named_with_what_to_do() {
        let mut document = document();
        document["components"]["schemas"]["dev.exportjob.v1alpha1.ExportJob"]["properties"]["spec"]
            ["properties"]["filter"]["properties"]["segments"]["items"]["properties"]
            .as_object_mut()
            .unwrap()
            .remove("segmentNs");
        let message = compare(&document).unwrap_err().to_string();
        assert!(
            message.contains("ExportJob of the cluster is older than this controller: it lacks spec.filter.segments[].segmentNs: upgrade it"),
            "{message}"
        );
    }

    #[test]
    fn lacking_resources_are_all_named() {
        let message = compare(&Value::Null).unwrap_err().to_string();
        assert!(
            message.contains("ExportJob, ProfileStore, Dataset, SegmentDefinition: install them"),
            "{message}"
        );
    }
}
