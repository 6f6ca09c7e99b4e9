//! Logs: one JSON object a line, to standard error.

use tracing_subscriber::EnvFilter;

/// What is logged without `RUST_LOG`. The table library logs every conflict as an error, though conflicts are settled
/// here.
const DEFAULT_FILTER: &str = "info,deltalake_core=off,delta_kernel=warn,datafusion=warn";

/// Sends logs to standard error, as `RUST_LOG` asks. A second call changes nothing.
pub(crate) fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .finish();
    // Fails only if there is one already, which then is the one to use.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
