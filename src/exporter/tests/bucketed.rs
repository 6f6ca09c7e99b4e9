//! Stores that are bucketed: what their declaration promises is checked, and what it does not promise is not needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

#[allow(dead_code, reason = "shared by several test binaries, none of which needs all of it")]
mod reference;
#[allow(dead_code, reason = "shared by several test binaries, none of which needs all of it")]
mod support;

use exportjob_exporter::{Error, Shard};
use exportjob_plan::{BucketingPlan, ExportPlan, IdentityGraphKind, code, exit};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use reference::model::Type;
use support::{
    plan::segment,
    run::{self, Answer},
    scene::{Scene, fragments, row, sorted},
};

const MEMBERS: [exportjob_api::SegmentStatus; 2] = [
    exportjob_api::SegmentStatus::Realized,
    exportjob_api::SegmentStatus::Existing,
];

fn bucketing(count: u32, sorted: bool) -> Option<BucketingPlan> {
    Some(BucketingPlan {
        column: "ups_key".to_owned(),
        count,
        sorted,
    })
}

/// A scene whose fragments have keys, in these files.
fn scene(key: Type, files: &[(&str, Vec<Value>)], bucketing: Option<BucketingPlan>) -> Scene {
    let columns = [("ups_key", key), ("x", Type::Text)];
    let mut scene = fragments(&columns, &[]).fields("x");
    scene.plan.merge_policy.identity_graph = IdentityGraphKind::Pdg;
    scene.store.fragments[0].0.bucketing = bucketing;
    scene.files().files = files
        .iter()
        .map(|(name, rows)| ((*name).to_owned(), rows.iter().map(row).collect()))
        .collect();
    scene
}

fn record(of: &str, key: &Value, x: &str) -> Value {
    json!({"of": of, "dataset": "a", "ingested": 1, "ups_key": key, "x": x})
}

struct Written {
    folder: TempDir,
    plan: ExportPlan,
}

impl Written {
    fn new(scene: &Scene) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = scene.plan.clone();
        scene.store.write(folder.path(), &mut plan);
        Self { folder, plan }
    }

    fn shard(&self, index: usize, count: usize) -> Result<Answer, Error> {
        let shard = Shard { index, count };
        Runtime::new()
            .unwrap()
            .block_on(run::export_shard(&self.plan, self.folder.path(), shard))
    }

    #[track_caller]
    fn rows(&self) -> Vec<String> {
        let answer = self.shard(0, 1).unwrap_or_else(|error| panic!("{error}"));
        sorted(answer.exported.iter().map(|profile| &profile.row))
    }

    #[track_caller]
    fn refused(&self, code: &str, parts: &[&str]) {
        let error = self.shard(0, 1).expect_err("the store is exported");
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(error.exit_code(), exit::USER_ERROR);
        let text = error.to_string();
        for part in parts {
            assert!(text.contains(part), "{part:?} is missing: {text}");
        }
    }
}

#[track_caller]
fn has(rows: &[String], expected: &Value) {
    assert_eq!(rows, sorted(expected.as_array().unwrap().iter()));
}

#[test]
fn rows_with_one_key_are_one_profile_whatever_the_graph_says() {
    let files = [
        (
            "bucket=0/a.parquet",
            vec![record("crm:1", &json!("p"), "old"), record("web:2", &json!("q"), "q")],
        ),
        ("bucket=0/b.parquet", vec![record("crm:3", &json!("p"), "p")]),
        ("bucket=1/a.parquet", vec![record("crm:4", &json!("a"), "a")]),
    ];
    for is_sorted in [true, false] {
        let mut scene = scene(Type::Text, &files, bucketing(2, is_sorted)).fields("x,identities.id");
        let written = Written::new(&scene);
        has(
            &written.rows(),
            &json!([
                {"x": "p", "identities": [{"id": "1"}, {"id": "3"}]},
                {"x": "q", "identities": [{"id": "2"}]},
                {"x": "a", "identities": [{"id": "4"}]},
            ]),
        );
        scene.plan.merge_policy.identity_graph = IdentityGraphKind::None;
        assert_eq!(Written::new(&scene).rows().len(), 4, "each identity is a profile");
    }
}

#[test]
fn whole_numbers_are_keys_in_the_order_of_their_values() {
    let files = [(
        "0.parquet",
        vec![
            record("a:1", &json!(-5), "minus"),
            record("a:2", &json!(9), "nine"),
            record("a:3", &json!(10), "ten"),
            record("a:4", &json!(10), "ten"),
        ],
    )];
    let written = Written::new(&scene(Type::Long, &files, bucketing(1, true)));
    has(&written.rows(), &json!([{"x": "minus"}, {"x": "nine"}, {"x": "ten"}]));
}

#[test]
fn each_shard_exports_its_buckets_and_all_of_them_everybody() {
    let files: Vec<(String, Vec<Value>)> = (0..7)
        .map(|bucket| {
            let name = format!("bucket={bucket}/part.parquet");
            let rows = (0..5).map(|row| format!("{bucket}{row}"));
            (
                name,
                rows.map(|key| record(&format!("a:{key}"), &json!(key), &key)).collect(),
            )
        })
        .collect();
    let files: Vec<(&str, Vec<Value>)> = files.iter().map(|(name, rows)| (name.as_str(), rows.clone())).collect();
    let written = Written::new(&scene(Type::Text, &files, bucketing(7, true)));
    let mut all = Vec::new();
    for index in 0..3 {
        let answer = written.shard(index, 3).unwrap();
        let own = sorted(answer.exported.iter().map(|profile| &profile.row));
        assert!(!own.is_empty() && own.len() < 35);
        all.extend(own);
    }
    all.sort();
    assert_eq!(all, written.rows());
}

#[test]
fn shards_of_a_store_that_is_not_bucketed_are_refused_with_the_way_out() {
    let files = [("a.parquet", vec![record("a:1", &json!("p"), "x")])];
    let error = Written::new(&scene(Type::Text, &files, None))
        .shard(0, 2)
        .expect_err("shards need buckets");
    assert_eq!(error.code(), code::NOT_BUCKETED);
    assert!(error.to_string().contains("exportjob-exporter bucket"), "{error}");
}

#[test]
fn rows_that_are_not_sorted_as_declared_are_found() {
    let rows = vec![record("a:1", &json!("q"), "x"), record("a:2", &json!("p"), "x")];
    let promise = ["fragments", "not sorted", "exportjob-exporter bucket"];
    let files = [("0.parquet", rows.clone())];
    Written::new(&scene(Type::Text, &files, bucketing(1, true))).refused(code::INVALID_STORE, &promise);
    // Between batches, too: each has one row.
    let mut one_by_one = scene(Type::Text, &[("0.parquet", rows)], bucketing(1, true));
    one_by_one.files().row_group = 1;
    Written::new(&one_by_one).refused(code::INVALID_STORE, &promise);
}

#[test]
fn a_row_without_a_key_is_found() {
    let files = [(
        "0.parquet",
        vec![record("a:1", &json!(null), "x"), record("a:2", &json!("p"), "y")],
    )];
    for is_sorted in [true, false] {
        let written = Written::new(&scene(Type::Text, &files, bucketing(1, is_sorted)));
        written.refused(code::INVALID_STORE, &["fragments", "no key"]);
    }
}

#[test]
fn a_file_whose_bucket_is_not_known_is_named() {
    for name in ["part.parquet", "bucket=2/part.parquet", "d/x.parquet"] {
        let files = [(name, vec![record("a:1", &json!("p"), "x")])];
        let written = Written::new(&scene(Type::Text, &files, bucketing(2, true)));
        written.refused(code::INVALID_STORE, &[name, "0 to 1"]);
    }
}

#[test]
fn a_key_column_that_is_not_there_or_of_another_type_is_named() {
    let files = [("0.parquet", vec![record("a:1", &json!("p"), "x")])];
    let mut other = bucketing(1, true);
    if let Some(bucketing) = &mut other {
        bucketing.column = "ups_keys".to_owned();
    }
    let written = Written::new(&scene(Type::Text, &files, other));
    written.refused(
        code::MISSING_COLUMN,
        &["0.parquet", "ups_keys", "did you mean ups_key?"],
    );
    let files = [("0.parquet", vec![record("a:1", &json!(1.5), "x")])];
    let written = Written::new(&scene(Type::Float, &files, bucketing(1, true)));
    written.refused(code::COLUMN_TYPE, &["0.parquet", "ups_key", "Float"]);
}

#[test]
fn only_members_are_read_and_all_of_them() {
    let rows = |bucket: usize| -> Vec<Value> {
        (0..50)
            .map(|number| {
                let key = format!("{bucket}-{number:03}");
                record(&format!("a:{key}"), &json!(key), &key)
            })
            .collect()
    };
    let files = [("0.parquet", rows(0)), ("1.parquet", rows(1))];
    let mut scene = scene(Type::Text, &files, bucketing(2, true));
    scene.files().row_group = 10;
    let member = |key: &str, status: &str| json!({"of": format!("a:{key}"), "ups_key": key, "ns": "ups", "segment": "s", "status": status, "at": 1});
    let mut scene = scene.memberships(&[("ups_key", Type::Text)], &[]);
    scene.store.memberships[0].0.bucketing = bucketing(2, true);
    scene.store.memberships[0].1.groups[0].files = vec![
        (
            "0.parquet".to_owned(),
            vec![row(&member("0-007", "realized")), row(&member("0-030", "exited"))],
        ),
        ("1.parquet".to_owned(), vec![row(&member("1-049", "existing"))]),
    ];
    scene.plan.selection.segments = vec![segment("ups", "s", &MEMBERS)];
    has(&Written::new(&scene).rows(), &json!([{"x": "0-007"}, {"x": "1-049"}]));
}
