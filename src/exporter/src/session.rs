//! The query engine of one run: its memory, its cores and its place for what does not fit into memory.

use std::{path::PathBuf, sync::Arc};

use datafusion::{
    execution::{
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        runtime_env::RuntimeEnvBuilder,
    },
    prelude::{SessionConfig, SessionContext},
};
use exportjob_plan::code;

use crate::{Error, Result};

/// What a run may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of memory that the process may use; `None`: those of the machine.
    pub memory_bytes: Option<u64>,
    /// Cores that the process may use: at least one is used.
    pub cores: usize,
    /// Folder for spill files; made if it does not exist.
    pub spill: PathBuf,
}

/// The query engine of one run.
pub struct Session {
    /// DataFusion's side of it.
    pub context: SessionContext,
    /// Bytes that sorts and joins may hold before they spill.
    pub pool_bytes: usize,
}

impl Session {
    /// An engine within these limits.
    pub fn new(limits: Limits) -> Result<Self> {
        std::fs::create_dir_all(&limits.spill).map_err(|error| {
            Error::new(
                code::RESOURCES_EXHAUSTED,
                format!("cannot make the folder {} for spill files: check that it is writable", limits.spill.display()),
            )
            .caused_by(error)
        })?;
        let bytes = limits.memory_bytes.or_else(machine_memory).unwrap_or(FALLBACK_BYTES);
        let pool_bytes = usize::try_from(bytes / 100 * POOL_PERCENT).unwrap_or(usize::MAX);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(pool_bytes)))
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![limits.spill])),
            )
            .build_arc()
            .map_err(|error| Error::new(code::INTERNAL, "cannot start the query engine").caused_by(error))?;
        let mut config = SessionConfig::new()
            .with_target_partitions(limits.cores.max(1))
            .with_batch_size(BATCH_ROWS)
            .with_information_schema(false);
        // A sort reserves this much before it starts, for the merge of its spilled runs; four tables times all cores
        // have to fit beside each other.
        config.options_mut().execution.sort_spill_reservation_bytes =
            (pool_bytes / (SORTS_PER_CORE * 4 * limits.cores.max(1))).min(MAX_RESERVATION);
        Ok(Self { context: SessionContext::new_with_config_rt(config, runtime), pool_bytes })
    }
}

/// The pool counts what sorts and joins hold; Parquet pages, the encoder and the merge window live in the rest.
const POOL_PERCENT: u64 = 60;
/// Where neither a limit nor the machine's memory is known.
const FALLBACK_BYTES: u64 = 2 << 30;
/// Rows of a batch between operators: large enough for columnar work, small enough for wide rows.
const BATCH_ROWS: usize = 4096;
const SORTS_PER_CORE: usize = 4;
const MAX_RESERVATION: usize = 10 << 20;

/// Bytes of memory of this machine, or of the control group around the process where that is less.
fn machine_memory() -> Option<u64> {
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total(&text));
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    total.into_iter().chain(group).min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn mem_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
