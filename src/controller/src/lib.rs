//! The control plane: watches ExportJobs and what they need, decides what to do next, and does it.
//!
//! Every look at a job goes observe → decide → act. Deciding is a pure function; every write to the API server is in
//! [`act`].
#![forbid(unsafe_code)]

pub mod act;
pub mod api_calls;
pub mod args;
pub mod backoff;
pub mod client;
pub mod expectations;
pub mod health;
pub mod ids;
pub mod lease;
pub mod metrics;
pub mod progress;
pub mod refusals;
pub mod register;
pub mod schema;
pub mod stores;
pub mod telemetry;
pub mod warnings;
pub mod watch;
