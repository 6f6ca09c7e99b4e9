//! Executes an [`ExportPlan`](exportjob_plan::ExportPlan): read, stitch, merge, filter, project, write, commit; and the
//! abort. It knows nothing of Kubernetes.
#![forbid(unsafe_code)]

mod error;
mod profiles;
mod progress;

pub use error::{Error, Result};
pub use profiles::{ProfileBatch, ProfileStream, Profiles};
pub use progress::Progress;
