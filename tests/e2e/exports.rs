//! Jobs that end well: what they wrote, and what their status tells.

use exportjob_api::{ExportJob, Phase};
use exportjob_tests::{
    data,
    space::{Space, batches, conditions, on_cluster},
};
use kube::ResourceExt as _;
use serde_json::json;

use crate::common::{EXAMPLE, assert_committed_once, assert_exported};

#[tokio::test]
async fn each_example_writes_what_the_raw_file_says_though_all_run_at_once() {
    on_cluster("examples", async |space: &Space| {
        space.furnish(1).await;
        // Two jobs with different fields for each of two datasets, one of them with a batch for each segment.
        space.apply_file(&data::example(""));
        let names = ["bought-twice", "three-audiences", "everything", "changed-since-april"];
        let mut jobs = Vec::new();
        for name in names {
            jobs.push(space.until_ended(name, Phase::Succeeded).await);
        }
        let datasets = space.carry_out();
        for job in &jobs {
            assert_committed_once(space, job);
            data::assert_verified(job, datasets.path());
        }
        let per_segment = jobs.iter().find(|job| job.name_any() == "three-audiences").unwrap();
        let listed: Vec<_> = per_segment
            .spec
            .filter
            .iter()
            .flat_map(|f| f.segments.iter().flatten())
            .collect();
        let batches = &per_segment
            .status
            .as_ref()
            .unwrap()
            .destination
            .as_ref()
            .unwrap()
            .batches;
        let ids = |batch: &exportjob_api::Batch| batch.segment_id.clone();
        assert_eq!(
            batches.iter().map(ids).collect::<Vec<_>>(),
            listed.iter().map(|s| s.segment_id.clone()).collect::<Vec<_>>()
        );
        assert_ids_increase(&mut jobs);
    })
    .await;
}

/// Ids are unique and follow the order of creation, as far as the API server tells it.
fn assert_ids_increase(jobs: &mut [ExportJob]) {
    let id = |job: &ExportJob| job.status.as_ref().and_then(|status| status.id).expect("it has an id");
    jobs.sort_by_key(id);
    for pair in jobs.windows(2) {
        assert!(0 < id(&pair[0]) && id(&pair[0]) < id(&pair[1]) && id(&pair[1]) < 1 << 53);
    }
}

#[tokio::test]
async fn the_status_tells_the_whole_story_of_a_job() {
    on_cluster("story", async |space: &Space| {
        space.furnish(1).await;
        let created = space.export_example(EXAMPLE, |_| ()).await;
        let job = space.until_ended("bought-twice", Phase::Succeeded).await;
        let child = space.until_launched(&created).await;
        let status = job.status.clone().unwrap();
        assert_eq!(status.observed_generation, job.metadata.generation);
        assert_eq!(status.job_type.as_deref(), Some("BATCH"));
        assert_eq!(status.profile_instance_id.as_deref(), Some("ups"));
        assert_eq!(status.ims_org_id.as_deref(), Some("1BD6382559DF0C130A49422D@AdobeOrg"));
        assert_eq!(status.request_id.as_deref(), job.metadata.uid.as_deref());
        assert_eq!(
            status.merge_policy.map(|policy| (policy.id, policy.version)),
            Some(("pdg-newest".to_owned(), 1))
        );
        assert_eq!(
            status.compute_gateway_job_id.map(|id| id.export_job),
            child.metadata.uid
        );
        assert_eq!(status.errors, []);
        let batch = batches(&job).remove(0);
        assert!(
            batch.len() == 32 && batch.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{batch}"
        );
        let metrics = status.metrics.unwrap();
        let (total, export, write) = (
            metrics.total_time.unwrap(),
            metrics.profile_export_time.unwrap(),
            metrics.dataset_write_time.unwrap(),
        );
        assert_eq!(Some(total.start_time_in_ms), status.creation_time);
        for span in [total, export, write] {
            assert_eq!(
                span.end_time_in_ms.unwrap() - span.start_time_in_ms,
                span.total_time_in_ms.unwrap()
            );
        }
        assert!(
            total.start_time_in_ms <= export.start_time_in_ms
                && export.start_time_in_ms <= write.end_time_in_ms.unwrap()
        );
        let conditions = conditions(&job);
        assert!(conditions["Complete"].starts_with("True/"), "{conditions:?}");
        assert!(
            conditions
                .get("Failed")
                .is_none_or(|failed| failed.starts_with("False/")),
            "{conditions:?}"
        );
        assert!(
            conditions
                .get("Progressing")
                .is_none_or(|found| found.starts_with("False/")),
            "{conditions:?}"
        );
        assert_exported(space, &job);
    })
    .await;
}

#[tokio::test]
async fn an_audience_of_nobody_is_an_empty_batch_and_a_success() {
    on_cluster("nobody", async |space: &Space| {
        space.furnish(1).await;
        space
            .export_example(EXAMPLE, |spec| {
                spec["filter"]["segments"] = json!([{"segmentId": "nobody-was-ever-in-it"}]);
            })
            .await;
        let job = space.until_ended("bought-twice", Phase::Succeeded).await;
        assert_eq!(
            job.status
                .as_ref()
                .unwrap()
                .metrics
                .as_ref()
                .unwrap()
                .total_exported_profile_counter,
            Some(0)
        );
        assert_committed_once(space, &job);
    })
    .await;
}

#[tokio::test]
async fn deleting_a_finished_job_leaves_its_batch() {
    on_cluster("finished", async |space: &Space| {
        space.furnish(1).await;
        space.export_example(EXAMPLE, |_| ()).await;
        let job = space.until_ended("bought-twice", Phase::Succeeded).await;
        space.delete_and_wait(&job).await;
        assert_exported(space, &job);
    })
    .await;
}
