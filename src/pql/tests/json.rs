//! Syntax trees in JSON are the same expressions as text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use exportjob_pql::{parse, parse_json};
use serde_json::{Value as Json, json};

fn same(json: &Json, text: &str) {
    let (printed, expr) = parse_json(&json.to_string()).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(expr, parse(text).unwrap(), "{printed}");
}

fn refused(json: &str) -> String {
    let error = parse_json(json).unwrap_err();
    format!("{} {error}", error.code())
}

fn field(name: &str) -> Json {
    json!({"nodeType": "fieldLookup", "fieldName": name})
}

fn call(name: &str, params: &[Json]) -> Json {
    json!({"nodeType": "fnApply", "fnName": name, "params": params})
}

fn literal(value: impl Into<Json>) -> Json {
    json!({"nodeType": "literal", "value": value.into()})
}

#[test]
fn operators_and_functions_are_calls() {
    same(&call("=", &[field("city"), literal("Oslo")]), r#"city = "Oslo""#);
    same(
        &call(
            "and",
            &[call("<", &[field("a"), literal(1)]), call("not", &[field("b")])],
        ),
        "a < 1 and not b",
    );
    same(&call("or", &[field("a"), field("b"), field("c")]), "a or b or c");
    same(
        &call(
            "notIn",
            &[
                field("a"),
                json!({"nodeType": "literal", "literalType": "List", "value": [1, 2]}),
            ],
        ),
        "a notIn [1, 2]",
    );
    same(
        &call("+", &[field("a"), call("*", &[literal(2), literal(-1.5)])]),
        "a + 2 * -1.5",
    );
    same(&call("if", &[field("a"), literal(1), literal(2)]), "if(a, 1, 2)");
    same(&call("inSegment", &[literal("s1")]), r#"inSegment("s1")"#);
    same(
        &call("startsWith", &[field("a"), literal("x"), literal(false)]),
        r#"startsWith(a, "x", false)"#,
    );
    same(&call("like", &[field("next"), literal("x%")]), r#"`next` like "x%""#);
}

#[test]
fn paths_begin_at_the_profile() {
    let root = json!({"nodeType": "literal", "literalType": "XDMObject", "value": "profile"});
    let person = json!({"nodeType": "fieldLookup", "fieldName": "person", "object": root});
    let gender = json!({"nodeType": "fieldLookup", "fieldName": "gender", "object": person});
    let list = json!({"nodeType": "literal", "literalType": "List", "value": ["female"]});
    same(&call("in", &[gender, list]), r#"$1.person.gender in ["female"]"#);
    let parameter = json!({"nodeType": "parameterReference", "position": 1});
    same(
        &json!({"nodeType": "fieldLookup", "fieldName": "a-b", "object": parameter}),
        "$1.`a-b`",
    );
    same(&call("count", &[field("xEvent")]), "count(xEvent)");
}

#[test]
fn what_is_no_tree_is_refused_with_its_place() {
    assert!(refused("{").starts_with("PQL_SYNTAX this is not JSON"));
    assert_eq!(
        refused("[]"),
        "PQL_SYNTAX the root: expected an object with a nodeType: fnApply, fieldLookup, parameterReference or literal"
    );
    assert_eq!(
        refused(r#"{"nodeType": "fnApply", "fnName": "=", "params": [{"nodeType": "literal", "value": 1}]}"#),
        "PQL_SYNTAX the root: = takes 2 params, and has 1"
    );
    assert_eq!(
        refused(r#"{"nodeType": "fnApply", "fnName": "not", "params": [{"nodeType": "fieldLookup"}]}"#),
        "PQL_SYNTAX /params/0: a fieldLookup needs fieldName"
    );
    assert_eq!(
        refused(r#"{"nodeType": "literal", "literalType": "String", "value": 1}"#),
        "PQL_SYNTAX the root: 1 is no literal of the type String"
    );
    assert_eq!(
        refused(r#"{"nodeType": "chain"}"#),
        "PQL_UNSUPPORTED the node \"chain\" of pql/json is not supported: its form in JSON is not described anywhere: write the expression as pql/text"
    );
    let deep = (0..70).fold(literal(true), |inner, _| call("not", &[inner]));
    // Too deep for the reader of JSON, or for an expression: refused either way.
    assert!(refused(&deep.to_string()).starts_with("PQL_"), "{deep}");
}
