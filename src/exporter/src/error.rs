//! What can go wrong, each with a stable code and with what to do about it.

use exportjob_plan::{ReportedError, code, exit};
use thiserror::Error as ThisError;

/// Result of anything in the exporter.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of an export: one of the plan's codes, a message for people that names the file, path or table and says
/// what to do, and the cause.
#[derive(Debug, ThisError)]
#[error("{message}")]
pub struct Error {
    code: &'static str,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure with one of [`exportjob_plan::code`].
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), source: None }
    }

    /// The same with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Exit code of a process that ends with this failure.
    pub fn exit_code(&self) -> u8 {
        match self.code {
            code::BATCH_ABORTED => exit::ABORTED,
            code::STORE_UNREADABLE
            | code::DATASET_UNWRITABLE
            | code::RESOURCES_EXHAUSTED
            | code::INTERNAL => exit::RETRY,
            _ => exit::USER_ERROR,
        }
    }

    /// The failure as it stands in a report.
    pub fn reported(&self) -> ReportedError {
        let mut causes = Vec::new();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        ReportedError {
            code: self.code.to_owned(),
            msg: self.message.clone(),
            call_stack: (!causes.is_empty()).then(|| causes.join("\n")),
        }
    }
}
