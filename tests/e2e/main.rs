//! Promises that hold on a cluster, each in a namespace of its own: from `kubectl apply` to rows in a Delta table.
//!
//! The operator is installed by its chart. Without `EXPORTJOB_E2E=1` every test says that it was skipped, and passes.
// How much of its memory a test's future takes is of no matter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::large_futures,
    missing_docs
)]

mod cancel;
mod common;
mod exports;
mod failures;
mod interruptions;
mod resources;
mod segments;
mod settings;
mod shards;
mod waiting;
mod writes;
