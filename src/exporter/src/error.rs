//! What can go wrong, each with a stable code and with what to do about it.

use std::{fmt::Display, io};

use exportjob_plan::{ReportedError, code, exit, pod};
use thiserror::Error as ThisError;

use crate::objects::trouble_in;

/// Result of anything in the exporter.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of an export: one of the plan's codes, a message for people that names the file, path or table and says
/// what to do, and the cause.
#[derive(Debug, ThisError)]
#[error("{message}")]
pub struct Error {
    code: &'static str,
    message: String,
    /// Whether another try would fail in the same way, whatever the code says.
    lasting: bool,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure with one of [`exportjob_plan::code`].
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            lasting: false,
            source: None,
        }
    }

    /// An export that was stopped from outside.
    pub(crate) fn interrupted() -> Self {
        Self::new(
            code::INTERRUPTED,
            "the export was stopped before it could commit; its files are removed, and another attempt can take over",
        )
    }

    /// The same with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same, and another try would fail in the same way.
    #[must_use]
    pub(crate) fn lasting(mut self) -> Self {
        self.lasting = true;
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
            _ if self.lasting => exit::USER_ERROR,
            code::STORE_UNREADABLE
            | code::DATASET_UNWRITABLE
            | code::RESOURCES_EXHAUSTED
            | code::INTERRUPTED
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

/// A dataset that cannot be written (or not even opened): `doing` says what was tried, with the path.
pub(crate) fn unwritable(doing: impl Display, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let source = source.into();
    if let Some(trouble) = trouble_in(source.as_ref()).cloned() {
        return Error {
            code: code::DATASET_UNWRITABLE,
            message: format!("{doing}: {trouble}"),
            lasting: trouble.lasting,
            source: Some(source),
        };
    }
    let advice = match io_kind(source.as_ref()) {
        Some(io::ErrorKind::StorageFull) => "no space is left on the volume: enlarge it or free some space".to_owned(),
        Some(io::ErrorKind::QuotaExceeded) => {
            "the quota of the volume is used up: raise it or free some space".to_owned()
        }
        Some(io::ErrorKind::ReadOnlyFilesystem) => {
            "the volume is mounted read-only: make the claim writable (access mode ReadWriteOnce or ReadWriteMany)"
                .to_owned()
        }
        Some(io::ErrorKind::PermissionDenied) => format!(
            "permission denied: export pods run as user and group {user}; give the folder to them, or set spec.execution.podTemplate.securityContext.fsGroup to the group that owns it",
            user = pod::USER_ID
        ),
        _ => source.to_string(),
    };
    Error {
        code: code::DATASET_UNWRITABLE,
        message: format!("{doing}: {advice}"),
        lasting: false,
        source: Some(source),
    }
}

/// Kind of the I/O error at the root of `error`, through the layers of the object store and the file writer.
pub(crate) fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            match io.get_ref() {
                // An I/O error that only wraps another error hides it from `source`.
                Some(inner) => {
                    let inner: &(dyn std::error::Error + 'static) = inner;
                    return io_kind(inner).or_else(|| Some(io.kind()));
                }
                None => return Some(io.kind()),
            }
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_called_a_full_disk_however_deep_it_is() {
        let full = io::Error::from_raw_os_error(28);
        let wrapped = io::Error::other(io::Error::other(full));
        let error = unwritable("cannot write /datasets/a", wrapped);
        assert_eq!(error.code(), code::DATASET_UNWRITABLE);
        assert_eq!(error.exit_code(), exit::RETRY);
        assert_eq!(
            error.to_string(),
            "cannot write /datasets/a: no space is left on the volume: enlarge it or free some space"
        );
    }

    #[test]
    fn a_denied_folder_names_the_user_that_was_denied() {
        let error = unwritable("cannot write /datasets/a", io::Error::from_raw_os_error(13));
        assert!(error.to_string().contains("user and group 65532"), "{error}");
        assert!(error.to_string().contains("fsGroup"), "{error}");
    }
}
