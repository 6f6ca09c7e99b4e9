//! Which rows of each table take part.

use std::collections::HashSet;

use exportjob_plan::{AttributeRule, ExportPlan};

use crate::{
    project::columns::Tables,
    read::{Condition, Kind, RowFilter, StoreTable},
};

/// Which rows of each table take part in an export.
pub(super) struct Filters {
    fragments: RowFilter,
    events: RowFilter,
    memberships: RowFilter,
}

impl Filters {
    /// As the plan's merge policy and its start say.
    pub fn of(plan: &ExportPlan) -> Self {
        let listed = |datasets: &Vec<String>| datasets.iter().cloned().collect::<HashSet<_>>();
        let datasets = match &plan.merge_policy.attributes {
            AttributeRule::TimestampOrdered => None,
            AttributeRule::DataSetPrecedence(order) => Some(listed(order)),
        };
        Self {
            fragments: RowFilter {
                datasets,
                ..RowFilter::default()
            },
            events: RowFilter {
                datasets: plan.merge_policy.event_datasets.as_ref().map(listed),
                ..RowFilter::default()
            },
            memberships: RowFilter {
                valid_at: Some(plan.started_at),
                ..RowFilter::default()
            },
        }
    }

    /// Those of a table.
    pub fn of_kind(&self, kind: Kind) -> RowFilter {
        match kind {
            Kind::Fragments => self.fragments.clone(),
            Kind::Events => self.events.clone(),
            Kind::Memberships => self.memberships.clone(),
            Kind::Identities => RowFilter::default(),
        }
    }
}

/// What every profile of the audience has a row for, each with the table that tells: who has none is not in it.
pub(super) fn conditions<'a>(plan: &ExportPlan, tables: &'a Tables) -> Vec<(Condition, &'a StoreTable)> {
    let selection = &plan.selection;
    let mut conditions = Vec::new();
    if let Some(table) = &tables.memberships
        && !selection.segments.is_empty()
        && plan.evaluation.is_none()
    {
        conditions.push((Condition::Member(selection.clone()), table));
    }
    if let Some(after) = selection.ingested_after
        && !selection.empty_profiles
    {
        conditions.push((Condition::IngestedAfter(after), &tables.fragments));
    }
    conditions
}
