//! Command line and environment.
// Comments on fields are texts of the help.
#![allow(clippy::doc_markdown)]

use std::{ffi::OsString, net::SocketAddr};

use clap::Parser;
use hyper::Uri;

use crate::{settings::Settings, telemetry::LogFormat};

/// Reconciles ExportJobs: launches export pods, follows them, and tells in the status what became of them.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "exportjob-controller",
    version,
    after_help = "exportjob-controller ready URL asks a controller whether it is ready."
)]
pub struct Args {
    /// Namespaces whose ExportJobs are worked on, separated by commas. Default: all, which needs cluster-wide rights.
    #[arg(
        long = "watch-namespace",
        env = "EXPORTJOB_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE"
    )]
    pub watch_namespaces: Vec<String>,

    /// The operator's own namespace, where its Lease and the ConfigMap of ids are. Default: that of the pod's service
    /// account, or of the kubeconfig.
    #[arg(long, env = "EXPORTJOB_POD_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Name of the Lease by which one of several controllers leads.
    #[arg(
        long,
        env = "EXPORTJOB_LEASE_NAME",
        default_value = "exportjob-controller",
        value_name = "NAME"
    )]
    pub lease_name: String,

    /// Name of the ConfigMap from which the ids of jobs are drawn.
    #[arg(
        long,
        env = "EXPORTJOB_IDS_CONFIG_MAP",
        default_value = "exportjob-ids",
        value_name = "NAME"
    )]
    pub ids_config_map: String,

    /// Name of this process in the Lease and in Events: the name of its pod. Default: the host's name and a random
    /// number.
    #[arg(long, env = "EXPORTJOB_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,

    /// Where /healthz, /readyz and /metrics are served.
    #[arg(
        long,
        env = "EXPORTJOB_METRICS_ADDR",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS:PORT"
    )]
    pub metrics_addr: SocketAddr,

    /// Form of the log. What is logged is said by RUST_LOG; default: info.
    #[arg(
        long,
        env = "EXPORTJOB_LOG_FORMAT",
        default_value = "json",
        value_enum,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,

    /// ExportJobs that are worked on at once.
    #[arg(
        long,
        env = "EXPORTJOB_CONCURRENCY",
        default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..),
        value_name = "NUMBER"
    )]
    pub concurrency: u16,

    /// What decisions depend on.
    #[command(flatten)]
    pub settings: Settings,
}

/// Asks a controller whether it is ready, prints what it says, and fails if it is not.
#[derive(Clone, Debug, Parser)]
#[command(name = "exportjob-controller ready")]
pub struct ReadyArgs {
    /// Where it is asked, such as http://exportjob-operator-metrics:8080/readyz.
    pub url: Uri,
}

/// What the program is asked to do. None of the settings has a meaning for the second.
#[derive(Clone, Debug)]
pub enum Task {
    /// To reconcile.
    Reconcile(Box<Args>),
    /// To ask a controller.
    Ready(ReadyArgs),
}

impl Task {
    /// Reads a command line, the program's name first.
    pub fn try_parse_from<T>(line: impl IntoIterator<Item = T>) -> Result<Self, clap::Error>
    where
        T: Into<OsString> + Clone,
    {
        let line: Vec<OsString> = line.into_iter().map(Into::into).collect();
        if line.get(1).is_some_and(|word| word == "ready") {
            return ReadyArgs::try_parse_from(line.into_iter().skip(1)).map(Self::Ready);
        }
        Args::try_parse_from(line).map(|args| Self::Reconcile(Box::new(args)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_flag_has_a_variable_and_a_help_text() {
        let command = Args::command();
        command.clone().debug_assert();
        for argument in command.get_arguments() {
            let name = argument.get_id().as_str();
            assert!(argument.get_help().is_some(), "{name} has no help");
            let variable = argument.get_env().and_then(|name| name.to_str());
            assert!(
                variable.is_some_and(|variable| variable.starts_with("EXPORTJOB_")),
                "{name} has the variable {variable:?}"
            );
        }
    }

    #[test]
    fn a_controller_can_be_asked_without_any_setting() {
        let Task::Ready(asked) = Task::try_parse_from(["controller", "ready", "http://c:8080/readyz"]).unwrap() else {
            panic!("it reconciles");
        };
        assert_eq!(asked.url, "http://c:8080/readyz");
        assert!(Task::try_parse_from(["controller", "ready"]).is_err());
        assert!(Task::try_parse_from(["controller", "already"]).is_err());
    }

    #[test]
    fn namespaces_are_separated_by_commas() {
        let line = ["controller", "--exporter-image", "e", "--watch-namespace", "a,b"];
        assert_eq!(Args::try_parse_from(line).unwrap().watch_namespaces, ["a", "b"]);
    }
}
