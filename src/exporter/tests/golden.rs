//! One sentence of the specification each, with the rows that it promises. Times are microseconds since 1970, kept small.
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

use std::{collections::BTreeMap, fs};

use exportjob_api::{SegmentStatus, TableFormat};
use exportjob_plan::{AttributeRule, IdentityGraphKind, UpsertDatasets};
use serde_json::{Value, json};

use reference::model::Type;
use support::{
    plan::{batch_per_segment, column, constant, events, fields, segment, table, url},
    scene::{Scene, fragments, nobody, records, row, run_in, sorted},
    table::{Files, Table},
};

const MEMBERS: [SegmentStatus; 2] = [SegmentStatus::Realized, SegmentStatus::Existing];

fn name() -> [(&'static str, Type); 1] {
    [("name", Type::Text)]
}

/// The attribute `x` of each profile.
fn x() -> [(&'static str, Type); 1] {
    [("x", Type::Text)]
}

fn precedence(order: &[&str]) -> AttributeRule {
    AttributeRule::DataSetPrecedence(order.iter().map(|name| (*name).to_owned()).collect())
}

// Stitching

#[test]
fn identities_of_one_cluster_are_one_profile() {
    fragments(
        &x(),
        &[
            json!({"of": "crm:1", "dataset": "crm", "time": 1, "ingested": 1, "x": "old"}),
            json!({"of": "ECID:a", "dataset": "web", "time": 2, "ingested": 2, "x": "new"}),
        ],
    )
    .graph(&[("ECID:a", "p"), ("crm:1", "p"), ("Email:m", "p")])
    .exports(&json!([{
        "identityMap": {
            "ECID": [{"id": "a", "primary": true}],
            "Email": [{"id": "m", "primary": false}],
            "crm": [{"id": "1", "primary": false}],
        },
        "identities": [
            {"id": "a", "namespace": {"code": "ECID"}, "primary": true},
            {"id": "m", "namespace": {"code": "Email"}, "primary": false},
            {"id": "1", "namespace": {"code": "crm"}, "primary": false},
        ],
        "segmentMembership": {},
        "x": "new",
    }]));
}

#[test]
fn without_a_graph_each_identity_is_a_profile_by_itself() {
    fragments(
        &x(),
        &[
            json!({"of": "crm:1", "dataset": "crm", "ingested": 1, "x": "one"}),
            json!({"of": "ECID:a", "dataset": "web", "ingested": 2, "x": "other"}),
        ],
    )
    .graph(&[("ECID:a", "p"), ("crm:1", "p")])
    .with(|plan| plan.merge_policy.identity_graph = IdentityGraphKind::None)
    .fields("identities.id, x")
    .exports(&json!([{"identities": [{"id": "1"}], "x": "one"}, {"identities": [{"id": "a"}], "x": "other"}]));
}

#[test]
fn an_identity_that_is_not_in_the_graph_is_a_profile_by_itself() {
    fragments(
        &x(),
        &[
            json!({"of": "crm:1", "dataset": "crm", "ingested": 1, "x": "in"}),
            json!({"of": "crm:2", "dataset": "crm", "ingested": 2, "x": "out"}),
            json!({"of": "CRM:1", "dataset": "crm", "ingested": 2, "x": "another namespace"}),
        ],
    )
    .graph(&[("ECID:a", "p"), ("crm:1", "p")])
    .fields("identities.id, x")
    .exports(&json!([
        {"identities": [{"id": "a"}, {"id": "1"}], "x": "in"},
        {"identities": [{"id": "2"}], "x": "out"},
        {"identities": [{"id": "1"}], "x": "another namespace"},
    ]));
}

#[test]
fn an_identity_listed_twice_belongs_to_one_cluster() {
    fragments(
        &x(),
        &[json!({"of": "crm:1", "dataset": "crm", "ingested": 1, "x": "v"})],
    )
    .graph(&[
        ("crm:1", "q"),
        ("ECID:q", "q"),
        ("crm:1", "p"),
        ("ECID:p", "p"),
        ("crm:1", "p"),
    ])
    .fields("identities.id")
    .exports(&json!([{"identities": [{"id": "p"}, {"id": "1"}]}]));
}

// Attributes

#[test]
fn the_newest_value_wins_path_by_path_and_a_null_hides_nothing() {
    let address = Type::of(&[
        ("city", Type::Text),
        ("geo", Type::of(&[("lat", Type::Float), ("lon", Type::Float)])),
    ]);
    fragments(&[("address", address), ("x", Type::Text)], &[
        json!({"of": "crm:1", "dataset": "a", "time": 3, "ingested": 1, "address": {"geo": {"lat": "1.0"}}}),
        json!({"of": "crm:1", "dataset": "b", "time": 2, "ingested": 9, "address": {"city": "Rome", "geo": {"lat": "2.0", "lon": "3.0"}}}),
        json!({"of": "crm:1", "dataset": "c", "time": 1, "ingested": 9, "address": {"city": "Bonn"}, "x": "old"}),
    ])
    .fields("address,x")
    .exports(&json!([{"address": {"city": "Rome", "geo": {"lat": "1.0", "lon": "3.0"}}, "x": "old"}]));
}

#[test]
fn arrays_and_maps_are_replaced_whole() {
    let columns = [("tags", Type::list(Type::Text)), ("marks", Type::map(Type::Long))];
    fragments(
        &columns,
        &[
            json!({"of": "crm:1", "dataset": "a", "ingested": 2, "tags": [], "marks": {"new": null}}),
            json!({"of": "crm:1", "dataset": "b", "ingested": 1, "tags": ["old"], "marks": {"old": 1}}),
        ],
    )
    .fields("tags,marks")
    .exports(&json!([{"tags": [], "marks": {"new": null}}]));
}

#[test]
fn the_time_of_the_source_comes_before_the_time_of_ingestion() {
    fragments(
        &x(),
        &[
            json!({"of": "crm:1", "dataset": "a", "time": 5, "ingested": 7, "x": "source time 5"}),
            json!({"of": "crm:1", "dataset": "b", "ingested": 6, "x": "ingested at 6"}),
            json!({"of": "crm:1", "dataset": "c", "time": 4, "ingested": 9, "x": "source time 4"}),
        ],
    )
    .fields("x")
    .exports(&json!([{"x": "ingested at 6"}]));
}

#[test]
fn at_the_same_time_the_later_ingested_wins_then_the_last_dataset() {
    fragments(
        &[("x", Type::Text), ("y", Type::Text)],
        &[
            json!({"of": "crm:1", "dataset": "a", "time": 5, "ingested": 2, "x": "ingested later"}),
            json!({"of": "crm:1", "dataset": "z", "time": 5, "ingested": 1, "x": "ingested earlier", "y": "z"}),
            json!({"of": "crm:1", "dataset": "b", "time": 5, "ingested": 1, "y": "b"}),
        ],
    )
    .fields("x,y")
    .exports(&json!([{"x": "ingested later", "y": "z"}]));
}

#[test]
fn a_later_record_replaces_the_earlier_one_of_its_dataset_whole() {
    fragments(
        &[("x", Type::Text), ("y", Type::Text)],
        &[
            json!({"of": "crm:1", "dataset": "a", "ingested": 1, "x": "deleted since", "y": "old"}),
            json!({"of": "crm:1", "dataset": "a", "ingested": 2, "y": "new"}),
            json!({"of": "crm:2", "dataset": "a", "ingested": 0, "x": "of another identity"}),
        ],
    )
    .graph(&[("crm:1", "p"), ("crm:2", "p")])
    .fields("x,y")
    .exports(&json!([{"x": "of another identity", "y": "new"}]));
}

#[test]
fn rows_of_an_upsert_dataset_fill_each_others_gaps() {
    let rows = [
        json!({"of": "crm:1", "dataset": "web", "ingested": 1, "x": "kept", "y": "old"}),
        json!({"of": "crm:1", "dataset": "web", "ingested": 3, "y": "new"}),
        json!({"of": "crm:1", "dataset": "crm", "ingested": 2, "z": "gone"}),
        json!({"of": "crm:1", "dataset": "crm", "ingested": 4}),
    ];
    let scene = fragments(&[("x", Type::Text), ("y", Type::Text), ("z", Type::Text)], &rows).fields("x,y,z");
    let scene = scene.with(|plan| plan.store.upsert_datasets = UpsertDatasets::Listed(vec!["web".into()]));
    scene.exports(&json!([{"x": "kept", "y": "new", "z": null}]));
    let scene = scene.with(|plan| plan.store.upsert_datasets = UpsertDatasets::All);
    scene.exports(&json!([{"x": "kept", "y": "new", "z": "gone"}]));
}

#[test]
fn the_first_listed_dataset_with_a_value_wins() {
    fragments(
        &[("x", Type::Text), ("y", Type::Text)],
        &[
            json!({"of": "crm:1", "dataset": "web", "ingested": 9, "x": "web", "y": "web"}),
            json!({"of": "crm:1", "dataset": "crm", "ingested": 1, "x": "old crm", "y": null}),
            json!({"of": "crm:2", "dataset": "crm", "ingested": 2, "x": "new crm"}),
            json!({"of": "crm:1", "dataset": "pos", "ingested": 10, "x": "pos", "y": "pos"}),
        ],
    )
    .graph(&[("crm:1", "p"), ("crm:2", "p")])
    .with(|plan| plan.merge_policy.attributes = precedence(&["crm", "web"]))
    .fields("x,y")
    .exports(&json!([{"x": "new crm", "y": "web"}]));
}

#[test]
fn a_dataset_that_is_not_listed_takes_no_part() {
    let rows = [
        json!({"of": "crm:1", "dataset": "crm", "ingested": 1, "x": "crm"}),
        json!({"of": "ECID:a", "dataset": "pos", "ingested": 9, "x": "pos"}),
        json!({"of": "crm:2", "dataset": "pos", "ingested": 9, "x": "pos"}),
    ];
    let scene = fragments(&x(), &rows)
        .graph(&[("crm:1", "p"), ("ECID:a", "p")])
        .with(|plan| plan.merge_policy.attributes = precedence(&["crm"]))
        .with(|plan| plan.selection.empty_profiles = true)
        .fields("identities,x");
    scene.exports(&json!([{"x": "crm", "identities": [
        {"id": "a", "namespace": {"code": "ECID"}, "primary": false},
        {"id": "1", "namespace": {"code": "crm"}, "primary": true},
    ]}]));
    scene
        .with(|plan| plan.selection.ingested_after = Some(1))
        .exports(&json!([]));
}

#[test]
fn nan_is_a_value_and_an_empty_text_is_one_too() {
    fragments(
        &[("score", Type::Float), ("x", Type::Text)],
        &[
            json!({"of": "crm:1", "dataset": "a", "ingested": 2, "score": "NaN", "x": ""}),
            json!({"of": "crm:1", "dataset": "b", "ingested": 1, "score": "1.0", "x": "old"}),
        ],
    )
    .fields("score,x")
    .exports(&json!([{"score": "NaN", "x": ""}]));
}

#[test]
fn a_struct_without_any_value_is_null_and_an_element_of_a_list_stays_as_it_is() {
    let inner = Type::of(&[("v", Type::Text)]);
    fragments(
        &[("s", Type::of(&[("inner", inner.clone())])), ("l", Type::list(inner))],
        &[json!({"of": "crm:1", "dataset": "a", "ingested": 2, "s": {"inner": {"v": null}}, "l": [null, {"v": null}]})],
    )
    .fields("s,l")
    .exports(&json!([{"s": null, "l": [null, {"v": null}]}]));
}

// Memberships

#[test]
fn the_membership_that_qualified_last_counts_and_a_tie_goes_to_realized() {
    fragments(&x(), &[json!({"of": "crm:1", "dataset": "a", "ingested": 1})])
        .graph(&[("crm:1", "p"), ("ECID:a", "p")])
        .memberships(
            &[],
            &[
                json!({"of": "crm:1", "ns": "ups", "segment": "s", "status": "realized", "at": 5}),
                json!({"of": "ECID:a", "ns": "ups", "segment": "s", "status": "exited", "at": 6}),
                json!({"of": "crm:1", "ns": "ups", "segment": "t", "status": "exited", "at": 5}),
                json!({"of": "ECID:a", "ns": "ups", "segment": "t", "status": "existing", "at": 5}),
                json!({"of": "crm:1", "ns": "ups", "segment": "u", "status": "existing", "at": 5}),
                json!({"of": "ECID:a", "ns": "ups", "segment": "u", "status": null, "at": 5}),
            ],
        )
        .fields("segmentMembership")
        .exports(&json!([{"segmentMembership": {"ups": {
            "s": {"status": "exited", "lastQualificationTime": 6},
            "t": {"status": "existing", "lastQualificationTime": 5},
            "u": {"status": "realized", "lastQualificationTime": 5},
        }}}]));
}

#[test]
fn a_membership_that_ended_before_the_job_started_is_ignored() {
    fragments(&x(), &[json!({"of": "crm:1", "dataset": "a", "ingested": 1})])
        .memberships(
            &[("validUntil", Type::Time)],
            &[
                json!({"of": "crm:1", "ns": "ups", "segment": "s", "status": "exited", "at": 5, "until": 99}),
                json!({"of": "crm:1", "ns": "ups", "segment": "s", "status": "realized", "at": 4, "until": 100}),
                json!({"of": "crm:1", "ns": "ups", "segment": "t", "status": "realized", "at": 4, "until": 99}),
            ],
        )
        .with(|plan| plan.started_at = 100)
        .fields("segmentMembership")
        .exports(&json!([{"segmentMembership": {"ups": {
            "s": {"status": "realized", "lastQualificationTime": 4, "validUntil": 100},
        }}}]));
}

#[test]
fn a_segment_namespace_is_found_in_any_case_and_written_as_the_winning_row_spells_it() {
    fragments(&x(), &[json!({"of": "crm:1", "dataset": "a", "ingested": 1})])
        .memberships(
            &[],
            &[
                json!({"of": "crm:1", "ns": "ups", "segment": "s", "status": "exited", "at": 4}),
                json!({"of": "crm:1", "ns": "UPS", "segment": "s", "status": "realized", "at": 5}),
                json!({"of": "crm:1", "ns": "ups", "segment": "S", "status": "realized", "at": 5}),
            ],
        )
        .with(|plan| plan.selection.segments = vec![segment("Ups", "s", &MEMBERS)])
        .fields("segmentMembership.status")
        .exports(&json!([{"segmentMembership": {
            "UPS": {"s": {"status": "realized"}},
            "ups": {"S": {"status": "realized"}},
        }}]));
}

#[test]
fn a_membership_carries_what_else_the_store_has_of_it() {
    let payload = Type::of(&[("score", Type::Float)]);
    fragments(&x(), &[json!({"of": "crm:1", "dataset": "a", "ingested": 1})])
        .memberships(&[("version", Type::Long), ("payload", payload), ("note", Type::Text)], &[
            json!({"of": "crm:1", "ns": "ups", "segment": "s", "at": 4, "version": 3, "payload": {"score": "0.5"}, "note": "-"}),
        ])
        .fields("segmentMembership")
        .exports(&json!([{"segmentMembership": {"ups": {"s": {
            "status": "realized", "lastQualificationTime": 4, "version": 3, "payload": {"score": "0.5"},
        }}}}]));
}

// Selection

/// Members of `s` at times 1, 2 and 3, one of whom has left.
fn three_members() -> Scene {
    let record = |of: &str, x: &str| json!({"of": of, "dataset": "a", "ingested": 1, "x": x});
    fragments(
        &x(),
        &[
            record("crm:1", "one"),
            record("crm:2", "two"),
            record("crm:3", "three"),
            record("crm:4", "no"),
        ],
    )
    .memberships(
        &[],
        &[
            json!({"of": "crm:1", "ns": "ups", "segment": "s", "status": "realized", "at": 1}),
            json!({"of": "crm:2", "ns": "ups", "segment": "s", "status": "existing", "at": 2}),
            json!({"of": "crm:3", "ns": "ups", "segment": "s", "status": "exited", "at": 3}),
            json!({"of": "crm:3", "ns": "other", "segment": "s", "status": "realized", "at": 3}),
            json!({"of": "crm:1", "ns": "ups", "segment": "t", "status": "realized", "at": 9}),
        ],
    )
    .fields("x")
}

#[test]
fn a_segment_takes_the_profiles_in_one_of_its_states() {
    let scene = three_members().with(|plan| plan.selection.segments = vec![segment("ups", "s", &MEMBERS)]);
    scene.exports(&json!([{"x": "one"}, {"x": "two"}]));
    let exited = [SegmentStatus::Exited];
    let scene =
        scene.with(|plan| plan.selection.segments = vec![segment("ups", "s", &exited), segment("ups", "t", &MEMBERS)]);
    scene.exports(&json!([{"x": "one"}, {"x": "three"}]));
}

#[test]
fn the_same_membership_qualifies_from_the_start_to_before_the_end() {
    three_members()
        .with(|plan| {
            plan.selection.segments = vec![
                segment("ups", "s", &MEMBERS),
                segment("ups", "t", &[SegmentStatus::Exited]),
            ]
        })
        .with(|plan| (plan.selection.qualified_from, plan.selection.qualified_to) = (Some(1), Some(2)))
        .exports(&json!([{"x": "one"}]));
}

#[test]
fn a_batch_per_segment_takes_its_own_members_and_counts_them_by_namespace() {
    let scene = three_members()
        .graph(&[("crm:1", "p"), ("Email:m", "p"), ("Email:n", "p")])
        .with(|plan| plan.selection.segments = vec![segment("ups", "s", &MEMBERS), segment("ups", "t", &MEMBERS)])
        .with(|plan| plan.batches = batch_per_segment(&plan.selection));
    scene.exports(&json!([{"x": "one"}, {"x": "two"}]));
    let answer = scene.answer().unwrap();
    let batches: BTreeMap<String, &[bool]> = answer
        .exported
        .iter()
        .map(|p| (p.row["x"].as_str().unwrap().to_owned(), p.batches.as_slice()))
        .collect();
    assert_eq!(
        batches,
        BTreeMap::from([("one".into(), &[true, true][..]), ("two".into(), &[true, false][..])])
    );
    let counts = |pairs: &[(&str, i64)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    let expected: Vec<BTreeMap<String, i64>> =
        vec![counts(&[("Email", 1), ("crm", 2)]), counts(&[("Email", 1), ("crm", 1)])];
    assert_eq!(answer.by_namespace, expected);
}

#[test]
fn only_what_was_ingested_later_and_still_counts_makes_a_profile_new() {
    fragments(
        &x(),
        &[
            json!({"of": "crm:1", "dataset": "a", "time": 1, "ingested": 5, "x": "at the bound"}),
            json!({"of": "crm:2", "dataset": "a", "time": 1, "ingested": 6, "x": "behind it"}),
            json!({"of": "crm:3", "dataset": "a", "time": 1, "ingested": 9, "x": "superseded"}),
            json!({"of": "crm:3", "dataset": "a", "time": 2, "ingested": 5, "x": "the row that counts"}),
        ],
    )
    .with(|plan| plan.selection.ingested_after = Some(5))
    .fields("x")
    .exports(&json!([{"x": "behind it"}]));
}

#[test]
fn profiles_without_fragments_are_exported_when_asked_for() {
    let scene = fragments(
        &x(),
        &[json!({"of": "crm:1", "dataset": "a", "ingested": 1, "x": "full"})],
    )
    .graph(&[("crm:9", "p")])
    .events(
        &[],
        &[
            json!({"of": "crm:2", "dataset": "web", "ingested": 5, "_id": "e", "timestamp": 1}),
            json!({"of": "crm:3", "dataset": "web", "ingested": 6, "_id": "e", "timestamp": 1}),
        ],
    )
    .memberships(&[], &[json!({"of": "crm:4", "ns": "ups", "segment": "s", "at": 1})])
    .fields("identities.id,x");
    scene.exports(&json!([{"identities": [{"id": "1"}], "x": "full"}]));
    let empty = |id: &str| json!({"identities": [{"id": id}], "x": null});
    let scene = scene.with(|plan| plan.selection.empty_profiles = true);
    scene.exports(&json!([{"identities": [{"id": "1"}], "x": "full"}, empty("2"), empty("3"), empty("4"), empty("9")]));
    scene
        .with(|plan| plan.selection.ingested_after = Some(5))
        .exports(&json!([empty("3")]));
}

// Events

#[test]
fn an_event_that_was_reported_twice_is_one_event_the_first_ingested() {
    let scene = fragments(&[], &[json!({"of": "crm:1", "dataset": "a", "ingested": 1})])
        .graph(&[("crm:1", "p"), ("ECID:a", "p")])
        .events(
            &name(),
            &[
                json!({"of": "crm:1", "dataset": "web", "ingested": 3, "_id": "e", "timestamp": 9, "name": "again"}),
                json!({"of": "ECID:a", "dataset": "web", "ingested": 2, "_id": "e", "timestamp": 8, "name": "first"}),
                json!({"of": "ECID:a", "dataset": "app", "ingested": 4, "_id": "f", "timestamp": 7, "name": "by app"}),
                json!({"of": "ECID:a", "dataset": "web", "ingested": 4, "_id": "f", "timestamp": 6, "name": "by web"}),
            ],
        )
        .with(|plan| plan.events = Some(events()))
        .fields("timeSeriesEvents.name");
    scene.exports(&json!([{"timeSeriesEvents": [{"name": "by app"}, {"name": "first"}]}]));
    // A filter comes after that, and does not bring the second report back.
    let scene = scene.with(|plan| plan.events.as_mut().unwrap().ingested_after = Some(2));
    scene.exports(&json!([{"timeSeriesEvents": [{"name": "by app"}]}]));
    // The choice of datasets comes before it.
    let scene = scene.with(|plan| plan.merge_policy.event_datasets = Some(vec!["web".into()]));
    scene.exports(&json!([{"timeSeriesEvents": [{"name": "by web"}]}]));
}

#[test]
fn events_are_in_order_of_time_then_id_with_those_without_first() {
    fragments(&[], &[json!({"of": "crm:1", "dataset": "a", "ingested": 1})])
        .events(
            &name(),
            &[
                json!({"of": "crm:1", "dataset": "web", "ingested": 1, "_id": "a", "timestamp": 5, "name": "third"}),
                json!({"of": "crm:1", "dataset": "web", "ingested": 3, "timestamp": 5, "name": "second"}),
                json!({"of": "crm:1", "dataset": "web", "ingested": 2, "timestamp": 5, "name": "first"}),
                json!({"of": "crm:1", "dataset": "web", "ingested": 9, "_id": "z", "timestamp": 4, "name": "zeroth"}),
            ],
        )
        .with(|plan| plan.events = Some(events()))
        .fields("identities.id")
        .with(|plan| plan.events.as_mut().unwrap().fields = fields("_id, name"))
        .exports(&json!([{"identities": [{"id": "1"}], "timeSeriesEvents": [
            {"_id": "z", "name": "zeroth"},
            {"_id": null, "name": "first"},
            {"_id": null, "name": "second"},
            {"_id": "a", "name": "third"},
        ]}]));
}

#[test]
fn events_are_written_between_both_bounds_and_at_neither() {
    let event = |id: &str, ingested: i64| json!({"of": "crm:1", "dataset": "web", "ingested": ingested, "_id": id, "timestamp": ingested});
    fragments(&[], &[json!({"of": "crm:1", "dataset": "a", "ingested": 1})])
        .events(&[], &[event("a", 1), event("b", 2), event("c", 3), event("d", 4)])
        .with(|plan| {
            plan.events = Some(exportjob_plan::EventPlan {
                ingested_after: Some(1),
                ingested_before: Some(4),
                ..events()
            })
        })
        .fields("timeSeriesEvents._id")
        .exports(&json!([{"timeSeriesEvents": [{"_id": "b"}, {"_id": "c"}]}]));
}

// The primary identity

#[test]
fn the_primary_identity_is_that_of_the_newest_event_where_there_is_no_fragment() {
    let scene = nobody()
        .graph(&[("crm:1", "p"), ("ECID:a", "p"), ("ECID:b", "p")])
        .events(
            &[],
            &[
                json!({"of": "crm:1", "dataset": "web", "ingested": 1, "_id": "e", "timestamp": 9}),
                json!({"of": "ECID:b", "dataset": "web", "ingested": 2, "_id": "f", "timestamp": 8}),
            ],
        )
        .fields("identities.id, identities.primary");
    let identities = |primary: &str| {
        let identity = |id: &str| json!({"id": id, "primary": id == primary});
        json!([{"identities": [identity("a"), identity("b"), identity("1")]}])
    };
    scene.exports(&identities("1"));
    let scene = scene.with(|plan| plan.merge_policy.event_datasets = Some(Vec::new()));
    scene.exports(&identities("a"));
}

// Fields

#[test]
fn a_path_keeps_its_nesting_and_prunes_the_elements_of_lists_and_maps() {
    let phone = Type::of(&[("number", Type::Text), ("kind", Type::Text)]);
    let columns = [
        (
            "person",
            Type::of(&[
                ("name", Type::of(&[("first", Type::Text), ("last", Type::Text)])),
                ("age", Type::Long),
            ]),
        ),
        ("phones", Type::list(phone.clone())),
        ("byKind", Type::map(phone)),
    ];
    let phone = json!({"number": "1", "kind": "home"});
    fragments(&columns, &[json!({
        "of": "crm:1", "dataset": "a", "ingested": 1,
        "person": {"name": {"first": "Ada", "last": "L"}, "age": 36}, "phones": [phone, null], "byKind": {"home": phone},
    })])
    .fields(" person.name.first ,phones.number, byKind.kind,identityMap.id")
    .exports(&json!([{
        "person": {"name": {"first": "Ada"}},
        "phones": [{"number": "1"}, null],
        "byKind": {"home": {"kind": "home"}},
        "identityMap": {"crm": [{"id": "1"}]},
    }]));
}

#[test]
fn a_star_takes_all_of_a_struct_and_so_does_the_struct_itself() {
    let person = Type::of(&[("name", Type::Text), ("age", Type::Long)]);
    let row = json!({"of": "crm:1", "dataset": "a", "ingested": 1, "person": {"name": "Ada", "age": 36}});
    let expected = json!([{"person": {"name": "Ada", "age": 36}}]);
    for text in ["person", "person.*", "person.name,person", "person.age,person.*"] {
        fragments(&[("person", person.clone())], std::slice::from_ref(&row))
            .fields(text)
            .exports(&expected);
    }
}

#[test]
fn columns_are_in_a_fixed_order_and_the_stores_own_are_not_among_them() {
    let mut scene = fragments(&[("z", Type::Text), ("a", Type::Long), ("ups_note", Type::Text)], &[])
        .events(&[], &[])
        .with(|plan| plan.events = Some(events()));
    scene
        .store
        .fragments
        .push(records(&[("b", Type::Text), ("a", Type::Long)], &[]));
    let schema = scene.answer().unwrap().schema;
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(
        names,
        [
            "identityMap",
            "identities",
            "segmentMembership",
            "timeSeriesEvents",
            "z",
            "a",
            "b"
        ]
    );
}

// Tables as people have them

#[test]
fn a_table_takes_part_as_it_is() {
    let mut scene = fragments(
        &[("personalEmail", Type::of(&[("address", Type::Text)]))],
        &[json!({"of": "crm:7", "dataset": "web", "ingested": 1, "personalEmail": {"address": "old@x"}})],
    )
    .fields("personalEmail,person,city,always");
    let columns = [
        ("customer_id", Type::Text),
        ("email", Type::Text),
        ("names", Type::of(&[("first", Type::Text), ("nick", Type::Text)])),
        ("city", Type::Text),
        ("updated_at", Type::Time),
    ];
    let rows = json!({"customer_id": "7", "email": "new@x", "names": {"first": "Ada", "nick": "A"}, "city": "Rome", "updated_at": 5});
    let mut plan = table(TableFormat::Parquet);
    plan.dataset = Some("crm".into());
    plan.columns = BTreeMap::from([
        ("ups_namespace".into(), constant("crm")),
        ("ups_identity".into(), column("customer_id")),
        ("ups_timestamp".into(), column("updated_at")),
        ("personalEmail.address".into(), column("email")),
        ("person.name.first".into(), column("names.first")),
        ("always".into(), constant("yes")),
    ]);
    scene
        .store
        .fragments
        .push((plan, Table::plain(&columns, vec![row(&rows)])));
    scene.exports(&json!([{
        "personalEmail": {"address": "new@x"}, "person": {"name": {"first": "Ada"}}, "city": "Rome", "always": "yes",
    }]));
    scene.store.fragments[1].0.only_mapped = true;
    scene
        .fields("always")
        .with(|plan| plan.fields = exportjob_plan::FieldSelection::All)
        .exports(&json!([{
            "identityMap": {"crm": [{"id": "7", "primary": true}]},
            "identities": [{"id": "7", "namespace": {"code": "crm"}, "primary": true}],
            "segmentMembership": {},
            "personalEmail": {"address": "new@x"}, "person": {"name": {"first": "Ada"}}, "always": "yes",
        }]));
}

/// Two files with one row each, written at seconds 10 and 20; `x` says which.
fn written_twice(format: TableFormat) -> Scene {
    let columns = [
        ("ups_namespace", Type::Text),
        ("ups_identity", Type::Text),
        ("ups_dataset", Type::Text),
        ("x", Type::Text),
    ];
    let files = |second: i64, of: &str| Files {
        files: vec![(
            format!("{second}.parquet"),
            vec![row(&json!({"of": of, "dataset": "a", "x": format!("at {second}")}))],
        )],
        written: second * 1_000_000,
        ..Files::plain(&columns, Vec::new())
    };
    let mut scene = nobody();
    scene.store.fragments = vec![(
        table(format),
        Table {
            format,
            groups: vec![files(10, "crm:1"), files(20, "crm:2")],
        },
    )];
    scene.graph(&[("crm:1", "p"), ("crm:2", "p")]).fields("x")
}

#[test]
fn a_files_modification_time_stands_in_for_the_time_of_ingestion() {
    let scene = written_twice(TableFormat::Parquet);
    scene.exports(&json!([{"x": "at 20"}]));
    scene
        .with(|plan| plan.selection.ingested_after = Some(20_000_000))
        .exports(&json!([]));
}

#[test]
fn the_commit_time_of_a_delta_table_stands_in_for_the_time_of_ingestion() {
    let scene = written_twice(TableFormat::Delta);
    scene.exports(&json!([{"x": "at 20"}]));
    scene
        .with(|plan| plan.selection.ingested_after = Some(20_000_000))
        .exports(&json!([]));
}

#[test]
fn a_file_that_a_delta_table_removed_is_not_read() {
    let scene = written_twice(TableFormat::Delta);
    let folder = tempfile::tempdir().unwrap();
    let mut plan = scene.plan.clone();
    scene.store.write(folder.path(), &mut plan);
    let remove = json!({"remove": {"path": "20.parquet", "deletionTimestamp": 30_000, "dataChange": true}});
    fs::write(
        folder.path().join("fragments-0/_delta_log/00000000000000000002.json"),
        format!("{remove}\n"),
    )
    .unwrap();
    let answer = run_in(&plan, folder.path()).unwrap();
    assert_eq!(
        sorted(answer.exported.iter().map(|profile| &profile.row)),
        ["{\"x\":\"at 10\"}"]
    );
}

#[test]
fn files_are_found_in_nested_folders_and_hidden_ones_are_left_alone() {
    let mut scene = fragments(&x(), &[]).fields("x");
    let record = |id: &str| row(&json!({"of": format!("crm:{id}"), "dataset": "a", "ingested": 1, "x": id}));
    scene.files().files = vec![
        ("a.parquet".into(), vec![record("top")]),
        ("year=2024/month=01/a.parquet".into(), vec![record("nested")]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut plan = scene.plan.clone();
    scene.store.write(folder.path(), &mut plan);
    for name in ["_SUCCESS", ".a.parquet.crc", "_temporary/0/a.parquet"] {
        let path = folder.path().join("fragments-0").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "no Parquet").unwrap();
    }
    let answer = run_in(&plan, folder.path()).unwrap();
    assert_eq!(
        sorted(answer.exported.iter().map(|profile| &profile.row)),
        ["{\"x\":\"nested\"}", "{\"x\":\"top\"}"]
    );
}

#[test]
fn a_store_without_rows_gives_an_empty_export() {
    let scene = nobody();
    scene.exports(&json!([]));
    let folder = tempfile::tempdir().unwrap();
    let mut plan = scene.plan.clone();
    scene.store.write(folder.path(), &mut plan);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for tables in [
        &mut plan.store.fragments,
        &mut plan.store.events,
        &mut plan.store.identities,
        &mut plan.store.memberships,
    ] {
        let mut plan = table(TableFormat::Parquet);
        plan.location = url(&empty);
        *tables = vec![plan];
    }
    let answer = run_in(&plan, folder.path()).unwrap();
    assert_eq!(answer.exported, []);
    assert_eq!(answer.by_namespace, vec![BTreeMap::new()]);
}

#[test]
fn whole_numbers_are_keys_as_well_as_texts() {
    let columns = [
        ("ups_namespace", Type::Text),
        ("ups_identity", Type::Long),
        ("ups_profile", Type::Long),
    ];
    let mut scene = fragments(&x(), &[json!({"of": "crm:7", "dataset": "a", "ingested": 1, "x": "v"})]);
    let rows: Vec<Value> = vec![
        json!({"ups_namespace": "crm", "ups_identity": 7, "ups_profile": 1}),
        json!({"ups_namespace": "crm", "ups_identity": 8, "ups_profile": 1}),
    ];
    let graph = Table::plain(&columns, rows.iter().map(row).collect());
    scene.store.identities.push((table(TableFormat::Parquet), graph));
    let scene = scene.fields("identities.id");
    let answer = scene.answer().unwrap();
    assert_eq!(
        sorted(answer.exported.iter().map(|profile| &profile.row)),
        ["{\"identities\":[{\"id\":\"7\"},{\"id\":\"8\"}]}"]
    );
}
