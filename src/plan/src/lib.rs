//! Resources in, a validated [`ExportPlan`] out: the one contract between the controller (or the command line) and the
//! exporter, with the report and the progress that come back. Nothing here does I/O or reads a clock.
#![forbid(unsafe_code)]

mod build;
mod error;
mod evaluation;
mod fields;
mod ids;
mod locate;
mod plan;
mod policy;
mod report;
mod time;

pub mod code;
pub mod exit;
pub mod pod;

pub use build::{Inputs, batches, build, store_plan};
pub use error::{PlanError, Reference};
pub use evaluation::{DefinitionPlan, EvaluationPlan};
pub use fields::{FieldPath, FieldSelection, nearest};
pub use ids::{BatchId, abort_job_name, batch_id, job_name, plan_name};
pub use locate::{LocalLocations, Locate, MountedLocations, OBJECT_SCHEMES, Side};
pub use plan::{
    AttributeRule, BatchPlan, BucketingPlan, CredentialsPlan, DestinationPlan, EventPlan, ExportPlan,
    IdentityGraphKind, JobIdentity, MergePolicyPlan, PLAN_VERSION, SegmentSelection, Selection, StorePlan, TablePlan,
    UpsertDatasets,
};
pub use policy::resolve_policy;
pub use report::{BatchReport, Outcome, ProgressReport, ReportedError, RunReport, Stage, TERMINATION_MESSAGE_BYTES};
pub use time::micros;
