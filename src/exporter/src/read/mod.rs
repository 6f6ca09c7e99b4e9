//! Reads the tables of a store as they are: Parquet folders and Delta tables, each file in its own types, as one table
//! in the store's columns.

mod bucket;
mod buckets;
mod candidates;
mod choice;
mod chosen;
mod convert;
mod delta;
mod files;
mod filter;
mod listing;
mod mapping;
mod mask;
mod reader;
mod recipe;
pub(crate) mod roles;
mod scan;
mod source;
mod table;

pub(crate) use buckets::{BucketScanExec, Buckets, batch_rows, by_key};
pub(crate) use candidates::{Candidates, Condition};
pub(crate) use choice::{Choice, ChoosesIdentities};
pub(crate) use convert::convert;
pub(crate) use filter::RowFilter;
pub(crate) use recipe::Wanted;
pub(crate) use roles::Kind;
pub(crate) use scan::{StoreScan, in_schema};
pub(crate) use table::StoreTable;
