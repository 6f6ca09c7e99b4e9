//! What a run may use: read once at the door, handed down from there.

use std::path::PathBuf;

use exportjob_plan::{code, pod};

use crate::{Error, Result};

const MIB: usize = 1024 * 1024;
/// Memory of a run that was told nothing.
const DEFAULT_MEMORY: usize = 2048 * MIB;
/// Less than this and no table can be opened.
const LEAST_MEMORY: usize = 64 * MIB;

/// What a run may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory of the whole process.
    pub memory_bytes: usize,
    /// Cores; at least 1.
    pub cores: usize,
    /// Folder for spill files. Created when it is needed.
    pub spill_path: PathBuf,
}

impl Default for Limits {
    /// 2 GiB, all cores of the machine, the system's folder for temporary files.
    fn default() -> Self {
        Self {
            memory_bytes: DEFAULT_MEMORY,
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            spill_path: std::env::temp_dir(),
        }
    }
}

impl Limits {
    /// The limits of an export pod, by its environment ([`pod::MEMORY_LIMIT_ENV`], [`pod::CPU_LIMIT_ENV`]).
    ///
    /// # Errors
    /// `INVALID_SPEC` when a variable is set and is not a whole number of bytes or cores.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut limits = Self {
            spill_path: PathBuf::from(pod::SPILL_PATH),
            ..Self::default()
        };
        if let Some(text) = variable(pod::MEMORY_LIMIT_ENV) {
            limits.memory_bytes = number(pod::MEMORY_LIMIT_ENV, &text)?.max(LEAST_MEMORY);
        }
        if let Some(text) = variable(pod::CPU_LIMIT_ENV) {
            limits.cores = number(pod::CPU_LIMIT_ENV, &text)?.max(1);
        }
        Ok(limits)
    }

    /// Bytes that queries may hold before they spill.
    pub fn query_bytes(&self) -> usize {
        // A tenth and 48 MiB stay for what nobody counts: code, file metadata, the allocator's own waste.
        let uncounted = 48 * MIB + self.memory_bytes / 10;
        self.memory_bytes
            .saturating_sub(uncounted + self.write_bytes())
            .max(16 * MIB)
    }

    /// Bytes that rows may take between their merge and their file, over all files that are written at once.
    pub fn write_bytes(&self) -> usize {
        (self.memory_bytes / 8).clamp(16 * MIB, 512 * MIB)
    }
}

fn number(name: &str, text: &str) -> Result<usize> {
    text.trim().parse().map_err(|error| {
        Error::new(
            code::INVALID_SPEC,
            format!("the environment variable {name} is {text:?}: set it to a whole number"),
        )
        .caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_parts_stay_within_the_whole() {
        for memory_bytes in [128 * MIB, 256 * MIB, 1024 * MIB, 64 * 1024 * MIB] {
            let limits = Limits {
                memory_bytes,
                ..Limits::default()
            };
            assert!(
                limits.query_bytes() + limits.write_bytes() < memory_bytes,
                "{memory_bytes}"
            );
        }
    }

    #[test]
    fn a_variable_that_is_no_number_is_named() {
        let error = Limits::from_variables(|name| (name == pod::CPU_LIMIT_ENV).then(|| "500m".to_owned())).unwrap_err();
        assert_eq!(error.code(), code::INVALID_SPEC);
        assert!(error.to_string().contains("EXPORTJOB_CPU_LIMIT is \"500m\""), "{error}");
    }

    #[test]
    fn a_pod_without_variables_still_has_limits() {
        let limits = Limits::from_variables(|_| None).unwrap();
        assert_eq!(limits.memory_bytes, DEFAULT_MEMORY);
        assert!(limits.cores >= 1);
    }
}
