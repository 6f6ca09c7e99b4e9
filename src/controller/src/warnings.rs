//! Troubles of Jobs and pods that only Kubernetes Events tell of: pods that quota or admission refuses, volumes that
//! cannot be mounted.

use std::{
    collections::HashMap,
    fmt::Debug,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::Api;
use kube_runtime::{
    WatchStreamExt as _,
    watcher::{self, watcher},
};
use tokio::time::Instant;
use tracing::warn;

use crate::{observed::millis, watch::Observers};

/// Which Events are asked for: everything else about Jobs and pods can be read in their status, or is noise. A field
/// selector knows no "or".
const SELECTORS: [&str; 2] = [
    "involvedObject.kind=Job,reason=FailedCreate",
    "involvedObject.kind=Pod,type=Warning,reason!=BackOff,reason!=Unhealthy,reason!=FailedScheduling,reason!=Failed",
];
/// Reasons that say why something does not start.
const REASONS: [&str; 5] = [
    "FailedCreate",
    "FailedMount",
    "FailedAttachVolume",
    "FailedMapVolume",
    "FailedCreatePodSandBox",
];
/// Events live for an hour in the API server; troubles live no longer here.
const KEPT_FOR: Duration = Duration::from_hours(1);
/// Bytes of a message that are kept.
const MESSAGE_BYTES: usize = 1024;

/// Why an object does not get on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Reason of the Event, one word.
    pub reason: String,
    /// Message of the Event.
    pub message: String,
    /// When the Event said so last, in epoch milliseconds.
    pub at_ms: Option<i64>,
}

/// The latest trouble of each Job and pod, by UID. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Warnings {
    by_uid: Arc<Mutex<HashMap<String, (Warning, Instant)>>>,
}

impl Warnings {
    /// The latest trouble of the object.
    pub fn of(&self, uid: &str) -> Option<Warning> {
        let by_uid = self.by_uid.lock().unwrap_or_else(PoisonError::into_inner);
        by_uid.get(uid).map(|(warning, _)| warning.clone())
    }

    /// Remembers what an Event says; the UID of the object if that is news.
    fn note(&self, event: &Event) -> Option<String> {
        let reason = event.reason.as_deref().filter(|reason| REASONS.contains(reason))?;
        let uid = event.involved_object.uid.clone()?;
        let warning = Warning {
            reason: reason.to_owned(),
            message: shorten(event.message.as_deref().unwrap_or_default()).to_owned(),
            at_ms: last_ms(event),
        };
        let mut by_uid = self.by_uid.lock().unwrap_or_else(PoisonError::into_inner);
        by_uid.retain(|_, (_, since)| since.elapsed() < KEPT_FOR);
        let old = by_uid.insert(uid.clone(), (warning.clone(), Instant::now()));
        (old.map(|(old, _)| old) != Some(warning)).then_some(uid)
    }
}

/// An Event that is told again and again is one object, in the old form or in the new one.
fn last_ms(event: &Event) -> Option<i64> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    let precise = series.or(event.event_time.as_ref()).map(|time| time.0.as_millisecond());
    millis(event.last_timestamp.as_ref()).max(precise)
}

fn shorten(message: &str) -> &str {
    let end = (0..=MESSAGE_BYTES.min(message.len()))
        .rev()
        .find(|end| message.is_char_boundary(*end));
    message.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Watches for troubles, for ever. `ours` says whether an object belongs to an ExportJob; `touched` is called when
/// there is news of one.
pub async fn watch(
    api: Api<Event>,
    warnings: Warnings,
    observers: Observers,
    ours: impl Fn(&ObjectReference) -> bool + Sync,
    touched: impl Fn(&ObjectReference) + Sync,
) {
    let [jobs, pods] =
        SELECTORS.map(|selector| watch_selected(api.clone(), selector, &warnings, &observers, &ours, &touched));
    tokio::join!(jobs, pods);
}

async fn watch_selected(
    api: Api<Event>,
    selector: &str,
    warnings: &Warnings,
    observers: &Observers,
    ours: &(impl Fn(&ObjectReference) -> bool + Sync),
    touched: &(impl Fn(&ObjectReference) + Sync),
) {
    let config = watcher::Config::default().fields(selector);
    let mut events = pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) => {
                if ours(&event.involved_object) && warnings.note(&event).is_some() {
                    touched(&event.involved_object);
                }
            }
            Ok(_) => {}
            Err(error) => {
                observers.metrics.watch_failed("events");
                warn!(resource = "events", %error, "watch interrupted: trying again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn event(reason: &str, message: &str) -> Event {
        Event {
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            involved_object: ObjectReference {
                uid: Some("uid".to_owned()),
                ..ObjectReference::default()
            },
            ..Event::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_trouble_is_known_until_its_event_has_run_out() {
        let warnings = Warnings::default();
        assert!(warnings.note(&event("FailedCreate", "exceeded quota")).is_some());
        assert_eq!(warnings.note(&event("FailedCreate", "exceeded quota")), None, "no news");
        assert_eq!(warnings.note(&event("Killing", "bye")), None);
        assert_eq!(warnings.of("uid").unwrap().message, "exceeded quota");
        tokio::time::advance(KEPT_FOR).await;
        let mut other = event("FailedMount", "no such secret");
        other.involved_object.uid = Some("other".to_owned());
        warnings.note(&other);
        assert_eq!(warnings.of("uid"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_is_told_again_is_news_and_says_when() {
        use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
        use k8s_openapi::jiff::Timestamp;
        let at = |second| Timestamp::from_second(second).unwrap();
        let warnings = Warnings::default();
        let mut old_form = event("FailedCreate", "exceeded quota");
        for second in [5, 7] {
            old_form.last_timestamp = Some(Time(at(second)));
            assert!(warnings.note(&old_form).is_some());
            assert_eq!(warnings.of("uid").unwrap().at_ms, Some(second * 1_000));
        }
        let mut new_form = event("FailedCreate", "exceeded quota");
        new_form.event_time = Some(MicroTime(at(9)));
        assert!(warnings.note(&new_form).is_some());
        assert_eq!(warnings.of("uid").unwrap().at_ms, Some(9_000));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        assert_eq!(shorten(&"é".repeat(1000)).len(), MESSAGE_BYTES);
        assert_eq!(shorten(&format!("x{}", "é".repeat(1000))).len(), 1023);
        assert_eq!(shorten(""), "");
    }
}
