//! Promises of the decisions, situation by situation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clean_ups;
mod ends;
mod fixture;
mod follows;
mod launches;
mod model;
mod shards;
mod stops;
