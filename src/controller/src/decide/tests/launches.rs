//! From the first look to the Job.

use exportjob_api::Phase;
use exportjob_plan::{batch_id, code, job_name};
use serde_json::json;

use super::fixture::*;
use crate::{
    decision::Act,
    observed::{References, Refusal, ServiceAccount},
};

#[test]
fn the_first_look_asks_for_a_number() {
    let mut new = situation();
    new.observed.id = None;
    assert_eq!(kinds(&new.decide()), ["lease id"]);
}

#[test]
fn what_must_not_be_lost_is_written_before_anything_runs() {
    let decision = situation().decide();
    assert_eq!(kinds(&decision), ["add finalizer", "status NEW", "plan", "job"]);
    let status = written(&decision);
    assert_eq!(status.id, Some(7));
    assert_eq!(
        status.destination.unwrap().batch_id.unwrap(),
        batch_id(UID, None).to_string()
    );
    assert_eq!(status.merge_policy.unwrap().id, "timestampOrdered-none-mp");
    assert_eq!(status.compute_gateway_job_id.unwrap().export_job, "");
    assert_eq!(
        (
            status.creation_time,
            status.metrics.unwrap().total_time.unwrap().start_time_in_ms
        ),
        (Some(CREATED_MS), CREATED_MS)
    );
    assert_eq!(status.ims_org_id.as_deref(), Some("org"));
    assert_eq!(status.request_id.as_deref(), Some(UID));
}

#[test]
fn a_number_that_was_written_is_not_replaced_by_another_one() {
    let mut accepted = situation().accepted();
    accepted.observed.id = Some(9);
    assert_eq!(kinds(&accepted.decide()), ["confirm current", "plan", "job"]);
    let processing = accepted.with_job(|_| ()).decide();
    assert_eq!(written(&processing).id, Some(7));
}

#[test]
fn a_batch_for_each_segment_is_assigned_in_the_listed_order() {
    let decision = situation_of(&json!({
        "filter": {"segments": [{"segmentId": "b"}, {"segmentId": "a", "segmentNs": "Web", "status": ["exited"]}]},
        "destination": {"datasetId": "d", "segmentPerBatch": true},
    }))
    .decide();
    let destination = written(&decision).destination.unwrap();
    assert_eq!(destination.batch_id, None);
    let batches: Vec<_> = destination
        .batches
        .iter()
        .map(|batch| (batch.segment_id.as_str(), batch.batch_id.clone()))
        .collect();
    let expected = [
        ("b", batch_id(UID, Some(("ups", "b"))).to_string()),
        ("a", batch_id(UID, Some(("web", "a"))).to_string()),
    ];
    assert_eq!(batches, expected);
}

#[test]
fn the_id_of_the_request_is_kept() {
    let mut asked = situation();
    asked.job().metadata.annotations =
        Some([(crate::status::REQUEST_ID_ANNOTATION.to_owned(), "r-1".to_owned())].into());
    assert_eq!(written(&asked.decide()).request_id.as_deref(), Some("r-1"));
}

#[test]
fn a_launch_that_was_cut_off_is_repeated_only_on_a_job_that_is_what_it_was() {
    let decision = situation().accepted().decide();
    assert_eq!(kinds(&decision), ["confirm current", "plan", "job"]);
}

#[test]
fn a_missing_store_is_waited_for_by_name_and_the_job_goes_on_when_it_comes() {
    let mut waiting = situation();
    waiting.observed.references = References::default().into();
    let decision = waiting.decide();
    assert_eq!(
        kinds(&decision),
        ["add finalizer", "status NEW", "event ProfileStoreNotFound"]
    );
    let said = condition(&written(&decision), "Progressing");
    assert!(
        said.starts_with("False/ProfileStoreNotFound: ProfileStore \"ups\" does not exist"),
        "{said}"
    );
    let mut waiting = waiting.after(&decision).at(30);
    assert_eq!(
        kinds(&waiting.decide()),
        Vec::<String>::new(),
        "nothing is written twice"
    );
    waiting.observed.references = references().into();
    assert_eq!(kinds(&waiting.decide()), ["status NEW", "plan", "job"]);
}

#[test]
fn waiting_for_references_ends_by_the_operators_setting_or_by_the_jobs_deadline() {
    let mut waiting = situation();
    waiting.observed.references = References::default().into();
    let waiting = waiting.decided().at(600);
    assert_eq!(pause(&waiting.decide()), Some(1));
    let decision = waiting.at(601).decide();
    assert_eq!(kinds(&decision), ["confirm no job", "status FAILED", "event Failed"]);
    let (_, errors) = outcome(&written(&decision));
    assert_eq!(errors[0].0, code::REFERENCE_NOT_FOUND);
    assert!(errors[0].1.contains("waited for 600 s"), "{errors:?}");

    let mut waiting = situation().execution("activeDeadlineSeconds", &json!(900));
    waiting.observed.references = References::default().into();
    let waiting = waiting.decided().at(899);
    assert_eq!(
        (kinds(&waiting.decide()), pause(&waiting.decide())),
        (Vec::new(), Some(1))
    );
    let (_, errors) = outcome(&written(&waiting.at(900).decide()));
    assert_eq!(errors[0].0, code::DEADLINE_EXCEEDED);
    assert!(
        errors[0].1.contains("ProfileStore \"ups\" does not exist"),
        "{errors:?}"
    );
}

#[test]
fn a_spec_that_cannot_be_used_fails_at_once() {
    let decision = situation_of(&json!({"fields": "a..b"})).decide();
    assert_eq!(kinds(&decision), ["status FAILED", "event Failed"]);
    let status = written(&decision);
    assert_eq!(outcome(&status).1[0].0, code::INVALID_SPEC);
    assert!(status.id.is_some() && status.destination.is_some());
    assert!(condition(&status, "Failed").starts_with("True/InvalidSpec: "));
    assert!(condition(&status, "Complete").starts_with("False/"));
}

#[test]
fn what_the_operator_does_not_allow_fails_and_says_who_can_allow_it() {
    let image = situation().execution("image", &json!("evil:1"));
    let mut account = situation().execution("serviceAccountName", &json!("admin"));
    account.observed.service_account = ServiceAccount::NotAllowed;
    let mut store = situation();
    let mut references = references();
    let volume = json!({"hostPath": {"path": "/etc"}});
    references.stores.get_mut("ups").unwrap().spec.volume = serde_json::from_value(volume).unwrap();
    store.observed.references = references.into();
    for (situation, words) in [
        (image, "exporter.allowedImages"),
        (account, "export-pods: allowed"),
        (store, "exporter.allowedHostPaths"),
    ] {
        let (phase, errors) = outcome(&written(&situation.decide()));
        assert_eq!((phase, errors[0].0.as_str()), (Some(Phase::Failed), code::NOT_ALLOWED));
        assert!(errors[0].1.contains(words), "{errors:?}");
    }
    let allowed = situation().execution("image", &json!("registry.example/exporter:2"));
    assert_eq!(kinds(&allowed.decide()).last().unwrap(), "job");
}

#[test]
fn a_missing_service_account_is_looked_for_again_soon() {
    let mut waiting = situation().execution("serviceAccountName", &json!("exports"));
    waiting.observed.service_account = ServiceAccount::Missing;
    let decision = waiting.decide();
    assert!(condition(&written(&decision), "Progressing").starts_with("False/ServiceAccountNotFound"));
    assert_eq!(pause(&decision), Some(5));
}

#[test]
fn a_refused_job_is_told_tried_again_and_given_up_after_the_grace() {
    let mut refused = situation().accepted();
    refused.observed.refusal = Some(Refusal {
        name: job_name("loyal", UID),
        permanent: false,
        message: "exceeded quota".to_owned(),
    });
    let decision = refused.decide();
    assert_eq!(kinds(&decision), ["status NEW", "event JobRefused", "plan", "job"]);
    assert_eq!(
        condition(&written(&decision), "Progressing"),
        "False/JobRefused: exceeded quota"
    );
    let refused = refused.after(&decision).at(300);
    assert_eq!(kinds(&refused.decide()), ["confirm current", "plan", "job"]);
    let decision = refused.at(301).decide();
    assert_eq!(kinds(&decision), ["confirm no job", "status FAILED", "event Failed"]);
    assert_eq!(outcome(&written(&decision)).1[0].0, code::POD_CANNOT_START);
}

#[test]
fn a_job_that_is_wrong_in_itself_is_not_tried_again() {
    let mut refused = situation().accepted();
    refused.observed.refusal = Some(Refusal {
        name: job_name("loyal", UID),
        permanent: true,
        message: "labels: invalid value".to_owned(),
    });
    let decision = refused.decide();
    let (_, errors) = outcome(&written(&decision));
    assert_eq!(errors[0].0, code::JOB_REFUSED);
    assert!(errors[0].1.contains("labels: invalid value"));
}

#[test]
fn a_suspended_job_is_accepted_and_has_no_job_until_it_is_resumed() {
    let held = situation().execution("suspend", &json!(true));
    let decision = held.decide();
    assert_eq!(kinds(&decision), ["add finalizer", "status NEW"]);
    assert!(condition(&written(&decision), "Suspended").starts_with("True/Suspended"));
    let held = held.after(&decision).at(100);
    assert_eq!(kinds(&held.decide()), Vec::<String>::new());
    let resumed = held.execution("suspend", &json!(false));
    let decision = resumed.decide();
    assert_eq!(kinds(&decision), ["status NEW", "plan", "job"]);
    assert_eq!(written(&decision).suspended_time_in_ms, Some(99_000));
}

#[test]
fn time_spent_suspended_does_not_count_against_the_deadline() {
    let held = situation()
        .execution("activeDeadlineSeconds", &json!(60))
        .execution("suspend", &json!(true))
        .decided();
    let held = held.at(1_000);
    assert_eq!(kinds(&held.decide()), Vec::<String>::new(), "the clock stands still");
    let resumed = held.execution("suspend", &json!(false)).decided();
    assert_eq!(
        kinds(&resumed.clone().at(1_058).decide()),
        ["confirm current", "plan", "job"]
    );
    assert_eq!(
        outcome(&written(&resumed.at(1_060).decide())).1[0].0,
        code::DEADLINE_EXCEEDED
    );
}

#[test]
fn a_job_whose_job_was_removed_by_hand_is_launched_again() {
    let decision = situation().processing().without_job().decide();
    assert_eq!(kinds(&decision), ["status PROCESSING", "plan", "job"]);
}

#[test]
fn a_finalizer_of_somebody_else_is_no_finalizer_of_ours() {
    let mut other = situation();
    other.job().metadata.finalizers = Some(vec!["example.com/other".to_owned()]);
    assert!(other.decide().actions.contains(&Act::AddFinalizer));
    assert_eq!(kinds(&other.deleted().decide()), Vec::<String>::new());
}

#[test]
fn each_obstacle_has_its_reason_and_heals() {
    let segments = json!({"filter": {"segments": [{"segmentId": "a"}, {"segmentId": "b"}]}});
    let conflict = two_policies();
    let mut outside = references();
    outside.datasets.get_mut("d").unwrap().spec.location = "file:///elsewhere".to_owned();
    let without_dataset = References {
        datasets: [].into(),
        ..references()
    };
    let policy_of = |id: &str| json!({"mergePolicy": {"id": id}});
    for (spec, found, healed, reason) in [
        (json!({}), without_dataset, references(), "DatasetNotFound"),
        (policy_of("one"), references(), conflict.clone(), "MergePolicyNotFound"),
        (
            json!({"profileInstanceId": "other"}),
            references(),
            other_store(),
            "ProfileStoreNotFound",
        ),
        (segments, conflict, references(), "MergePolicyConflict"),
        (json!({}), outside, references(), "InvalidReference"),
    ] {
        let mut waiting = situation_of(&spec);
        waiting.observed.references = found.into();
        let decision = waiting.decide();
        assert_eq!(
            kinds(&decision),
            ["add finalizer", "status NEW", &format!("event {reason}")]
        );
        let said = condition(&written(&decision), "Progressing");
        assert!(said.starts_with(&format!("False/{reason}: ")), "{said}");
        assert!(
            said.ends_with(&event(&decision, reason)),
            "the Event says the same: {said}"
        );
        let mut waiting = waiting.after(&decision).at(30);
        assert_eq!(kinds(&waiting.decide()), Vec::<String>::new(), "{reason} is told once");
        waiting.observed.references = healed.into();
        assert_eq!(kinds(&waiting.decide()), ["status NEW", "plan", "job"], "{reason}");
    }
}

/// Definitions of two segments that do not agree on a policy.
fn two_policies() -> References {
    let segment = |id: &str, policy: &str| {
        serde_json::from_value(json!({
            "apiVersion": "exportjob.dev/v1alpha1", "kind": "SegmentDefinition", "metadata": {"name": id},
            "spec": {"name": id, "mergePolicy": {"id": policy},
                "expression": {"type": "PQL", "format": "pql/text", "value": "true"}},
        }))
        .unwrap()
    };
    let mut references = References {
        definitions: [
            ("a".to_owned(), segment("a", "one")),
            ("b".to_owned(), segment("b", "two")),
        ]
        .into(),
        ..references()
    };
    let policy = |id: &str| {
        serde_json::from_value(json!({
            "id": id, "identityGraph": {"type": "none"}, "attributeMerge": {"type": "timestampOrdered"},
        }))
        .unwrap()
    };
    references.stores.get_mut("ups").unwrap().spec.merge_policies = vec![policy("one"), policy("two")];
    references
}

fn other_store() -> References {
    let mut references = references();
    let store = references.stores["ups"].clone();
    references.stores.insert("other".to_owned(), store);
    references
}

#[test]
fn a_new_controller_goes_on_with_the_grace_of_a_refused_job() {
    let mut refused = situation().accepted();
    let refusal = Refusal {
        name: job_name("loyal", UID),
        permanent: false,
        message: "exceeded quota".to_owned(),
    };
    refused.observed.refusal = Some(refusal.clone());
    let mut refused = refused.decided().at(400);
    refused.observed.refusal = None;
    assert_eq!(
        kinds(&refused.decide()),
        ["confirm current", "plan", "job"],
        "it tries before it gives up"
    );
    refused.observed.refusal = Some(refusal);
    assert_eq!(
        kinds(&refused.decide()),
        ["confirm no job", "status FAILED", "event Failed"]
    );
    refused.observed.refusal = None;
    let taken = refused.with_job(|_| ());
    assert_eq!(kinds(&taken.decide()), ["status PROCESSING", "event Launched"]);
}
