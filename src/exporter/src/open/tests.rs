#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod store;

use std::{fs, sync::Arc};

use datafusion::arrow::{
    array::{
        ArrayRef, Date32Array, Int32Array, Int64Array, RecordBatch, StructArray, Time64MicrosecondArray,
        TimestampSecondArray, UInt64Array,
    },
    datatypes::{DataType, Field, Fields},
};
use deltalake::{DeltaTable, protocol::SaveMode};
use exportjob_api::{SegmentStatus, TableFormat};
use exportjob_plan::{EventPlan, FieldSelection, SegmentSelection, TablePlan, code};
use url::Url;

use self::store::{Store, column, records, rows, table_at, text, times, value, without};

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
async fn a_folder_that_is_not_there_is_unreadable_and_not_worth_another_try() {
    let mut store = Store::new(&[]);
    store.plan.store.fragments[0].location = Url::parse("file:///not/there/").unwrap();
    let error = store.refusal().await;
    assert_eq!(
        (error.code(), error.exit_code()),
        (code::STORE_UNREADABLE, exportjob_plan::exit::USER_ERROR)
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
async fn a_mapped_column_is_null_in_files_from_before_it_came() {
    let old = records(&["a"], &[("city", text(&[Some("not this one")]))]);
    let new = records(&["b"], &[("town", text(&[Some("Bern")]))]);
    let mut store = Store::new(&[("1.parquet", old), ("2.parquet", new)]).fields("city");
    store.plan.store.fragments[0].columns = [("city".to_owned(), column("town"))].into();
    assert_eq!(store.export().await.unwrap(), ["Bern", "null"]);
}

#[tokio::test]
async fn a_date_is_a_time_too() {
    let days: ArrayRef = Arc::new(Date32Array::from(vec![2, 3]));
    let dated = without(&records(&["a", "b"], &[("day", days.clone())]), "ups_ingested");
    let columns = dated
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect::<Vec<_>>();
    let dated = columns
        .into_iter()
        .zip(dated.columns().iter().cloned())
        .chain([("ups_ingested".to_owned(), days)]);
    let dated = RecordBatch::try_from_iter(dated).unwrap();
    let mut store = Store::new(&[("1.parquet", dated)]).fields("day");
    store.plan.selection.ingested_after = Some(2 * 86_400_000_000);
    assert_eq!(store.export().await.unwrap(), ["1970-01-04"]);
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
async fn a_delta_table_may_be_partitioned_by_any_text() {
    const PLACES: [&str; 5] = ["12:30", "50% off", "a/b", "ä #1?", "plain"];
    let mut store = Store::new(&[]).fields("place,identities.id");
    let path = store.folder.path().join("delta");
    fs::create_dir_all(&path).unwrap();
    let places = text(&PLACES.map(Some));
    let batch = without(
        &records(&["a", "b", "c", "d", "e"], &[("place", places)]),
        "ups_ingested",
    );
    let table = DeltaTable::try_from_url(Url::from_directory_path(&path).unwrap())
        .await
        .unwrap();
    table
        .write(vec![batch])
        .with_partition_columns(["place"])
        .await
        .unwrap();
    store.plan.store.fragments = vec![TablePlan {
        format: TableFormat::Delta,
        ..table_at(&path)
    }];
    // Without a time of their own, rows have that of the commit, which is found by the files' names.
    store.plan.selection.ingested_after = Some(0);
    let mut expected: Vec<String> = PLACES
        .iter()
        .zip(["a", "b", "c", "d", "e"])
        .map(|(place, id)| format!("[{{id: {id}}}] | {place}"))
        .collect();
    expected.sort();
    assert_eq!(store.export().await.unwrap(), expected);
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

/// Thirty thousand identities, three of them in each cluster, each with a record and a membership.
fn large_store() -> Store {
    const IDENTITIES: usize = 30_000;
    let ids: Vec<String> = (0..IDENTITIES).map(|number| format!("identity-{number:06}")).collect();
    let clusters: Vec<String> = (0..IDENTITIES)
        .map(|number| format!("cluster-{}", number % (IDENTITIES / 3)))
        .collect();
    let texts = |values: &[String]| text(&values.iter().map(|value| Some(value.as_str())).collect::<Vec<_>>());
    let same = |value| text(&vec![Some(value); IDENTITIES]);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut store = Store::new(&[(
        "1.parquet",
        records(&ids, &[("name", same("a name that takes some room"))]),
    )]);
    let owners = [
        ("ups_namespace", same("email")),
        ("ups_identity", text(&ids.iter().copied().map(Some).collect::<Vec<_>>())),
    ];
    let graph = rows(&[owners.as_slice(), &[("ups_profile", texts(&clusters))]].concat());
    let statuses: Vec<Option<&str>> = (0..IDENTITIES)
        .map(|number| Some(if number % 4 == 0 { "realized" } else { "exited" }))
        .collect();
    let qualified: Vec<i64> = (0..).take(IDENTITIES).collect();
    let own = [
        ("segmentNs", same("ups")),
        ("segmentId", same("s")),
        ("status", text(&statuses)),
        ("lastQualificationTime", times(&qualified)),
    ];
    let members = rows(&[owners.as_slice(), &own].concat());
    store.plan.store.identities = vec![store.table("identities", &[("1.parquet", graph)])];
    store.plan.store.memberships = vec![store.table("memberships", &[("1.parquet", members)])];
    store.plan.selection.segments = vec![SegmentSelection {
        namespace: "ups".to_owned(),
        id: "s".to_owned(),
        statuses: vec![SegmentStatus::Realized],
    }];
    store.fields("identities.id,name,segmentMembership.status")
}

#[tokio::test]
async fn what_does_not_fit_into_memory_is_joined_and_sorted_on_disk_with_the_same_result() {
    let mut store = large_store();
    let in_memory = store.export().await.unwrap();
    // The newest membership of cluster n is that of identity 20,000 + n: a fourth of them is realized.
    assert_eq!(in_memory.len(), 2500);
    store.memory_bytes = 64 << 20;
    assert!(
        in_memory == store.export().await.unwrap(),
        "other rows with less memory"
    );
}

#[tokio::test]
async fn wide_rows_and_events_are_sorted_on_disk_too() {
    let mut store = large_store();
    let ids: Vec<String> = (0..30_000)
        .map(|number| format!("identity-{:06}", number % 3000))
        .collect();
    let ids: Vec<Option<&str>> = ids.iter().map(|id| Some(id.as_str())).collect();
    let same = |value| text(&vec![Some(value); ids.len()]);
    let numbers: Vec<String> = (0..ids.len()).map(|number| format!("{number:0>1000}")).collect();
    let numbers = text(&numbers.iter().map(|number| Some(number.as_str())).collect::<Vec<_>>());
    let times = times(&(0..).take(ids.len()).collect::<Vec<_>>());
    let events = rows(&[
        ("ups_namespace", same("email")),
        ("ups_identity", text(&ids)),
        ("ups_dataset", same("web")),
        ("ups_ingested", times.clone()),
        ("_id", numbers),
        ("timestamp", times),
    ]);
    store.plan.store.events = vec![store.table("events", &[("1.parquet", events)])];
    store.plan.events = Some(EventPlan {
        fields: FieldSelection::All,
        ingested_after: None,
        ingested_before: None,
    });
    store = store.fields("identities.id,timeSeriesEvents._id");
    store.memory_bytes = 1 << 30;
    let in_memory = store.export().await.unwrap();
    store.memory_bytes = 96 << 20;
    let on_disk = store
        .export()
        .await
        .unwrap_or_else(|error| panic!("{error} {:?}", error.reported()));
    assert!(in_memory == on_disk, "other rows with less memory");
}
