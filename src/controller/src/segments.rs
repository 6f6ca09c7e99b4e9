//! What the definitions of a namespace are worth: from definitions to the statuses that they should have. No clock, no I/O.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use exportjob_api::{
    DEFAULT_SEGMENT_NAMESPACE, ExportJob, Expression, ExpressionFormat, Phase, SegmentDefinition,
    SegmentDefinitionStatus, set_condition,
};
use exportjob_pql::{Cycle, Diagnostic, Expr, Schema, Typed, check, parse, parse_json};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::ResourceExt as _;

use crate::{notice::shorten, observed::millis};

/// Type of the only condition.
const READY: &str = "Ready";
/// Most bytes of a message.
const MESSAGE_BYTES: usize = 2048;
/// Codes of errors in expressions begin so.
const CODES: &str = "PQL_";

/// What an expression is by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Examined {
    /// It can be evaluated, as far as can be told without data.
    Good {
        /// Segments that it asks for.
        asks: Vec<String>,
        /// What is probably not meant.
        warnings: Vec<String>,
    },
    /// It cannot be evaluated.
    Bad(Fault),
}

/// Why a definition cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The code of the error, as the reason of a condition.
    pub reason: String,
    /// Where it is and what to do, for people.
    pub message: String,
}

impl Fault {
    fn new(reason: &str, message: impl Into<String>) -> Self {
        Self {
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}

/// Reads and checks an expression. Which columns the store has is not known here: every path is taken for one that is there.
pub fn examine(expression: &Expression) -> Examined {
    let source = &expression.value;
    let (text, tree) = match expression.format {
        ExpressionFormat::Text => (source.clone(), parse(source)),
        ExpressionFormat::Json => match parse_json(source) {
            Ok((text, tree)) => (text, Ok(tree)),
            Err(error) => (source.clone(), Err(error)),
        },
    };
    let typed = |tree: Expr| check(&tree, &Schema::any()).and_then(Typed::into_segment);
    match tree.and_then(typed) {
        Ok(typed) => Examined::Good {
            asks: typed.segments().to_vec(),
            warnings: typed.warnings().iter().map(|warning| warning.line(&text)).collect(),
        },
        Err(error) => Examined::Bad(fault(&error, source, &text)),
    }
}

fn fault(error: &Diagnostic, source: &str, text: &str) -> Fault {
    let mut message = error.line(text);
    if source != text {
        // The places of a syntax tree in JSON are those of the same expression as text.
        message = format!("{message}; as text it is: {text}");
    }
    Fault::new(error.code(), message)
}

/// A definition, and what its expression is by itself; `None` where it has no expression.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The definition.
    pub definition: &'a SegmentDefinition,
    /// Its expression.
    pub examined: Option<&'a Examined>,
}

/// What the newest job that can tell says of a segment: only an export knows the columns of the store.
pub type Verdicts = BTreeMap<String, Verdict>;

/// What a job says of a segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verdict {
    /// When the job ended, in epoch milliseconds.
    pub ended_ms: i64,
    /// When it was created, in epoch milliseconds.
    pub created_ms: i64,
    /// What was wrong; `None`: it evaluated the segment.
    pub fault: Option<Fault>,
}

/// Whether a job can tell something about segments: it ended because of an expression, or evaluated some.
pub fn can_tell(export_job: &ExportJob) -> bool {
    !told(export_job).is_empty()
}

/// What the jobs of a namespace say of its segments.
pub fn verdicts<'a>(export_jobs: impl IntoIterator<Item = &'a ExportJob>) -> Verdicts {
    let mut found = Verdicts::new();
    for export_job in export_jobs {
        let status = export_job.status.as_ref();
        let created_ms = millis(export_job.metadata.creation_timestamp.as_ref()).unwrap_or_default();
        let ended_ms = status
            .and_then(|status| status.metrics.as_ref()?.total_time?.end_time_in_ms)
            .unwrap_or(created_ms);
        for (segment, fault) in told(export_job) {
            let verdict = Verdict {
                ended_ms,
                created_ms,
                fault,
            };
            // Whole verdicts are compared: of two that end at once always the same one counts.
            if found.get(&segment).is_none_or(|known| *known < verdict) {
                found.insert(segment, verdict);
            }
        }
    }
    found
}

/// Segments that a job tells something about, with what is wrong with them.
fn told(export_job: &ExportJob) -> Vec<(String, Option<Fault>)> {
    let Some(status) = &export_job.status else {
        return Vec::new();
    };
    let evaluates = export_job.spec.evaluation_info.as_ref();
    match status.phase {
        Some(Phase::Succeeded) if evaluates.and_then(|info| info.segmentation) == Some(true) => {
            let filter = export_job.spec.filter.as_ref();
            let listed = filter.and_then(|filter| filter.segments.as_deref()).unwrap_or_default();
            listed
                .iter()
                .map(|segment| (segment.segment_id.clone(), None))
                .collect()
        }
        Some(Phase::Failed) => status
            .errors
            .iter()
            .filter(|error| error.code.starts_with(CODES))
            .flat_map(|error| {
                let message = format!("ExportJob {:?} failed: {}", export_job.name_any(), error.msg);
                let fault = Fault::new(&error.code, message);
                named(&error.msg).map(move |segment| (segment.to_owned(), Some(fault.clone())))
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Definitions that a message names: `SegmentDefinition "id"`.
fn named(message: &str) -> impl Iterator<Item = &str> {
    let parts = message.split("SegmentDefinition \"").skip(1);
    parts.filter_map(|rest| rest.split('"').next())
}

/// The statuses of `definitions`, in their order. One that says what it said before is equal to the one that is there.
pub fn statuses(definitions: &[Seen<'_>], verdicts: &Verdicts, now_ms: i64) -> Vec<SegmentDefinitionStatus> {
    let graph = Graph::new(definitions);
    let faults: BTreeMap<String, Fault> = definitions
        .iter()
        .filter_map(|seen| {
            let fault = own_fault(seen, &graph, verdicts)?;
            Some((seen.definition.name_any(), fault))
        })
        .collect();
    definitions
        .iter()
        .map(|seen| {
            let known = faults.get(&seen.definition.name_any()).cloned();
            let fault = known.or_else(|| graph.fault_behind(seen, &faults));
            status(seen, fault, &graph, now_ms)
        })
        .collect()
}

/// What is wrong with a definition itself.
fn own_fault(seen: &Seen<'_>, graph: &Graph<'_>, verdicts: &Verdicts) -> Option<Fault> {
    if let Examined::Bad(fault) = seen.examined? {
        return Some(fault.clone());
    }
    let name = seen.definition.name_any();
    if let Some(segments) = graph.circle(&name) {
        let cycle = Cycle { segments };
        return Some(Fault::new(cycle.code(), cycle.to_string()));
    }
    let verdict = verdicts.get(&name)?;
    // A job from before may have seen another expression.
    let since = checked_time(seen.definition)?;
    // Times of creation are whole seconds.
    (verdict.created_ms >= since - since % 1000).then(|| verdict.fault.clone())?
}

/// When the present generation was first checked.
fn checked_time(definition: &SegmentDefinition) -> Option<i64> {
    let status = definition.status.as_ref()?;
    let same = status.observed_generation == definition.metadata.generation;
    status.checked_time.filter(|_| same)
}

/// Which definitions ask for which segments.
struct Graph<'a> {
    asks: BTreeMap<&'a str, &'a [String]>,
}

impl<'a> Graph<'a> {
    fn new(definitions: &[Seen<'a>]) -> Self {
        // `inSegment` speaks of segments of the default namespace.
        let here = definitions.iter().filter(|seen| {
            let namespace = seen.definition.spec.namespace();
            namespace.eq_ignore_ascii_case(DEFAULT_SEGMENT_NAMESPACE)
        });
        let asks = here.filter_map(|seen| {
            let asks = match seen.examined? {
                Examined::Good { asks, .. } => asks.as_slice(),
                Examined::Bad(_) => &[],
            };
            Some((seen.definition.metadata.name.as_deref()?, asks))
        });
        Self { asks: asks.collect() }
    }

    fn asks(&self, name: &str) -> &'a [String] {
        self.asks.get(name).copied().unwrap_or_default()
    }

    /// The shortest way from a segment back to itself.
    fn circle(&self, name: &str) -> Option<Vec<String>> {
        self.way(name, self.asks(name), |segment| segment == name)
    }

    /// What is wrong with the nearest segment that a definition asks for, directly or through others.
    fn fault_behind(&self, seen: &Seen<'_>, faults: &BTreeMap<String, Fault>) -> Option<Fault> {
        let Examined::Good { asks, .. } = seen.examined? else {
            return None;
        };
        let name = seen.definition.name_any();
        let way = self.way(&name, asks, |segment| {
            faults.contains_key(segment) && self.asks.contains_key(segment)
        })?;
        let asked = way.last()?;
        let fault = faults.get(asked)?;
        let message = format!("asks for the segment {asked:?}: {}: {}", fault.reason, fault.message);
        Some(Fault::new("DependencyNotReady", message))
    }

    /// The shortest way from `start`, over the segments that it asks for, to one that is looked for.
    fn way(&self, start: &str, asks: &[String], wanted: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        let mut seen = BTreeSet::new();
        let mut ways: VecDeque<Vec<String>> = VecDeque::new();
        let mut next = (vec![start.to_owned()], asks);
        loop {
            let (way, asks) = next;
            for segment in asks {
                let mut longer = way.clone();
                longer.push(segment.clone());
                if wanted(segment) {
                    return Some(longer);
                }
                if seen.insert(segment.clone()) {
                    ways.push_back(longer);
                }
            }
            let way = ways.pop_front()?;
            let last = way.last().map(String::as_str).unwrap_or_default();
            next = (way.clone(), self.asks(last));
        }
    }
}

fn status(seen: &Seen<'_>, fault: Option<Fault>, graph: &Graph<'_>, now_ms: i64) -> SegmentDefinitionStatus {
    let definition = seen.definition;
    let generation = definition.metadata.generation;
    let mut status = definition.status.clone().unwrap_or_default();
    status.checked_time = checked_time(definition).or(Some(now_ms));
    status.observed_generation = generation;
    let ready = fault.is_none();
    let Fault { reason, message } = fault.unwrap_or_else(|| praise(seen, graph));
    let condition = Condition {
        type_: READY.to_owned(),
        status: if ready { "True" } else { "False" }.to_owned(),
        reason,
        message: shorten(message, MESSAGE_BYTES),
        observed_generation: generation,
        last_transition_time: Time(Timestamp::from_millisecond(now_ms).unwrap_or_default()),
    };
    set_condition(&mut status.conditions, condition);
    status
}

/// Reason and message of a definition that is ready.
fn praise(seen: &Seen<'_>, graph: &Graph<'_>) -> Fault {
    let Some(Examined::Good { asks, warnings }) = seen.examined else {
        return Fault::new(
            "NoExpression",
            "no expression: memberships are taken as they are stored",
        );
    };
    let mut message = "the expression can be evaluated; the paths in it are checked by each export".to_owned();
    let stored: Vec<&str> = asks
        .iter()
        .map(String::as_str)
        .filter(|segment| !graph.asks.contains_key(segment))
        .collect();
    if !stored.is_empty() {
        message += "; no expression defines ";
        message += &stored.join(", ");
        message += ": stored memberships count";
    }
    for warning in warnings {
        message += "; warning: ";
        message += warning;
    }
    Fault::new("Valid", message)
}

#[cfg(test)]
mod tests;
