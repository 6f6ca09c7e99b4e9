//! Reports fit into a termination message, progress into a percentage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;

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

#[test]
fn reports_of_shards_add_up_to_that_of_the_export() {
    let id = |segment: &str| batch_id("u", Some(("ups", segment)));
    let part = |profiles: i64, span: (i64, i64)| {
        let mut part = RunReport::new(Outcome::Staged);
        part.profiles_written = 2 * profiles;
        part.profiles_matched = profiles;
        part.rows_read = 10 * profiles;
        part.profile_export = Some(span);
        part.profiles_by_namespace = BTreeMap::from([("email".to_owned(), profiles)]);
        part.batches = ["a", "b"]
            .map(|segment| BatchReport {
                id: id(segment),
                profiles,
            })
            .to_vec();
        part
    };
    let mut all = RunReport::new(Outcome::Committed);
    all.add(&part(3, (200, 300)));
    all.add(&part(4, (100, 250)));
    assert_eq!((all.profiles_written, all.profiles_matched, all.rows_read), (14, 7, 70));
    assert_eq!(all.profile_export, Some((100, 300)));
    assert_eq!(all.profiles_by_namespace["email"], 7);
    assert_eq!(
        all.batches.iter().map(|batch| batch.profiles).collect::<Vec<_>>(),
        [7, 7]
    );
    assert_eq!(all.outcome, Outcome::Committed);
}
