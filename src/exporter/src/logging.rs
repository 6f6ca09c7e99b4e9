//! Logs: one JSON object a line, to standard error.

use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, filter_fn},
    layer::SubscriberExt as _,
};

/// What is logged without `RUST_LOG`. The table library logs every conflict as an error, though conflicts are settled
/// here.
const DEFAULT_FILTER: &str = "info,deltalake_core=off,delta_kernel=warn,datafusion=warn";

/// Clients of object stores. What they say below a warning can hold URLs with signatures, and headers: nobody gets to see
/// it, whatever `RUST_LOG` asks for, because who may write an ExportJob may set that and need not know the Secret.
const CLIENTS: &[&str] = &[
    "object_store",
    "reqwest",
    "hyper",
    "hyper_util",
    "hyper_rustls",
    "h2",
    "rustls",
    "tower",
];

/// Sends logs to standard error, as `RUST_LOG` asks. A second call changes nothing.
pub(crate) fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let quiet = filter_fn(|event| !is_client(event.target()) || *event.level() <= Level::WARN);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(std::io::stderr)
        .with_filter(filter.and(quiet));
    // Fails only if there is one already, which then is the one to use.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
}

fn is_client(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or_default();
    CLIENTS.contains(&name)
}
