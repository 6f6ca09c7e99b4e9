//! From the plan's definitions to programs over the columns that the store has.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::Fields;
use exportjob_plan::{DefinitionPlan, EvaluationPlan, ExportPlan, PlanError, SegmentSelection, code};
use exportjob_pql::{Clock, Expr, Program, Schema, Typed, check, dependencies};

use super::{
    Evaluation, Segment,
    columns::{Columns, Hidden, place, schema},
};
use crate::{
    Error, Result,
    merge::Shape,
    project::columns::{Tables, event_columns},
};

/// The definitions of a plan, read.
pub(crate) struct Definitions<'p> {
    plan: &'p EvaluationPlan,
    parsed: Vec<Parsed<'p>>,
}

struct Parsed<'p> {
    definition: &'p DefinitionPlan,
    text: String,
    expr: Expr,
}

impl<'p> Definitions<'p> {
    /// Reads the definitions; `None`: the plan takes all memberships as they are stored.
    pub fn read(plan: &'p ExportPlan) -> Result<Option<Self>> {
        let listed = &plan.selection.segments;
        let Some(plan) = &plan.evaluation else { return Ok(None) };
        if let Some(segment) = listed.iter().find(|segment| !is_defined(plan, segment)) {
            return Err(Error::new(
                code::REFERENCE_NOT_FOUND,
                format!(
                    "the plan evaluates the segment {:?} (namespace {:?}) and has no definition of it: create the ExportJob again; plans are made by the operator, not by hand",
                    segment.id, segment.namespace
                ),
            ));
        }
        let parsed = plan.definitions.iter().enumerate().map(|(place, definition)| {
            let (text, expr) = definition.parse().map_err(|error| refused(&error))?;
            match dependencies(&expr)
                .into_iter()
                .find(|id| plan.asked_for(id) >= Some(place))
            {
                Some(id) => Err(too_late(definition, id)),
                None => Ok(Parsed { definition, text, expr }),
            }
        });
        Ok(Some(Self {
            plan,
            parsed: parsed.collect::<Result<_>>()?,
        }))
    }

    /// Whether one of them asks for events.
    pub fn ask_for_events(&self) -> Result<bool> {
        let typed = self.check(&Schema::any())?;
        Ok(typed.iter().any(|typed| typed.reads().asks_for_events))
    }

    /// Programs for this store, of which `shape` is read anyway, and what has to be read for them besides.
    ///
    /// # Errors
    /// An expression asks for what the store does not have, or for what its types do not allow.
    pub fn compile(&self, plan: &ExportPlan, tables: &Tables, shape: &Shape) -> Result<(Evaluation, Hidden)> {
        let (attributes, events) = (tables.fragments.fields(), event_columns(tables.events.as_ref()));
        let typed = self.check(&schema(&attributes, &events))?;
        let paths = |typed: &Typed, of_event: bool| {
            let reads = typed.reads();
            if of_event {
                reads.event.clone()
            } else {
                reads.profile.clone()
            }
        };
        let union = |of_event: bool| -> Vec<Vec<String>> {
            let all: BTreeSet<_> = typed.iter().flat_map(|typed| paths(typed, of_event)).collect();
            all.into_iter().collect()
        };
        let profile = place(&attributes, &union(false), &shape.attributes);
        let event = place(&events, &union(true), &shape.events);
        tables.fragments.check(&profile.fields)?;
        if let Some(events) = &tables.events {
            events.check(&event.fields)?;
        }
        let hidden = Hidden {
            attributes: profile.hidden,
            events: event.hidden,
        };
        let columns = Columns {
            profile: profile.columns,
            event: event.columns,
        };
        let segments = self.programs(&profile.fields, &event.fields)?;
        let evaluation = Evaluation {
            segments,
            columns,
            states: plan.store.membership_states,
            evaluated_at: self.plan.evaluated_at,
            asks_for_events: typed.iter().any(|typed| typed.reads().asks_for_events),
        };
        Ok((evaluation, hidden))
    }

    /// The programs, whose fields are found by their places among these.
    fn programs(&self, profile: &Fields, event: &Fields) -> Result<Vec<Segment>> {
        let typed = self.check(&schema(profile, event)).map_err(|error| {
            Error::new(
                code::INTERNAL,
                "an expression fits the store, but not what is read of it",
            )
            .caused_by(error)
        })?;
        let clock = Clock::new(self.plan.evaluated_at);
        let segments = self.parsed.iter().zip(typed).map(|(parsed, typed)| Segment {
            namespace: parsed.definition.namespace.clone(),
            id: parsed.definition.id.clone(),
            program: Program::new(&typed, clock.clone()),
            asked: typed.segments().iter().map(|id| self.plan.asked_for(id)).collect(),
            listed: parsed.definition.listed,
        });
        Ok(segments.collect())
    }

    fn check(&self, schema: &Schema) -> Result<Vec<Typed>> {
        let typed = self.parsed.iter().map(|parsed| {
            check(&parsed.expr, schema)
                .and_then(Typed::into_segment)
                .map_err(|error| refused(&parsed.definition.refused(&error, &parsed.text)))
        });
        typed.collect()
    }
}

fn is_defined(plan: &EvaluationPlan, segment: &SegmentSelection) -> bool {
    plan.definitions.iter().any(|definition| {
        definition.listed
            && definition.id == segment.id
            && definition.namespace.eq_ignore_ascii_case(&segment.namespace)
    })
}

/// Each segment is computed after those that it asks for; in a circle none can be.
fn too_late(definition: &DefinitionPlan, asked: &str) -> Error {
    Error::new(
        code::PQL_CYCLE,
        format!(
            "SegmentDefinition {:?}: spec.expression: it asks for the segment {asked:?}, which the plan does not compute before it: take inSegment() out of one of them, if they ask for each other, and create the ExportJob again",
            definition.id
        ),
    )
}

fn refused(error: &PlanError) -> Error {
    Error::new(error.code(), error.to_string())
}
