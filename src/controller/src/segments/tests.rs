#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_000_000;

fn definition(name: &str, text: &str) -> SegmentDefinition {
    let value = json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "SegmentDefinition",
        "metadata": {"name": name, "namespace": "n", "uid": name, "generation": 1},
        "spec": {"expression": {"type": "PQL", "format": "pql/text", "value": text}},
    });
    serde_json::from_value(value).unwrap()
}

fn judge(definitions: &mut [SegmentDefinition], verdicts: &Verdicts, now_ms: i64) -> BTreeMap<String, String> {
    let examined: Vec<Option<Examined>> = definitions
        .iter()
        .map(|definition| definition.spec.expression.as_ref().map(examine))
        .collect();
    let seen: Vec<Seen<'_>> = definitions
        .iter()
        .zip(&examined)
        .map(|(definition, examined)| Seen {
            definition,
            examined: examined.as_ref(),
        })
        .collect();
    let wanted = statuses(&seen, verdicts, now_ms);
    for (definition, wanted) in definitions.iter_mut().zip(wanted) {
        definition.status = Some(wanted);
    }
    definitions
        .iter()
        .map(|definition| (definition.name_any(), said(definition)))
        .collect()
}

fn said(definition: &SegmentDefinition) -> String {
    let status = definition.status.as_ref().unwrap();
    assert_eq!(status.observed_generation, definition.metadata.generation);
    let [condition] = status.conditions.as_slice() else {
        panic!("one condition: {status:?}");
    };
    assert_eq!(condition.type_, "Ready");
    assert_eq!(condition.observed_generation, definition.metadata.generation);
    format!("{}/{}: {}", condition.status, condition.reason, condition.message)
}

fn of_one(text: &str) -> String {
    judge(&mut [definition("a", text)], &Verdicts::new(), NOW)
        .remove("a")
        .unwrap()
}

#[test]
fn a_broken_expression_is_told_with_its_code_and_its_place() {
    for (text, expected) in [
        ("age > ", "False/PQL_SYNTAX: line 1, column "),
        ("age >\n  )", "False/PQL_SYNTAX: line 2, column 3: "),
        (
            "a.countt()",
            "False/PQL_UNKNOWN_FUNCTION: line 1, column 3: there is no function countt() (did you mean count?)",
        ),
        (
            "1 + 1",
            "False/PQL_TYPE: line 1, column 1: a segment must be a condition",
        ),
    ] {
        let found = of_one(text);
        assert!(found.starts_with(expected), "{text}: {found}");
    }
    let deep = format!("{}a = 1{}", "not (".repeat(70), ")".repeat(70));
    assert!(of_one(&deep).starts_with("False/PQL_LIMIT: "), "{}", of_one(&deep));
}

#[test]
fn a_good_expression_is_ready_and_warned_of_and_no_expression_is_fine() {
    let found = of_one(r#"homeAddress.city != "Oslo""#);
    assert!(found.starts_with("True/Valid: "), "{found}");
    assert!(found.contains("; warning: line 1, column 1: negative-null"), "{found}");
    let mut bare = definition("a", "x = 1");
    bare.spec.expression = None;
    let found = judge(&mut [bare], &Verdicts::new(), NOW);
    assert!(found["a"].starts_with("True/NoExpression: "), "{found:?}");
}

#[test]
fn a_syntax_tree_in_json_is_judged_too() {
    let mut tree = definition("a", r#"{"nodeType": "fnApply", "fnName": "=", "params": []}"#);
    tree.spec.expression.as_mut().unwrap().format = ExpressionFormat::Json;
    let mut all = [tree];
    let found = judge(&mut all, &Verdicts::new(), NOW);
    assert!(found["a"].starts_with("False/PQL_"), "{found:?}");
    let good = r#"{"nodeType": "fnApply", "fnName": "=", "params": [{"nodeType": "fieldLookup", "fieldName": "a"}, {"nodeType": "literal", "value": 1}]}"#;
    all[0].spec.expression.as_mut().unwrap().value = good.to_owned();
    all[0].metadata.generation = Some(2);
    let found = judge(&mut all, &Verdicts::new(), NOW);
    assert!(found["a"].starts_with("True/Valid: "), "{found:?}");
}

#[test]
fn those_in_a_circle_and_those_who_ask_for_a_broken_one_are_told_so_until_it_is_mended() {
    let mut all = [
        definition("a", r#"inSegment("b")"#),
        definition("b", r#"inSegment("c") and x = 1"#),
        definition("c", r#"not inSegment("b")"#),
        definition("d", r#"inSegment("elsewhere")"#),
        definition("e", r#"inSegment("d")"#),
    ];
    let found = judge(&mut all, &Verdicts::new(), NOW);
    assert!(
        found["b"].starts_with("False/PQL_CYCLE: the segments b → c → b refer"),
        "{found:?}"
    );
    assert!(
        found["c"].starts_with("False/PQL_CYCLE: the segments c → b → c refer"),
        "{found:?}"
    );
    assert!(
        found["a"].starts_with(r#"False/DependencyNotReady: asks for the segment "b": PQL_CYCLE: "#),
        "{found:?}"
    );
    assert!(
        found["d"].contains("no expression defines elsewhere: stored memberships count"),
        "{found:?}"
    );
    assert!(found["e"].starts_with("True/Valid"), "{found:?}");
    all[2] = definition("c", "y = 2");
    let found = judge(&mut all, &Verdicts::new(), NOW);
    assert!(found.values().all(|said| said.starts_with("True/Valid")), "{found:?}");
    // A segment of another namespace is not the one that inSegment asks for.
    all[2] = definition("c", "((");
    all[2].spec.namespace = Some("partner".to_owned());
    let found = judge(&mut all, &Verdicts::new(), NOW);
    assert!(found["b"].starts_with("True/Valid"), "{found:?}");
    assert!(found["c"].starts_with("False/PQL_SYNTAX"), "{found:?}");
}

#[test]
fn what_was_said_before_is_not_said_again() {
    let mut all = [
        definition("a", "x = 1"),
        definition("b", "x ="),
        definition("c", r#"inSegment("b")"#),
    ];
    judge(&mut all, &Verdicts::new(), NOW);
    let before: Vec<_> = all.iter().map(|definition| definition.status.clone()).collect();
    judge(&mut all, &Verdicts::new(), NOW + 60_000);
    let after: Vec<_> = all.iter().map(|definition| definition.status.clone()).collect();
    assert_eq!(before, after);
}

fn export_job(name: &str, created: i64, change: Value) -> ExportJob {
    let created = Timestamp::from_second(created).unwrap().to_string();
    let mut value = json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob",
        "metadata": {"name": name, "namespace": "n", "creationTimestamp": created},
        "spec": {"destination": {"datasetId": "d"}, "schema": {"name": "_xdm.context.profile"},
            "evaluationInfo": {"segmentation": true}, "filter": {"segments": [{"segmentId": "a"}]}},
    });
    value["status"] = change;
    serde_json::from_value(value).unwrap()
}

fn failed(ended: i64, message: &str) -> Value {
    json!({"phase": "FAILED", "errors": [{"code": "PQL_UNKNOWN_FIELD", "msg": message}],
        "metrics": {"totalTime": {"startTimeInMs": 0, "endTimeInMs": ended}}})
}

#[test]
fn what_a_job_says_of_the_present_expression_counts_until_a_newer_job_says_otherwise() {
    let mut all = [definition("a", "x = 1"), definition("b", r#"inSegment("a")"#)];
    judge(&mut all, &Verdicts::new(), NOW);
    let bad = export_job(
        "bad",
        NOW / 1000 + 1,
        failed(2_000_000, r#"SegmentDefinition "a": line 1, column 1: no field "x""#),
    );
    let old = export_job(
        "old",
        1,
        failed(900_000, r#"SegmentDefinition "a": line 1, column 1: no field "y""#),
    );
    let good = export_job(
        "good",
        NOW / 1000 + 2,
        json!({"phase": "SUCCEEDED", "metrics": {"totalTime": {"startTimeInMs": 0, "endTimeInMs": 3_000_000}}}),
    );
    let running = export_job("running", NOW / 1000, json!({"phase": "PROCESSING"}));
    assert!(can_tell(&bad) && can_tell(&good) && !can_tell(&running));
    let found = judge(&mut all, &verdicts([&old]), NOW);
    assert!(
        found["a"].starts_with("True/Valid"),
        "a job of before tells nothing: {found:?}"
    );
    let found = judge(&mut all, &verdicts([&bad, &old, &running]), NOW);
    assert_eq!(
        found["a"],
        r#"False/PQL_UNKNOWN_FIELD: ExportJob "bad" failed: SegmentDefinition "a": line 1, column 1: no field "x""#
    );
    assert!(
        found["b"].starts_with(r#"False/DependencyNotReady: asks for the segment "a": PQL_UNKNOWN_FIELD: "#),
        "{found:?}"
    );
    let found = judge(&mut all, &verdicts([&good, &bad]), NOW);
    assert!(found["a"].starts_with("True/Valid"), "{found:?}");
    let twin = export_job(
        "twin",
        NOW / 1000 + 1,
        failed(2_000_000, r#"SegmentDefinition "a": line 1, column 1: no field "x""#),
    );
    assert_eq!(
        verdicts([&bad, &twin]),
        verdicts([&twin, &bad]),
        "jobs come in any order"
    );
    // Another expression, that no job has seen.
    judge(&mut all, &verdicts([&bad]), NOW);
    all[0].metadata.generation = Some(2);
    let found = judge(&mut all, &verdicts([&bad]), NOW + 5000);
    assert!(found["a"].starts_with("True/Valid"), "{found:?}");
}
