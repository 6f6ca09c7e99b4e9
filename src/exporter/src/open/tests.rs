#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{
            ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, StructArray, Time64MicrosecondArray,
            TimestampMicrosecondArray, TimestampSecondArray, UInt64Array,
        },
        compute::concat_batches,
        datatypes::{DataType, Field, Fields},
        util::display::{ArrayFormatter, FormatOptions},
    },
    parquet::arrow::ArrowWriter,
};
use deltalake::{DeltaTable, protocol::SaveMode};
use exportjob_api::{ColumnSource, DatasetFormat, MembershipStates, SegmentStatus, TableFormat};
use exportjob_plan::{
    BatchPlan, DestinationPlan, FieldSelection, JobIdentity, MergePolicyPlan, PLAN_VERSION, SegmentSelection,
    Selection, StorePlan, TablePlan, UpsertDatasets, batch_id, code,
};
use futures::TryStreamExt as _;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::{Error, Limits};

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn times(values: &[i64]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.to_vec()).with_timezone("UTC"))
}

fn rows(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter(columns.iter().map(|(name, column)| (*name, column.clone()))).unwrap()
}

/// Records of the `email` identities with these ids, each ingested at its place in the list.
fn records(ids: &[&str], columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let all = |value| text(&vec![Some(value); ids.len()]);
    let ingested: Vec<i64> = (1..).take(ids.len()).collect();
    let ids: Vec<Option<&str>> = ids.iter().copied().map(Some).collect();
    let own = [
        ("ups_namespace", all("email")),
        ("ups_identity", text(&ids)),
        ("ups_dataset", all("crm")),
        ("ups_ingested", times(&ingested)),
    ];
    rows(&[own.as_slice(), columns].concat())
}

fn without(batch: &RecordBatch, column: &str) -> RecordBatch {
    let mut batch = batch.clone();
    batch.remove_column(batch.schema().index_of(column).unwrap());
    batch
}

fn write(path: &Path, batch: &RecordBatch) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

struct Store {
    folder: TempDir,
    plan: ExportPlan,
}

impl Store {
    /// A store whose fragments are these files.
    fn new(fragments: &[(&str, RecordBatch)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Self {
            plan: plan(folder.path()),
            folder,
        };
        store.plan.store.fragments = vec![store.table("fragments", fragments)];
        store
    }

    fn table(&self, name: &str, files: &[(&str, RecordBatch)]) -> TablePlan {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        for (file, batch) in files {
            write(&path.join(file), batch);
        }
        table_at(&path)
    }

    fn fields(mut self, fields: &str) -> Self {
        self.plan.fields = FieldSelection::parse("spec.fields", Some(fields)).unwrap();
        self
    }

    async fn open(&self) -> Result<Profiles> {
        let spill_path = self.folder.path().join("spill");
        let session = Session::new(&Limits {
            memory_bytes: 256 << 20,
            cores: 2,
            spill_path,
        })?;
        open(&self.plan, &session, Arc::new(Progress::default())).await
    }

    async fn refusal(&self) -> Error {
        self.open()
            .await
            .err()
            .expect("the store is refused before a row is read")
    }

    /// The export's rows as text, in order.
    async fn export(&self) -> Result<Vec<String>> {
        let profiles = self.open().await?;
        let mut batches = Vec::new();
        for mut part in profiles.parts {
            while let Some(batch) = part.try_next().await? {
                batches.push(batch.rows);
            }
        }
        let all = concat_batches(&profiles.schema, &batches).unwrap();
        let options = FormatOptions::new().with_null("null");
        let columns: Vec<_> = all
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        let row = |row| {
            columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect::<Vec<_>>()
                .join(" | ")
        };
        let mut lines: Vec<String> = (0..all.num_rows()).map(row).collect();
        lines.sort();
        Ok(lines)
    }
}

fn table_at(path: &Path) -> TablePlan {
    TablePlan {
        location: Url::from_directory_path(path).unwrap(),
        format: TableFormat::Parquet,
        dataset: None,
        columns: [].into(),
        only_mapped: false,
    }
}

fn plan(folder: &Path) -> ExportPlan {
    ExportPlan {
        version: PLAN_VERSION,
        job: JobIdentity {
            namespace: "n".to_owned(),
            name: "j".to_owned(),
            uid: "u".to_owned(),
            id: 1,
        },
        started_at: 0,
        store: StorePlan {
            name: "ups".to_owned(),
            fragments: Vec::new(),
            events: Vec::new(),
            identities: Vec::new(),
            memberships: Vec::new(),
            upsert_datasets: UpsertDatasets::Listed(Vec::new()),
            membership_states: MembershipStates::Three,
        },
        merge_policy: MergePolicyPlan {
            id: "p".to_owned(),
            version: 1,
            identity_graph: IdentityGraphKind::Pdg,
            attributes: AttributeRule::TimestampOrdered,
            event_datasets: None,
        },
        selection: Selection {
            segments: Vec::new(),
            qualified_from: None,
            qualified_to: None,
            ingested_after: None,
            empty_profiles: false,
        },
        fields: FieldSelection::All,
        events: None,
        destination: DestinationPlan {
            dataset: "d".to_owned(),
            location: Url::from_directory_path(folder.join("out")).unwrap(),
            format: DatasetFormat::Delta,
        },
        batches: vec![BatchPlan {
            id: batch_id("u", None),
            segment: None,
        }],
    }
}

fn column(name: &str) -> ColumnSource {
    ColumnSource {
        column: Some(name.to_owned()),
        value: None,
    }
}

fn value(value: &str) -> ColumnSource {
    ColumnSource {
        column: None,
        value: Some(value.to_owned()),
    }
}

#[tokio::test]
async fn new_columns_and_wider_types_of_later_files_are_read_as_one() {
    let old = records(&["a"], &[("age", Arc::new(Int32Array::from(vec![1])))]);
    let new = records(
        &["b"],
        &[
            ("age", Arc::new(Int64Array::from(vec![1 << 40]))),
            ("city", text(&[Some("Bern")])),
        ],
    );
    let store = Store::new(&[("1.parquet", old), ("in/a/folder/2.parquet", new)]).fields("age,city");
    assert_eq!(store.export().await.unwrap(), ["1 | null", "1099511627776 | Bern"]);
}

#[tokio::test]
async fn files_that_disagree_on_a_type_are_both_named() {
    let one = records(&["a"], &[("age", Arc::new(Int32Array::from(vec![1])))]);
    let two = records(&["b"], &[("age", text(&[Some("old")]))]);
    let error = Store::new(&[("1.parquet", one), ("2.parquet", two)]).refusal().await;
    assert_eq!(error.code(), code::COLUMN_TYPE);
    let message = error.to_string();
    assert!(
        message.starts_with("age is Int32 in ") && message.contains("1.parquet but Utf8 in "),
        "{message}"
    );
    assert!(message.contains("2.parquet"), "{message}");
}

#[tokio::test]
async fn a_struct_in_one_file_and_a_value_in_another_is_a_conflict() {
    let address = Fields::from(vec![Field::new("address", DataType::Utf8, true)]);
    let nested: ArrayRef = Arc::new(StructArray::new(address, vec![text(&[Some("x")])], None));
    let one = records(&["a"], &[("email", nested)]);
    let two = records(&["b"], &[("email", text(&[Some("x")]))]);
    let error = Store::new(&[("1.parquet", one), ("2.parquet", two)]).refusal().await;
    assert_eq!(error.code(), code::COLUMN_TYPE);
    assert!(error.to_string().contains("a struct in"), "{error}");
}

#[tokio::test]
async fn a_file_without_a_column_of_the_store_is_named() {
    for missing in ["ups_namespace", "ups_identity", "ups_dataset"] {
        let store = Store::new(&[
            ("1.parquet", records(&["a"], &[])),
            ("2.parquet", without(&records(&["b"], &[]), missing)),
        ]);
        let error = store.refusal().await;
        assert_eq!(error.code(), code::MISSING_COLUMN);
        assert!(
            error
                .to_string()
                .contains(&format!("2.parquet has no column {missing}")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_column_of_the_store_in_a_wrong_type_is_named() {
    let batch = without(&records(&["a"], &[]), "ups_ingested");
    let columns: Vec<(&str, ArrayRef)> = vec![("ups_ingested", text(&[Some("yesterday")]))];
    let batch = RecordBatch::try_from_iter(
        batch
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .zip(batch.columns().iter().cloned())
            .chain(columns.into_iter().map(|(name, column)| (name.to_owned(), column))),
    )
    .unwrap();
    let error = Store::new(&[("1.parquet", batch)]).refusal().await;
    assert_eq!(error.code(), code::COLUMN_TYPE);
    assert!(
        error
            .to_string()
            .contains("column ups_ingested is Utf8 and must be a timestamp"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unknown_field_is_named_with_the_nearest() {
    let error = Store::new(&[("1.parquet", records(&["a"], &[("city", text(&[None]))]))])
        .fields("citty")
        .refusal()
        .await;
    assert_eq!(error.code(), code::UNKNOWN_FIELD);
    assert!(
        error.to_string().contains("no field citty: did you mean city?"),
        "{error}"
    );
}

#[tokio::test]
async fn a_torn_file_is_found_before_any_row_is_read() {
    let store = Store::new(&[("1.parquet", records(&["a"], &[]))]);
    let path = store.folder.path().join("fragments/1.parquet");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    let error = store.refusal().await;
    assert_eq!(error.code(), code::CORRUPT_FILE);
    assert!(error.to_string().contains("1.parquet"), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_unreadable_and_worth_another_try() {
    let mut store = Store::new(&[]);
    store.plan.store.fragments[0].location = Url::parse("file:///not/there/").unwrap();
    let error = store.refusal().await;
    assert_eq!(
        (error.code(), error.exit_code()),
        (code::STORE_UNREADABLE, exportjob_plan::exit::RETRY)
    );
    assert!(error.to_string().contains("/not/there"), "{error}");
}

#[tokio::test]
async fn an_empty_folder_is_an_empty_store() {
    assert_eq!(Store::new(&[]).export().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn names_that_start_with_an_underscore_or_a_dot_are_ignored() {
    let store = Store::new(&[("1.parquet", records(&["a"], &[]))]);
    for ignored in ["_SUCCESS", ".1.parquet.crc", "_temporary/0/x.parquet"] {
        let path = store.folder.path().join("fragments").join(ignored);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "no Parquet").unwrap();
    }
    assert_eq!(store.export().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_column_that_the_export_computes_itself_is_refused() {
    let error = Store::new(&[("1.parquet", records(&["a"], &[("IdentityMap", text(&[None]))]))])
        .refusal()
        .await;
    assert_eq!(error.code(), code::INVALID_STORE);
    assert!(error.to_string().contains("IdentityMap"), "{error}");
}

#[tokio::test]
async fn a_type_that_delta_cannot_hold_is_refused_only_where_it_is_written() {
    let at: ArrayRef = Arc::new(Time64MicrosecondArray::from(vec![1]));
    let store = Store::new(&[(
        "1.parquet",
        records(&["a"], &[("at", at), ("city", text(&[Some("Bern")]))]),
    )]);
    let error = store.refusal().await;
    assert_eq!(error.code(), code::COLUMN_TYPE);
    assert!(error.to_string().starts_with("at is Time64"), "{error}");
    assert_eq!(store.fields("city").export().await.unwrap(), ["Bern"]);
}

#[tokio::test]
async fn unsigned_numbers_keep_all_their_values() {
    let big: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    let store = Store::new(&[("1.parquet", records(&["a"], &[("n", big)]))]).fields("n");
    assert_eq!(store.export().await.unwrap(), ["18446744073709551615"]);
}

#[tokio::test]
async fn a_time_that_microseconds_cannot_hold_is_an_error_with_the_column() {
    let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX / 1000]));
    let far = datafusion::arrow::compute::cast(
        &far,
        &DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Millisecond, None),
    );
    let far = far.unwrap();
    let error = Store::new(&[("1.parquet", records(&["a"], &[("far", far)]))])
        .fields("far")
        .export()
        .await
        .unwrap_err();
    assert_eq!(error.code(), code::COLUMN_TYPE);
    assert!(error.to_string().contains("column far"), "{error}");
}

#[tokio::test]
async fn a_table_takes_part_as_it_is() {
    let batch = rows(&[
        ("customer_id", Arc::new(Int64Array::from(vec![7])) as ArrayRef),
        ("updated_at", times(&[5])),
        ("email", text(&[Some("a@b.c")])),
        ("secret", text(&[Some("x")])),
    ]);
    let mut store = Store::new(&[("1.parquet", batch)]);
    let table = &mut store.plan.store.fragments[0];
    table.dataset = Some("crm".to_owned());
    table.only_mapped = true;
    table.columns = [
        ("ups_namespace".to_owned(), value("crm")),
        ("ups_identity".to_owned(), column("customer_id")),
        ("ups_timestamp".to_owned(), column("updated_at")),
        ("personalEmail.address".to_owned(), column("email")),
    ]
    .into();
    let written = store.open().await.unwrap().schema;
    assert_eq!(
        written.fields().iter().map(|field| field.name()).collect::<Vec<_>>(),
        ["identityMap", "identities", "segmentMembership", "personalEmail"]
    );
    assert_eq!(
        store.export().await.unwrap(),
        ["{crm: [{id: 7, primary: true}]} | [{id: 7, namespace: {code: crm}, primary: true}] | {} | {address: a@b.c}"]
    );
    store.plan.store.fragments[0]
        .columns
        .insert("city".to_owned(), column("town"));
    let error = store.refusal().await;
    assert_eq!(error.code(), code::MISSING_COLUMN);
    assert!(error.to_string().contains("no column town"), "{error}");
}

#[tokio::test]
async fn lone_identities_and_clusters_of_the_same_name_stay_apart() {
    let mut store = Store::new(&[("1.parquet", records(&["5:emaila", "b"], &[]))]).fields("identities.id");
    let graph = rows(&[
        ("ups_namespace", text(&[Some("email"), Some("email")])),
        ("ups_identity", text(&[Some("b"), Some("c")])),
        ("ups_profile", text(&[Some("5:email5:emaila"), Some("5:email5:emaila")])),
    ]);
    store.plan.store.identities = vec![store.table("identities", &[("1.parquet", graph)])];
    assert_eq!(
        store.export().await.unwrap(),
        ["[{id: 5:emaila}]", "[{id: b}, {id: c}]"]
    );
}

#[tokio::test]
async fn only_members_are_exported() {
    let mut store = Store::new(&[("1.parquet", records(&["a", "b", "c"], &[]))]).fields("identities.id");
    let members = rows(&[
        ("ups_namespace", text(&[Some("email"); 3])),
        ("ups_identity", text(&[Some("a"), Some("b"), Some("c")])),
        ("segmentNs", text(&[Some("UPS"); 3])),
        ("segmentId", text(&[Some("s"), Some("s"), Some("t")])),
        ("status", text(&[None, Some("exited"), Some("realized")])),
        ("lastQualificationTime", times(&[1, 1, 1])),
    ]);
    store.plan.store.memberships = vec![store.table("memberships", &[("1.parquet", members)])];
    store.plan.selection.segments = vec![SegmentSelection {
        namespace: "ups".to_owned(),
        id: "s".to_owned(),
        statuses: vec![SegmentStatus::Realized],
    }];
    assert_eq!(store.export().await.unwrap(), ["[{id: a}]"]);
}

#[tokio::test]
async fn rows_of_a_delta_table_are_as_new_as_their_commit() {
    let store = Store::new(&[]).fields("identities.id");
    let path = store.folder.path().join("delta");
    fs::create_dir_all(&path).unwrap();
    let location = Url::from_directory_path(&path).unwrap();
    for id in ["a", "b"] {
        let batch = without(&records(&[id], &[]), "ups_ingested");
        let table = match deltalake::open_table(location.clone()).await {
            Ok(table) => table,
            Err(_) => DeltaTable::try_from_url(location.clone()).await.unwrap(),
        };
        table.write(vec![batch]).with_save_mode(SaveMode::Append).await.unwrap();
    }
    // The commits' times are what counts: set them apart by hand.
    for (version, time) in [(0, 1000), (1, 3000)] {
        let path = path.join(format!("_delta_log/{version:020}.json"));
        let log = fs::read_to_string(&path).unwrap();
        let lines = log.lines().map(|line| {
            let mut action: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(commit) = action.get_mut("commitInfo") {
                commit["timestamp"] = time.into();
            }
            action.to_string() + "\n"
        });
        fs::write(&path, lines.collect::<String>()).unwrap();
    }
    let mut store = store;
    store.plan.store.fragments = vec![TablePlan {
        format: TableFormat::Delta,
        ..table_at(&path)
    }];
    assert_eq!(store.export().await.unwrap(), ["[{id: a}]", "[{id: b}]"]);
    store.plan.selection.ingested_after = Some(1_000_000);
    assert_eq!(store.export().await.unwrap(), ["[{id: b}]"]);
}

#[tokio::test]
async fn a_delta_table_declared_as_parquet_is_refused() {
    let store = Store::new(&[("1.parquet", records(&["a"], &[]))]);
    fs::create_dir_all(store.folder.path().join("fragments/_delta_log")).unwrap();
    let error = store.refusal().await;
    assert_eq!(error.code(), code::INVALID_STORE);
    assert!(error.to_string().contains("format: delta"), "{error}");
}

#[tokio::test]
async fn events_cannot_be_selected_without_being_asked_for() {
    let error = Store::new(&[]).fields("timeSeriesEvents._id").refusal().await;
    assert_eq!(error.code(), code::UNKNOWN_FIELD);
    assert!(error.to_string().contains("spec.additionalFields.eventList"), "{error}");
}
