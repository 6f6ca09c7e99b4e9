//! Why no plan can be made.

use std::fmt;

use thiserror::Error;

use crate::code;

/// Why no plan can be made of the resources at hand.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// A field of the spec has a value that cannot be used.
    #[error("{field}: {message}")]
    InvalidSpec {
        /// Field of the ExportJob.
        field: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The store has no buckets for so many shards.
    #[error("spec.execution.shards is {shards}, {}", needs_buckets(.store, *.buckets))]
    NotBucketed {
        /// Name of the store.
        store: String,
        /// How many shards are asked for.
        shards: u32,
        /// How many buckets there are, if all tables have them.
        buckets: Option<u32>,
    },
    /// A referenced resource does not exist (yet).
    #[error("{reference} does not exist{}: create it and the job goes on, or delete the job", hint(.nearest.as_deref()))]
    NotFound {
        /// What is missing.
        reference: Reference,
        /// A name that exists and looks alike.
        nearest: Option<String>,
    },
    /// The listed segments have several merge policies.
    #[error("the segments have different merge policies ({}): name one in spec.mergePolicy, or give the SegmentDefinitions the same", .policies.join(", "))]
    PolicyConflict {
        /// `segment: policy version N`, each.
        policies: Vec<String>,
    },
    /// The expression of a segment cannot be evaluated.
    #[error("SegmentDefinition {segment:?}: spec.expression: {message}")]
    Expression {
        /// Id of the segment.
        segment: String,
        /// Code of what is wrong.
        code: &'static str,
        /// Where it is wrong, how, and what to do.
        message: String,
    },
    /// A referenced resource is declared in a way that cannot work.
    #[error("{resource}: {message}")]
    InvalidResource {
        /// Kind and name of the resource.
        resource: String,
        /// What is wrong, and what to do.
        message: String,
    },
}

/// What an ExportJob refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A ProfileStore, by name.
    ProfileStore(String),
    /// A Dataset, by name.
    Dataset(String),
    /// A merge policy of a store.
    MergePolicy {
        /// Name of the store.
        store: String,
        /// Id of the policy.
        id: String,
        /// Its version, where one was given.
        version: Option<i64>,
    },
    /// The definition of a segment that is to be evaluated.
    SegmentDefinition {
        /// Namespace of the segment.
        namespace: String,
        /// Id of the segment.
        id: String,
    },
    /// A schema of a store.
    Schema {
        /// Name of the store.
        store: String,
        /// Name of the schema.
        name: String,
    },
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProfileStore(name) => write!(out, "ProfileStore {name:?}"),
            Self::Dataset(name) => write!(out, "Dataset {name:?}"),
            Self::MergePolicy {
                store,
                id,
                version: None,
            } => write!(out, "merge policy {id:?} of ProfileStore {store:?}"),
            Self::MergePolicy {
                store,
                id,
                version: Some(version),
            } => {
                write!(out, "merge policy {id:?} version {version} of ProfileStore {store:?}")
            }
            Self::SegmentDefinition { namespace, id } => {
                write!(
                    out,
                    "SegmentDefinition {id:?} with the namespace {namespace:?}, which spec.evaluationInfo.segmentation asks for,"
                )
            }
            Self::Schema { store, name } => {
                write!(out, "schema {name:?} of ProfileStore {store:?}")
            }
        }
    }
}

fn needs_buckets(store: &str, buckets: Option<u32>) -> String {
    match buckets {
        Some(buckets) => format!(
            "and the tables of ProfileStore {store:?} have {buckets} buckets: ask for {buckets} or fewer, or rewrite the store with more (exportjob-exporter bucket)"
        ),
        None => format!(
            "and shards share the buckets of a store, which ProfileStore {store:?} does not have in all of its tables: declare bucketing for each table that is written so, rewrite the store with buckets (exportjob-exporter bucket), or leave shards out"
        ),
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!(" (did you mean {name:?}?)"))
        .unwrap_or_default()
}

impl PlanError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidSpec { .. } => code::INVALID_SPEC,
            Self::NotBucketed { .. } => code::NOT_BUCKETED,
            Self::NotFound { .. } => code::REFERENCE_NOT_FOUND,
            Self::PolicyConflict { .. } => code::MERGE_POLICY_CONFLICT,
            Self::Expression { code, .. } => code,
            Self::InvalidResource { .. } => code::INVALID_STORE,
        }
    }

    /// Reason of a condition: one CamelCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidSpec { .. } => "InvalidSpec",
            Self::NotBucketed { .. } => "NotBucketed",
            Self::NotFound {
                reference: Reference::ProfileStore(_),
                ..
            } => "ProfileStoreNotFound",
            Self::NotFound {
                reference: Reference::Dataset(_),
                ..
            } => "DatasetNotFound",
            Self::NotFound {
                reference: Reference::MergePolicy { .. },
                ..
            } => "MergePolicyNotFound",
            Self::NotFound {
                reference: Reference::Schema { .. },
                ..
            } => "SchemaNotFound",
            Self::NotFound {
                reference: Reference::SegmentDefinition { .. },
                ..
            } => "SegmentDefinitionNotFound",
            Self::Expression { .. } => "InvalidExpression",
            Self::PolicyConflict { .. } => "MergePolicyConflict",
            Self::InvalidResource { .. } => "InvalidReference",
        }
    }

    /// Whether another resource can put it right: the job then waits for that instead of failing. The spec itself never
    /// changes.
    pub fn can_heal(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::PolicyConflict { .. }
                | Self::Expression { .. }
                | Self::InvalidResource { .. }
        )
    }
}
