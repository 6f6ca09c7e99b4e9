//! The query engine of one run: its memory, its cores and its place for what does not fit into memory.

use std::{io, sync::Arc};

use datafusion::{
    error::DataFusionError,
    execution::{
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        runtime_env::RuntimeEnvBuilder,
    },
    prelude::{SessionConfig, SessionContext},
};
use exportjob_plan::code;

use crate::{Error, Limits, Result, error::io_kind};

/// The query engine of one run.
pub struct Session {
    /// `DataFusion`'s side of it.
    pub context: SessionContext,
    /// Bytes that sorts and joins may hold together before they spill.
    pub pool_bytes: usize,
}

/// Rows of a batch between operators: large enough for columnar work, small enough for wide rows.
const BATCH_ROWS: usize = 4096;
/// Sorts that run beside each other for each core: one for each table of the store.
const SORTS_PER_CORE: usize = 4;
/// What a sort keeps aside for the merge of its spilled runs, where memory is plenty.
const MAX_RESERVATION: usize = 10 << 20;

impl Session {
    /// An engine within these limits.
    pub fn new(limits: &Limits) -> Result<Self> {
        std::fs::create_dir_all(&limits.spill_path).map_err(|error| {
            Error::new(
                code::RESOURCES_EXHAUSTED,
                format!(
                    "cannot make the folder {} for spill files: check that it is writable and not full",
                    limits.spill_path.display()
                ),
            )
            .caused_by(error)
        })?;
        let cores = limits.cores.max(1);
        let pool_bytes = limits.query_bytes();
        let spill = DiskManagerMode::Directories(vec![limits.spill_path.clone()]);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(pool_bytes)))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(spill))
            .build_arc()
            .map_err(|error| Error::new(code::INTERNAL, "cannot start the query engine").caused_by(error))?;
        let mut config = SessionConfig::new()
            .with_target_partitions(cores)
            .with_batch_size(BATCH_ROWS);
        config.options_mut().execution.sort_spill_reservation_bytes =
            (pool_bytes / (4 * SORTS_PER_CORE * cores)).min(MAX_RESERVATION);
        Ok(Self {
            context: SessionContext::new_with_config_rt(config, runtime),
            pool_bytes,
        })
    }
}

/// What the engine reports, in our terms: an error of ours that came through it, too little memory or disk, or a bug.
pub(crate) fn engine_error(error: DataFusionError) -> Error {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = next {
        if let Some(own) = cause.downcast_ref::<Error>() {
            let own = Error::new(own.code(), own.to_string());
            return own.caused_by(error);
        }
        next = cause.source();
    }
    let full = matches!(
        io_kind(&error),
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    );
    let (error_code, message) = match error.find_root() {
        _ if full => (
            code::RESOURCES_EXHAUSTED,
            "no space is left in the folder for spill files: give the export more ephemeral storage".to_owned(),
        ),
        DataFusionError::ResourcesExhausted(_) => (
            code::RESOURCES_EXHAUSTED,
            "the export needs more memory than it may use: raise the memory limit in spec.execution.resources"
                .to_owned(),
        ),
        root => (code::INTERNAL, format!("the profiles cannot be merged: {root}")),
    };
    Error::new(error_code, message).caused_by(error)
}
