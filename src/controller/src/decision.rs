//! What is decided: writes for the shell to make, and when to look again.

use std::time::Duration;

use exportjob_api::ExportJobStatus;
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};

use crate::notice::Notice;

/// What to do about one ExportJob.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The writes, in the order in which they must be made: a crash after any of them is healed by the next decision.
    /// The first one that is not done (conflict, not found, refused) ends the list, and the job is looked at again.
    pub actions: Vec<Act>,
    /// When to look again, if nothing changes before.
    pub next: Next,
}

/// When to look at a job again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When something changes.
    AwaitChange,
    /// When something changes, but at the latest after this time.
    After(Duration),
}

/// One write (or one look that must not be trusted to a cache).
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Lease an id for this ExportJob and look again, with it in [`Observed::id`](crate::observed::Observed::id).
    LeaseId,
    /// Fail unless the ExportJob is still what was observed: a patch that changes nothing, with `test` operations on
    /// its UID and resource version (after this decision's own writes: the version that those gave it).
    ConfirmCurrent,
    /// Fail if a Job of this name is there, asked at the API server.
    ConfirmNoJob {
        /// Name of the Job.
        name: String,
    },
    /// Add the finalizer: a JSON patch that tests the UID.
    AddFinalizer,
    /// Write the status by server-side apply, with the UID and the resource version as preconditions: a decision on a
    /// stale ExportJob must not land, nor what follows in the list.
    ApplyStatus(Box<ExportJobStatus>),
    /// Create the plan. One that is there already is kept: it is immutable.
    ApplyPlan(Box<ConfigMap>),
    /// Create the export's Job. One that is there already, with the same owner, is kept.
    ApplyJob(Box<Job>),
    /// Create the clean-up Job. One that is there already, with the same owner, is kept.
    ApplyAbortJob(Box<Job>),
    /// Set `spec.suspend` of a Job with this UID.
    SetJobSuspend {
        /// Name of the Job.
        name: String,
        /// UID of the Job, a precondition.
        uid: String,
        /// The new value.
        suspend: bool,
    },
    /// Delete a Job with this UID in the foreground: it is gone when its pods are. One that is gone is a success.
    DeleteJob {
        /// Name of the Job.
        name: String,
        /// UID of the Job, a precondition.
        uid: String,
    },
    /// Publish an Event on the ExportJob. A failure is logged and does not end the list.
    Publish(Notice),
    /// Remove the finalizer: a JSON patch that tests the UID. One that is gone is a success.
    RemoveFinalizer,
    /// Delete the ExportJob, its UID a precondition: its time after the end is over.
    DeleteExportJob {
        /// UID of the ExportJob.
        uid: String,
    },
}

impl Decision {
    /// Nothing to do until something changes.
    pub fn rest() -> Self {
        Self {
            actions: Vec::new(),
            next: Next::AwaitChange,
        }
    }

    /// Looks again after `pause` at the latest.
    pub fn look_within(&mut self, pause: Duration) {
        self.next = match self.next {
            Next::After(before) => Next::After(before.min(pause)),
            Next::AwaitChange => Next::After(pause),
        };
    }
}
