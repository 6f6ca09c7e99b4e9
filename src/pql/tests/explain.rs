//! What is said about why a profile matches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use exportjob_pql::{Clock, Explainer, JsonNode, Row, Schema, parse};
use serde_json::json;

fn explain(text: &str) -> String {
    let expr = parse(text).unwrap();
    let clock = Clock::new(1_718_452_800_000_000);
    let explainer = Explainer::new(&expr, &Schema::any(), &clock).unwrap();
    let profile =
        json!({"person": {"age": 34, "gender": "female"}, "xEvent": [{"eventType": "view"}, {"eventType": "buy"}]});
    let row = Row {
        profile: JsonNode::new(&profile),
        events: profile.get("xEvent").map(JsonNode::new),
    };
    explainer.explain(row, &|segment: &str| segment == "in").to_string()
}

#[test]
fn each_condition_shows_its_outcome_and_its_values() {
    let expected = r#"
false  all of
true     person.age >= 21
           person.age is 34
false    any of
false      person.gender.equals("male")
             person.gender is "female"
false      xEvent[eventType = "buy"].count() > 1
             xEvent[eventType = "buy"].count() is 1
true     not
false      inSegment("out")
"#;
    let text = r#"person.age >= 21 and (person.gender.equals("male") or xEvent[eventType = "buy"].count() > 1) and not inSegment("out")"#;
    assert_eq!(explain(text).trim(), expected.trim());
}

#[test]
fn names_of_a_header_hold_in_every_part() {
    let expected = r#"
true   all of
true     P.person.age = 34
           P.person.age is 34
true     exists E from P.xEvent : E.eventType = "buy"
           P.xEvent is [{"eventType":"view"},{"eventType":"buy"}]
"#;
    assert_eq!(
        explain(r#"(P) => P.person.age = 34 and exists E from P.xEvent where E.eventType = "buy""#).trim(),
        expected.trim()
    );
}
