//! Reports fit into a termination message, progress into a percentage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use exportjob_plan::{
    BatchReport, Outcome, ProgressReport, ReportedError, RunReport, TERMINATION_MESSAGE_BYTES, batch_id,
};

fn parsed(report: &RunReport) -> RunReport {
    let text = report.to_termination_message();
    assert!(text.len() <= TERMINATION_MESSAGE_BYTES, "{} bytes", text.len());
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_small_report_comes_back_whole() {
    let mut report = RunReport::new(Outcome::Committed);
    report.profiles_written = 3;
    report.profiles_by_namespace.insert("email".into(), 2);
    report.batches.push(BatchReport {
        id: batch_id("u", None),
        profiles: 3,
    });
    assert_eq!(parsed(&report), report);
}

#[test]
fn totals_outlive_long_lists() {
    let mut report = RunReport::new(Outcome::Committed);
    report.profiles_written = i64::MAX;
    for n in 0..1000 {
        report.profiles_by_namespace.insert(format!("namespace-{n:04}"), n);
        report.batches.push(BatchReport {
            id: batch_id("u", Some(("ups", &n.to_string()))),
            profiles: n,
        });
    }
    let back = parsed(&report);
    assert_eq!(back.profiles_written, i64::MAX);
    assert!(back.truncated && back.batches.is_empty());
    assert!(
        back.profiles_by_namespace.contains_key("namespace-0999"),
        "the largest stay"
    );
    assert!(!back.profiles_by_namespace.contains_key("namespace-0000"));
}

#[test]
fn a_very_long_error_is_cut_at_a_character() {
    let mut report = RunReport::new(Outcome::Failed);
    for _ in 0..3 {
        report.errors.push(ReportedError {
            code: "X".into(),
            msg: "ü".repeat(9000),
            call_stack: Some("y".repeat(9000)),
        });
    }
    let back = parsed(&report);
    assert_eq!(back.errors.len(), 1);
    assert!(back.errors[0].msg.ends_with('…'));
}

#[test]
fn an_error_full_of_characters_that_json_spells_out_is_cut_until_it_fits() {
    let mut report = RunReport::new(Outcome::Failed);
    report.errors.push(ReportedError {
        code: "X".into(),
        msg: "\u{1}".repeat(20_000),
        call_stack: None,
    });
    let back = parsed(&report);
    assert!(back.truncated && back.errors[0].msg.ends_with('…'));
    assert!(back.errors[0].msg.len() > 200, "no more is cut than has to be");
}

#[test]
fn a_percentage_needs_a_total_and_stays_within_a_hundred() {
    let progress = |read, total| ProgressReport {
        rows_read: read,
        rows_total: total,
        ..ProgressReport::default()
    };
    assert_eq!(progress(5, None).percent(), None);
    assert_eq!(progress(0, Some(0)).percent(), None);
    assert_eq!(progress(1, Some(3)).percent(), Some(33));
    assert_eq!(progress(9, Some(3)).percent(), Some(100));
    assert_eq!(progress(i64::MAX, Some(i64::MAX)).percent(), Some(100), "no overflow");
}
