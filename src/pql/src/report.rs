//! What people are told about an expression, and about a profile that it is tried on.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::{
    Clock, Diagnostic, Explainer, Expr, JsonNode, Memberships, Program, Row, Schema, Type, check, parse, parse_json,
};

/// Reads an expression in either form: `pql/json` is an object with a `nodeType`, and everything else is text. The text that
/// comes with it is the one that its places are of.
///
/// # Errors
/// The source is neither.
pub fn read(source: &str) -> Result<(String, Expr), Diagnostic> {
    let is_tree = serde_json::from_str::<Json>(source).is_ok_and(|json| json.get("nodeType").is_some());
    if is_tree {
        parse_json(source)
    } else {
        parse(source).map(|expr| (source.to_owned(), expr))
    }
}

/// Reads and checks a segment's expression, and says in a few lines what it is: its canonical text and type, the segments that it
/// asks for, and warnings.
///
/// # Errors
/// What is wrong with it, where, and what to do, in a few lines.
pub fn describe(source: &str, schema: &Schema) -> Result<String, String> {
    let (text, expr) = read(source).map_err(|error| error.render(source))?;
    let typed = check(&expr, schema)
        .and_then(crate::Typed::into_segment)
        .map_err(|error| error.render(&text))?;
    let mut lines = format!("ok: {expr}\ntype: {}\n", typed.type_());
    if !typed.segments().is_empty() {
        let _ = writeln!(lines, "asks for the segments {}", typed.segments().join(", "));
    }
    for warning in typed.warnings() {
        let _ = writeln!(lines, "warning: {}", warning.render(&text));
    }
    Ok(lines)
}

/// Evaluates an expression for one profile and says why it matches or does not: for a condition the outcome of its parts, for
/// any other expression its value. Events are in `xEvent`, or in `timeSeriesEvents` as exports have them; memberships in
/// `segmentMembership`.
///
/// # Errors
/// What is wrong with the expression, in a few lines.
pub fn try_on(source: &str, profile: &Json, clock: &Clock) -> Result<Trial, String> {
    let schema = Schema::any();
    let (text, expr) = read(source).map_err(|error| error.render(source))?;
    let render = |error: Diagnostic| error.render(&text);
    let typed = check(&expr, &schema).map_err(render)?;
    let events = ["xEvent", "timeSeriesEvents"].iter().find_map(|name| profile.get(name));
    let row = Row {
        profile: JsonNode::new(profile),
        events: events.map(JsonNode::new),
    };
    let memberships = StoredMemberships(profile);
    if !matches!(typed.type_(), Type::Bool | Type::List(_) | Type::Any) {
        let value = Program::new(&typed, clock.clone()).value(row, &memberships);
        return Ok(Trial {
            matches: None,
            text: format!("{value:#}\n"),
        });
    }
    let explainer = Explainer::new(&expr, &schema, clock).map_err(render)?;
    let explanation = explainer.explain(row, &memberships);
    let verdict = if explanation.outcome {
        "matches"
    } else {
        "does not match"
    };
    Ok(Trial {
        matches: Some(explanation.outcome),
        text: format!("the profile {verdict}\n{explanation}"),
    })
}

/// What became of an expression on a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Whether the profile matches; `None` of an expression that is no condition.
    pub matches: Option<bool>,
    /// The same for people, in a few lines.
    pub text: String,
}

/// Memberships as a profile in JSON has them: `segmentMembership`, by namespace and id, realized or existing, in the
/// namespace `ups`.
#[derive(Clone, Copy, Debug)]
pub struct StoredMemberships<'a>(pub &'a Json);

impl Memberships for StoredMemberships<'_> {
    fn is_member(&self, _: usize, segment: &str) -> bool {
        let namespaces = self
            .0
            .get("segmentMembership")
            .and_then(Json::as_object)
            .into_iter()
            .flatten();
        namespaces
            .filter(|(namespace, _)| namespace.eq_ignore_ascii_case("ups"))
            .any(|(_, segments)| {
                let status = segments.get(segment).and_then(|membership| membership.get("status"));
                status
                    .and_then(Json::as_str)
                    .is_some_and(|status| matches!(status, "realized" | "existing"))
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_good_expression_is_shown_as_it_is_understood() {
        let source = r#"(a != "x") AND inSegment("s1")"#;
        let expected = "ok: a != \"x\" and inSegment(\"s1\")\ntype: bool\nasks for the segments s1\n\
            warning: line 1, column 2: negative-null: != is false where the value is missing: to include such profiles write not (a = b)\n  \
            (a != \"x\") AND inSegment(\"s1\")\n   ^^^^^^^^\n";
        assert_eq!(describe(source, &Schema::any()).unwrap(), expected);
        let tree = r#"{"nodeType": "fnApply", "fnName": "=", "params": [{"nodeType": "fieldLookup", "fieldName": "a"}, {"nodeType": "literal", "value": 1}]}"#;
        assert_eq!(describe(tree, &Schema::any()).unwrap(), "ok: a = 1\ntype: bool\n");
    }

    #[test]
    fn a_bad_expression_is_underlined() {
        let expected =
            "line 1, column 3: there is no function countt() (did you mean count?)\n  a.countt()\n    ^^^^^^";
        assert_eq!(describe("a.countt()", &Schema::any()).unwrap_err(), expected);
        assert!(
            describe("1 + 1", &Schema::any())
                .unwrap_err()
                .contains("a segment must be a condition")
        );
    }

    #[test]
    fn a_profile_is_tried_with_its_events_and_memberships() {
        let clock = Clock::new(0);
        let profile = json!({
            "age": 5,
            "timeSeriesEvents": [{"eventType": "view"}],
            "segmentMembership": {"ups": {"s1": {"status": "existing"}, "s2": {"status": "exited"}}, "other": {"s2": {"status": "realized"}}},
        });
        let trial = |source: &str| try_on(source, &profile, &clock).unwrap();
        let expected = "the profile matches\ntrue   age > 4\n         age is 5\n";
        assert_eq!(
            trial("age > 4"),
            Trial {
                matches: Some(true),
                text: expected.to_owned()
            }
        );
        assert_eq!(
            trial("age + 1"),
            Trial {
                matches: None,
                text: "6\n".to_owned()
            }
        );
        assert_eq!(
            trial(r#"xEvent.count() = 1 and inSegment("s1") and not inSegment("s2")"#).matches,
            Some(true)
        );
        assert_eq!(trial("age > 5").matches, Some(false));
    }
}
