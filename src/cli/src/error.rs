//! What is wrong with the input; a failed export is a status, not an error.

use std::{path::PathBuf, process::ExitCode};

use exportjob_api::ManifestError;
use exportjob_plan::{PlanError, exit};
use thiserror::Error as ThisError;

/// Why no export was started, or why its end could not be told.
#[derive(Debug, ThisError)]
pub(crate) enum Error {
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", .path.display())]
    Manifest { path: PathBuf, source: Box<ManifestError> },
    #[error("{0}")]
    Input(String),
    #[error("{0}")]
    Plan(#[from] PlanError),
    #[error("{0}")]
    Store(exportjob_exporter::Error),
    #[error("cannot start: {0}")]
    Start(std::io::Error),
    #[error("cannot print the result: {0}")]
    Print(String),
}

impl Error {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Start(_) | Self::Print(_) => ExitCode::FAILURE,
            Self::Store(error) if error.exit_code() == exit::RETRY => ExitCode::FAILURE,
            Self::Read { .. } | Self::Manifest { .. } | Self::Input(_) | Self::Plan(_) | Self::Store(_) => {
                ExitCode::from(2)
            }
        }
    }
}
