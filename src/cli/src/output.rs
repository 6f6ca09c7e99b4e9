//! The job as it is printed.

use std::{fmt::Write as _, io::Write as _};

use exportjob_api::{ExportJob, ExportJobStatus, Phase};
use kube::ResourceExt;

use crate::{args::Format, error::Error};

/// Prints the job to standard output.
pub(crate) fn print(export_job: &ExportJob, format: Format) -> Result<(), Error> {
    let text = match format {
        Format::Yaml => serde_yaml::to_string(export_job).map_err(|error| Error::Print(error.to_string()))?,
        Format::Json => {
            let mut text = serde_json::to_string_pretty(export_job).map_err(|error| Error::Print(error.to_string()))?;
            text.push('\n');
            text
        }
        Format::Table => table(export_job),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Error::Print(error.to_string()))
}

fn table(export_job: &ExportJob) -> String {
    let none = ExportJobStatus::default();
    let status = export_job.status.as_ref().unwrap_or(&none);
    let metrics = status.metrics.clone().unwrap_or_default();
    let profiles = metrics
        .total_exported_profile_counter
        .map_or_else(|| "-".to_owned(), |count| count.to_string());
    let time = metrics.total_time.and_then(|time| time.total_time_in_ms).unwrap_or(0);
    let mut rows = vec![[
        "NAME".to_owned(),
        "PHASE".to_owned(),
        "ID".to_owned(),
        "DATASET".to_owned(),
        "PROFILES".to_owned(),
        "TIME".to_owned(),
    ]];
    rows.push([
        export_job.name_any(),
        status.phase.map_or("-", Phase::as_str).to_owned(),
        status.id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        export_job.spec.destination.dataset_id.clone(),
        profiles,
        format!("{}.{:03}s", time / 1000, time % 1000),
    ]);
    let mut text = columns(&rows);
    if let Some(destination) = status
        .destination
        .as_ref()
        .filter(|_| status.phase == Some(Phase::Succeeded))
    {
        if let Some(id) = &destination.batch_id {
            let _ = writeln!(text, "batch {id}");
        }
        for batch in &destination.batches {
            let _ = writeln!(
                text,
                "batch {} segment {}/{}",
                batch.batch_id, batch.segment_ns, batch.segment_id
            );
        }
    }
    for (namespace, count) in metrics.exported_profile_by_namespace_counter.iter().flatten() {
        let _ = writeln!(text, "namespace {namespace}: {count}");
    }
    for error in &status.errors {
        let _ = writeln!(text, "{}: {}", error.code, error.msg);
    }
    text
}

/// Rows in columns as wide as their widest cell.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (index, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[index].chars().count()).max().unwrap_or(0);
            let _ = write!(line, "{cell:<width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["A".to_owned(), "B".to_owned()], ["long".to_owned(), "x".to_owned()]];
        assert_eq!(columns(&rows), "A      B\nlong   x\n");
    }
}
