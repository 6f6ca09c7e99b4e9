//! Segments that are computed: which definitions a plan carries, in which order, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;

use exportjob_api::{ExpressionFormat, Manifest, parse_manifests};
use exportjob_plan::{ExportPlan, Inputs, MountedLocations, PlanError, build};
use serde_json::{Value, json};

/// A job over these segments that evaluates them, with these definitions: name, namespace, expression.
fn plan(segments: &[&str], definitions: &[(&str, &str, &str)]) -> Result<ExportPlan, PlanError> {
    let specs = definitions.iter().map(|(name, namespace, text)| {
        let expression = json!({"type": "PQL", "format": "pql/text", "value": text});
        (*name, json!({"namespace": namespace, "expression": expression}))
    });
    plan_of(segments, &specs.collect::<Vec<_>>())
}

fn plan_of(segments: &[&str], definitions: &[(&str, Value)]) -> Result<ExportPlan, PlanError> {
    let segments: Vec<Value> = segments.iter().map(|id| json!({"segmentId": id})).collect();
    let job = json!({
        "destination": {"datasetId": "d"},
        "schema": {"name": "_xdm.context.profile"},
        "filter": {"segments": segments},
        "evaluationInfo": {"segmentation": true},
    });
    let store = json!({
        "tables": {"fragments": [{"location": "file:///store/fragments", "format": "parquet"}]},
        "volume": {"persistentVolumeClaim": {"claimName": "profiles"}},
    });
    let dataset =
        json!({"location": "file:///datasets/d", "volume": {"persistentVolumeClaim": {"claimName": "datasets"}}});
    let (mut stores, mut datasets, mut known) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut export_job = None;
    let mut add = |kind: &str, name: &str, spec: &Value| {
        let manifest =
            json!({"apiVersion": "exportjob.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        match parse_manifests(&manifest.to_string()).unwrap().remove(0) {
            Manifest::ExportJob(job) => export_job = Some(*job),
            Manifest::ProfileStore(store) => drop(stores.insert(name.to_owned(), *store)),
            Manifest::Dataset(dataset) => drop(datasets.insert(name.to_owned(), *dataset)),
            Manifest::SegmentDefinition(definition) => drop(known.insert(name.to_owned(), *definition)),
            Manifest::Secret(_) => unreachable!("no Secret was written"),
        }
    };
    add("ExportJob", "j", &job);
    add("ProfileStore", "ups", &store);
    add("Dataset", "d", &dataset);
    for (name, spec) in definitions {
        add("SegmentDefinition", name, spec);
    }
    build(&Inputs {
        export_job: &export_job.unwrap(),
        id: 7,
        created_at_ms: 1_000,
        stores: &stores,
        datasets: &datasets,
        definitions: &known,
        locate: &MountedLocations,
    })
}

fn refused(segments: &[&str], definitions: &[(&str, &str, &str)], code: &str, words: &[&str]) {
    let error = plan(segments, definitions).unwrap_err();
    assert_eq!((error.code(), error.can_heal()), (code, true), "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} in {error}");
    }
}

#[test]
fn a_plan_has_all_definitions_that_are_asked_for_each_after_those_that_it_asks_for() {
    let definitions = [
        (
            "a",
            "ups",
            r#"inSegment("c") and inSegment("stored") and inSegment("other")"#,
        ),
        ("b", "ups", "x = 1"),
        ("c", "UPS", r#"not inSegment("d")"#),
        ("d", "ups", "x = 2"),
        ("other", "crm", "x = 4"),
        ("unused", "ups", "x = 3 and"),
    ];
    let evaluation = plan(&["a", "b"], &definitions).unwrap().evaluation.unwrap();
    assert_eq!(evaluation.evaluated_at, 1_000_000);
    let order: Vec<_> = evaluation
        .definitions
        .iter()
        .map(|d| (d.id.as_str(), d.listed))
        .collect();
    assert_eq!(order, [("b", true), ("d", false), ("c", false), ("a", true)]);
    assert_eq!(evaluation.asked_for("d"), Some(1));
    assert_eq!(
        (evaluation.asked_for("stored"), evaluation.asked_for("other")),
        (None, None),
        "inSegment looks at the namespace ups"
    );
}

#[test]
fn a_definition_without_expression_is_as_good_as_none() {
    let expression = json!({"type": "PQL", "format": "pql/text", "value": r#"inSegment("empty")"#});
    let definitions = [("a", json!({"expression": expression})), ("empty", json!({}))];
    let evaluation = plan_of(&["a"], &definitions).unwrap().evaluation.unwrap();
    assert_eq!(evaluation.asked_for("empty"), None);
    let error = plan_of(&["empty"], &definitions).unwrap_err();
    assert_eq!((error.code(), error.can_heal()), ("INVALID_STORE", true));
    assert!(
        error
            .to_string()
            .contains(r#"SegmentDefinition "empty": it has no spec.expression"#),
        "{error}"
    );
}

#[test]
fn both_forms_of_an_expression_are_read() {
    let tree = r#"{"nodeType": "fnApply", "fnName": "=", "params": [{"nodeType": "fieldLookup", "fieldName": "city"}, {"nodeType": "literal", "value": "Oslo"}]}"#;
    let expression = |value: &str| json!({"expression": {"type": "PQL", "format": "pql/json", "value": value}});
    let evaluation = plan_of(&["a"], &[("a", expression(tree))]).unwrap().evaluation.unwrap();
    assert_eq!(evaluation.definitions[0].format, ExpressionFormat::Json);
    assert_eq!(
        evaluation.definitions[0].parse().unwrap().1.to_string(),
        r#"city = "Oslo""#
    );
    // A form that is named is kept to.
    let error = plan_of(&["a"], &[("a", expression("x = 1"))]).unwrap_err();
    assert_eq!(error.code(), "PQL_SYNTAX");
}

#[test]
fn a_listed_segment_without_a_definition_is_named() {
    let words = [r#"SegmentDefinition "loyl""#, r#"did you mean "loyal"?"#];
    refused(&["loyl"], &[("loyal", "ups", "x = 1")], "REFERENCE_NOT_FOUND", &words);
    let elsewhere = [r#"SegmentDefinition "loyal" with the namespace "ups""#];
    refused(
        &["loyal"],
        &[("loyal", "crm", "x = 1")],
        "REFERENCE_NOT_FOUND",
        &elsewhere,
    );
}

#[test]
fn what_is_wrong_with_an_expression_is_said_with_its_segment_and_place() {
    let a = |text: &'static str| [("a", "ups", text)];
    let named = r#"SegmentDefinition "a": spec.expression: line "#;
    refused(&["a"], &a("x = 1 and"), "PQL_SYNTAX", &[named, "line 1, column "]);
    refused(
        &["a"],
        &a("\n x.cuont() > 1"),
        "PQL_UNKNOWN_FUNCTION",
        &[named, "line 2, column 4", "count"],
    );
    refused(
        &["a"],
        &a("1 + 1"),
        "PQL_TYPE",
        &[named, "a segment must be a condition"],
    );
    refused(&["a"], &a("$2.x = 1"), "PQL_UNKNOWN_FIELD", &[named, "$2"]);
    refused(&["a"], &a("@{x}.y = 1"), "PQL_UNSUPPORTED", &[named]);
    let deep: &'static str = format!("{}x = 1{}", "(not ".repeat(70), ")".repeat(70)).leak();
    refused(
        &["a"],
        &a(deep),
        "PQL_LIMIT",
        &[r#"SegmentDefinition "a""#, "expression-depth"],
    );
    let asks = [("a", "ups", r#"inSegment("b")"#), ("b", "ups", "x =")];
    refused(&["a"], &asks, "PQL_SYNTAX", &[r#"SegmentDefinition "b""#]);
}

#[test]
fn what_is_said_of_a_long_expression_is_short() {
    let long: &'static str = format!("x = \"{}\" and y.cuont() = 1", "é".repeat(20_000)).leak();
    let error = plan(&["a"], &[("a", "ups", long)]).unwrap_err().to_string();
    assert!(
        error.contains("column 20014: there is no function cuont()") && error.len() < 1500,
        "{error}"
    );
    let holder: &'static str = format!("{}.x = 1", ["y"; 900].join(" + ")).leak();
    let error = plan(&["a"], &[("a", "ups", holder)]).unwrap_err().to_string();
    assert!(error.len() < 1500, "{error}");
}

#[test]
fn a_circle_is_named() {
    let circle = [
        ("a", "ups", r#"inSegment("b")"#),
        ("b", "ups", r#"inSegment("c")"#),
        ("c", "ups", r#"inSegment("b")"#),
    ];
    refused(&["a"], &circle, "PQL_CYCLE", &["b → c → b"]);
}

#[test]
fn expressions_that_would_not_fit_into_a_plan_are_refused() {
    let long: &'static str = format!("x = \"{}\"", "y".repeat(60_000)).leak();
    let ids: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let definitions: Vec<_> = ids.iter().map(|id| (*id, "ups", long)).collect();
    let error = plan(&ids, &definitions).unwrap_err();
    assert_eq!((error.code(), error.can_heal()), ("INVALID_SPEC", false));
    assert!(error.to_string().contains("list fewer segments"), "{error}");
    assert!(plan(&ids[..8], &definitions).is_ok());
}

#[test]
fn without_segments_there_is_nothing_to_evaluate() {
    assert_eq!(plan(&[], &[]).unwrap().evaluation, None);
}
