//! `SegmentDefinition`: what a segment id stands for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DEFAULT_SEGMENT_NAMESPACE, MergePolicyReference, rules};

/// The definition of a segment; its resource name is the segment's id.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "exportjob.dev",
    version = "v1alpha1",
    kind = "SegmentDefinition",
    namespaced,
    shortname = "sd",
    category = "exports",
    derive = "PartialEq",
    derive = "Default",
    cel,
    status = "SegmentDefinitionStatus",
    doc = "A SegmentDefinition gives a segment its merge policy and its expression.",
    printcolumn(name = "Segment", type_ = "string", json_path = ".spec.name"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.mergePolicy.id"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct SegmentDefinitionSpec {
    /// Namespace of the segment. Default `ups`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new(rules::NOT_EMPTY).message("must name a segment namespace, or be left out for `ups`"))]
    pub namespace: Option<String>,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the segment is about, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Merge policy that jobs over this segment use, unless they name one. Absent: the store's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_policy: Option<MergePolicyReference>,
    /// Who is in the segment: evaluated by jobs with `evaluationInfo.segmentation: true` and by segments that ask for this
    /// one with `inSegment`. Other jobs take the memberships that are in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<Expression>,
}

impl SegmentDefinitionSpec {
    /// Namespace of the segment.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(DEFAULT_SEGMENT_NAMESPACE)
    }
}

/// Whether the expression of a segment can be used. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SegmentDefinitionStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// When that generation was first checked, in epoch milliseconds. Jobs that were created before tell nothing about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_time: Option<i64>,

    /// `Ready`: whether the expression can be evaluated. Where it cannot, the reason is the code of the error, and the
    /// message says where the error is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// An expression over a profile.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Expression {
    /// Language of the expression.
    #[serde(rename = "type")]
    pub type_: ExpressionType,
    /// Form of the value.
    pub format: ExpressionFormat,
    /// The expression itself.
    #[schemars(length(max = 65536))]
    #[x_kube(validation = Rule::new(rules::NOT_EMPTY).message("must not be empty"))]
    pub value: String,
}

/// Language of an expression.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpressionType {
    /// Profile Query Language.
    #[default]
    #[serde(rename = "PQL")]
    Pql,
}

/// Form of an expression.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpressionFormat {
    /// Text.
    #[default]
    #[serde(rename = "pql/text")]
    Text,
    /// Syntax tree in JSON.
    #[serde(rename = "pql/json")]
    Json,
}
