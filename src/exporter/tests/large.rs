//! Stores of unusual size in one direction.
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

use std::{fs, fs::File, path::Path, sync::Arc};

use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
        },
        datatypes::{DataType, Field, Int64Type},
    },
    parquet::arrow::ArrowWriter,
};
use exportjob_api::TableFormat;
use exportjob_exporter::{Limits, Progress, Session, open};
use exportjob_plan::ExportPlan;
use futures::TryStreamExt as _;
use tokio::runtime::Runtime;

use support::plan::{events, plan, table, url};

fn text(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn times(rows: usize) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values((0_i64..).take(rows)).with_timezone("UTC"))
}

/// Rows of identities that `identity` names, with more columns.
fn rows(count: usize, identity: impl Fn(usize) -> String, more: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let same = |value: &str| text((0..count).map(|_| value.to_owned()));
    let mut columns = vec![
        ("ups_namespace", same("crm")),
        ("ups_identity", text((0..count).map(identity))),
        ("ups_dataset", same("crm")),
        ("ups_ingested", times(count)),
    ];
    columns.extend(more);
    RecordBatch::try_from_iter(columns).unwrap()
}

fn write(folder: &Path, name: &str, batch: &RecordBatch) -> exportjob_plan::TablePlan {
    let folder = folder.join(name);
    fs::create_dir_all(&folder).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(folder.join("a.parquet")).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    exportjob_plan::TablePlan {
        location: url(&folder),
        ..table(TableFormat::Parquet)
    }
}

fn export(plan: &ExportPlan, folder: &Path) -> Vec<RecordBatch> {
    let limits = Limits {
        memory_bytes: 512 << 20,
        cores: 2,
        spill_path: folder.join("spill"),
    };
    Runtime::new().unwrap().block_on(async {
        let session = Session::new(&limits).unwrap();
        let profiles = open(plan, &session, Arc::new(Progress::default())).await.unwrap();
        let mut batches = Vec::new();
        for mut part in profiles.parts {
            while let Some(batch) = part.try_next().await.unwrap() {
                batches.push(batch.rows);
            }
        }
        batches
    })
}

#[test]
fn a_profile_with_a_million_events_has_them_all_once_and_in_order() {
    const EVENTS: usize = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan();
    plan.store.fragments = vec![write(
        folder.path(),
        "fragments",
        &rows(2, |row| row.to_string(), Vec::new()),
    )];
    // Each is reported twice, and they come in no order.
    let id = |row: usize| (row * 7919) % EVENTS;
    let happened = TimestampMicrosecondArray::from_iter_values((0..2 * EVENTS).map(|row| id(row) as i64));
    let more = vec![
        ("_id", text((0..2 * EVENTS).map(|row| format!("e{:07}", id(row))))),
        ("timestamp", Arc::new(happened.with_timezone("UTC")) as ArrayRef),
    ];
    let batch = rows(2 * EVENTS, |_| "1".to_owned(), more);
    plan.store.events = vec![write(folder.path(), "events", &batch)];
    plan.fields = support::plan::fields("timeSeriesEvents._id");
    plan.events = Some(events());
    let batches = export(&plan, folder.path());
    let lists: Vec<ArrayRef> = batches
        .iter()
        .flat_map(|batch| {
            let lists = batch.column(0).as_list::<i32>().clone();
            lists.iter().flatten().collect::<Vec<_>>()
        })
        .collect();
    let mut lengths: Vec<usize> = lists.iter().map(|list| list.len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [0, EVENTS]);
    let events = lists.iter().find(|list| list.len() == EVENTS).unwrap();
    let ids = events.as_struct().column(0).as_string_view();
    assert!(
        ids.iter()
            .enumerate()
            .all(|(place, id)| id == Some(&format!("e{place:07}")))
    );
}

#[test]
fn two_thousand_columns_ten_levels_deep_are_merged() {
    const COLUMNS: usize = 2000;
    const ROWS: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let mut more: Vec<(String, ArrayRef)> = Vec::new();
    for column in 0..COLUMNS {
        let values = Int64Array::from_iter_values((0..ROWS).map(|row| (row * COLUMNS + column) as i64));
        let mut array: ArrayRef = Arc::new(values);
        for level in 0..10 {
            let field = Arc::new(Field::new(format!("level{level}"), array.data_type().clone(), true));
            array = Arc::new(StructArray::from(vec![(field, array)]));
        }
        more.push((format!("column{column:04}"), array));
    }
    let more = more
        .iter()
        .map(|(name, array)| (name.as_str(), array.clone()))
        .collect();
    let mut plan = plan();
    // Two records for each identity: the later one counts.
    let batch = rows(ROWS, |row| (row / 2).to_string(), more);
    plan.store.fragments = vec![write(folder.path(), "fragments", &batch)];
    let batches = export(&plan, folder.path());
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), ROWS / 2);
    for batch in &batches {
        let identities = batch.column_by_name("identities").unwrap().as_list::<i32>().clone();
        for row in 0..batch.num_rows() {
            let ids = identities.value(row);
            let id: usize = ids.as_struct().column(0).as_string_view().value(0).parse().unwrap();
            for column in [0, 999, COLUMNS - 1] {
                let mut array = batch.column_by_name(&format!("column{column:04}")).unwrap().clone();
                while let DataType::Struct(_) = array.data_type() {
                    array = array.as_struct().column(0).clone();
                }
                let value = array.as_primitive::<Int64Type>().value(row);
                assert_eq!(value, ((id * 2 + 1) * COLUMNS + column) as i64);
            }
        }
    }
}
