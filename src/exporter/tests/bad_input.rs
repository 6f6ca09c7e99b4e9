//! What is wrong with a store or a plan is said at once: a stable code, the file or the path by name, and what to do.
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

use std::{fs, path::Path, sync::Arc};

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use exportjob_api::TableFormat;
use exportjob_exporter::{Error, Limits, Progress, Session, open};
use exportjob_plan::{ExportPlan, code, exit};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Builder;

use reference::model::Type;
use support::{
    arrow::Encoding,
    plan::{column, events, fields, segment, table, url},
    scene::{Scene, fragments, nobody, records, row, run_in, sorted},
    table::{Files, Table},
};

/// A scene on disk.
struct Store {
    folder: TempDir,
    plan: ExportPlan,
}

impl Store {
    fn new(scene: &Scene) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = scene.plan.clone();
        scene.store.write(folder.path(), &mut plan);
        Self { folder, plan }
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    /// The failure of opening the store: no row is read for it.
    #[track_caller]
    fn refused(&self) -> Error {
        opened(&self.plan, self.folder.path()).expect_err("the store opens")
    }

    #[track_caller]
    fn rows(&self) -> Vec<String> {
        let answer = run_in(&self.plan, self.folder.path()).unwrap_or_else(|error| panic!("{error}"));
        sorted(answer.exported.iter().map(|profile| &profile.row))
    }
}

fn opened(plan: &ExportPlan, folder: &Path) -> Result<(), Error> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let limits = Limits {
        memory_bytes: 512 << 20,
        cores: 2,
        spill_path: folder.join("spill"),
    };
    let session = Session::new(&limits)?;
    runtime
        .block_on(open(plan, &session, Arc::new(Progress::default())))
        .map(drop)
}

/// A record with the column `x`.
fn one() -> Scene {
    fragments(
        &[("x", Type::Text)],
        &[json!({"of": "crm:1", "dataset": "a", "ingested": 1, "x": "v"})],
    )
}

#[track_caller]
fn says(error: &Error, code: &str, parts: &[&str]) {
    assert_eq!(error.code(), code, "{error}");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

// Places

#[test]
fn a_folder_that_does_not_exist_is_named_and_not_looked_for_again() {
    let mut store = Store::new(&one());
    store.plan.store.fragments[0].location = url(&store.path("nowhere"));
    let error = store.refused();
    says(&error, code::STORE_UNREADABLE, &["nowhere", "does not exist"]);
    assert_eq!(error.exit_code(), exit::USER_ERROR);
}

#[test]
fn a_file_in_place_of_a_folder_is_named() {
    let mut store = Store::new(&one());
    fs::write(store.path("file"), "").unwrap();
    store.plan.store.fragments[0].location = url(&store.path("file"));
    says(&store.refused(), code::STORE_UNREADABLE, &["file", "folder"]);
}

#[test]
fn a_delta_table_that_is_declared_as_parquet_and_the_other_way_round_are_refused() {
    let mut scene = one();
    scene.store.fragments[0].1.format = TableFormat::Delta;
    let mut store = Store::new(&scene);
    store.plan.store.fragments[0].format = TableFormat::Parquet;
    says(&store.refused(), code::INVALID_STORE, &["fragments-0", "format: delta"]);
    let mut store = Store::new(&one());
    store.plan.store.fragments[0].format = TableFormat::Delta;
    says(
        &store.refused(),
        code::INVALID_STORE,
        &["fragments-0", "format: parquet"],
    );
}

// Files

#[test]
fn a_file_that_is_no_parquet_file_is_named() {
    for content in [&b""[..], b"no Parquet", b"PAR1garbagePAR1"] {
        let store = Store::new(&one());
        fs::write(store.path("fragments-0/broken.parquet"), content).unwrap();
        let error = store.refused();
        says(&error, code::CORRUPT_FILE, &["fragments-0/broken.parquet"]);
        assert_eq!(error.exit_code(), exit::USER_ERROR);
    }
}

#[test]
fn a_file_that_was_cut_short_is_named() {
    let store = Store::new(&one());
    let path = store.path("fragments-0/part-0.parquet");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    says(&store.refused(), code::CORRUPT_FILE, &["fragments-0/part-0.parquet"]);
}

/// The failure of reading a table whose only file has broken pages.
fn broken_pages(format: TableFormat) -> Error {
    let rows: Vec<_> = (0..50)
        .map(|n| json!({"of": format!("crm:{n}"), "dataset": "a", "ingested": n, "x": format!("some text {n}")}))
        .collect();
    let mut scene = fragments(&[("x", Type::Text)], &rows);
    scene.store.fragments[0].1.format = format;
    let store = Store::new(&scene);
    let path = store.path("fragments-0/part-0.parquet");
    let mut bytes = fs::read(&path).unwrap();
    // The pages come first, the footer last.
    bytes[4..200].fill(0xff);
    fs::write(&path, bytes).unwrap();
    run_in(&store.plan, store.folder.path()).expect_err("the file is broken")
}

#[test]
fn a_file_whose_pages_are_broken_is_named_when_they_are_read() {
    let error = broken_pages(TableFormat::Parquet);
    says(&error, code::CORRUPT_FILE, &["fragments-0/part-0.parquet"]);
    assert_eq!(error.exit_code(), exit::USER_ERROR);
}

#[test]
fn a_delta_table_with_a_file_whose_pages_are_broken_is_named() {
    let error = broken_pages(TableFormat::Delta);
    says(&error, code::CORRUPT_FILE, &["fragments-0"]);
    assert_eq!(error.exit_code(), exit::USER_ERROR);
}

#[test]
fn a_file_that_a_delta_table_names_but_does_not_have_is_named() {
    let mut scene = one();
    scene.store.fragments[0].1.format = TableFormat::Delta;
    let store = Store::new(&scene);
    fs::remove_file(store.path("fragments-0/part-0.parquet")).unwrap();
    says(
        &store.refused(),
        code::STORE_UNREADABLE,
        &["fragments-0/part-0.parquet", "does not exist"],
    );
}

#[test]
fn a_delta_log_that_is_no_json_is_refused_by_the_name_of_its_table() {
    let mut scene = one();
    scene.store.fragments[0].1.format = TableFormat::Delta;
    let store = Store::new(&scene);
    fs::write(
        store.path("fragments-0/_delta_log/00000000000000000000.json"),
        "no JSON\n",
    )
    .unwrap();
    says(&store.refused(), code::INVALID_STORE, &["fragments-0"]);
}

// Columns of the store

#[test]
fn a_column_that_the_store_must_have_is_named_with_the_way_to_give_it() {
    let mut scene = one();
    scene.files().columns.retain(|(name, _)| name != "ups_dataset");
    says(
        &Store::new(&scene).refused(),
        code::MISSING_COLUMN,
        &["ups_dataset", "fragments-0/part-0.parquet", "dataset"],
    );
    let mut scene = one();
    scene.files().columns.retain(|(name, _)| name != "ups_identity");
    says(
        &Store::new(&scene).refused(),
        code::MISSING_COLUMN,
        &["ups_identity", "fragments-0/part-0.parquet", "columns"],
    );
}

#[test]
fn a_column_of_the_store_that_has_another_type_is_named_with_both_types() {
    let change = |name: &str, kind: Type| {
        let mut scene = one();
        let files = scene.files();
        files.files[0].1.clear();
        files.columns.iter_mut().find(|(known, _)| known == name).unwrap().1 = kind;
        Store::new(&scene).refused()
    };
    let place = "fragments-0/part-0.parquet";
    says(
        &change("ups_ingested", Type::Text),
        code::COLUMN_TYPE,
        &["ups_ingested", "Utf8", "a timestamp", place],
    );
    says(
        &change("ups_identity", Type::Float),
        code::COLUMN_TYPE,
        &["ups_identity", "Float64", "a string", place],
    );
    let nested = Type::of(&[("v", Type::Text)]);
    says(
        &change("ups_namespace", nested),
        code::COLUMN_TYPE,
        &["ups_namespace", "a struct", place],
    );
    assert_eq!(change("ups_dataset", Type::Bool).exit_code(), exit::USER_ERROR);
}

#[test]
fn a_mapped_column_that_is_not_there_is_named_with_the_nearest() {
    let mut store = Store::new(&one());
    store.plan.store.fragments[0].columns = [("name".to_owned(), column("ups_identty"))].into();
    says(
        &store.refused(),
        code::MISSING_COLUMN,
        &["fragments-0", "ups_identty", "did you mean ups_identity?", "name"],
    );
}

#[test]
fn mappings_that_cannot_hold_together_are_refused() {
    let mut store = Store::new(&one());
    store.plan.store.fragments[0].columns = [("a".to_owned(), column("x")), ("a.b".to_owned(), column("x"))].into();
    says(&store.refused(), code::INVALID_STORE, &["fragments-0", "a.b"]);
    store.plan.store.fragments[0].columns = [("x.y".to_owned(), column("ups_note"))].into();
    let error = store.refused();
    assert_eq!(error.exit_code(), exit::USER_ERROR, "{error}");
    store.plan.store.fragments[0].columns = [("ups_dataset".to_owned(), column("x"))].into();
    store.plan.store.fragments[0].dataset = Some("crm".to_owned());
    says(
        &store.refused(),
        code::INVALID_STORE,
        &["fragments-0", "ups_dataset", "keep one of them"],
    );
}

#[test]
fn a_customers_column_may_not_be_called_like_one_that_is_computed() {
    for name in [
        "identityMap",
        "identities",
        "segmentMembership",
        "timeSeriesEvents",
        "_batchId",
    ] {
        let scene = fragments(&[(name, Type::Text)], &[]);
        says(
            &Store::new(&scene).refused(),
            code::INVALID_STORE,
            &[name, "map it to another path"],
        );
    }
}

#[test]
fn columns_that_differ_in_case_alone_are_refused() {
    let scene = fragments(&[("email", Type::Text), ("Email", Type::Text)], &[]);
    says(
        &Store::new(&scene).refused(),
        code::INVALID_STORE,
        &["email", "Email", "case"],
    );
}

// Types

#[test]
fn two_files_that_disagree_are_both_named_unless_nobody_asks_for_the_column() {
    let mut scene = one();
    let mut other = records(
        &[("x", Type::Bool)],
        &[json!({"of": "crm:2", "dataset": "a", "ingested": 1, "x": true})],
    );
    other.1.groups[0].files[0].0 = "other.parquet".into();
    scene.store.fragments[0].1.groups.push(other.1.groups.remove(0));
    let store = Store::new(&scene);
    says(
        &store.refused(),
        code::COLUMN_TYPE,
        &[
            "x is",
            "Utf8",
            "Boolean",
            "fragments-0/part-0.parquet",
            "fragments-0/other.parquet",
        ],
    );
    let store = Store::new(&scene.fields("identityMap.id"));
    assert_eq!(store.rows().len(), 2);
}

#[test]
fn columns_that_came_later_and_types_that_grew_are_read_as_one() {
    let mut scene = fragments(
        &[("n", Type::Long)],
        &[json!({"of": "crm:1", "dataset": "a", "ingested": 1, "n": 1})],
    );
    scene.files().encoding = Encoding {
        long: DataType::Int32,
        ..Encoding::default()
    };
    let later = json!({"of": "crm:2", "dataset": "a", "ingested": 1, "n": 5_000_000_000_i64, "m": "new"});
    scene.store.fragments[0].1.groups.push(Files {
        files: vec![("later.parquet".into(), vec![row(&later)])],
        ..records(&[("n", Type::Long), ("m", Type::Text)], &[]).1.groups.remove(0)
    });
    scene
        .fields("n,m")
        .exports(&json!([{"n": 1, "m": null}, {"n": 5_000_000_000_i64, "m": "new"}]));
}

#[test]
fn a_type_that_a_delta_table_cannot_hold_is_refused_by_its_path_unless_nobody_asks_for_it() {
    let mut scene = fragments(
        &[("s", Type::of(&[("length", Type::Long)])), ("x", Type::Text)],
        &[json!({"of": "crm:1", "dataset": "a", "ingested": 1, "s": {"length": 1}, "x": "v"})],
    );
    scene.files().encoding = Encoding {
        long: DataType::Duration(TimeUnit::Second),
        ..Encoding::default()
    };
    says(
        &Store::new(&scene).refused(),
        code::COLUMN_TYPE,
        &["s.length", "Duration"],
    );
    assert_eq!(Store::new(&scene.fields("x")).rows(), ["{\"x\":\"v\"}"]);
}

#[test]
fn a_time_that_microseconds_cannot_hold_names_its_column_and_file() {
    let mut scene = one();
    scene.files().encoding = Encoding {
        time: DataType::Timestamp(TimeUnit::Millisecond, None),
        ..Encoding::default()
    };
    scene.files().raw_times = Some(i64::MAX);
    let store = Store::new(&scene);
    let error = run_in(&store.plan, store.folder.path()).expect_err("the time does not fit");
    says(&error, code::COLUMN_TYPE, &["ups_", "fragments-0/part-0.parquet"]);
    assert_eq!(error.exit_code(), exit::USER_ERROR);
}

#[test]
fn the_ends_of_time_are_times_like_others() {
    fragments(&[("x", Type::Text), ("y", Type::Time)], &[
        json!({"of": "crm:1", "dataset": "a", "time": i64::MIN, "ingested": i64::MAX, "x": "oldest", "y": i64::MIN}),
        json!({"of": "crm:1", "dataset": "b", "time": i64::MAX, "ingested": i64::MIN, "x": "newest"}),
        json!({"of": "crm:1", "dataset": "c", "time": 0, "ingested": 0, "x": "between", "y": i64::MAX}),
    ])
    .with(|plan| plan.selection.ingested_after = Some(i64::MAX - 1))
    .fields("x,y")
    .exports(&json!([{"x": "newest", "y": i64::MAX}]));
}

// Fields

#[test]
fn an_unknown_path_is_named_with_the_nearest_one() {
    let email = Type::of(&[("address", Type::Text), ("status", Type::Text)]);
    let scene =
        fragments(&[("personalEmail", email)], &[]).events(&[("commerce", Type::of(&[("order", Type::Text)]))], &[]);
    let refused = |scene: &Scene, path: &str, nearest: &str| {
        let mut store = Store::new(scene);
        store.plan.fields = fields(path);
        says(&store.refused(), code::UNKNOWN_FIELD, &["spec.fields", path, nearest]);
        assert_eq!(store.refused().exit_code(), exit::USER_ERROR);
    };
    refused(&scene, "personalEmail.adress", "did you mean personalEmail.address?");
    refused(&scene, "personalemail", "did you mean personalEmail?");
    refused(&scene, "identities.ID", "did you mean identities.id?");
    refused(&scene, "segmentMembership.state", "segmentMembership.stat");
    refused(&scene, "ups_identity", "ups_identity");
    refused(&scene, "personalEmail.address.more", "personalEmail.address");
    refused(&scene, "timeSeriesEvents.commerce", "eventList");
    let scene = scene.with(|plan| {
        plan.events = Some(exportjob_plan::EventPlan {
            fields: fields("comerce.order"),
            ..events()
        })
    });
    says(
        &Store::new(&scene).refused(),
        code::UNKNOWN_FIELD,
        &[
            "spec.additionalFields.eventList.fields",
            "comerce.order",
            "did you mean commerce.order?",
        ],
    );
    let mut store = Store::new(&scene.with(|plan| plan.events.as_mut().unwrap().fields = fields("commerce")));
    store.plan.fields = fields("timeSeriesEvents._id");
    says(
        &store.refused(),
        code::UNKNOWN_FIELD,
        &[
            "spec.fields: timeSeriesEvents._id",
            "left out by spec.additionalFields.eventList.fields",
        ],
    );
}

// Rows

#[test]
fn members_without_fragments_are_exported_only_when_empty_profiles_are() {
    let scene = nobody()
        .memberships(&[], &[json!({"of": "crm:1", "ns": "ups", "segment": "s", "at": 1})])
        .with(|plan| plan.selection.segments = vec![segment("ups", "s", &[exportjob_api::SegmentStatus::Realized])])
        .fields("identityMap.id");
    scene.exports(&json!([{"identityMap": {"crm": [{"id": "1"}]}}]));
    scene
        .with(|plan| plan.selection.empty_profiles = false)
        .exports(&json!([]));
}

#[test]
fn rows_without_an_identity_belong_to_nobody() {
    let rows = [
        json!({"of": "crm:1", "dataset": "a", "ingested": 1, "x": "somebody"}),
        json!({"ups_namespace": "crm", "ups_identity": null, "dataset": "a", "ingested": 2, "x": "nobody"}),
        json!({"ups_namespace": null, "ups_identity": "1", "dataset": "a", "ingested": 3, "x": "nobody"}),
    ];
    fragments(&[("x", Type::Text)], &rows)
        .fields("x")
        .exports(&json!([{"x": "somebody"}]));
}

#[test]
fn a_state_that_nobody_knows_is_kept_and_selects_nobody() {
    let scene = fragments(&[], &[json!({"of": "crm:1", "dataset": "a", "ingested": 1})])
        .memberships(
            &[],
            &[json!({"of": "crm:1", "ns": "ups", "segment": "s", "status": "paused", "at": 1})],
        )
        .fields("segmentMembership.status");
    scene.exports(&json!([{"segmentMembership": {"ups": {"s": {"status": "paused"}}}}]));
    let all = [
        exportjob_api::SegmentStatus::Realized,
        exportjob_api::SegmentStatus::Existing,
        exportjob_api::SegmentStatus::Exited,
    ];
    scene
        .with(|plan| plan.selection.segments = vec![segment("ups", "s", &all)])
        .exports(&json!([]));
}

#[test]
fn an_empty_folder_beside_a_full_one_changes_nothing() {
    let mut scene = one().fields("x");
    scene.store.fragments.push((
        table(TableFormat::Parquet),
        Table {
            format: TableFormat::Parquet,
            groups: Vec::new(),
        },
    ));
    scene.exports(&json!([{"x": "v"}]));
}
