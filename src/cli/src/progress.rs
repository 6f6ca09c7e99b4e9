//! How far the export is, on standard error: a bar on a terminal, lines elsewhere.

use std::{io::IsTerminal, sync::Arc, time::Duration};

use exportjob_exporter::Progress;
use exportjob_plan::{ProgressReport, Stage};
use indicatif::{ProgressBar, ProgressStyle};

/// Shows progress until it is dropped.
pub(crate) async fn show(progress: Arc<Progress>) {
    if std::io::stderr().is_terminal() {
        bar(&progress).await;
    } else {
        lines(&progress).await;
    }
}

async fn bar(progress: &Progress) {
    const REDRAW: Duration = Duration::from_millis(100);
    let bar = ProgressBar::new(100);
    if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:30}] {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    // Wiped when this future is dropped, so that the result stands alone.
    let bar = Wiped(bar);
    loop {
        let report = progress.report();
        bar.0.set_position(u64::from(report.percent().unwrap_or(0)));
        bar.0.set_message(line(&report));
        bar.0.tick();
        tokio::time::sleep(REDRAW).await;
    }
}

struct Wiped(ProgressBar);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

async fn lines(progress: &Progress) {
    const PAUSE: Duration = Duration::from_secs(1);
    let mut last = String::new();
    loop {
        let line = line(&progress.report());
        if line != last {
            eprintln!("{line}");
            last = line;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn line(report: &ProgressReport) -> String {
    let stage = match report.stage {
        Stage::Starting => return "opening tables".to_owned(),
        Stage::Exporting => "exporting",
        Stage::Committing => "committing",
        Stage::Done => "done",
    };
    let rows = match (report.rows_total, report.percent()) {
        (Some(total), Some(percent)) => format!("{percent}% ({} of {total} rows read)", report.rows_read),
        _ => format!("{} rows read", report.rows_read),
    };
    format!(
        "{stage}: {rows}, {} profiles matched, {} written",
        report.profiles_matched, report.profiles_written
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_the_export_is() {
        let report = ProgressReport {
            stage: Stage::Exporting,
            rows_read: 30,
            rows_total: Some(60),
            profiles_matched: 7,
            profiles_written: 5,
        };
        assert_eq!(
            line(&report),
            "exporting: 50% (30 of 60 rows read), 7 profiles matched, 5 written"
        );
    }
}
