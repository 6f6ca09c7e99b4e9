//! Segments that are computed for an export: each row of the table of transitions, what expressions see, and what is
//! refused. The job starts at 2024-01-01T00:00:00Z, which is `now`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

#[allow(dead_code, reason = "shared by several test binaries, none of which needs all of it")]
mod reference;
#[allow(dead_code, reason = "shared by several test binaries, none of which needs all of it")]
mod support;

use exportjob_api::{ExpressionFormat, MembershipStates, SegmentStatus};
use exportjob_plan::{AttributeRule, DefinitionPlan, EvaluationPlan, exit};
use serde_json::{Value, json};

use reference::model::Type;
use support::{
    plan::{STARTED_AT, batch_per_segment, events, segment},
    scene::{Scene, fragments, records},
};

const ALL: [SegmentStatus; 3] = [SegmentStatus::Realized, SegmentStatus::Existing, SegmentStatus::Exited];
const DAY: i64 = 86_400_000_000;

/// A scene that lists the first of these definitions and computes all of them.
fn evaluating(scene: Scene, definitions: &[(&str, &str)]) -> Scene {
    let mut definitions: Vec<_> = definitions
        .iter()
        .map(|(id, text)| DefinitionPlan {
            namespace: "ups".to_owned(),
            id: (*id).to_owned(),
            format: ExpressionFormat::Text,
            expression: (*text).to_owned(),
            listed: false,
        })
        .collect();
    definitions[0].listed = true;
    let listed = segment("ups", &definitions[0].id, &ALL);
    // As a plan has them: what is asked for comes first.
    definitions.reverse();
    scene.with(|plan| {
        plan.selection.segments = vec![listed];
        plan.evaluation = Some(EvaluationPlan {
            evaluated_at: STARTED_AT,
            definitions,
        });
    })
}

/// One profile, `x:1`, with the text `tier` and these memberships.
fn member(tier: &str, memberships: &[Value]) -> Scene {
    let row = json!({"of": "x:1", "dataset": "crm", "time": 1, "ingested": 1, "tier": tier});
    let extras = [
        ("validUntil", Type::Time),
        ("version", Type::Text),
        ("payload", Type::Text),
    ];
    fragments(&[("tier", Type::Text)], &[row])
        .memberships(&extras, memberships)
        .fields("segmentMembership")
}

/// A membership in `s`, as stored.
fn stored(status: &str) -> Value {
    json!({
        "of": "x:1", "ns": "UPS", "segment": "s", "status": status, "at": 7,
        "until": STARTED_AT + 1, "version": "v", "payload": "p",
    })
}

/// What is written of it where it goes on.
fn kept(status: &str) -> Value {
    json!({"UPS": {"s": {
        "status": status, "lastQualificationTime": 7, "validUntil": STARTED_AT + 1, "version": "v", "payload": "p",
    }}})
}

/// What is written of a state that begins.
fn begun(namespace: &str, status: &str) -> Value {
    let membership = json!({
        "status": status, "lastQualificationTime": STARTED_AT, "validUntil": null, "version": null, "payload": null,
    });
    json!({ namespace: {"s": membership} })
}

const GOLD: (&str, &str) = ("s", "tier = \"gold\"");

#[track_caller]
fn becomes(scene: Scene, expected: &[Value]) {
    let rows: Vec<Value> = expected.iter().map(|map| json!({"segmentMembership": map})).collect();
    evaluating(scene, &[GOLD]).exports(&json!(rows));
}

// Transitions

#[test]
fn a_member_who_matches_stays_one_and_keeps_what_is_stored() {
    for status in ["realized", "existing"] {
        becomes(member("gold", &[stored(status)]), &[kept("existing")]);
    }
}

#[test]
fn with_two_states_a_member_who_matches_stays_realized() {
    for status in ["realized", "existing"] {
        let scene = member("gold", &[stored(status)]);
        let two = scene.with(|plan| plan.store.membership_states = MembershipStates::Two);
        becomes(two, &[kept("realized")]);
    }
}

#[test]
fn who_matches_and_was_no_member_is_realized_now() {
    becomes(member("gold", &[]), &[begun("ups", "realized")]);
    for status in ["exited", "paused"] {
        becomes(member("gold", &[stored(status)]), &[begun("UPS", "realized")]);
    }
}

#[test]
fn a_member_who_does_not_match_exits_now() {
    for status in ["realized", "existing"] {
        becomes(member("tin", &[stored(status)]), &[begun("UPS", "exited")]);
    }
}

#[test]
fn who_does_not_match_and_was_no_member_has_no_entry_and_who_exited_is_unchanged() {
    becomes(member("tin", &[]), &[]);
    becomes(member("tin", &[stored("exited")]), &[kept("exited")]);
    becomes(member("tin", &[stored("paused")]), &[]);
}

#[test]
fn a_membership_that_has_ended_is_none() {
    let mut ended = stored("realized");
    ended["until"] = json!(STARTED_AT - 1);
    becomes(
        member("gold", std::slice::from_ref(&ended)),
        &[begun("ups", "realized")],
    );
    becomes(member("tin", &[ended]), &[]);
}

#[test]
fn only_listed_segments_are_written_anew() {
    let other = json!({"of": "x:1", "ns": "ups", "segment": "r", "status": "realized", "at": 3});
    let scene = member("gold", &[stored("exited"), other]);
    let definitions = [
        ("s", "inSegment(\"q\") and not inSegment(\"r\")"),
        ("r", "tier = \"tin\""),
        ("q", "tier.isNotNull()"),
    ];
    let r =
        json!({"status": "realized", "lastQualificationTime": 3, "validUntil": null, "version": null, "payload": null});
    let mut expected = begun("UPS", "realized");
    expected["ups"] = json!({"r": r});
    evaluating(scene, &definitions).exports(&json!([{"segmentMembership": expected}]));
}

// Selection

#[test]
fn the_audience_is_chosen_by_the_memberships_that_were_computed() {
    let selected = |status: SegmentStatus, tier: &str, memberships: &[Value]| {
        let scene = evaluating(member(tier, memberships), &[GOLD]);
        let scene = scene.with(|plan| plan.selection.segments[0].statuses = vec![status]);
        scene.answer().unwrap().exported.len()
    };
    assert_eq!(selected(SegmentStatus::Realized, "gold", &[]), 1);
    assert_eq!(selected(SegmentStatus::Existing, "gold", &[]), 0);
    assert_eq!(selected(SegmentStatus::Realized, "gold", &[stored("realized")]), 0);
    assert_eq!(selected(SegmentStatus::Existing, "gold", &[stored("realized")]), 1);
    assert_eq!(selected(SegmentStatus::Exited, "tin", &[stored("realized")]), 1);
}

#[test]
fn the_qualification_window_is_about_the_new_time() {
    let exported = |tier: &str, memberships: &[Value]| {
        let scene = evaluating(member(tier, memberships), &[GOLD]);
        let scene = scene.with(|plan| {
            plan.selection.qualified_from = Some(STARTED_AT);
            plan.selection.qualified_to = Some(STARTED_AT + 1);
        });
        scene.answer().unwrap().exported.len()
    };
    assert_eq!(exported("gold", &[]), 1);
    assert_eq!(
        exported("gold", &[stored("realized")]),
        0,
        "qualified at its stored time"
    );
    assert_eq!(exported("tin", &[stored("realized")]), 1);
}

#[test]
fn each_batch_takes_the_members_of_its_segment() {
    let tiers = ["gold", "tin"]
        .map(|tier| json!({"of": format!("x:{tier}"), "dataset": "crm", "time": 1, "ingested": 1, "tier": tier}));
    let scene = evaluating(
        fragments(&[("tier", Type::Text)], &tiers).fields("tier"),
        &[GOLD, ("t", "not inSegment(\"s\")")],
    );
    let scene = scene.with(|plan| {
        plan.selection.segments.push(segment("ups", "t", &ALL));
        let evaluation = plan.evaluation.as_mut().unwrap();
        evaluation.definitions.reverse();
        evaluation.definitions[1].listed = true;
        plan.batches = batch_per_segment(&plan.selection);
    });
    scene.exports(&json!([{"tier": "gold"}, {"tier": "tin"}]));
    let mut taken: Vec<_> = scene
        .answer()
        .unwrap()
        .exported
        .into_iter()
        .map(|profile| (profile.row, profile.batches))
        .collect();
    taken.sort_by_key(|(row, _)| row.to_string());
    assert_eq!(taken[0], (json!({"tier": "gold"}), vec![true, false]));
    assert_eq!(taken[1], (json!({"tier": "tin"}), vec![false, true]));
}

#[test]
fn a_profile_without_records_is_evaluated_if_it_is_exported() {
    let scene = member("tin", &[]).events(
        &[("kind", Type::Text)],
        &[json!({"of": "x:2", "dataset": "web", "ingested": 1, "_id": "e", "timestamp": 1, "kind": "view"})],
    );
    let scene = evaluating(scene.fields("identities.id"), &[("s", "xEvent[kind = \"view\"]")]);
    scene.exports(&json!([]));
    scene
        .with(|plan| plan.selection.empty_profiles = true)
        .exports(&json!([{"identities": [{"id": "2"}]}]));
}

// What expressions see

/// A profile of two records and three events that matches, or not.
#[track_caller]
fn sees(expression: &str, expected: bool, change: impl FnOnce(&mut exportjob_plan::ExportPlan)) {
    let item = Type::of(&[("sku", Type::Text), ("price", Type::Float)]);
    let columns = [
        ("tier", Type::Text),
        ("home", Type::of(&[("city", Type::Text), ("zip", Type::Text)])),
        ("orders", Type::list(item.clone())),
        ("labels", Type::map(Type::Long)),
        ("born", Type::Date),
    ];
    let records = [
        json!({"of": "crm:1", "dataset": "crm", "time": 1, "ingested": 1, "tier": "gold", "home": {"city": "Oslo", "zip": null},
            "orders": [{"sku": "A", "price": "0.5"}, {"sku": "B", "price": "3.0"}], "labels": {"k": 4}, "born": 11_000}),
        json!({"of": "web:1", "dataset": "web", "time": 2, "ingested": 2, "tier": "tin", "home": {"city": null, "zip": "0150"}}),
    ];
    let of = |dataset: &str, id: &str, ago: i64, kind: &str| {
        json!({"of": "web:1", "dataset": dataset, "ingested": 5, "_id": id, "timestamp": STARTED_AT - ago, "kind": kind,
            "items": [{"sku": kind, "price": "1.0"}]})
    };
    let rows = [
        of("web", "a", 3 * DAY, "view"),
        of("web", "b", DAY, "buy"),
        of("pos", "c", 10 * DAY, "view"),
    ];
    let scene = fragments(&columns, &records)
        .graph(&[("crm:1", "p"), ("web:1", "p")])
        .events(&[("kind", Type::Text), ("items", Type::list(item))], &rows)
        .with(change)
        .fields("tier");
    let answer = evaluating(scene, &[("s", expression)])
        .answer()
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(answer.exported.len() == 1, expected, "{expression}");
}

#[test]
fn expressions_see_the_profile_as_it_is_merged() {
    let cases = [
        ("tier = \"tin\" and home.city = \"Oslo\" and home.zip = \"0150\"", true),
        ("tier = \"gold\"", false),
        ("orders[sku = \"B\"].sum(price) = 3 and orders.count() = 2", true),
        ("orders[sku = \"A\" and price > 1]", false),
        ("labels.get(\"k\") = 4 and labels.keys().includes(\"k\")", true),
        ("born occurs before date(2000, 3, 1) and born.getYear() = 2000", true),
        (
            "identityMap.get(\"crm\").count() = 1 and identities[primary].namespace.code.includes(\"web\")",
            true,
        ),
        ("home.isNotNull() and labels.get(\"none\").isNull()", true),
    ];
    for (expression, expected) in cases {
        sees(expression, expected, |_| {});
    }
}

#[test]
fn expressions_see_all_events_whatever_of_them_is_written() {
    let cases = [
        ("xEvent[kind = \"view\"].count() = 2", true),
        ("xEvent[timestamp occurs <= 4 days before now].count() = 2", true),
        (
            "chain(xEvent, timestamp, [A: WHAT(kind = \"view\") WHEN(< 5 days before now), B: WHAT(kind = \"buy\")])",
            true,
        ),
        (
            "chain(xEvent, timestamp, [A: WHAT(kind = \"buy\"), B: WHAT(kind = \"view\")])",
            false,
        ),
        (
            "xEvent.head().kind = \"view\" and xEvent.head().timestamp occurs > 9 days before now",
            true,
        ),
        (
            "exists E from xEvent, I from E.items where I.sku = \"buy\" and I.price = 1",
            true,
        ),
        ("xEvent[kind = ^.tier]", false),
    ];
    for (expression, expected) in cases {
        sees(expression, expected, |_| {});
        sees(expression, expected, |plan| {
            plan.events = Some(exportjob_plan::EventPlan {
                fields: support::plan::fields("kind"),
                ingested_after: Some(STARTED_AT),
                ..events()
            });
        });
    }
}

#[test]
fn the_jobs_policy_decides_what_expressions_see() {
    let policy = |plan: &mut exportjob_plan::ExportPlan| {
        plan.merge_policy.attributes = AttributeRule::DataSetPrecedence(vec!["crm".to_owned(), "web".to_owned()]);
        plan.merge_policy.event_datasets = Some(vec!["pos".to_owned()]);
    };
    sees("tier = \"gold\" and xEvent.count() = 1", true, policy);
}

// What is refused, before any row is read

#[track_caller]
fn refused(expression: &str, code: &str, words: &[&str]) {
    let error = evaluating(member("gold", &[]), &[("loyal", expression)])
        .answer()
        .unwrap_err();
    assert_eq!((error.code(), error.exit_code()), (code, exit::USER_ERROR), "{error}");
    for word in words
        .iter()
        .chain(&["SegmentDefinition \"loyal\": spec.expression: line 1, column "])
    {
        assert!(error.to_string().contains(word), "{word:?} in {error}");
    }
}

#[test]
fn an_unknown_path_is_named_with_the_nearest_one() {
    refused(
        "teir = \"gold\"",
        "PQL_UNKNOWN_FIELD",
        &["column 1: the profile has no field \"teir\" (did you mean tier?)"],
    );
    refused(
        "tier = \"x\" and xEvent[timestmp occurs today]",
        "PQL_UNKNOWN_FIELD",
        &["column 23", "timestamp"],
    );
}

#[test]
fn a_type_that_does_not_fit_the_column_is_refused() {
    refused("tier > 5", "PQL_TYPE", &["string and int"]);
    refused("tier.sum() > 5", "PQL_TYPE", &["tier must be a list"]);
    refused("tier", "PQL_TYPE", &["a segment must be a condition, and is string"]);
}

#[test]
fn a_definition_that_does_not_parse_is_refused_by_the_exporter_as_well() {
    refused("tier = ", "PQL_SYNTAX", &[]);
}

#[test]
fn a_plan_that_nobody_can_have_made_is_refused_as_well() {
    let plan = |definitions: &[(&str, &str)]| evaluating(member("gold", &[]), definitions);
    for definitions in [
        &[("a", "inSegment(\"a\")")][..],
        &[("a", "inSegment(\"b\")"), ("b", "inSegment(\"a\")")],
    ] {
        let error = plan(definitions).answer().unwrap_err();
        assert_eq!(
            (error.code(), error.exit_code()),
            ("PQL_CYCLE", exit::USER_ERROR),
            "{error}"
        );
    }
    let undefined = plan(&[("a", "true")]).with(|plan| plan.evaluation.as_mut().unwrap().definitions.clear());
    let error = undefined.answer().unwrap_err();
    assert_eq!(
        (error.code(), error.exit_code()),
        ("REFERENCE_NOT_FOUND", exit::USER_ERROR)
    );
    assert!(
        error.to_string().contains("the segment \"a\" (namespace \"ups\")"),
        "{error}"
    );
}

#[test]
fn columns_that_no_expression_looks_at_need_not_even_be_readable() {
    let odd = |name: &str, kind: Type, value: Value| {
        records(
            &[("tier", Type::Text), ("odd", kind)],
            &[
                json!({"of": format!("x:{name}"), "dataset": "crm", "time": 1, "ingested": 1, "tier": name, "odd": value}),
            ],
        )
    };
    let mut scene = fragments(&[], &[]).fields("identities.id");
    scene.store.fragments = vec![odd("gold", Type::Text, json!("x")), odd("tin", Type::Bool, json!(true))];
    let exported = |text: &str| {
        evaluating(scene.clone(), &[("s", text)])
            .answer()
            .map(|answer| answer.exported.len())
    };
    assert_eq!(exported("tier = \"gold\"").unwrap(), 1);
    assert_eq!(exported("odd.isNotNull()").unwrap_err().code(), "COLUMN_TYPE");
}
