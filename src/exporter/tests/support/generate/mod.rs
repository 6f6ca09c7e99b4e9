//! Small random stores and random jobs over them.

mod expression;
mod job;
mod rows;
mod schema;
mod table;

use exportjob_plan::ExportPlan;
use rand::{Rng as _, rngs::StdRng, seq::SliceRandom as _};

use super::{
    plan::plan,
    run::Store,
    table::{Files, Table},
};
use exportjob_api::TableFormat;

/// A job and the store that it reads.
#[derive(Clone, Debug)]
pub struct Case {
    pub plan: ExportPlan,
    pub store: Store,
}

/// Whether rows may differ in nothing but what the specification leaves to a fixed order of the exporter's choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ties {
    /// No such rows: there is one right answer.
    None,
    /// Such rows, too: any answer is right that does not depend on the order of rows and files.
    Some,
}

/// A random case.
pub fn case(rng: &mut StdRng, ties: Ties) -> Case {
    let mut world = table::World::new(rng, ties);
    let mut plan = plan();
    let store = Store {
        fragments: world.tables(rng, table::Kind::Fragments),
        events: world.tables(rng, table::Kind::Events),
        identities: world.tables(rng, table::Kind::Identities),
        memberships: world.tables(rng, table::Kind::Memberships),
    };
    plan.store.fragments = store.fragments.iter().map(|(plan, _)| plan.clone()).collect();
    plan.store.events = store.events.iter().map(|(plan, _)| plan.clone()).collect();
    plan.store.identities = store.identities.iter().map(|(plan, _)| plan.clone()).collect();
    plan.store.memberships = store.memberships.iter().map(|(plan, _)| plan.clone()).collect();
    job::random(rng, &mut plan, &store.data());
    shuffled(rng, &Case { plan, store })
}

/// The same rows, in other files and in another order.
pub fn shuffled(rng: &mut StdRng, case: &Case) -> Case {
    let mut case = case.clone();
    let store = &mut case.store;
    let tables = [
        &mut store.fragments,
        &mut store.events,
        &mut store.identities,
        &mut store.memberships,
    ];
    for (_, table) in tables.into_iter().flatten() {
        lay_out(rng, table);
    }
    case
}

fn lay_out(rng: &mut StdRng, table: &mut Table) {
    if table.format == TableFormat::Parquet {
        table.groups.shuffle(rng);
    }
    for (number, group) in table.groups.iter_mut().enumerate() {
        group.row_group = rng.random_range(1..=4);
        split(rng, group, number);
    }
}

/// Spreads the rows of a group over one to three files.
fn split(rng: &mut StdRng, group: &mut Files, number: usize) {
    let mut rows: Vec<_> = group.files.drain(..).flat_map(|(_, rows)| rows).collect();
    rows.shuffle(rng);
    let files = rng.random_range(1..=3);
    for file in 0..files {
        let folder = ["", "", "d/", "e/f/"][rng.random_range(0..4)];
        let name = format!("{folder}part-{}-{number}-{file}.parquet", rng.random_range(0..100));
        let take = if file + 1 == files {
            rows.len()
        } else {
            rng.random_range(0..=rows.len())
        };
        group.files.push((name, rows.drain(..take).collect()));
    }
}

/// Picks one.
pub(crate) fn pick<'a, T>(rng: &mut StdRng, choices: &'a [T]) -> &'a T {
    &choices[rng.random_range(0..choices.len())]
}

/// True in `percent` of all cases.
pub(crate) fn chance(rng: &mut StdRng, percent: u32) -> bool {
    rng.random_ratio(percent, 100)
}
