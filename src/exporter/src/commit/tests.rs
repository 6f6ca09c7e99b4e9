#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use deltalake::{
    ObjectMeta, ObjectStore, ObjectStoreError, Path,
    kernel::{DataType, StructField},
    logstore::{StorageConfig, default_logstore},
};
use exportjob_plan::Outcome;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectStoreExt as _, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result as StoreResult, memory::InMemory,
};
use serde_json::json;

use super::*;
use crate::{
    Export, Progress, Shard,
    shard::{HandIn, Manifests},
    write::Staged,
};

/// A volume in memory that loses the answer to the next commit.
#[derive(Debug, Default)]
struct Flaky {
    inner: InMemory,
    loses_answer: AtomicBool,
    /// Whether the log can no longer be listed once an answer is lost.
    goes_away: bool,
    is_away: AtomicBool,
}

impl std::fmt::Display for Flaky {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a flaky volume")
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        let is_commit = options.mode == PutMode::Create && path.extension() == Some("json");
        let put = self.inner.put_opts(path, payload, options).await?;
        if is_commit && self.loses_answer.swap(false, Ordering::SeqCst) {
            self.is_away.store(self.goes_away, Ordering::SeqCst);
            // What a repeated request is told.
            let source = std::io::Error::other("it is there").into();
            return Err(ObjectStoreError::AlreadyExists {
                path: path.to_string(),
                source,
            });
        }
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        if self.is_away.load(Ordering::SeqCst) {
            let source = std::io::Error::other("the volume is gone").into();
            let error = ObjectStoreError::Generic { store: "flaky", source };
            return Box::pin(futures::stream::once(async { Err(error) }));
        }
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn plan() -> ExportPlan {
    serde_json::from_value(json!({
        "version": exportjob_plan::PLAN_VERSION,
        "job": {"namespace": "n", "name": "j", "uid": "u", "id": 1},
        "startedAt": 0, "shards": 1,
        "store": {
            "name": "ups", "fragments": [], "events": [], "identities": [], "memberships": [],
            "upsertDatasets": "all", "membershipStates": "three",
        },
        "mergePolicy": {
            "id": "p", "version": 1, "identityGraph": "none", "attributes": "timestampOrdered", "eventDatasets": null,
        },
        "selection": {
            "segments": [], "qualifiedFrom": null, "qualifiedTo": null, "ingestedAfter": null, "emptyProfiles": false,
        },
        "fields": "all",
        "events": null,
        "destination": {"dataset": "d", "location": "memory:///", "format": "delta"},
        "batches": [{"id": exportjob_plan::batch_id("u", None), "segment": null}],
    }))
    .unwrap()
}

/// A table with the column `x` on this volume.
async fn table(plan: &ExportPlan, volume: &Arc<Flaky>) -> (Dataset, StructType) {
    let log = default_logstore(
        volume.clone(),
        volume.clone(),
        &plan.destination.location,
        &StorageConfig::default(),
    );
    let dataset = Dataset::over(&plan.destination, log);
    let columns = StructType::try_new([StructField::nullable("x", DataType::STRING)]).unwrap();
    prepare(&dataset, &columns).await.unwrap();
    (dataset, columns)
}

/// Proposes a commit whose answer is lost.
async fn propose_in_vain(volume: Flaky) -> Result<Decision, Undecided> {
    let plan = plan();
    let volume = Arc::new(volume);
    let (dataset, columns) = table(&plan, &volume).await;
    volume.loses_answer.store(true, Ordering::SeqCst);
    let report = RunReport::new(Outcome::Committed);
    let proposal = Proposal::Commit {
        files: Vec::new(),
        columns: &columns,
        report: &report,
    };
    propose(&dataset, &plan, "attempt", &proposal).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_found_in_the_log() {
    let decision = propose_in_vain(Flaky::default()).await;
    assert!(matches!(decision, Ok(Decision::Won(1))));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_commit_that_may_have_landed_stay() {
    let volume = Flaky {
        goes_away: true,
        ..Flaky::default()
    };
    match propose_in_vain(volume).await {
        Err(undecided) => assert!(!undecided.nothing_landed, "{}", undecided.error),
        Ok(_) => panic!("a decision without a look at the log"),
    }
}

/// Hands in the only file of the first of two shards, and the answer is lost. What came of it, and whether the file is there.
async fn hand_in_in_vain(volume: Flaky) -> (Result<RunReport>, bool) {
    let plan = ExportPlan { shards: 2, ..plan() };
    let volume = Arc::new(volume);
    let (dataset, columns) = table(&plan, &volume).await;
    let export = Export::new(&plan, Arc::new(Progress::default()), "attempt");
    let staged = Staged::new(&dataset, &export.attempt);
    let path = staged.begin(&plan.batches[0].id, 0, 0);
    volume.inner.put(&path, "rows".into()).await.unwrap();
    let file = Add {
        path: path.to_string(),
        ..Add::default()
    };
    let hand_in = HandIn {
        export: &export,
        shard: Shard { index: 0, count: 2 },
        dataset: &dataset,
        manifests: Manifests::of(&dataset, &plan),
    };
    volume.loses_answer.store(true, Ordering::SeqCst);
    let report = RunReport::new(Outcome::Committed);
    let done = hand_in.hand_in(&staged, vec![file], &columns, report).await;
    (done, volume.inner.head(&path).await.is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_was_handed_in_stays_even_if_the_answer_was_lost() {
    let (done, is_there) = hand_in_in_vain(Flaky::default()).await;
    assert_eq!(done.unwrap().outcome, Outcome::Staged);
    assert!(is_there);
    let volume = Flaky {
        goes_away: true,
        ..Flaky::default()
    };
    let (done, is_there) = hand_in_in_vain(volume).await;
    assert_eq!(
        done.unwrap_err().code(),
        code::DATASET_UNWRITABLE,
        "nobody knows how the batch stands"
    );
    assert!(is_there, "it is in a manifest");
}
