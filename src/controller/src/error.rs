//! Why a look at an ExportJob failed.

use thiserror::Error;

use crate::{act::ActError, ids::IdError};

/// Why a look at an ExportJob failed. It is tried again, later and later.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// A write failed.
    #[error(transparent)]
    Act(#[from] ActError),
    /// There is no number for the job.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Something that no cache holds could not be read.
    #[error("failed to read {kind} {name}: {source}")]
    Read {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The API server's answer.
        #[source]
        source: Box<kube::Error>,
    },
}

impl ReconcileError {
    /// The error as a word for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Act(error) => error.code(),
            Self::Id(_) => "ID",
            Self::Read { .. } => "READ",
        }
    }
}
