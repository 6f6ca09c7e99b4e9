//! Keeps the statuses of SegmentDefinitions: whenever something of a namespace changes, its definitions are judged together,
//! and what has changed is written.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use exportjob_api::{ExportJob, SegmentDefinition, SegmentDefinitionStatus};
use futures::{FutureExt as _, StreamExt as _, channel::mpsc::UnboundedReceiver};
use jiff::Timestamp;
use kube::{Client, ResourceExt as _};
use kube_runtime::reflector::Store;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::{
    act::{ActError, apply_definition_status},
    backoff::Backoff,
    segments::{Examined, Seen, can_tell, examine, statuses, verdicts},
};

/// Namespaces in which something has happened that definitions are judged by.
pub type Changed = UnboundedReceiver<String>;

/// Keeps the statuses of a scope's definitions, until the senders of `changed` are gone.
pub async fn keep(
    client: Client,
    definitions: Store<SegmentDefinition>,
    export_jobs: Store<ExportJob>,
    mut changed: Changed,
) {
    let mut keeper = Keeper {
        client,
        definitions,
        export_jobs,
        namespaces: HashMap::new(),
    };
    let backoff = Backoff::default();
    let mut again: HashMap<String, Instant> = HashMap::new();
    loop {
        let next = again.values().min().copied();
        let mut due = BTreeSet::new();
        tokio::select! {
            namespace = changed.next() => match namespace {
                Some(namespace) => { due.insert(namespace); }
                None => return,
            },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
        // A change of many definitions at once is one look.
        while let Some(Some(namespace)) = changed.next().now_or_never() {
            due.insert(namespace);
        }
        let now = Instant::now();
        due.extend(
            again
                .iter()
                .filter(|(_, at)| **at <= now)
                .map(|(namespace, _)| namespace.clone()),
        );
        for namespace in due {
            again.remove(&namespace);
            match keeper.check(&namespace, Timestamp::now().as_millisecond()).await {
                Ok(()) => backoff.forget(&namespace),
                Err(error) => {
                    let pause = backoff.failed(&namespace);
                    warn!(namespace, code = error.code(), %error, retry_in_seconds = pause.as_secs_f32(),
                        "the segment definitions could not be told what they are worth: trying again");
                    again.insert(namespace, Instant::now() + pause);
                }
            }
        }
    }
}

struct Keeper {
    client: Client,
    definitions: Store<SegmentDefinition>,
    export_jobs: Store<ExportJob>,
    /// What is known of each namespace that has definitions.
    namespaces: HashMap<String, Known>,
}

/// What is known of the definitions of a namespace, by UID.
#[derive(Default)]
struct Known {
    /// Expressions that were examined, with the generation.
    examined: HashMap<String, (Option<i64>, Option<Examined>)>,
    /// Statuses that were written, with the resource version: the cache may not show them yet.
    written: HashMap<String, (u64, SegmentDefinitionStatus)>,
}

impl Keeper {
    /// Judges the definitions of a namespace and writes what has changed.
    async fn check(&mut self, namespace: &str, now_ms: i64) -> Result<(), ActError> {
        let mut definitions = self
            .definitions
            .state_filter(|definition| definition.metadata.namespace.as_deref() == Some(namespace));
        if definitions.is_empty() {
            self.namespaces.remove(namespace);
            return Ok(());
        }
        definitions.sort_by_key(|definition| definition.name_any());
        let known = self.namespaces.entry(namespace.to_owned()).or_default();
        known.refresh(&mut definitions);
        let seen: Vec<Seen<'_>> = definitions
            .iter()
            .map(|definition| Seen {
                definition,
                examined: known
                    .examined
                    .get(uid(definition))
                    .and_then(|(_, found)| found.as_ref()),
            })
            .collect();
        let export_jobs = self.export_jobs.state_filter(|export_job| {
            export_job.metadata.namespace.as_deref() == Some(namespace) && can_tell(export_job)
        });
        let verdicts = verdicts(export_jobs.iter().map(AsRef::as_ref));
        let mut done = Ok(());
        for (definition, wanted) in definitions.iter().zip(statuses(&seen, &verdicts, now_ms)) {
            if definition.status.as_ref() == Some(&wanted) {
                continue;
            }
            let written = match apply_definition_status(&self.client, definition, &wanted).await {
                Ok(written) => written,
                // One that is not taken holds up no other.
                Err(error) => {
                    done = Err(error);
                    continue;
                }
            };
            debug!(
                namespace,
                definition = definition.name_any(),
                done = written.is_some(),
                "status"
            );
            if let Some(version) = written.and_then(|version| version.parse().ok()) {
                known.written.insert(uid(definition).to_owned(), (version, wanted));
            }
        }
        done
    }
}

impl Known {
    /// Examines what is new, forgets what is gone, and lets the definitions show what was written to them.
    fn refresh(&mut self, definitions: &mut [Arc<SegmentDefinition>]) {
        let uids: BTreeSet<String> = definitions.iter().map(|found| uid(found).to_owned()).collect();
        self.examined.retain(|uid, _| uids.contains(uid));
        self.written.retain(|uid, _| uids.contains(uid));
        for definition in definitions {
            let uid = uid(definition).to_owned();
            let generation = definition.metadata.generation;
            if self.examined.get(&uid).is_none_or(|(of, _)| *of != generation) {
                let examined = definition.spec.expression.as_ref().map(examine);
                self.examined.insert(uid.clone(), (generation, examined));
            }
            let version: Option<u64> = definition.resource_version().and_then(|version| version.parse().ok());
            match self.written.get(&uid) {
                Some((written, status)) if version.is_some_and(|version| version < *written) => {
                    let definition = Arc::make_mut(definition);
                    definition.status = Some(status.clone());
                    definition.metadata.resource_version = Some(written.to_string());
                }
                _ => drop(self.written.remove(&uid)),
            }
        }
    }
}

fn uid(definition: &SegmentDefinition) -> &str {
    definition.metadata.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
