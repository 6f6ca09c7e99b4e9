//! `exportjob-controller ready URL`: what `helm test` asks.

use std::time::Duration;

use hyper::Uri;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::http::{GetError, Getter};

/// Longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for a good answer: a controller that was just installed or upgraded takes a moment.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a controller does not count as ready.
#[derive(Debug, Error)]
pub enum ReadyError {
    /// It cannot be asked.
    #[error("{url} cannot be asked: {source}")]
    Silent {
        /// Where it was asked.
        url: Uri,
        /// Why not.
        #[source]
        source: GetError,
    },
    /// It says that it is not.
    #[error("{url} answered {status}: {said}")]
    NotReady {
        /// Where it was asked.
        url: Uri,
        /// The status.
        status: hyper::StatusCode,
        /// What it says.
        said: String,
    },
}

/// What the controller at `url` says when it is ready. It is asked again for a minute.
pub async fn ask(url: &Uri) -> Result<String, ReadyError> {
    let getter = Getter::new(ANSWER_WITHIN);
    let started = Instant::now();
    loop {
        match ask_once(&getter, url).await {
            Err(_) if started.elapsed() < READY_WITHIN => sleep(PAUSE).await,
            answer => return answer,
        }
    }
}

async fn ask_once(getter: &Getter, url: &Uri) -> Result<String, ReadyError> {
    let url = url.clone();
    let (status, said) = match getter.get(url.clone()).await {
        Ok(answer) => answer,
        Err(source) => return Err(ReadyError::Silent { url, source }),
    };
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    if status.is_success() {
        Ok(said)
    } else {
        Err(ReadyError::NotReady { url, status, said })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::{Router, http::StatusCode, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_controller_is_ready_when_it_says_so_and_else_its_words_are_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/ready", get(|| async { "ready\n" })).route(
            "/not",
            get(|| async { (StatusCode::SERVICE_UNAVAILABLE, "the caches are being filled\n") }),
        );
        tokio::spawn(async move { axum::serve(listener, router).await });
        let getter = Getter::new(ANSWER_WITHIN);
        let url = |path: &str| format!("http://{address}/{path}").parse::<Uri>().unwrap();
        assert_eq!(ask(&url("ready")).await.unwrap(), "ready");
        let said = ask_once(&getter, &url("not")).await.unwrap_err().to_string();
        assert!(
            said.contains("503") && said.ends_with("the caches are being filled"),
            "{said}"
        );
        let nobody = "http://127.0.0.1:1/ready".parse::<Uri>().unwrap();
        let said = ask_once(&getter, &nobody).await.unwrap_err().to_string();
        assert!(said.contains("cannot be asked") && said.contains("refused"), "{said}");
    }
}
