//! What the exporter's tests share: stores on disk, plans, and the exporter's answer as JSON.

pub mod arrow;
pub mod delta;
pub mod generate;
pub mod json;
pub mod plan;
pub mod run;
pub mod scene;
pub mod shrink;
pub mod table;
