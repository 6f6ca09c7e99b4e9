//! Random small stores and random jobs: the exporter against the plain reference, row by row.
//!
//! `EXPORTJOB_CASES` sets the number of cases (seeds 0 and up), `EXPORTJOB_SEED` runs the case of one seed and, if it
//! fails, takes away what the failure does not need.
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

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use exportjob_exporter::{KEY_COLUMN, Shard};
use exportjob_plan::{BucketingPlan, code};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::runtime::{Builder, Runtime};

use support::{
    generate::{Case, Ties, case, shuffled},
    run::{self, Answer},
    shrink::shrink,
};

/// Cases of one run unless told otherwise: some seconds.
const CASES: u64 = 1000;

type Check = fn(&Runtime, &Case, u64) -> Result<(), String>;

#[test]
fn an_export_is_what_the_specification_says_row_by_row() {
    run_cases(Ties::None, equals_the_reference);
}

#[test]
fn a_graph_that_does_not_fit_into_memory_changes_nothing() {
    run_cases(Ties::None, |runtime, case, _| {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = case.plan.clone();
        case.store.write(folder.path(), &mut plan);
        let answer = runtime.block_on(run::export_with_little_memory(&plan, folder.path()));
        let answer = answer.map_err(|error| format!("the exporter failed: {} {error}", error.code()))?;
        let expected = reference::export(&case.plan, &case.store.data())
            .map_err(|path| format!("the generator made an unknown path: {path}"))?;
        same(
            &run::lines(&expected),
            &run::lines(&answer.exported),
            "the reference",
            "the exporter",
        )
    });
}

#[test]
fn an_export_does_not_depend_on_the_order_of_rows_and_files() {
    run_cases(Ties::Some, survives_a_shuffle);
}

#[test]
fn a_bucketed_store_gives_what_the_store_that_it_was_made_of_gives() {
    run_cases(Ties::None, equals_the_reference_in_buckets);
}

fn equals_the_reference_in_buckets(runtime: &Runtime, case: &Case, seed: u64) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut plan = case.plan.clone();
    case.store.write(folder.path(), &mut plan);
    let bucketing = BucketingPlan {
        column: KEY_COLUMN.to_owned(),
        count: rng.random_range(1..=5),
        sorted: rng.random(),
    };
    let new = folder.path().join("bucketed");
    match runtime.block_on(run::rebucket(&mut plan, &new, &bucketing)) {
        Ok(()) => {}
        // Of columns on which files disagree an export may make no use; the rewriting takes all columns.
        Err(error) if error.code() == code::COLUMN_TYPE => return Ok(()),
        Err(error) => return Err(format!("rewriting failed: {} {error}", error.code())),
    }
    let shards = rng.random_range(1..=3);
    let mut lines = Vec::new();
    for index in 0..shards {
        let shard = Shard { index, count: shards };
        let answer = runtime.block_on(run::export_shard(&plan, folder.path(), shard));
        let answer = answer.map_err(|error| format!("the exporter failed: {} {error}", error.code()))?;
        lines.extend(run::lines(&answer.exported));
    }
    lines.sort();
    let expected = reference::export(&case.plan, &case.store.data())
        .map_err(|path| format!("the generator made an unknown path: {path}"))?;
    same(&run::lines(&expected), &lines, "the reference", "the shards")
}

fn equals_the_reference(runtime: &Runtime, case: &Case, _seed: u64) -> Result<(), String> {
    let answer = answer(runtime, case)?;
    let expected = reference::export(&case.plan, &case.store.data())
        .map_err(|path| format!("the generator made an unknown path: {path}"))?;
    same(
        &run::lines(&expected),
        &run::lines(&answer.exported),
        "the reference",
        "the exporter",
    )?;
    let counts = run::count(&expected, case.plan.batches.len());
    if counts == answer.by_namespace {
        return Ok(());
    }
    Err(format!(
        "profiles by namespace: the reference has {counts:?}, the exporter {:?}",
        answer.by_namespace
    ))
}

fn survives_a_shuffle(runtime: &Runtime, case: &Case, seed: u64) -> Result<(), String> {
    let other = shuffled(&mut StdRng::seed_from_u64(!seed), case);
    let (first, second) = (answer(runtime, case)?, answer(runtime, &other)?);
    same(
        &run::lines(&first.exported),
        &run::lines(&second.exported),
        "one order",
        "the other order",
    )?;
    if first.by_namespace == second.by_namespace {
        Ok(())
    } else {
        Err("profiles by namespace differ".to_owned())
    }
}

fn answer(runtime: &Runtime, case: &Case) -> Result<Answer, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = case.plan.clone();
    case.store.write(folder.path(), &mut plan);
    let run = || runtime.block_on(run::export(&plan, folder.path()));
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!(
            "the exporter failed: {} {error}\n{:?}",
            error.code(),
            error.reported().call_stack
        )),
        Err(_) => Err("the exporter panicked".to_owned()),
    }
}

fn same(left: &[String], right: &[String], left_name: &str, right_name: &str) -> Result<(), String> {
    let only = |these: &[String], those: &[String]| -> String {
        these
            .iter()
            .filter(|line| !those.contains(line))
            .map(|line| format!("\n  {line}"))
            .collect()
    };
    if left == right {
        return Ok(());
    }
    Err(format!(
        "{} and {} rows\nonly {left_name}:{}\nonly {right_name}:{}",
        left.len(),
        right.len(),
        only(left, right),
        only(right, left)
    ))
}

fn run_cases(ties: Ties, check: Check) {
    if let Some(seed) = number("EXPORTJOB_SEED") {
        run_one(seed, ties, check);
        return;
    }
    let cases = number("EXPORTJOB_CASES").unwrap_or(CASES);
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let runtime = runtime();
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= cases || failures.lock().unwrap().len() >= 10 {
            return;
        }
        let case = case(&mut StdRng::seed_from_u64(seed), ties);
        if let Err(why) = check(&runtime, &case, seed) {
            failures.lock().unwrap().push(format!("seed {seed}: {why}"));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {cases} cases fail; EXPORTJOB_SEED=<seed> shows one of them small\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn run_one(seed: u64, ties: Ties, check: Check) {
    let runtime = runtime();
    let case = case(&mut StdRng::seed_from_u64(seed), ties);
    let fails = |case: &Case| check(&runtime, case, seed).err();
    if let Some(why) = fails(&case) {
        let small = shrink(case, &|case| fails(case).is_some());
        let why = fails(&small).unwrap_or(why);
        panic!("seed {seed}: {why}\n{}", support::shrink::show(&small));
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}"))
    })
}
