//! What the tests share: places on this machine, programs, the sample data, and the cluster.
//!
//! Everything here panics with a message when it cannot go on: it is called from tests only.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

#[path = "support/chart.rs"]
pub mod chart;
#[path = "support/data.rs"]
pub mod data;
#[path = "support/node.rs"]
pub mod node;
#[path = "support/operator.rs"]
pub mod operator;
#[path = "support/programs.rs"]
pub mod programs;
#[path = "support/random.rs"]
pub mod random;
#[path = "support/space.rs"]
pub mod space;
#[path = "support/volumes.rs"]
pub mod volumes;
#[path = "support/wait.rs"]
pub mod wait;
