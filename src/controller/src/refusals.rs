//! Jobs that the API server did not take, remembered until it takes them.
//!
//! Nothing in the cluster tells of an object that was never made, so this is the one thing that a look at a job learns
//! from the look before it. A new leader learns it by trying.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long a refusal is believed: what was refused may be allowed later.
const KEPT_FOR: Duration = Duration::from_mins(10);

/// What the API server refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kind of the object.
    pub kind: &'static str,
    /// Name of the object.
    pub name: String,
    /// The API server's words.
    pub message: String,
    /// HTTP status: 403 is a matter of rights, quota or admission, 422 of the object itself.
    pub code: u16,
    /// Whether the namespace is being deleted: nothing can be made in it any more.
    pub namespace_terminating: bool,
}

impl Refusal {
    /// Whether the same object will be refused for ever: it is wrong in itself. Quota, admission and rights may change.
    pub fn is_permanent(&self) -> bool {
        matches!(self.code, 400 | 413 | 422)
    }
}

/// The latest refusal of each ExportJob, by UID.
#[derive(Debug, Default)]
pub struct Refusals {
    by_uid: Mutex<HashMap<String, (Refusal, Instant)>>,
}

impl Refusals {
    /// The latest refusal of something for this ExportJob.
    pub fn of(&self, uid: &str) -> Option<Refusal> {
        let now = Instant::now();
        self.lock()
            .get(uid)
            .filter(|(_, since)| now.duration_since(*since) < KEPT_FOR)
            .map(|(refusal, _)| refusal.clone())
    }

    /// Remembers a refusal; whether it is news: of something else, or of another kind. Words may differ each time.
    pub fn note(&self, uid: &str, refusal: Refusal) -> bool {
        let now = Instant::now();
        let mut by_uid = self.lock();
        by_uid.retain(|_, (_, since)| now.duration_since(*since) < KEPT_FOR);
        let is_like = |old: &Refusal| {
            (&old.name, old.code, old.namespace_terminating)
                == (&refusal.name, refusal.code, refusal.namespace_terminating)
        };
        let is_news = by_uid.get(uid).is_none_or(|(old, _)| !is_like(old));
        by_uid.insert(uid.to_owned(), (refusal, now));
        is_news
    }

    /// Forgets: it was taken after all.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Refusal, Instant)>> {
        self.by_uid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(message: &str) -> Refusal {
        Refusal {
            kind: "Job",
            name: "job".to_owned(),
            message: message.to_owned(),
            code: 403,
            namespace_terminating: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_remembered_until_the_job_is_taken_or_it_has_run_out() {
        let refusals = Refusals::default();
        assert!(refusals.note("uid", refusal("quota")));
        assert!(!refusals.note("uid", refusal("quota")), "no news");
        assert!(!refusals.note("uid", refusal("admission")), "other words are no news");
        assert_eq!(refusals.of("uid"), Some(refusal("admission")));
        refusals.forget("uid");
        assert_eq!(refusals.of("uid"), None);
        refusals.note("uid", refusal("quota"));
        tokio::time::advance(KEPT_FOR).await;
        assert_eq!(refusals.of("uid"), None);
    }
}
