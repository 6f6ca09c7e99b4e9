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

use crate::{Credentials, Error, Limits, Result, error::io_kind};

/// The query engine of one run.
pub struct Session {
    /// `DataFusion`'s side of it.
    pub context: SessionContext,
    /// Bytes that sorts and joins may hold together before they spill.
    pub pool_bytes: usize,
    /// Credentials for the profile store, where they are not in the folder that the plan names.
    pub credentials: Option<Credentials>,
}

/// Least and most rows of a batch between operators.
const BATCH_ROWS: (usize, usize) = (16, 4096);
/// Memory of a core for each row of a batch. Some twenty-three operators that spill share the memory of a core (each join
/// has two sorts and two queues, each table one of both more). One that cannot hold a batch twice fails, and queues make
/// batches up to three times as long: this is enough for rows of some 3 KiB.
const ROW_BYTES: usize = 512 << 10;
/// Sorts that run beside each other for each core, those of joins included.
const SORTS_PER_CORE: usize = 12;
/// Spilled runs that a sort merges at once. Without a bound one sort would take the memory of all others for it.
const MERGED_RUNS: usize = 8;
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
        // How much may be spilled is for the volume to say: the engine's own limit would end large exports.
        let spill = DiskManagerMode::Directories(vec![limits.spill_path.clone()]);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(pool_bytes)))
            .with_disk_manager_builder(
                DiskManagerBuilder::default()
                    .with_mode(spill)
                    .with_max_temp_directory_size(u64::MAX)
                    .with_max_spill_merge_fan_in(MERGED_RUNS),
            )
            .build_arc()
            .map_err(|error| Error::new(code::INTERNAL, "cannot start the query engine").caused_by(error))?;
        let mut config = SessionConfig::new()
            .with_target_partitions(cores)
            .with_batch_size((pool_bytes / cores / ROW_BYTES).clamp(BATCH_ROWS.0, BATCH_ROWS.1));
        config.options_mut().execution.sort_spill_reservation_bytes =
            (pool_bytes / (4 * SORTS_PER_CORE * cores)).min(MAX_RESERVATION);
        Ok(Self {
            context: SessionContext::new_with_config_rt(config, runtime),
            pool_bytes,
            credentials: None,
        })
    }

    /// Cores that it uses: at least one.
    pub(crate) fn cores(&self) -> usize {
        self.context.copied_config().target_partitions().max(1)
    }

    /// Bytes of the pool for each core.
    pub(crate) fn core_bytes(&self) -> usize {
        self.pool_bytes / self.cores()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_volume_limits_how_much_is_spilled() {
        let folder = std::env::temp_dir().join(format!("exportjob-session-{}", std::process::id()));
        let limits = Limits {
            spill_path: folder.clone(),
            ..Limits::default()
        };
        let runtime = Session::new(&limits).unwrap().context.runtime_env();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(runtime.disk_manager.max_temp_directory_size(), u64::MAX);
    }
}
