//! Numbers of ExportJobs: unique and increasing, from blocks that are leased from one `ConfigMap`.
//!
//! A block of numbers costs one write. What is left of a block when the process ends is never given out: numbers have
//! gaps, but no number is ever used twice.

use std::collections::{BTreeMap, HashMap, HashSet};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{ResourceExt, core::ObjectMeta};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::register::{Register, lost_the_race};

/// Numbers in a block.
const BLOCK: i64 = 100;
/// Numbers stay below this, so that they are exact in JSON readers that only know doubles.
const LIMIT: i64 = 1 << 53;
/// Key of the next free number in the `ConfigMap`.
const NEXT: &str = "next";
/// Attempts at a block before the caller has to come again; each failure means that another process got one.
const ATTEMPTS: usize = 8;

/// Why there is no number.
#[derive(Debug, Error)]
pub enum IdError {
    /// The API server did not answer as hoped.
    #[error("failed to {action} ConfigMap {name} with the next id: {source}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// Name of the `ConfigMap`.
        name: String,
        /// Its answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The `ConfigMap` was changed by hand.
    #[error(
        "ConfigMap {name}: data.{NEXT} is {found:?}, which is not a number from 1 to 2^53: put the next free id there, or delete the ConfigMap to go on after the highest id in use"
    )]
    Damaged {
        /// Name of the `ConfigMap`.
        name: String,
        /// What stands there.
        found: String,
    },
    /// Others were faster each time.
    #[error("ConfigMap {name} is being changed by other controllers all the time: trying again")]
    Contended {
        /// Name of the `ConfigMap`.
        name: String,
    },
    /// No number is left.
    #[error("all ids below 2^53 are used")]
    Exhausted,
    /// The job has got its number, or is gone.
    #[error("the job does not wait for an id any more")]
    NotWaiting,
}

/// What the numbering has to know of the jobs that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// UIDs of the jobs without number, oldest first.
    pub waiting: Vec<String>,
    /// Highest number in use.
    pub highest: i64,
}

/// Gives out numbers.
#[derive(Debug)]
pub struct Ids<R> {
    register: R,
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Next number of the block.
    next: i64,
    /// First number after the block.
    end: i64,
    /// Numbers promised to jobs, by UID, until they are seen in the jobs' status.
    promised: HashMap<String, i64>,
}

impl<R: Register<ConfigMap>> Ids<R> {
    /// Numbers from the `ConfigMap` called `name` behind `register`.
    pub fn new(register: R, name: impl Into<String>) -> Self {
        Self {
            register,
            name: name.into(),
            state: Mutex::default(),
        }
    }

    /// The number of the job `uid`; the same one whenever it is asked for.
    ///
    /// All waiting jobs get theirs at once, oldest first, so that numbers follow the order of creation even when jobs
    /// are looked at in another order.
    pub async fn id_of(&self, uid: &str, known: impl FnOnce() -> Known + Send) -> Result<i64, IdError> {
        let mut state = self.state.lock().await;
        if let Some(id) = state.promised.get(uid) {
            return Ok(*id);
        }
        let known = known();
        let waiting: HashSet<&str> = known.waiting.iter().map(String::as_str).collect();
        state.promised.retain(|uid, _| waiting.contains(uid.as_str()));
        for uid in &known.waiting {
            if !state.promised.contains_key(uid) {
                let id = self.next(&mut state, known.highest).await?;
                state.promised.insert(uid.clone(), id);
            }
        }
        state.promised.get(uid).copied().ok_or(IdError::NotWaiting)
    }

    async fn next(&self, state: &mut State, highest: i64) -> Result<i64, IdError> {
        if state.next >= state.end || state.next <= highest {
            (state.next, state.end) = self.lease(state.end.max(highest + 1)).await?;
        }
        let id = state.next;
        state.next += 1;
        Ok(id)
    }

    /// Leases a block that starts at `at_least` or later.
    async fn lease(&self, at_least: i64) -> Result<(i64, i64), IdError> {
        for _ in 0..ATTEMPTS {
            let found = self
                .register
                .read()
                .await
                .map_err(|source| self.failed("read", source))?;
            let first = self.free(found.as_ref())?.max(at_least);
            if first > LIMIT - BLOCK {
                return Err(IdError::Exhausted);
            }
            let written = match found {
                None => self.register.create(&self.config_map(first + BLOCK)).await,
                Some(mut found) => {
                    found
                        .data
                        .get_or_insert_default()
                        .insert(NEXT.to_owned(), (first + BLOCK).to_string());
                    found.managed_fields_mut().clear();
                    self.register.replace(&found).await
                }
            };
            match written {
                Ok(_) => return Ok((first, first + BLOCK)),
                Err(error) if lost_the_race(&error) => {}
                Err(source) => return Err(self.failed("write", source)),
            }
        }
        Err(IdError::Contended {
            name: self.name.clone(),
        })
    }

    fn free(&self, found: Option<&ConfigMap>) -> Result<i64, IdError> {
        let Some(text) = found
            .and_then(|found| found.data.as_ref())
            .and_then(|data| data.get(NEXT))
        else {
            return Ok(1);
        };
        text.trim()
            .parse()
            .ok()
            .filter(|next| (1..=LIMIT).contains(next))
            .ok_or_else(|| IdError::Damaged {
                name: self.name.clone(),
                found: text.clone(),
            })
    }

    fn config_map(&self, next: i64) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(NEXT.to_owned(), next.to_string())])),
            ..ConfigMap::default()
        }
    }

    fn failed(&self, action: &'static str, source: kube::Error) -> IdError {
        IdError::Api {
            action,
            name: self.name.clone(),
            source: Box::new(source),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::register::memory::Memory;

    fn known(waiting: &[&str], highest: i64) -> Known {
        Known {
            waiting: waiting.iter().map(ToString::to_string).collect(),
            highest,
        }
    }

    fn ids(memory: &Memory<ConfigMap>) -> Ids<Memory<ConfigMap>> {
        Ids::new(memory.clone(), "ids")
    }

    fn stored(memory: &Memory<ConfigMap>) -> Option<String> {
        memory.object()?.data?.get(NEXT).cloned()
    }

    #[tokio::test]
    async fn older_jobs_have_lower_numbers_whichever_is_asked_for_first() {
        let ids = ids(&Memory::default());
        let all = || known(&["first", "second", "third"], 0);
        assert_eq!(ids.id_of("third", all).await.unwrap(), 3);
        assert_eq!(ids.id_of("first", all).await.unwrap(), 1);
        assert_eq!(ids.id_of("second", all).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_job_that_asks_again_gets_the_same_number() {
        let ids = ids(&Memory::default());
        let one = || known(&["a"], 0);
        assert_eq!(ids.id_of("a", one).await.unwrap(), 1);
        assert_eq!(ids.id_of("a", one).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_hundred_numbers_cost_one_write() {
        let memory = Memory::default();
        let ids = ids(&memory);
        for number in 1..=100_i64 {
            let uid = number.to_string();
            assert_eq!(ids.id_of(&uid, || known(&[&uid], number - 1)).await.unwrap(), number);
        }
        assert_eq!(memory.writes(), 1);
        assert_eq!(ids.id_of("next", || known(&["next"], 0)).await.unwrap(), 101);
        assert_eq!(memory.writes(), 2);
        assert_eq!(stored(&memory).unwrap(), "201");
    }

    #[tokio::test]
    async fn two_controllers_at_once_never_give_out_the_same_number() {
        let memory = Memory::default();
        let (one, two) = (ids(&memory), ids(&memory));
        let mut given = HashSet::new();
        for round in 0..300 {
            let (a, b) = (format!("a{round}"), format!("b{round}"));
            let (left, right) = tokio::join!(one.id_of(&a, || known(&[&a], 0)), two.id_of(&b, || known(&[&b], 0)));
            assert!(given.insert(left.unwrap()), "given twice in round {round}");
            assert!(given.insert(right.unwrap()), "given twice in round {round}");
        }
    }

    #[tokio::test]
    async fn a_new_leader_goes_on_after_the_block_of_the_old_one() {
        let memory = Memory::default();
        assert_eq!(ids(&memory).id_of("a", || known(&["a"], 0)).await.unwrap(), 1);
        assert_eq!(ids(&memory).id_of("b", || known(&["b"], 1)).await.unwrap(), 101);
    }

    #[tokio::test]
    async fn numbers_in_use_are_not_given_out_again_when_the_config_map_is_lost() {
        let memory = Memory::default();
        let running = ids(&memory);
        assert_eq!(running.id_of("a", || known(&["a"], 0)).await.unwrap(), 1);
        memory.remove();
        assert_eq!(ids(&memory).id_of("b", || known(&["b"], 512)).await.unwrap(), 513);
        assert_eq!(stored(&memory).unwrap(), "613");
        assert_eq!(
            running.id_of("c", || known(&["c"], 513)).await.unwrap(),
            613,
            "the rest of a block that was overtaken is not used"
        );
    }

    #[tokio::test]
    async fn a_config_map_changed_by_hand_is_named() {
        let memory = Memory::default();
        let ids = ids(&memory);
        let mut damaged = ids.config_map(1);
        damaged.data = Some(BTreeMap::from([(NEXT.to_owned(), "many".to_owned())]));
        memory.create(&damaged).await.unwrap();
        let error = ids.id_of("a", || known(&["a"], 0)).await.unwrap_err();
        assert!(
            error.to_string().starts_with("ConfigMap ids: data.next is \"many\""),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_job_that_does_not_wait_gets_no_number() {
        let memory = Memory::default();
        let error = ids(&memory).id_of("gone", || known(&[], 7)).await.unwrap_err();
        assert!(matches!(error, IdError::NotWaiting), "{error}");
        assert_eq!(memory.writes(), 0);
    }
}
