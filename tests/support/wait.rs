//! Waiting by watches, never by sleeping, and never for ever.

use std::{fmt::Debug, sync::Mutex, time::Duration};

use kube::{Api, Resource, runtime::wait::await_condition};
use serde::{Serialize, de::DeserializeOwned};

/// Longest wait for anything. It bounds a failing test, and proves nothing: a machine may be slow.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Waits until `condition` holds of the object `name`, or of its absence.
pub async fn until<K>(api: Api<K>, name: &str, what: &str, condition: impl Fn(Option<&K>) -> bool) -> Option<K>
where
    K: Clone + Debug + DeserializeOwned + Resource + Serialize + Send + 'static,
{
    let last = Mutex::new(None);
    let seen = |object: Option<&K>| {
        *last.lock().unwrap() = object.cloned();
        condition(object)
    };
    let watched = tokio::time::timeout(PATIENCE, await_condition(api, name, seen)).await;
    let Ok(found) = watched else {
        panic!(
            "{name}: not {what} within {PATIENCE:?}; it is now:\n{}",
            shown(last.lock().unwrap().as_ref())
        );
    };
    found.unwrap_or_else(|error| panic!("{name}: waiting until {what}: {error}"))
}

/// Waits until `condition` holds of the object `name`, which is there then.
pub async fn until_it<K>(api: Api<K>, name: &str, what: &str, condition: impl Fn(&K) -> bool) -> K
where
    K: Clone + Debug + DeserializeOwned + Resource + Serialize + Send + 'static,
{
    until(api, name, what, |object| object.is_some_and(&condition))
        .await
        .expect("the condition holds of an object")
}

/// Waits until there is no object of that name and UID.
pub async fn until_gone<K>(api: Api<K>, name: &str, uid: &str)
where
    K: Clone + Debug + DeserializeOwned + Resource + Serialize + Send + 'static,
{
    until(api, name, "gone", |object| {
        object.is_none_or(|found| found.meta().uid.as_deref() != Some(uid))
    })
    .await;
}

fn shown<K: Serialize>(object: Option<&K>) -> String {
    object.map_or_else(
        || "absent".to_owned(),
        |object| serde_yaml::to_string(object).unwrap_or_default(),
    )
}
