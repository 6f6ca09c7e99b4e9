//! The client of the API server.

use std::time::Duration;

use kube::{
    Client, Config,
    client::{ClientBuilder, retry::RetryPolicy},
};
use thiserror::Error;
use tower::{ServiceBuilder, buffer::BufferLayer, retry::RetryLayer};

use crate::api_calls::ApiCallsLayer;

/// Waits between the tries of one request, and their number: 0.1, 0.2, 0.4, 0.8 s. What is not answered after that
/// goes to the job's own backoff, so that one overloaded moment does not hold up a look at a job for minutes.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(1);
const RETRIES: u32 = 4;
/// Requests that wait for the connection at once.
const BUFFER: usize = 1024;

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Neither a service account nor a kubeconfig.
    #[error("no access to a cluster, neither as a pod's service account nor by KUBECONFIG: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// The configuration cannot be used.
    #[error("the access to the cluster cannot be used: {0}")]
    Client(#[from] kube::Error),
    /// The settings of retries are wrong.
    #[error("the settings of retries are wrong: {0}")]
    Retry(#[from] kube::client::retry::InvalidBackoff),
}

/// A client for the cluster that this process runs in, or that the kubeconfig names.
pub async fn connect(calls: ApiCallsLayer) -> Result<Client, ClientError> {
    let mut config = Config::infer().await?;
    config.default_retry = false;
    let retries = RetryPolicy::new(FIRST_RETRY, LONGEST_RETRY, RETRIES, false)?;
    let layers = ServiceBuilder::new()
        .layer(calls)
        .layer(RetryLayer::new(retries))
        .layer(BufferLayer::new(BUFFER));
    Ok(ClientBuilder::try_from(config)?.with_layer(&layers).build())
}
