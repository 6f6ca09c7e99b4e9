//! Executes an [`ExportPlan`](exportjob_plan::ExportPlan): read, stitch, merge, filter, project, write, commit; and the
//! abort. It knows nothing of Kubernetes.
#![forbid(unsafe_code)]

mod error;
mod limits;
mod open;
mod profiles;
mod progress;
mod session;

pub use error::{Error, Result};
pub use limits::Limits;
pub use open::open;
pub use profiles::{ProfileBatch, ProfileStream, Profiles};
pub use progress::Progress;
pub use session::Session;
