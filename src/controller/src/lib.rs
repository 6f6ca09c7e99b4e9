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
pub mod context;
pub mod decide;
pub mod decision;
pub mod definitions;
pub mod error;
pub mod expectations;
pub mod health;
pub mod http;
pub mod ids;
pub mod job;
pub mod lease;
pub mod metrics;
pub mod notice;
pub mod observe;
pub mod observed;
pub mod progress;
pub mod ready;
pub mod reconcile;
pub mod refusals;
pub mod register;
pub mod schema;
pub mod segments;
pub mod settings;
pub mod setup;
pub mod status;
pub mod stores;
pub mod telemetry;
pub mod warnings;
pub mod watch;
