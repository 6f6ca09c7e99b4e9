//! Executes an [`ExportPlan`](exportjob_plan::ExportPlan): read, stitch, merge, filter, project, write, commit; and the
//! abort. It knows nothing of Kubernetes.
#![forbid(unsafe_code)]

mod abort;
mod commit;
mod error;
mod fields;
mod limits;
mod logging;
mod merge;
mod objects;
mod open;
pub mod pod;
mod profiles;
mod progress;
mod project;
mod read;
mod report;
mod run;
mod select;
mod serve;
mod session;
mod stitch;
mod write;

pub use abort::abort;
pub use error::{Error, Result};
pub use limits::Limits;
pub use objects::Credentials;
pub use open::open;
pub use profiles::{ProfileBatch, ProfileStream, Profiles};
pub use progress::Progress;
pub use run::{Export, run};
pub use serve::router;
pub use session::Session;
