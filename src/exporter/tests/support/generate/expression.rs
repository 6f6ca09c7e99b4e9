//! Random definitions of segments: conditions over the columns that a random store has.

use std::collections::BTreeSet;

use exportjob_api::{ExpressionFormat, MembershipStates};
use exportjob_plan::{DefinitionPlan, EvaluationPlan, ExportPlan};
use rand::{Rng as _, rngs::StdRng, seq::SliceRandom as _};

use super::{chance, pick};
use crate::{
    reference::{evaluate::Columns, model::Type},
    support::plan::STARTED_AT,
};

/// Makes the plan compute its segments.
pub fn evaluate(rng: &mut StdRng, plan: &mut ExportPlan, columns: &Columns) {
    if chance(rng, 50) {
        plan.store.membership_states = MembershipStates::Two;
    }
    let listed = plan.selection.segments.iter();
    let mut wanted: Vec<(String, String, bool)> = listed
        .map(|segment| (segment.namespace.clone(), segment.id.clone(), true))
        .collect();
    for id in ["s1", "s2", "helper"] {
        let known = wanted
            .iter()
            .any(|(namespace, other, _)| other == id && is_own(namespace));
        if !known && chance(rng, 30) {
            wanted.push(("ups".to_owned(), id.to_owned(), false));
        }
    }
    wanted.shuffle(rng);
    let own = |(namespace, id, _): &(String, String, bool)| is_own(namespace).then(|| id.clone());
    let defined: BTreeSet<String> = wanted.iter().filter_map(own).collect();
    // Those without a definition; each that is computed is there for those that come after it.
    let all = ["s1", "s2", "S1", "nosuch"].map(str::to_owned);
    let mut segments: Vec<String> = all.into_iter().filter(|id| !defined.contains(id)).collect();
    let mut definitions = Vec::new();
    for (namespace, id, listed) in wanted {
        let maker = Maker {
            columns,
            segments: &segments,
        };
        definitions.push(DefinitionPlan {
            expression: maker.condition(rng, 2),
            format: ExpressionFormat::Text,
            namespace: namespace.clone(),
            id: id.clone(),
            listed,
        });
        if is_own(&namespace) {
            segments.push(id);
        }
    }
    plan.evaluation = Some(EvaluationPlan {
        evaluated_at: STARTED_AT,
        definitions,
    });
}

fn is_own(namespace: &str) -> bool {
    namespace.eq_ignore_ascii_case("ups")
}

/// Where the names of a condition are looked up: before each of them stands the prefix.
struct Scope<'a> {
    fields: &'a [(String, Type)],
    prefix: &'a str,
}

struct Maker<'a> {
    columns: &'a Columns,
    /// Segments that may be asked for.
    segments: &'a [String],
}

impl Maker<'_> {
    fn condition(&self, rng: &mut StdRng, depth: usize) -> String {
        match rng.random_range(0..if depth == 0 { 8 } else { 11 }) {
            0..=2 => self.attribute(rng, ""),
            3..=5 => self.events(rng),
            6 if !self.segments.is_empty() => format!("inSegment({:?})", pick(rng, self.segments)),
            6 | 7 => self.computed(rng),
            8 => format!("not ({})", self.condition(rng, depth - 1)),
            joint => {
                let word = if joint == 9 { "and" } else { "or" };
                let (left, right) = (self.condition(rng, depth - 1), self.condition(rng, depth - 1));
                format!("({left}) {word} ({right})")
            }
        }
    }

    fn attribute(&self, rng: &mut StdRng, prefix: &str) -> String {
        let fields = &self.columns.attributes;
        if fields.is_empty() {
            return format!("{prefix}identities.count() > 1");
        }
        field(rng, &Scope { fields, prefix })
    }

    /// About what the merge computes.
    fn computed(&self, rng: &mut StdRng) -> String {
        let conditions = [
            "identityMap.count() > 1",
            "identityMap.keys().includes(\"crm\")",
            "identities[primary = true].id.head() > \"b\"",
            "identities.exists(namespace.code = \"ECID\" and primary)",
            "identityMap.values().id.count() = 2",
            "segmentMembership.get(\"ups\").get(\"s1\").status = \"exited\"",
            "segmentMembership.keys().includes(\"UPS\")",
            "segmentMembership.get(\"ups\").values().lastQualificationTime.exists(this occurs before now)",
            "segmentMembership.get(\"ups\").get(\"s2\").isNull()",
        ];
        (*pick(rng, &conditions)).to_owned()
    }

    fn events(&self, rng: &mut StdRng) -> String {
        let fields = &self.columns.events;
        let event = |rng: &mut StdRng, prefix: &str| field(rng, &Scope { fields, prefix });
        let has_times = fields
            .iter()
            .any(|(name, kind)| name == "timestamp" && *kind == Type::Time);
        match rng.random_range(0..if has_times { 11 } else { 8 }) {
            0 => format!(
                "xEvent.count() {} {}",
                pick(rng, &[">", "=", "<="]),
                rng.random_range(0..4)
            ),
            1 => format!("xEvent[{}]", event(rng, "")),
            2 => format!("xEvent[{}].count() >= {}", event(rng, ""), rng.random_range(0..3)),
            3 => format!("exists E from xEvent where {}", event(rng, "E.")),
            4 => format!("forall E from xEvent : {}", event(rng, "E.")),
            5 => format!("xEvent[({}) and {}]", event(rng, ""), self.attribute(rng, "^.")),
            6 => format!("let E = xEvent.head() in E.isNotNull() and {}", event(rng, "E.")),
            7 => format!("select E from xEvent where not ({})", event(rng, "E.")),
            8 => format!(
                "xEvent[timestamp occurs {} {} seconds before now and {}]",
                pick(rng, &["<", "<=", ">", "="]),
                rng.random_range(1..6),
                event(rng, "")
            ),
            9 => format!(
                "chain(xEvent, timestamp, [A: WHAT({}), B: WHAT({}) WHEN(< 5 seconds before now)])",
                event(rng, ""),
                event(rng, "")
            ),
            _ => format!(
                "chain(xEvent, timestamp, [A: WHAT({}) COUNT({})])",
                event(rng, ""),
                rng.random_range(1..3)
            ),
        }
    }
}

/// A condition on one of the fields.
fn field(rng: &mut StdRng, scope: &Scope<'_>) -> String {
    let (name, kind) = pick(rng, scope.fields);
    // Some names are words of the language.
    on(rng, &format!("{}`{name}`", scope.prefix), kind)
}

/// A condition on a value of this type.
fn on(rng: &mut StdRng, value: &str, kind: &Type) -> String {
    if chance(rng, 10) {
        return format!("{value}.{}()", pick(rng, &["isNull", "isNotNull"]));
    }
    match kind {
        Type::Struct(fields) => field(
            rng,
            &Scope {
                fields,
                prefix: &format!("{value}."),
            },
        ),
        Type::List(item) => on_list(rng, value, item),
        Type::Map(inner) => match rng.random_range(0..4) {
            0 => format!("{value}.keys().includes({:?})", pick(rng, &["k1", "k2", ""])),
            1 => format!("{value}.count() > {}", rng.random_range(0..2)),
            _ => {
                let entry = format!("{value}.get({:?})", pick(rng, &["k1", "k2", ""]));
                on(rng, &entry, inner)
            }
        },
        scalar => on_scalar(rng, value, scalar),
    }
}

fn on_list(rng: &mut StdRng, value: &str, item: &Type) -> String {
    if chance(rng, 30) {
        return format!("{value}.count() > {}", rng.random_range(0..2));
    }
    let condition = match item {
        Type::Struct(fields) => field(rng, &Scope { fields, prefix: "" }),
        other => on(rng, "this", other),
    };
    match rng.random_range(0..3) {
        0 => format!("{value}[{condition}]"),
        1 => format!("{value}.exists({condition})"),
        _ => format!("{value}[{condition}].count() = 1"),
    }
}

fn on_scalar(rng: &mut StdRng, value: &str, kind: &Type) -> String {
    let conditions: &[&str] = match kind {
        Type::Bool => &["@", "not (@)", "@ = true", "@ != true"],
        Type::Long => &["@ > 1", "@ + 1 = 3", "@ % 2 = 0", "@ in [1, 2, 3]", "@ != 0", "@ < 0.5"],
        Type::Float => &["@ > 0.0", "@ = -2.0", "@ = 0", "@ * 2 >= 1", "@ in [0.5]"],
        Type::Text => &[
            "@ = \"x\"",
            "@ != \"y\"",
            "@ in [\"x\", \"\"]",
            "@ notIn [\"x\", \"ÿ\"]",
            "@.equals(\"X\", false)",
            "@ like \"%l_\"",
            "@.contains(\"ul\")",
            "@ > \"w\"",
        ],
        Type::Time => &[
            "@ occurs before now",
            "@ occurs < 3 seconds before now",
            "@ occurs = 2 seconds before now",
            "@ occurs >= 1 second after now",
            "@ occurs today",
        ],
        Type::Date => &[
            "@.getMonth() = 1",
            "@ occurs before date(2000, 1, 1)",
            "@.getYear() < 1990",
            "@ occurs after date(2010, 5, 6)",
        ],
        _ => &["@.isNull()"],
    };
    pick(rng, conditions).replace('@', value)
}
