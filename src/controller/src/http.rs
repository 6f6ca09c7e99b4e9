//! One short question over plain HTTP: to export pods, and to a controller that may be ready.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, Uri, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use thiserror::Error;
use tokio::time::timeout;

/// Longest answer.
const ANSWER_BYTES: usize = 16 * 1024;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum GetError {
    /// It takes too long.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// Nobody is there.
    #[error("{}", chain(.0))]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    /// It broke off, or is too long.
    #[error("its answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// The question cannot be asked.
    #[error("{0}")]
    Question(#[from] hyper::http::Error),
}

/// Asks. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Getter {
    client: Client<HttpConnector, Empty<Bytes>>,
    within: Duration,
}

impl Getter {
    /// Waits so long for an answer.
    pub fn new(within: Duration) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            within,
        }
    }

    /// The answer to a GET, whatever its status is.
    pub async fn get(&self, uri: Uri) -> Result<(StatusCode, Bytes), GetError> {
        let request = Request::get(uri).body(Empty::new())?;
        let answer = async {
            let answer = self.client.request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES)
                .collect()
                .await
                .map_err(GetError::Body)?;
            Ok((status, body.to_bytes()))
        };
        timeout(self.within, answer)
            .await
            .unwrap_or(Err(GetError::TimedOut(self.within)))
    }
}

/// The error with its causes: the innermost says what is wrong.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
