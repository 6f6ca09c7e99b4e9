//! Jobs with different fields share a dataset.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::sync::Arc;

use common::{batch, behind, export, files, plan, profiles, rows, table, text, texts};
use datafusion::arrow::{
    array::{
        Array, ArrayRef, AsArray as _, DictionaryArray, Int32Array, Int64Array, ListArray, MapArray, RecordBatch,
        StringArray, StringViewArray, StructArray, TimestampNanosecondArray,
    },
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Fields, Int32Type, TimeUnit},
};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::kernel::{DataType as Delta, MapType, StructField, StructType};
use exportjob_exporter::{Error, Profiles};
use exportjob_plan::{Outcome, code};
use tokio::sync::Barrier;

fn of(columns: Vec<(&str, ArrayRef)>) -> Profiles {
    let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let schema = rows.schema();
    profiles(vec![vec![batch(rows, 1)]], schema)
}

/// One object with these fields, all of them text.
fn object(fields: &[(&str, &str)]) -> StructArray {
    fields
        .iter()
        .map(|(name, value)| {
            let values: ArrayRef = Arc::new(StringArray::from(vec![*value]));
            (Arc::new(Field::new(*name, DataType::Utf8, true)), values)
        })
        .collect::<Vec<_>>()
        .into()
}

/// A list of that one object.
fn list(object: StructArray) -> ArrayRef {
    list_of(Arc::new(object))
}

/// A list of that one value.
fn list_of(value: ArrayRef) -> ArrayRef {
    let field = Field::new("item", value.data_type().clone(), true);
    Arc::new(ListArray::new(
        field.into(),
        OffsetBuffer::from_lengths([1]),
        value,
        None,
    ))
}

/// A map from `ups` to that one object.
fn map(object: StructArray) -> ArrayRef {
    let fields = Fields::from(vec![
        Field::new("keys", DataType::Utf8, false),
        Field::new("values", object.data_type().clone(), true),
    ]);
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["ups"]));
    let entries = StructArray::new(fields.clone(), vec![keys, Arc::new(object)], None);
    let field = Field::new("entries", DataType::Struct(fields), false);
    Arc::new(MapArray::new(
        field.into(),
        OffsetBuffer::from_lengths([1]),
        entries,
        None,
        false,
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_a_later_job_are_added_and_older_rows_read_null() {
    let folder = tempfile::tempdir().unwrap();
    export(&plan(folder.path(), "one"), texts("name", &["a"]))
        .await
        .unwrap();
    export(&plan(folder.path(), "two"), texts("email", &["e"]))
        .await
        .unwrap();
    let rows = rows(folder.path()).await;
    let mut pairs: Vec<_> = text(&rows, "name").into_iter().zip(text(&rows, "email")).collect();
    pairs.sort();
    assert_eq!(pairs, [(None, Some("e".to_owned())), (Some("a".to_owned()), None)]);
}

/// The fields `a` and `b` of each of these objects, in order.
fn pairs(objects: &StructArray) -> Vec<(Option<String>, Option<String>)> {
    let fields = RecordBatch::from(objects.clone());
    let mut pairs: Vec<_> = text(&fields, "a").into_iter().zip(text(&fields, "b")).collect();
    pairs.sort();
    pairs
}

fn some(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_fields_are_added_in_objects_and_lists() {
    let folder = tempfile::tempdir().unwrap();
    let columns = |fields: &[(&str, &str)]| {
        let of_object: ArrayRef = Arc::new(object(fields));
        of(vec![("o", of_object), ("l", list(object(fields)))])
    };
    export(&plan(folder.path(), "one"), columns(&[("a", "1")]))
        .await
        .unwrap();
    export(&plan(folder.path(), "two"), columns(&[("b", "2")]))
        .await
        .unwrap();
    export(&plan(folder.path(), "three"), columns(&[("b", "3"), ("a", "4")]))
        .await
        .unwrap();
    let rows = rows(folder.path()).await;
    let expected = [(None, some("2")), (some("1"), None), (some("4"), some("3"))];
    assert_eq!(pairs(rows.column_by_name("o").unwrap().as_struct()), expected);
    let lists: &ListArray = rows.column_by_name("l").unwrap().as_list();
    assert_eq!(pairs(lists.values().as_struct()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_writes_less_of_a_map_leaves_the_dataset_readable() {
    let folder = tempfile::tempdir().unwrap();
    // Maps in maps and in lists, as the segment memberships of a profile and the identities in it.
    let columns = |fields: &[(&str, &str)]| of(vec![("m", map(object(fields))), ("l", list_of(map(object(fields))))]);
    for (job, fields) in [
        ("all", &[("a", "1"), ("b", "2")][..]),
        ("less", &[("b", "3")]),
        ("other order", &[("b", "4"), ("a", "5")]),
    ] {
        export(&plan(folder.path(), job), columns(fields)).await.unwrap();
    }
    let rows = rows(folder.path()).await;
    let expected = [(None, some("3")), (some("1"), some("2")), (some("5"), some("4"))];
    let maps = rows.column_by_name("m").unwrap().as_map();
    assert_eq!(pairs(maps.values().as_struct()), expected);
    let lists: &ListArray = rows.column_by_name("l").unwrap().as_list();
    assert_eq!(pairs(lists.values().as_map().values().as_struct()), expected);
}

/// The readers at hand do not fill in what a file lacks inside of a map, so files are looked at one by one.
#[tokio::test(flavor = "multi_thread")]
async fn nested_fields_are_added_in_map_values() {
    let folder = tempfile::tempdir().unwrap();
    let columns = |fields: &[(&str, &str)]| of(vec![("m", map(object(fields)))]);
    export(&plan(folder.path(), "one"), columns(&[("a", "1")]))
        .await
        .unwrap();
    export(&plan(folder.path(), "two"), columns(&[("b", "2")]))
        .await
        .unwrap();
    let table = table(folder.path()).await;
    let fields = ["a", "b"].map(|name| StructField::nullable(name, Delta::STRING));
    let value = Delta::from(StructType::try_new(fields).unwrap());
    let expected = MapType::new(Delta::STRING, value, true);
    let schema = table.snapshot().unwrap().schema();
    assert_eq!(schema.field("m").unwrap().data_type(), &Delta::from(expected));
    let mut written = Vec::new();
    for file in table.get_file_uris().unwrap() {
        let file = std::fs::File::open(file.trim_start_matches("file://")).unwrap();
        let rows = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        let values = rows.column_by_name("m").unwrap().as_map().values().as_struct();
        written.push((
            values.column_names().join(","),
            values.columns().last().unwrap().as_string::<i32>().value(0).to_owned(),
        ));
    }
    written.sort();
    assert_eq!(
        written,
        [("a".to_owned(), "1".to_owned()), ("a,b".to_owned(), "2".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jobs_that_add_different_columns_at_once_all_land() {
    let folder = tempfile::tempdir().unwrap();
    export(&plan(folder.path(), "first"), texts("c", &["x"])).await.unwrap();
    let names: Vec<String> = (0..6).map(|index| format!("c{index}")).collect();
    let barrier = Arc::new(Barrier::new(names.len()));
    let runs = names.iter().map(|name| {
        let barrier = Arc::clone(&barrier);
        let gate = async move {
            barrier.wait().await;
            Ok(())
        };
        let plan = plan(folder.path(), name);
        async move { export(&plan, behind(gate, texts(name, &["x"]))).await }
    });
    for report in futures::future::join_all(runs).await {
        assert_eq!(report.unwrap().outcome, Outcome::Committed);
    }
    let rows = rows(folder.path()).await;
    assert_eq!(rows.num_rows(), 7);
    for name in &names {
        assert_eq!(text(&rows, name).iter().flatten().count(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_type_for_a_path_fails_before_data_is_read_and_names_both() {
    let folder = tempfile::tempdir().unwrap();
    export(&plan(folder.path(), "one"), texts("age", &["7"])).await.unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    let unread = async { Err(Error::new("READ", "a row was read")) };
    let error = export(&plan(folder.path(), "two"), behind(unread, of(vec![("age", numbers)])))
        .await
        .unwrap_err();
    assert_eq!(error.code(), code::SCHEMA_CONFLICT, "{error}");
    assert!(
        error
            .to_string()
            .contains("age is string in the dataset and long in this export"),
        "{error}"
    );
    assert_eq!(rows(folder.path()).await.num_rows(), 1);
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_that_appears_while_writing_fails_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    export(&plan(folder.path(), "first"), texts("c", &["x"])).await.unwrap();
    let path = folder.path().to_owned();
    let faster = async move {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        export(&plan(&path, "fast"), of(vec![("age", numbers)])).await.map(drop)
    };
    let error = export(&plan(folder.path(), "slow"), behind(faster, texts("age", &["7"])))
        .await
        .unwrap_err();
    assert_eq!(error.code(), code::SCHEMA_CONFLICT, "{error}");
    assert_eq!(rows(folder.path()).await.num_rows(), 2);
    assert_eq!(files(folder.path()).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_of_the_store_are_written_as_those_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let views: ArrayRef = Arc::new(StringViewArray::from(vec!["a view"]));
    let words: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(["word"]));
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_500]));
    let small: ArrayRef = Arc::new(Int32Array::from(vec![3]));
    export(
        &plan(folder.path(), "job"),
        of(vec![("v", views), ("d", words), ("t", times), ("i", small)]),
    )
    .await
    .unwrap();
    let rows = rows(folder.path()).await;
    assert_eq!(text(&rows, "v"), [Some("a view".to_owned())]);
    assert_eq!(text(&rows, "d"), [Some("word".to_owned())]);
    let time = rows.column_by_name("t").unwrap();
    assert_eq!(
        time.data_type(),
        &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    );
    assert_eq!(rows.column_by_name("i").unwrap().data_type(), &DataType::Int32);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partition_column_is_not_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    export(&plan(folder.path(), "job"), texts("name", &["a"]))
        .await
        .unwrap();
    let table = table(folder.path()).await;
    assert_eq!(
        table.snapshot().unwrap().metadata().partition_columns(),
        &["_batchId".to_owned()]
    );
    let file = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("_batchId="))
        .unwrap();
    let file = std::fs::read_dir(file).unwrap().next().unwrap().unwrap().path();
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(
        name.starts_with("part-00000-test-") && name.ends_with(".zstd.parquet"),
        "{name}"
    );
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(file).unwrap()).unwrap();
    assert_eq!(
        reader
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect::<Vec<_>>(),
        ["name"]
    );
}
