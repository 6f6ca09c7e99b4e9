//! What this process has written and not yet seen in its caches.
//!
//! A cache that is behind our own writes would make us write again what is already there. A job is left alone until the
//! caches have caught up, for a bounded time: a cache that stays behind is no reason to do nothing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use tokio::time::Instant;

/// Longest wait for a cache.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a job whose finalizer we removed is left alone, whatever the caches say: it is gone.
const GONE_FOR: Duration = Duration::from_hours(1);

/// Expectations by UID of the ExportJob.
#[derive(Debug, Default)]
pub struct Expectations {
    by_uid: Mutex<HashMap<String, Expected>>,
}

#[derive(Debug)]
struct Expected {
    /// Resource version of the ExportJob, at least.
    version: u64,
    /// The Jobs of the ExportJob, by name.
    jobs: BTreeMap<String, ExpectedJob>,
    /// Nothing of it will ever be seen again.
    released: bool,
    until: Instant,
}

#[derive(Debug)]
enum ExpectedJob {
    /// It is there with this resource version or a later one.
    Written(u64),
    /// The one with this UID is going, or gone.
    Deleted(String),
}

impl Expectations {
    /// The ExportJob was written and has this resource version now.
    pub fn wrote(&self, uid: &str, version: Option<&str>) {
        if let Some(version) = number(version) {
            self.expect(uid, |expected| {
                expected.version = expected.version.max(version);
            });
        }
    }

    /// A Job of the ExportJob was written.
    pub fn wrote_job(&self, uid: &str, job: &Job) {
        if let Some(version) = number(job.metadata.resource_version.as_deref()) {
            self.expect(uid, |expected| {
                expected.jobs.insert(job.name_any(), ExpectedJob::Written(version));
            });
        }
    }

    /// A Job of the ExportJob was deleted.
    pub fn deleted_job(&self, uid: &str, name: &str, job_uid: &str) {
        self.expect(uid, |expected| {
            expected
                .jobs
                .insert(name.to_owned(), ExpectedJob::Deleted(job_uid.to_owned()));
        });
    }

    /// The finalizer of an ExportJob in deletion was removed: it is gone.
    pub fn released(&self, uid: &str) {
        self.expect(uid, |expected| {
            expected.released = true;
            expected.until = Instant::now() + GONE_FOR;
        });
    }

    /// Whether the caches show what was written; `version` is the cached ExportJob's, `job` reads a cached Job.
    pub fn are_met<J: AsRef<Job>>(&self, uid: &str, version: Option<&str>, job: impl Fn(&str) -> Option<J>) -> bool {
        let mut by_uid = self.lock();
        let Some(expected) = by_uid.get(uid) else {
            return true;
        };
        let met = !expected.released
            && number(version).is_none_or(|version| version >= expected.version)
            && expected.jobs.iter().all(|(name, expected)| {
                let found = job(name);
                expected.is_met(found.as_ref().map(AsRef::as_ref))
            });
        if met || expected.until <= Instant::now() {
            by_uid.remove(uid);
            return true;
        }
        false
    }

    fn expect(&self, uid: &str, change: impl FnOnce(&mut Expected)) {
        let now = Instant::now();
        let mut by_uid = self.lock();
        by_uid.retain(|_, expected| expected.until > now);
        let expected = by_uid.entry(uid.to_owned()).or_insert_with(|| Expected {
            version: 0,
            jobs: BTreeMap::new(),
            released: false,
            until: now,
        });
        expected.until = expected.until.max(now + PATIENCE);
        change(expected);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Expected>> {
        self.by_uid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ExpectedJob {
    fn is_met(&self, found: Option<&Job>) -> bool {
        match self {
            Self::Written(version) => {
                found.is_some_and(|job| number(job.metadata.resource_version.as_deref()).is_none_or(|v| v >= *version))
            }
            Self::Deleted(uid) => found
                .is_none_or(|job| job.metadata.uid.as_ref() != Some(uid) || job.metadata.deletion_timestamp.is_some()),
        }
    }
}

/// Versions of one kind of object can be compared as numbers; where they are no numbers nothing is expected.
fn number(version: Option<&str>) -> Option<u64> {
    version?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
    use kube::core::ObjectMeta;

    use super::*;

    fn job(version: &str) -> Job {
        Job {
            metadata: ObjectMeta {
                name: Some("job".to_owned()),
                uid: Some("job-uid".to_owned()),
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            ..Job::default()
        }
    }

    fn met(expectations: &Expectations, version: &str, job: Option<&Job>) -> bool {
        expectations.are_met("uid", Some(version), |_| job.cloned().map(Box::new))
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_is_left_alone_until_its_own_write_is_seen() {
        let expectations = Expectations::default();
        assert!(met(&expectations, "1", None), "nothing was written");
        expectations.wrote("uid", Some("9"));
        assert!(!met(&expectations, "8", None));
        assert!(met(&expectations, "10", None), "10 is after 9");
        assert!(met(&expectations, "8", None), "it was seen once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_created_job_is_not_absent_because_the_cache_does_not_have_it() {
        let expectations = Expectations::default();
        expectations.wrote_job("uid", &job("5"));
        assert!(!met(&expectations, "1", None));
        assert!(met(&expectations, "1", Some(&job("5"))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_job_is_not_there_because_the_cache_has_it() {
        let expectations = Expectations::default();
        expectations.deleted_job("uid", "job", "job-uid");
        assert!(!met(&expectations, "1", Some(&job("5"))));
        let mut going = job("6");
        going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert!(met(&expectations, "1", Some(&going)));
        expectations.deleted_job("uid", "job", "job-uid");
        assert!(met(&expectations, "1", None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cache_that_stays_behind_is_waited_for_only_so_long() {
        let expectations = Expectations::default();
        expectations.wrote("uid", Some("9"));
        tokio::time::advance(PATIENCE).await;
        assert!(met(&expectations, "8", None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_released_job_is_never_touched_again() {
        let expectations = Expectations::default();
        expectations.wrote("uid", Some("9"));
        expectations.released("uid");
        tokio::time::advance(PATIENCE * 2).await;
        assert!(!met(&expectations, "10", None));
    }
}
