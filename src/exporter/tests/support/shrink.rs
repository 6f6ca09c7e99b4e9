//! Makes a failing case small.

use std::{
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
};

use exportjob_plan::{ExportPlan, FieldSelection, TablePlan};

use super::{arrow::Encoding, generate::Case, run::Store, table::Table};

type Tables = Vec<(TablePlan, Table)>;

fn tables(store: &mut Store) -> [&mut Tables; 4] {
    [
        &mut store.fragments,
        &mut store.events,
        &mut store.identities,
        &mut store.memberships,
    ]
}

fn plans(plan: &mut ExportPlan) -> [&mut Vec<TablePlan>; 4] {
    let store = &mut plan.store;
    [
        &mut store.fragments,
        &mut store.events,
        &mut store.identities,
        &mut store.memberships,
    ]
}

/// Takes away what the failure does not need.
pub fn shrink(mut case: Case, fails: &dyn Fn(&Case) -> bool) -> Case {
    loop {
        let smaller = candidates(&case)
            .into_iter()
            .find(|smaller| catch_unwind(AssertUnwindSafe(|| fails(smaller))).unwrap_or(false));
        match smaller {
            Some(smaller) => case = smaller,
            None => return case,
        }
    }
}

/// Everything that is one step smaller.
fn candidates(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Case)| {
        let mut smaller = case.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    if case.plan.events.is_some() {
        add(&|case| case.plan.events = None);
    }
    if case.plan.fields != FieldSelection::All {
        add(&|case| case.plan.fields = FieldSelection::All);
    }
    let definitions = case
        .plan
        .evaluation
        .as_ref()
        .map_or(0, |evaluation| evaluation.definitions.len());
    for number in 0..definitions {
        for simple in ["true", "false"] {
            add(&|case| {
                let definitions = case
                    .plan
                    .evaluation
                    .iter_mut()
                    .flat_map(|evaluation| &mut evaluation.definitions);
                for definition in definitions
                    .skip(number)
                    .take(1)
                    .filter(|other| other.expression.len() > 5)
                {
                    definition.expression = simple.to_owned();
                }
            });
        }
    }
    for kind in 0..4 {
        let mut copy = case.store.clone();
        for (number, (_, table)) in tables(&mut copy)[kind].iter().enumerate() {
            if kind > 0 {
                add(&|case| {
                    tables(&mut case.store)[kind].remove(number);
                    plans(&mut case.plan)[kind].remove(number);
                });
            }
            for (group_number, group) in table.groups.iter().enumerate() {
                if group.encoding != Encoding::default() {
                    add(&|case| {
                        tables(&mut case.store)[kind][number].1.groups[group_number].encoding = Encoding::default()
                    });
                }
                for (file_number, (_, rows)) in group.files.iter().enumerate() {
                    for row in 0..rows.len() {
                        add(&|case| {
                            drop(
                                tables(&mut case.store)[kind][number].1.groups[group_number].files[file_number]
                                    .1
                                    .remove(row),
                            );
                        });
                    }
                    if rows.is_empty() {
                        add(&|case| {
                            drop(
                                tables(&mut case.store)[kind][number].1.groups[group_number]
                                    .files
                                    .remove(file_number),
                            )
                        });
                    }
                }
            }
        }
    }
    all
}

/// The case in words.
pub fn show(case: &Case) -> String {
    let mut text = format!(
        "{:#?}\n",
        (
            &case.plan.merge_policy,
            &case.plan.selection,
            &case.plan.evaluation,
            &case.plan.fields,
            &case.plan.events
        )
    );
    let _ = writeln!(
        text,
        "upsert {:?}, batches {:?}",
        case.plan.store.upsert_datasets,
        case.plan.batches.len()
    );
    let mut store = case.store.clone();
    for (kind, tables) in ["fragments", "events", "identities", "memberships"]
        .iter()
        .zip(tables(&mut store))
    {
        for (number, (plan, table)) in tables.iter().enumerate() {
            let _ = writeln!(
                text,
                "{kind}-{number}: {:?} dataset {:?} only {}",
                table.format, plan.dataset, plan.only_mapped
            );
            for (path, source) in &plan.columns {
                let _ = writeln!(text, "  map {path} <- {:?} {:?}", source.column, source.value);
            }
            for group in &table.groups {
                let _ = writeln!(
                    text,
                    "  written {} {:?}\n    {:?}",
                    group.written, group.encoding, group.columns
                );
                for (path, rows) in &group.files {
                    let _ = writeln!(text, "    {path}");
                    for row in rows {
                        let _ = writeln!(text, "      {}", serde_json::Value::Object(row.clone()));
                    }
                }
            }
        }
    }
    text
}
