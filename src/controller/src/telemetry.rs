//! Logs: JSON lines for machines, or text for people at a terminal.

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, util::TryInitError};

/// What is logged without `RUST_LOG`.
const DEFAULT_FILTER: &str = "info,kube_client=warn,kube_runtime=warn";

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object in each line, with the spans that it belongs to.
    #[default]
    Json,
    /// Text for people.
    Text,
}

/// Starts logging to standard error. `RUST_LOG` says what is logged; without it: everything from `info` on.
pub fn init(format: LogFormat) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => logs
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .finish()
            .try_init(),
        LogFormat::Text => logs.finish().try_init(),
    }
}
