//! Metrics in OpenMetrics form. Labels are words from fixed lists, never names of objects.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use exportjob_api::Phase;
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// All phases, in the order of a job's life; `NONE` are jobs that the controller has not accepted yet.
const PHASES: [(&str, Option<Phase>); 6] = [
    ("NONE", None),
    ("NEW", Some(Phase::New)),
    ("PROCESSING", Some(Phase::Processing)),
    ("SUCCEEDED", Some(Phase::Succeeded)),
    ("FAILED", Some(Phase::Failed)),
    ("CANCELLING", Some(Phase::Cancelling)),
];

/// How a look at a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileOutcome {
    /// Something was written.
    Applied,
    /// There was nothing to do.
    Unchanged,
    /// The caches were behind our own writes: looked at again a moment later.
    Waiting,
    /// It failed; the error counter says why.
    Failed,
}

impl ReconcileOutcome {
    fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

/// One request to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiCall {
    /// Kubernetes verb.
    pub verb: &'static str,
    /// Plural of the resource, with the subresource.
    pub resource: &'static str,
    /// `2xx`, `3xx`, `4xx`, `5xx`, or `error` without an answer.
    pub code: &'static str,
}

/// The metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Family<Labels<1>, Counter>,
    errors: Family<Labels<1>, Counter>,
    duration: Histogram,
    in_flight: Gauge,
    api_calls: Family<Labels<3>, Counter>,
    watch_errors: Family<Labels<1>, Counter>,
    progress_polls: Family<Labels<1>, Counter>,
    export_jobs: Family<Labels<1>, Gauge>,
    leading: Gauge,
    registry: Arc<Registry>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            reconciles: Family::default(),
            errors: Family::default(),
            // 1 ms to 16 s.
            duration: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            in_flight: Gauge::default(),
            api_calls: Family::default(),
            watch_errors: Family::default(),
            progress_polls: Family::default(),
            export_jobs: Family::default(),
            leading: Gauge::default(),
            registry: Arc::default(),
        };
        metrics.registry = Arc::new(metrics.registry());
        metrics
    }
}

impl Metrics {
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("exportjob");
        registry.register("reconciles", "Looks at ExportJobs, by outcome", self.reconciles.clone());
        registry.register(
            "reconcile_errors",
            "Failed looks at ExportJobs, by code of the error",
            self.errors.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "Time of a look at an ExportJob, writes included",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "reconciles_in_flight",
            "ExportJobs that are being looked at",
            self.in_flight.clone(),
        );
        registry.register(
            "api_requests",
            "Requests to the API server, by verb, resource and class of the answer",
            self.api_calls.clone(),
        );
        registry.register(
            "watch_errors",
            "Interruptions of watches, by resource",
            self.watch_errors.clone(),
        );
        registry.register(
            "progress_polls",
            "Questions to export pods about their progress, by result",
            self.progress_polls.clone(),
        );
        registry.register(
            "exportjobs",
            "ExportJobs that exist, by phase; counted by the leader only",
            self.export_jobs.clone(),
        );
        registry.register("leader", "1 while this process leads, else 0", self.leading.clone());
        registry
    }

    /// A look at a job begins. It counts as being in flight until the guard goes.
    pub fn reconcile_started(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A look at a job ended.
    pub fn reconciled(&self, outcome: ReconcileOutcome, took: Duration) {
        self.reconciles.get_or_create(&[("outcome", outcome.label())]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// A look at a job failed with an error of this code.
    pub fn reconcile_failed(&self, code: &'static str) {
        self.errors.get_or_create(&[("code", code)]).inc();
    }

    /// A request to the API server was answered.
    pub fn api_call(&self, call: ApiCall) {
        self.api_calls
            .get_or_create(&[("verb", call.verb), ("resource", call.resource), ("code", call.code)])
            .inc();
    }

    /// A watch was interrupted.
    pub fn watch_failed(&self, resource: &'static str) {
        self.watch_errors.get_or_create(&[("resource", resource)]).inc();
    }

    /// An export pod was asked for its progress.
    pub fn progress_polled(&self, answered: bool) {
        let result = if answered { "answered" } else { "unreachable" };
        self.progress_polls.get_or_create(&[("result", result)]).inc();
    }

    /// Whether this process leads.
    pub fn set_leading(&self, leading: bool) {
        self.leading.set(i64::from(leading));
    }

    /// How many jobs there are in each phase.
    pub fn set_export_jobs(&self, phases: impl Iterator<Item = Option<Phase>>) {
        let mut counts: BTreeMap<&str, i64> = PHASES.iter().map(|(label, _)| (*label, 0_i64)).collect();
        for phase in phases {
            if let Some(count) = counts.get_mut(phase.map_or("NONE", Phase::as_str)) {
                *count += 1;
            }
        }
        for (label, _) in PHASES {
            let count = counts.get(label).copied().unwrap_or_default();
            self.export_jobs.get_or_create(&[("phase", label)]).set(count);
        }
    }

    /// Everything, as text.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Counts one look at a job until it is dropped.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn metrics_are_rendered_in_open_metrics_form() {
        let metrics = Metrics::default();
        let guard = metrics.reconcile_started();
        metrics.reconciled(ReconcileOutcome::Applied, Duration::from_millis(3));
        metrics.reconcile_failed("API");
        metrics.api_call(ApiCall {
            verb: "create",
            resource: "jobs",
            code: "2xx",
        });
        metrics.set_export_jobs([Some(Phase::New), None, Some(Phase::New)].into_iter());
        metrics.set_leading(true);
        let text = metrics.render().unwrap();
        for line in [
            "exportjob_reconciles_total{outcome=\"applied\"} 1",
            "exportjob_reconcile_errors_total{code=\"API\"} 1",
            "exportjob_reconcile_duration_seconds_count 1",
            "exportjob_reconciles_in_flight 1",
            "exportjob_api_requests_total{verb=\"create\",resource=\"jobs\",code=\"2xx\"} 1",
            "exportjob_exportjobs{phase=\"NEW\"} 2",
            "exportjob_exportjobs{phase=\"NONE\"} 1",
            "exportjob_exportjobs{phase=\"FAILED\"} 0",
            "exportjob_leader 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        drop(guard);
        assert!(metrics.render().unwrap().contains("exportjob_reconciles_in_flight 0"));
    }
}
