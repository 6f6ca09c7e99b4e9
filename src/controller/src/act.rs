//! Everything that is written to the API server.

mod register;
mod writer;

use thiserror::Error;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is done, now or before.
    Done,
    /// What was observed is outdated: nothing was written, and the job has to be looked at again.
    Stale,
    /// The ExportJob is gone.
    Gone,
}

/// Why a write was not done.
#[derive(Debug, Error)]
pub enum ActError {
    /// The API server did not answer as hoped.
    #[error("failed to {step}: {source}")]
    Api {
        /// What was tried.
        step: &'static str,
        /// The answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server does not take an object.
    #[error("the API server refused {kind} {name}: {message}")]
    Refused {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// HTTP status.
        code: u16,
        /// The API server's words.
        message: String,
        /// Whether the namespace is being deleted.
        namespace_terminating: bool,
    },
    /// An object of somebody else has the name.
    #[error("there is a {kind} {name} that does not belong to this ExportJob: delete it, and the job goes on")]
    NameTaken {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// An object was there and was not there.
    #[error("{kind} {name} was deleted while it was being made: trying again")]
    Vanished {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

impl ActError {
    /// The error as a word for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Api { .. } => "API",
            Self::Refused { .. } => "REFUSED",
            Self::NameTaken { .. } => "NAME_TAKEN",
            Self::Vanished { .. } => "VANISHED",
        }
    }
}
