//! The two files at the door of a pod: the plan that comes in, the report that goes out.

use std::path::Path;

use exportjob_plan::{ExportPlan, Outcome, PLAN_VERSION, RunReport, code};
use serde::Deserialize;

use crate::{Error, Result};

/// Only as much of a plan as is the same in all versions.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads a plan.
///
/// # Errors
/// `INVALID_SPEC` for a file that is no plan, `UNSUPPORTED` for a plan of another version.
pub fn read_plan(path: &Path) -> Result<ExportPlan> {
    let text = std::fs::read(path).map_err(|error| {
        Error::new(
            code::INVALID_SPEC,
            format!(
                "cannot read the plan {}: {error}. It comes from a ConfigMap that the operator makes",
                path.display()
            ),
        )
        .caused_by(error)
    })?;
    parse_plan(&text, &path.display().to_string())
}

fn parse_plan(text: &[u8], name: &str) -> Result<ExportPlan> {
    let broken = |error: serde_json::Error| {
        Error::new(
            code::INVALID_SPEC,
            format!("{name} is not a plan of an export: {error}. Create the ExportJob again; plans are made by the operator, not by hand"),
        )
        .caused_by(error)
    };
    let Versioned { version } = serde_json::from_slice(text).map_err(broken)?;
    if version != PLAN_VERSION {
        return Err(Error::new(
            code::UNSUPPORTED,
            format!(
                "{name} is a plan of version {version}, and this exporter knows version {PLAN_VERSION}: give the operator and spec.execution.image the same release"
            ),
        ));
    }
    serde_json::from_slice(text).map_err(broken)
}

/// The report of a run that failed.
pub fn failure(error: &Error) -> RunReport {
    let mut report = RunReport::new(if error.code() == code::BATCH_ABORTED {
        Outcome::Aborted
    } else {
        Outcome::Failed
    });
    report.errors.push(error.reported());
    report
}

/// Writes a report where the kubelet looks for it. A report that cannot be written is in the log as well.
pub fn write_report(path: &Path, report: &RunReport) {
    let message = report.to_termination_message();
    tracing::info!(report = %message, "ended");
    if let Err(error) = std::fs::write(path, message) {
        tracing::error!(%error, path = %path.display(), "cannot write the report");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use exportjob_plan::{TERMINATION_MESSAGE_BYTES, exit};

    use super::*;

    #[test]
    fn a_plan_of_another_version_is_a_user_error_that_says_what_to_do() {
        let error = parse_plan(br#"{"version": 7, "later": {}}"#, "plan.json").unwrap_err();
        assert_eq!((error.code(), error.exit_code()), (code::UNSUPPORTED, exit::USER_ERROR));
        assert!(error.to_string().contains("version 7"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_plan_is_a_user_error() {
        let bare = format!(r#"{{"version": {PLAN_VERSION}}}"#);
        for text in ["", "nonsense", "{}", &bare] {
            let error = parse_plan(text.as_bytes(), "plan.json").unwrap_err();
            assert_eq!(
                (error.code(), error.exit_code()),
                (code::INVALID_SPEC, exit::USER_ERROR),
                "{text}"
            );
        }
    }

    #[test]
    fn the_report_of_the_longest_failure_fits_into_a_termination_message() {
        let long = "ä".repeat(20_000);
        let error = Error::new(code::STORE_UNREADABLE, long.clone()).caused_by(std::io::Error::other(long));
        let folder = std::env::temp_dir().join(format!("exportjob-report-{}", std::process::id()));
        write_report(&folder, &failure(&error));
        let text = std::fs::read_to_string(&folder).unwrap();
        std::fs::remove_file(&folder).unwrap();
        assert!(text.len() <= TERMINATION_MESSAGE_BYTES, "{}", text.len());
        let report: RunReport = serde_json::from_str(&text).unwrap();
        assert_eq!(report.errors[0].code, code::STORE_UNREADABLE);
    }
}
