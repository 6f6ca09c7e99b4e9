//! Executes an [`ExportPlan`](exportjob_plan::ExportPlan): read, stitch, merge, filter, project, write, commit; and the
//! abort. It knows nothing of Kubernetes.
#![forbid(unsafe_code)]

mod abort;
mod commit;
mod error;
mod evaluate;
mod explain;
mod fields;
mod keys;
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
mod rebucket;
mod report;
mod run;
mod select;
mod serve;
mod session;
mod shard;
mod shuffle;
mod stitch;
mod write;

pub use abort::abort;
pub use error::{Error, Result};
pub use explain::{AudienceSize, Explanation, Strategy, TableExplanation, count_audience, estimate_audience, explain};
pub use limits::Limits;
pub use objects::Credentials;
pub use open::{Shard, open, open_shard, schema_of};
pub use profiles::{ProfileBatch, ProfileStream, Profiles};
pub use progress::Progress;
pub use rebucket::{KEY_COLUMN, Rebucket, Rewritten};
pub use run::{Export, run};
pub use serve::router;
pub use session::Session;
