//! Which segments a job computes anew, and all that this takes.

use std::collections::BTreeMap;

use exportjob_api::{DEFAULT_SEGMENT_NAMESPACE, ExpressionFormat, SegmentDefinition};
use exportjob_pql::{Diagnostic, Expr, Schema, check, dependencies, order, parse, parse_json};
use serde::{Deserialize, Serialize};

use crate::{PlanError, Reference, SegmentSelection, fields::nearest};

/// Most bytes of all expressions of a job together: a plan has to fit into a ConfigMap.
pub(crate) const EXPRESSION_BYTES: usize = 512 * 1024;

/// Most bytes of what is said about an expression: it stands in statuses and conditions.
const MESSAGE_BYTES: usize = 1024;

/// The segments that are computed instead of being read from the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvaluationPlan {
    /// The time that `now` is, and that a membership which begins or ends has qualified at: microseconds.
    pub evaluated_at: i64,
    /// The listed segments and those that they ask for with `inSegment`, each after those that it asks for itself.
    pub definitions: Vec<DefinitionPlan>,
}

impl EvaluationPlan {
    /// Place of the definition that `inSegment(id)` means, among [`Self::definitions`]; `None`: the membership is as stored.
    pub fn asked_for(&self, id: &str) -> Option<usize> {
        self.definitions
            .iter()
            .position(|definition| definition.id == id && definition.is_asked_for())
    }
}

/// Who is in a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DefinitionPlan {
    /// Namespace of the segment, as its definition spells it.
    pub namespace: String,
    /// Id of the segment: the name of its SegmentDefinition.
    pub id: String,
    /// Form of the expression.
    pub format: ExpressionFormat,
    /// The expression.
    pub expression: String,
    /// Whether the job lists the segment: its memberships are then written anew.
    pub listed: bool,
}

impl DefinitionPlan {
    /// Reads the expression. With it comes the text that places in it are of.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(&self) -> Result<(String, Expr), PlanError> {
        match self.format {
            ExpressionFormat::Text => parse(&self.expression).map(|expr| (self.expression.clone(), expr)),
            ExpressionFormat::Json => parse_json(&self.expression),
        }
        .map_err(|error| self.refused(&error, &self.expression))
    }

    /// An error of the expression, with the segment's name; `text` is what the error's place is of.
    pub fn refused(&self, error: &Diagnostic, text: &str) -> PlanError {
        let mut message = error.render(text);
        if message.len() > MESSAGE_BYTES {
            // Without the line that it is in, which is long then.
            message = error.line(text);
        }
        if message.len() > MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
            message.push('…');
        }
        PlanError::Expression {
            segment: self.id.clone(),
            code: error.code(),
            message,
        }
    }

    /// Whether `inSegment(id)` means this one: it looks at the API's own namespace.
    fn is_asked_for(&self) -> bool {
        self.namespace.eq_ignore_ascii_case(DEFAULT_SEGMENT_NAMESPACE)
    }
}

/// The definitions of the listed segments, and of all that these ask for.
///
/// # Errors
/// A listed segment has no definition, an expression cannot be evaluated whatever the store has, or segments refer to each
/// other in a circle.
pub(crate) fn evaluation(
    listed: &[SegmentSelection],
    definitions: &BTreeMap<String, SegmentDefinition>,
    evaluated_at: i64,
) -> Result<EvaluationPlan, PlanError> {
    let mut found: BTreeMap<String, DefinitionPlan> = BTreeMap::new();
    for segment in listed {
        let definition = listed_definition(segment, definitions)?;
        found.insert(definition.id.clone(), definition);
    }
    let mut parsed: BTreeMap<String, Expr> = BTreeMap::new();
    let mut waiting: Vec<String> = found.keys().rev().cloned().collect();
    while let Some(id) = waiting.pop() {
        let Some(definition) = found.get(&id) else { continue };
        let expr = checked(definition)?;
        for asked in dependencies(&expr) {
            if found.contains_key(asked) {
                continue;
            }
            let other = definitions.get(asked).and_then(|other| plan_of(asked, other, false));
            if let Some(other) = other.filter(DefinitionPlan::is_asked_for) {
                waiting.push(asked.to_owned());
                found.insert(asked.to_owned(), other);
            }
        }
        parsed.insert(id, expr);
        refuse_much(&found)?;
    }
    let ids: Vec<String> = in_order(&found, &parsed)?;
    let definitions = ids.iter().filter_map(|id| found.remove(id)).collect();
    Ok(EvaluationPlan {
        evaluated_at,
        definitions,
    })
}

/// The ids in an order in which each comes after those that it asks for.
fn in_order(
    found: &BTreeMap<String, DefinitionPlan>,
    parsed: &BTreeMap<String, Expr>,
) -> Result<Vec<String>, PlanError> {
    // A segment of another namespace is never asked for: inSegment("x") in x of such a one is the stored x of `ups`.
    let (own, others): (BTreeMap<_, _>, BTreeMap<_, _>) = parsed
        .iter()
        .map(|(id, expr)| (id.clone(), expr.clone()))
        .partition(|(id, _)| found.get(id).is_some_and(DefinitionPlan::is_asked_for));
    let ordered = order(&own).map_err(|cycle| PlanError::Expression {
        segment: cycle.segments.first().cloned().unwrap_or_default(),
        code: cycle.code(),
        message: cycle.to_string(),
    })?;
    Ok(ordered
        .into_iter()
        .map(str::to_owned)
        .chain(others.into_keys())
        .collect())
}

/// The expression, as far as it can be checked without knowing the store.
fn checked(definition: &DefinitionPlan) -> Result<Expr, PlanError> {
    let (text, expr) = definition.parse()?;
    check(&expr, &Schema::any())
        .and_then(exportjob_pql::Typed::into_segment)
        .map_err(|error| definition.refused(&error, &text))?;
    Ok(expr)
}

fn listed_definition(
    segment: &SegmentSelection,
    definitions: &BTreeMap<String, SegmentDefinition>,
) -> Result<DefinitionPlan, PlanError> {
    let known = definitions
        .get(&segment.id)
        .filter(|found| found.spec.namespace().eq_ignore_ascii_case(&segment.namespace));
    let Some(known) = known else {
        return Err(PlanError::NotFound {
            reference: Reference::SegmentDefinition {
                namespace: segment.namespace.clone(),
                id: segment.id.clone(),
            },
            nearest: nearest(&segment.id, definitions.keys().map(String::as_str))
                .filter(|id| *id != segment.id)
                .map(str::to_owned),
        });
    };
    plan_of(&segment.id, known, true).ok_or_else(|| PlanError::InvalidResource {
        resource: format!("SegmentDefinition {:?}", segment.id),
        message: "it has no spec.expression, which spec.evaluationInfo.segmentation asks for: give it one, or leave evaluationInfo out to export the memberships that are in the profile store".to_owned(),
    })
}

/// `None`: the definition has no expression.
fn plan_of(id: &str, definition: &SegmentDefinition, listed: bool) -> Option<DefinitionPlan> {
    let expression = definition.spec.expression.as_ref()?;
    Some(DefinitionPlan {
        namespace: definition.spec.namespace().to_owned(),
        id: id.to_owned(),
        format: expression.format,
        expression: expression.value.clone(),
        listed,
    })
}

fn refuse_much(found: &BTreeMap<String, DefinitionPlan>) -> Result<(), PlanError> {
    let bytes: usize = found.values().map(|definition| definition.expression.len()).sum();
    if bytes <= EXPRESSION_BYTES {
        return Ok(());
    }
    Err(PlanError::InvalidSpec {
        field: "spec.filter.segments".to_owned(),
        message: format!(
            "the expressions of these segments, with those that they ask for, have {bytes} bytes together, and a job may evaluate {EXPRESSION_BYTES}: list fewer segments in one job"
        ),
    })
}
