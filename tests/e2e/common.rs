//! Specs and checks that several promises need.

use exportjob_api::ExportJob;
use exportjob_tests::{
    data,
    space::{Space, batches},
};
use serde_json::{Value, json};

/// An example that takes a moment.
pub const EXAMPLE: &str = "exportjob.yaml";
/// Copies of each customer in a store over which an export takes its time.
pub const MANY: u32 = 40;

/// Spec of a job over all profiles with all of their events, at a fifth of a core.
pub fn slow() -> Value {
    json!({
        "additionalFields": {"eventList": {}},
        "destination": {"datasetId": "cdnow-profiles"},
        "schema": {"name": "_xdm.context.profile"},
        "execution": {"resources": {"limits": {"cpu": "200m", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "256Mi"}}},
    })
}

/// Nothing of the job is in the volume: no committed batch, and no file that was staged for one.
pub fn assert_nothing_written(space: &Space, job: &ExportJob) {
    for batch in batches(job) {
        assert_eq!(space.transactions_of(&batch, 1), 0, "batch {batch} is committed");
        assert_eq!(
            space.files_of(&batch),
            Vec::<String>::new(),
            "staged files of batch {batch}"
        );
    }
}

/// Every batch of the job was committed by one commit and no more.
pub fn assert_committed_once(space: &Space, job: &ExportJob) {
    for batch in batches(job) {
        assert_eq!(space.transactions_of(&batch, 1), 1, "commits of batch {batch}");
        assert_eq!(space.transactions_of(&batch, 2), 0, "aborts of batch {batch}");
    }
}

/// The job wrote each row of a store with one copy of each customer, as the raw file says.
pub fn assert_exported(space: &Space, job: &ExportJob) {
    assert_committed_once(space, job);
    data::assert_verified(job, space.carry_out().path());
}
