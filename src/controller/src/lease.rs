//! Leader election by a `coordination.k8s.io` Lease: of all processes that name the same Lease, one leads.
//!
//! Whether a Lease has run out is judged by how long *this* process has seen it unchanged, never by comparing clocks of
//! two machines.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{ResourceExt, core::ObjectMeta};
use thiserror::Error;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info, warn};

use crate::register::{Register, lost_the_race};

/// How long others wait for a leader that has gone silent.
pub const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for this long stops; the rest of [`DURATION`] is its margin.
pub const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// How often a leader renews. Two renewals may be lost.
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// How often a standby looks, and how soon a failed renewal is repeated.
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// Why this process does not lead any more.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Lost {
    /// Another process has the Lease.
    #[error("the lease is held by {holder:?} now")]
    Taken {
        /// Its identity.
        holder: String,
    },
    /// The API server did not take a renewal in time.
    #[error("the lease could not be renewed for {} s: {reason}", RENEW_WITHIN.as_secs())]
    NotRenewed {
        /// The last error.
        reason: String,
    },
}

/// What the election is at, for health checks and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseState {
    /// Whether this process leads.
    pub leading: bool,
    /// When the API server last answered.
    pub last_contact: Option<Instant>,
}

/// One candidate.
pub struct Elector<R> {
    register: R,
    name: String,
    identity: String,
    /// The Lease as last seen, and since when it has been like that.
    seen: Option<(Lease, Instant)>,
    state: Arc<watch::Sender<LeaseState>>,
}

impl<R: Register<Lease>> Elector<R> {
    /// A candidate called `identity` for the Lease `name` behind `register`. Identities must differ between processes.
    pub fn new(register: R, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            register,
            name: name.into(),
            identity: identity.into(),
            seen: None,
            state: Arc::new(watch::Sender::default()),
        }
    }

    /// What the election is at, from now on.
    pub fn state(&self) -> watch::Receiver<LeaseState> {
        self.state.subscribe()
    }

    /// Waits until this process leads. Errors are logged, and tried again.
    pub async fn acquire(&mut self) {
        loop {
            match timeout(RENEW_WITHIN, self.try_acquire()).await {
                Ok(Ok(leading)) => {
                    self.contact(leading);
                    if leading {
                        info!(lease = self.name, identity = self.identity, "leading");
                        return;
                    }
                }
                Ok(Err(error)) => {
                    warn!(lease = self.name, %error, "cannot read or write the lease: trying again");
                }
                Err(_) => warn!(lease = self.name, "the API server does not answer: trying again"),
            }
            sleep(RETRY_EVERY).await;
        }
    }

    /// Keeps the Lease and returns when it is lost. From then on this process must not write any more.
    pub async fn hold(&mut self) -> Lost {
        let mut renewed = Instant::now();
        let mut reason = String::from("no answer from the API server");
        let mut pause = RENEW_EVERY;
        loop {
            let left = RENEW_WITHIN.saturating_sub(renewed.elapsed());
            sleep(pause.min(left)).await;
            let left = RENEW_WITHIN.saturating_sub(renewed.elapsed());
            if left.is_zero() {
                self.state.send_modify(|state| state.leading = false);
                return Lost::NotRenewed { reason };
            }
            let asked = Instant::now();
            match timeout(left, self.renew()).await {
                Ok(Ok(None)) => {
                    // Others count from when they saw the renewal, which is later than this.
                    renewed = asked;
                    pause = RENEW_EVERY;
                    self.contact(true);
                }
                Ok(Ok(Some(holder))) => {
                    self.contact(false);
                    return Lost::Taken { holder };
                }
                Ok(Err(error)) => {
                    warn!(lease = self.name, %error, "cannot renew the lease: trying again");
                    reason = error.to_string();
                    pause = RETRY_EVERY;
                }
                Err(_) => reason = String::from("no answer from the API server"),
            }
        }
    }

    /// Gives the Lease back, so that a standby takes over at once. Only a courtesy: an error is logged.
    pub async fn release(&mut self) {
        self.state.send_modify(|state| state.leading = false);
        let Some((lease, _)) = self.seen.take() else {
            return;
        };
        if holder(&lease) != Some(&self.identity) {
            return;
        }
        let mut released = self.claim(Some(&lease));
        if let Some(spec) = released.spec.as_mut() {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        match timeout(RETRY_EVERY, self.register.replace(&released)).await {
            Ok(Ok(_)) => info!(lease = self.name, "lease released"),
            Ok(Err(error)) => debug!(lease = self.name, %error, "lease not released"),
            Err(_) => debug!(lease = self.name, "lease not released: no answer"),
        }
    }

    /// One look at the Lease, and one attempt to take it if it is free.
    async fn try_acquire(&mut self) -> Result<bool, kube::Error> {
        let Some(found) = self.register.read().await? else {
            return self.write(None).await;
        };
        let now = Instant::now();
        let since = match &self.seen {
            Some((seen, since)) if seen.resource_version() == found.resource_version() => *since,
            _ => now,
        };
        let mine = holder(&found) == Some(&self.identity);
        let free = holder(&found).is_none() || now.duration_since(since) >= duration(&found);
        self.seen = Some((found.clone(), since));
        if !mine && !free {
            return Ok(false);
        }
        self.write(Some(&found)).await
    }

    /// `None`: renewed. `Some`: the Lease has this holder now.
    async fn renew(&mut self) -> Result<Option<String>, kube::Error> {
        if let Some((seen, _)) = self.seen.clone()
            && self.write(Some(&seen)).await?
        {
            return Ok(None);
        }
        // Somebody has changed it: a label, or its holder.
        let found = self.register.read().await?;
        if let Some(found) = &found
            && holder(found) != Some(&self.identity)
        {
            return Ok(Some(holder(found).cloned().unwrap_or_default()));
        }
        if self.write(found.as_ref()).await? {
            return Ok(None);
        }
        Ok(Some(String::from("another process")))
    }

    /// Writes this process as the holder; false when another writer was faster.
    async fn write(&mut self, old: Option<&Lease>) -> Result<bool, kube::Error> {
        let claim = self.claim(old);
        let written = match old {
            None => self.register.create(&claim).await,
            Some(_) => self.register.replace(&claim).await,
        };
        match written {
            Ok(lease) => {
                self.seen = Some((lease, Instant::now()));
                Ok(true)
            }
            Err(error) if lost_the_race(&error) => Ok(false),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn claim(&self, old: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut lease = old.cloned().unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        lease.managed_fields_mut().clear();
        let taken_over = holder(&lease) != Some(&self.identity);
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if taken_over {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |count| count + 1));
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.renew_time = Some(now);
        lease
    }

    fn contact(&self, leading: bool) {
        self.state.send_modify(|state| {
            state.leading = leading;
            state.last_contact = Some(Instant::now());
        });
    }
}

/// Who holds a Lease; `None`: nobody.
fn holder(lease: &Lease) -> Option<&String> {
    lease
        .spec
        .as_ref()?
        .holder_identity
        .as_ref()
        .filter(|holder| !holder.is_empty())
}

fn duration(lease: &Lease) -> Duration {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(DURATION, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::register::memory::Memory;

    fn elector(memory: &Memory<Lease>, identity: &str) -> Elector<Memory<Lease>> {
        Elector::new(memory.clone(), "lease", identity)
    }

    fn holder_of(memory: &Memory<Lease>) -> Option<String> {
        holder(&memory.object()?).cloned()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_candidate_leads_at_once() {
        let memory = Memory::default();
        let mut a = elector(&memory, "a");
        let start = Instant::now();
        a.acquire().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(holder_of(&memory).unwrap(), "a");
        assert!(a.state().borrow().leading);
    }

    #[tokio::test(start_paused = true)]
    async fn a_standby_waits_while_the_leader_renews_and_takes_over_when_it_is_silent() {
        let memory = Memory::default();
        let mut a = elector(&memory, "a");
        a.acquire().await;
        let leader = tokio::spawn(async move { a.hold().await });
        let mut b = elector(&memory, "b");
        assert!(
            timeout(Duration::from_hours(1), b.acquire()).await.is_err(),
            "the leader renews"
        );
        leader.abort();
        let silent = Instant::now();
        b.acquire().await;
        let waited = silent.elapsed();
        assert!(waited <= DURATION + RETRY_EVERY, "took over after {waited:?}");
        assert!(waited + RENEW_EVERY >= DURATION, "took over after {waited:?}");
        assert_eq!(holder_of(&memory).unwrap(), "b");
        assert_eq!(memory.object().unwrap().spec.unwrap().lease_transitions, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_released_lease_is_taken_within_one_look() {
        let memory = Memory::default();
        let mut a = elector(&memory, "a");
        a.acquire().await;
        let mut b = elector(&memory, "b");
        assert!(timeout(Duration::from_secs(5), b.acquire()).await.is_err(), "a leads");
        a.release().await;
        assert_eq!(holder_of(&memory), None);
        let released = Instant::now();
        b.acquire().await;
        assert!(released.elapsed() <= RETRY_EVERY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_stops_before_a_standby_may_start() {
        let memory = Memory::default();
        let mut a = elector(&memory, "a");
        a.acquire().await;
        let election = a.state();
        let last = Instant::now();
        memory.set_down(true);
        let ended = a.hold().await;
        assert!(matches!(ended, Lost::NotRenewed { .. }), "{ended}");
        assert!(last.elapsed() <= RENEW_WITHIN);
        assert!(RENEW_WITHIN < DURATION);
        assert!(!election.borrow().leading);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_outage_does_not_depose_the_leader() {
        let memory = Memory::default();
        let mut a = elector(&memory, "a");
        a.acquire().await;
        let leader = tokio::spawn(async move { a.hold().await });
        for _ in 0..20 {
            sleep(Duration::from_secs(5)).await;
            memory.set_down(true);
            sleep(Duration::from_secs(5)).await;
            memory.set_down(false);
        }
        assert!(!leader.is_finished());
        leader.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_learns_that_it_was_overtaken() {
        let memory = Memory::default();
        let mut a = elector(&memory, "a");
        a.acquire().await;
        let mut stolen = memory.object().unwrap();
        stolen.spec.as_mut().unwrap().holder_identity = Some("b".to_owned());
        memory.replace(&stolen).await.unwrap();
        assert_eq!(a.hold().await, Lost::Taken { holder: "b".to_owned() });
    }

    #[tokio::test(start_paused = true)]
    async fn a_label_put_on_the_lease_or_its_deletion_does_not_depose_the_leader() {
        let memory = Memory::default();
        let mut a = elector(&memory, "a");
        a.acquire().await;
        let leader = tokio::spawn(async move { a.hold().await });
        let mut labelled = memory.object().unwrap();
        labelled.labels_mut().insert("team".to_owned(), "lake".to_owned());
        memory.replace(&labelled).await.unwrap();
        sleep(Duration::from_mins(1)).await;
        assert!(memory.object().unwrap().labels().contains_key("team"));
        memory.remove();
        sleep(Duration::from_mins(1)).await;
        assert_eq!(holder_of(&memory).unwrap(), "a");
        assert!(!leader.is_finished());
        leader.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_process_with_the_same_identity_leads_again_at_once() {
        let memory = Memory::default();
        elector(&memory, "a").acquire().await;
        let start = Instant::now();
        elector(&memory, "a").acquire().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_candidates_at_once_one_leads() {
        let memory = Memory::default();
        let (mut a, mut b) = (elector(&memory, "a"), elector(&memory, "b"));
        tokio::select! {
            () = a.acquire() => assert_eq!(holder_of(&memory).unwrap(), "a"),
            () = b.acquire() => assert_eq!(holder_of(&memory).unwrap(), "b"),
        }
        assert_eq!(memory.writes(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_candidate_waits_for_an_api_server_that_is_down() {
        let memory = Memory::default();
        memory.set_down(true);
        let mut a = elector(&memory, "a");
        assert!(timeout(Duration::from_mins(1), a.acquire()).await.is_err());
        assert!(a.state().borrow().last_contact.is_none());
        memory.set_down(false);
        a.acquire().await;
        assert!(a.state().borrow().leading);
    }
}
