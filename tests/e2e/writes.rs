//! How much a job costs the API server.

use std::collections::BTreeMap;

use exportjob_api::{ExportJob, Phase};
use exportjob_tests::{
    operator,
    programs::{repository, run},
    space::{Space, on_cluster},
};
use serde_json::{Value, json};

use crate::common::EXAMPLE;

/// Writes of the operator for one job that succeeds, by verb, resource and subresource, and how many there may be.
const ALLOWED: [(&str, usize); 5] = [
    ("patch exportjobs", 1),
    ("patch exportjobs/status", 3),
    ("create configmaps", 1),
    ("create jobs", 1),
    ("create events", 3),
];

/// Definitions of the example, each of which is told once what its expression is worth.
const DEFINITIONS: (&str, usize) = ("patch segmentdefinitions/status", 3);

/// Writes of the operator in a namespace, from the API server's audit log; `None` where the log cannot be read.
fn writes(namespace: &str) -> Option<BTreeMap<String, usize>> {
    let log = run(&repository().join("tests/cluster/audit-log"), &[""; 0], b"");
    if log.code != Some(0) {
        eprintln!("the audit log of this cluster cannot be read: {}", log.stderr.trim());
        return None;
    }
    let user = format!("system:serviceaccount:{}:", operator::NAMESPACE);
    let mut found = BTreeMap::new();
    for entry in log
        .text()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    {
        let object = &entry["objectRef"];
        let ours = entry["user"]["username"]
            .as_str()
            .is_some_and(|name| name.starts_with(&user));
        if ours && object["namespace"] == namespace {
            let mut key = format!("{} {}", entry["verb"].as_str()?, object["resource"].as_str()?);
            if let Some(sub) = object["subresource"].as_str() {
                key = format!("{key}/{sub}");
            }
            *found.entry(key).or_default() += 1;
        }
    }
    Some(found)
}

/// Asks for so little that there is room for it at once: waiting for a node would be told, and cost writes.
fn modest(spec: &mut Value) {
    spec["execution"] =
        json!({"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}});
}

/// How long a job took, in whole seconds.
fn seconds(job: &ExportJob) -> usize {
    let metrics = job.status.as_ref().and_then(|status| status.metrics.as_ref());
    let total = metrics.and_then(|metrics| metrics.total_time?.total_time_in_ms);
    usize::try_from(total.expect("a job that has ended took some time") / 1000).unwrap()
}

#[tokio::test]
async fn a_job_that_succeeds_costs_a_handful_of_writes() {
    on_cluster("writes", async |space: &Space| {
        space.furnish(1).await;
        space.export_example(EXAMPLE, modest).await;
        let first = space.until_ended("bought-twice", Phase::Succeeded).await;
        // A job that comes after has ended, so what was to be written for the first one is written.
        space.export_example("exportjob-events.yaml", modest).await;
        let second = space.until_ended("everything", Phase::Succeeded).await;
        let Some(found) = writes(&space.name) else { return };
        println!("writes for two jobs: {found:#?}");
        assert!(
            found.contains_key("create jobs"),
            "the audit log has the writes: {found:#?}"
        );
        // Progress comes on top: at most once in an interval, which is a second here.
        let progress = seconds(&first) + seconds(&second);
        for (write, count) in &found {
            let allowed = ALLOWED.iter().find(|(name, _)| name == write);
            let mut allowed = allowed.map_or(0, |(_, allowed)| 2 * allowed);
            if write == "patch exportjobs/status" {
                allowed += progress;
            }
            if write == DEFINITIONS.0 {
                allowed = DEFINITIONS.1;
            }
            assert!(
                *count <= allowed,
                "{write}: {count} for two jobs, allowed are {allowed}: {found:#?}"
            );
        }
    })
    .await;
}
