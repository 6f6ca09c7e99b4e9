#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray as _, StringArray, TimestampMicrosecondArray},
        compute::concat_batches,
        datatypes::{Field, Fields, Schema},
        util::pretty::pretty_format_batches,
    },
    datasource::memory::MemorySourceConfig,
    execution::runtime_env::RuntimeEnvBuilder,
    prelude::{SessionConfig, SessionContext},
};
use exportjob_plan::{AttributeRule, BatchPlan, Selection, UpsertDatasets, batch_id};
use futures::TryStreamExt as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::*;
use crate::{
    fields::types::{TEXT, struct_of},
    merge::{EventWindow, FragmentRules, IDENTITIES, identities_type},
    read::{Kind, Wanted},
    select::Audience,
    stitch::nothing,
};

/// A record: profile, identity, dataset, time of ingestion, values of `a.b` and `a.c`.
type Record = (String, &'static str, &'static str, i64, [Option<String>; 2]);

fn attributes() -> Fields {
    vec![Field::new("a", struct_of([("b", TEXT), ("c", TEXT)]), true)].into()
}

fn batch(records: &[Record]) -> RecordBatch {
    let text = |value: fn(&Record) -> Option<&str>| -> ArrayRef {
        Arc::new(records.iter().map(value).collect::<StringArray>())
    };
    let times: Vec<i64> = records.iter().map(|record| record.3).collect();
    let ingested: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"));
    let none: ArrayRef = Arc::new(TimestampMicrosecondArray::new_null(records.len()).with_timezone("UTC"));
    RecordBatch::try_from_iter_with_nullable([
        ("__key", text(|record| Some(&record.0)), true),
        ("ups_namespace", text(|_| Some("n")), true),
        ("ups_identity", text(|record| Some(record.1)), true),
        ("ups_dataset", text(|record| Some(record.2)), true),
        ("ups_timestamp", none, true),
        ("ups_ingested", ingested, true),
        ("5", text(|record| record.4[0].as_deref()), true),
        ("6", text(|record| record.4[1].as_deref()), true),
    ])
    .unwrap()
}

fn merge(batches: Vec<RecordBatch>) -> ProfileMergeExec {
    let schema = batch(&[]).schema();
    let empty = |kind: Kind| {
        let roles: Vec<Wanted> = kind.roles().iter().map(|role| Wanted::Role(*role)).collect();
        nothing(&Wanted::schema(&roles), 1)
    };
    let inputs = MergeInputs {
        fragments: MemorySourceConfig::try_new_exec(&[batches], schema, None).unwrap(),
        events: empty(Kind::Events),
        identities: empty(Kind::Identities),
        memberships: empty(Kind::Memberships),
    };
    let computed: Schema = Schema::new(vec![Field::new(IDENTITIES, identities_type(), true)]);
    let shape = Shape {
        written: computed.fields().iter().chain(&attributes()).cloned().collect(),
        attributes: attributes(),
        events: Fields::empty(),
        has_valid_until: false,
        membership: Fields::empty(),
    };
    let selection = Selection {
        segments: Vec::new(),
        qualified_from: None,
        qualified_to: None,
        ingested_after: None,
        empty_profiles: false,
    };
    let rules = Rules {
        evaluation: None,
        fragments: FragmentRules::new(
            &AttributeRule::TimestampOrdered,
            &UpsertDatasets::Listed(vec!["up".to_owned()]),
        ),
        events: EventWindow::default(),
        audience: Audience::new(
            &selection,
            &[BatchPlan {
                id: batch_id("u", None),
                segment: None,
            }],
        ),
        by_identity: false,
    };
    ProfileMergeExec::new(inputs, shape, rules)
}

async fn merged(batches: Vec<RecordBatch>) -> Vec<RecordBatch> {
    let stream = merge(batches).execute(0, SessionContext::new().task_ctx()).unwrap();
    stream.try_collect().await.unwrap()
}

/// Records of some profiles, sorted by profile.
fn random(rng: &mut StdRng, profiles: usize) -> Vec<Record> {
    let mut records = Vec::new();
    for profile in 0..profiles {
        for _ in 0..rng.random_range(0..4) {
            let mut value = || rng.random_bool(0.5).then(|| format!("v{}", rng.random_range(0..100)));
            let values = [value(), value()];
            let identity = ["x", "y"].choose(rng).unwrap();
            let dataset = ["crm", "up"].choose(rng).unwrap();
            records.push((
                format!("{profile:06}"),
                *identity,
                *dataset,
                rng.random_range(0..9),
                values,
            ));
        }
    }
    records
}

/// The records cut into batches of random sizes, some of them empty.
fn cut(rng: &mut StdRng, records: &[Record]) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        let (first, others) = rest.split_at(rng.random_range(0..=rest.len().min(3)));
        batches.push(batch(first));
        rest = others;
    }
    batches
}

#[tokio::test]
async fn where_batches_end_does_not_matter() {
    for seed in 0..50 {
        let mut rng = StdRng::seed_from_u64(seed);
        let records = random(&mut rng, 20);
        let text = |batches: &[RecordBatch]| pretty_format_batches(batches).unwrap().to_string();
        let schema = merge(Vec::new()).schema();
        let whole = concat_batches(&schema, &merged(vec![batch(&records)]).await).unwrap();
        let pieces = concat_batches(&schema, &merged(cut(&mut rng, &records)).await).unwrap();
        assert_eq!(text(&[pieces]), text(&[whole]), "seed {seed}");
    }
}

#[tokio::test]
async fn many_profiles_come_in_several_batches_and_none_is_lost() {
    let records: Vec<Record> = (0..10_000)
        .map(|number| {
            (
                format!("{number:06}"),
                "x",
                "crm",
                1,
                [Some(format!("v{number}")), None],
            )
        })
        .collect();
    let batches: Vec<RecordBatch> = records.chunks(1000).map(batch).collect();
    let merged = merged(batches).await;
    assert!(merged.iter().all(|batch| batch.num_rows() <= BATCH_PROFILES));
    let values: Vec<String> = merged
        .iter()
        .flat_map(|batch| {
            let column = batch.column_by_name("a").unwrap().as_struct().column(0).clone();
            column
                .as_string_view()
                .iter()
                .map(|value| value.unwrap().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(
        values,
        (0..10_000).map(|number| format!("v{number}")).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn with_little_memory_batches_are_small() {
    let value = "v".repeat(10_000);
    let records: Vec<Record> = (0..1000)
        .map(|number| (format!("{number:06}"), "x", "crm", 1, [Some(value.clone()), None]))
        .collect();
    let batches: Vec<RecordBatch> = records.chunks(50).map(batch).collect();
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(32 << 20, 1.0)
        .build_arc()
        .unwrap();
    let context = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
    let stream = merge(batches).execute(0, context.task_ctx()).unwrap();
    let rows: Vec<usize> = stream.map_ok(|batch| batch.num_rows()).try_collect().await.unwrap();
    assert_eq!(rows.iter().sum::<usize>(), 1000);
    // A sixteenth of the memory is 2 MiB: some 200 values, and those of the batch that goes beyond it.
    assert!(rows.iter().all(|rows| *rows <= 300), "{rows:?}");
}

#[tokio::test]
async fn rows_that_nothing_else_tells_apart_are_ordered_by_their_values() {
    let record = |b: &str, c: Option<&str>| -> Record {
        ("p".to_owned(), "x", "up", 1, [Some(b.to_owned()), c.map(str::to_owned)])
    };
    let (one, other) = (record("1", Some("1")), record("2", None));
    let forth = merged(vec![batch(&[one.clone(), other.clone()])]).await;
    let back = merged(vec![batch(&[other, one])]).await;
    assert_eq!(forth, back);
    let a = forth[0].column_by_name("a").unwrap().as_struct();
    let value = |column: usize| a.column(column).as_string_view().value(0);
    assert_eq!(
        (value(0), value(1)),
        ("2", "1"),
        "the greater row first, the other one in its gaps"
    );
}
