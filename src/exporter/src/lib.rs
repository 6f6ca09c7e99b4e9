//! Executes an [`ExportPlan`](exportjob_plan::ExportPlan): read, stitch, merge, filter, project, write, commit; and the
//! abort. It knows nothing of Kubernetes.
#![forbid(unsafe_code)]

mod abort;
mod commit;
mod error;
mod limits;
mod logging;
pub mod pod;
mod open;
mod profiles;
mod progress;
mod report;
mod run;
mod serve;
mod write;
mod fields;
mod merge;
mod project;
mod read;
mod select;
mod stitch;
mod session;

pub use abort::abort;
pub use error::{Error, Result};
pub use limits::Limits;
pub use open::open;
pub use profiles::{ProfileBatch, ProfileStream, Profiles};
pub use progress::Progress;
pub use run::{Export, run};
pub use serve::router;
pub use session::Session;
