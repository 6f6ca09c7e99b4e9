//! What the definitions of segments say about their expressions.

use exportjob_api::SegmentDefinition;
use exportjob_tests::{
    operator::kubectl,
    space::{Space, on_cluster},
    wait,
};
use serde_json::{Value, json};

/// A definition with this expression.
fn definition(name: &str, expression: &str) -> Value {
    json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "SegmentDefinition", "metadata": {"name": name},
        "spec": {"expression": {"type": "PQL", "format": "pql/text", "value": expression}},
    })
}

fn apply(space: &Space, object: &Value) {
    let arguments = ["--namespace", &space.name, "apply", "--filename", "-"];
    kubectl(&arguments, object.to_string().as_bytes());
}

/// Waits with `kubectl wait` for `Ready`, and returns the condition as `reason: message`.
fn until_ready(space: &Space, name: &str, ready: &str) -> String {
    let (resource, condition) = (
        format!("segmentdefinition/{name}"),
        format!("--for=condition=Ready={ready}"),
    );
    kubectl(
        &[
            "--namespace",
            &space.name,
            "wait",
            &condition,
            &resource,
            "--timeout=60s",
        ],
        b"",
    );
    let path = r#"jsonpath={range .status.conditions[?(@.type=="Ready")]}{.reason}: {.message}{end}"#;
    let said = kubectl(&["--namespace", &space.name, "get", &resource, "--output", path], b"");
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn a_broken_expression_is_told_with_its_place_until_it_is_mended() {
    on_cluster("segments", async |space: &Space| {
        apply(space, &definition("adults", "person.age >=\n  )"));
        let said = until_ready(space, "adults", "False");
        assert!(said.starts_with("PQL_SYNTAX: line 2, column 3: "), "{said}");
        apply(space, &definition("adults", "person.age >= 21"));
        let said = until_ready(space, "adults", "True");
        assert!(said.starts_with("Valid: "), "{said}");
        let adults = wait::until_it(space.api::<SegmentDefinition>(), "adults", "seen", |found| {
            let seen = found.status.as_ref().and_then(|status| status.observed_generation);
            seen == found.metadata.generation
        })
        .await;
        assert_eq!(adults.metadata.generation, Some(2));
    })
    .await;
}

#[tokio::test]
async fn a_circle_is_told_to_all_in_it_and_goes_when_one_of_them_changes() {
    on_cluster("circle", async |space: &Space| {
        apply(space, &definition("first", r#"inSegment("second")"#));
        let said = until_ready(space, "first", "True");
        assert!(said.contains("second"), "it has no definition yet: {said}");
        apply(space, &definition("second", r#"not inSegment("first")"#));
        for name in ["first", "second"] {
            let said = until_ready(space, name, "False");
            assert!(said.starts_with("PQL_CYCLE: "), "{name}: {said}");
            assert!(said.contains("first") && said.contains("second"), "{name}: {said}");
        }
        apply(space, &definition("second", "person.age >= 21"));
        for name in ["first", "second"] {
            until_ready(space, name, "True");
        }
    })
    .await;
}
