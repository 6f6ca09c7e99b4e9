//! Compare-and-swap on an object of the API server.

use std::fmt::Debug;

use exportjob_api::FIELD_MANAGER;
use kube::{Resource, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};

use crate::register::{ApiRegister, Register};

impl<K> Register<K> for ApiRegister<K>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + Sync,
{
    async fn read(&self) -> Result<Option<K>, kube::Error> {
        self.api.get_opt(&self.name).await
    }

    async fn create(&self, object: &K) -> Result<K, kube::Error> {
        self.api.create(&written_by_us(), object).await
    }

    async fn replace(&self, object: &K) -> Result<K, kube::Error> {
        self.api.replace(&self.name, &written_by_us(), object).await
    }
}

fn written_by_us() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}
