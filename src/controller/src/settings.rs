//! What the operator's administrator decides.
// Comments on fields are texts of the help.
#![allow(clippy::doc_markdown)]

use std::time::Duration;

use clap::Args;
use exportjob_api::Resources;

/// What the operator's administrator decides: command line and environment of the controller.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Settings {
    /// Image of the export pods of jobs that name none.
    #[arg(long, env = "EXPORTJOB_EXPORTER_IMAGE", value_name = "IMAGE")]
    pub exporter_image: String,

    /// When that image is pulled: Always, IfNotPresent or Never.
    #[arg(
        long,
        env = "EXPORTJOB_EXPORTER_IMAGE_PULL_POLICY",
        default_value = "IfNotPresent",
        value_parser = ["Always", "IfNotPresent", "Never"],
        value_name = "POLICY"
    )]
    pub exporter_image_pull_policy: String,

    /// Compute resources of export pods of jobs that give none, as JSON: {"limits": {...}, "requests": {...}}.
    #[arg(
        long,
        env = "EXPORTJOB_EXPORTER_RESOURCES",
        default_value = DEFAULT_RESOURCES,
        value_parser = resources,
        value_name = "JSON"
    )]
    pub exporter_resources: Resources,

    /// Images that jobs may name, separated by commas; * stands for any characters. Default: only the operator's own.
    #[arg(
        long = "allowed-image",
        env = "EXPORTJOB_ALLOWED_IMAGES",
        value_delimiter = ',',
        value_name = "PATTERN"
    )]
    pub allowed_images: Vec<String>,

    /// Folders of nodes below which hostPath volumes may be, separated by commas. Default: none.
    #[arg(
        long = "allowed-host-path",
        env = "EXPORTJOB_ALLOWED_HOST_PATHS",
        value_delimiter = ',',
        value_name = "FOLDER"
    )]
    pub allowed_host_paths: Vec<String>,

    /// How often a failed export pod is replaced, for jobs that do not say it.
    #[arg(
        long,
        env = "EXPORTJOB_BACKOFF_LIMIT",
        default_value_t = 3,
        value_parser = clap::value_parser!(i32).range(0..=100),
        value_name = "NUMBER"
    )]
    pub backoff_limit: i32,

    /// Organisation that jobs are said to belong to.
    #[arg(long, env = "EXPORTJOB_IMS_ORG_ID", value_name = "ID")]
    pub ims_org_id: Option<String>,

    /// Seconds that a job without a deadline waits for stores, datasets and merge policies.
    #[arg(
        long = "reference-timeout-seconds",
        env = "EXPORTJOB_REFERENCE_TIMEOUT_SECONDS",
        default_value = "600",
        value_parser = seconds,
        value_name = "SECONDS"
    )]
    pub reference_timeout: Duration,

    /// Seconds that a pod may fail to start, from the first time that it does, until its job fails.
    #[arg(
        long = "start-grace-seconds",
        env = "EXPORTJOB_START_GRACE_SECONDS",
        default_value = "300",
        value_parser = seconds,
        value_name = "SECONDS"
    )]
    pub start_grace: Duration,

    /// Seconds that the clean-up of a job may take before it is given up.
    #[arg(
        long = "cancellation-timeout-seconds",
        env = "EXPORTJOB_CANCELLATION_TIMEOUT_SECONDS",
        default_value = "600",
        value_parser = seconds,
        value_name = "SECONDS"
    )]
    pub cancellation_timeout: Duration,

    /// Seconds between two writes of a job's progress, at least.
    #[arg(
        long = "progress-interval-seconds",
        env = "EXPORTJOB_PROGRESS_INTERVAL_SECONDS",
        default_value = "10",
        value_parser = seconds,
        value_name = "SECONDS"
    )]
    pub progress_interval: Duration,
}

/// Enough for a store of some millions of profiles.
const DEFAULT_RESOURCES: &str = r#"{"limits": {"memory": "2Gi"}, "requests": {"cpu": "500m", "memory": "2Gi"}}"#;

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}

fn resources(text: &str) -> Result<Resources, serde_json::Error> {
    serde_json::from_str(text)
}

impl Settings {
    /// Whether a job may name this image.
    pub fn allows_image(&self, image: &str) -> bool {
        image == self.exporter_image || self.allowed_images.iter().any(|pattern| matches(pattern, image))
    }

    /// Whether a volume may be this folder of a node.
    pub fn allows_host_path(&self, path: &str) -> bool {
        let inside = std::path::Path::new(path);
        !inside.components().any(|part| part == std::path::Component::ParentDir)
            && self.allowed_host_paths.iter().any(|folder| inside.starts_with(folder))
    }
}

/// Whether `text` is `pattern`, where each `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.ends_with(end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn settings(arguments: &[&str]) -> Settings {
        let line = ["controller", "--exporter-image", "exporter:1"];
        Line::try_parse_from(line.iter().chain(arguments)).unwrap().settings
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let settings = settings(&[]);
        assert_eq!(settings.reference_timeout, Duration::from_mins(10));
        assert_eq!(settings.start_grace, Duration::from_mins(5));
        assert_eq!(settings.cancellation_timeout, Duration::from_mins(10));
        assert_eq!(settings.progress_interval, Duration::from_secs(10));
        assert_eq!(settings.backoff_limit, 3);
    }

    #[test]
    fn only_the_operators_own_image_is_allowed_by_default() {
        let own = settings(&[]);
        assert!(own.allows_image("exporter:1"));
        assert!(!own.allows_image("evil:1"));
    }

    #[test]
    fn allowed_images_are_patterns() {
        let some = settings(&["--allowed-image", "registry.example/exports/*:v2*,exact:1"]);
        assert!(some.allows_image("registry.example/exports/a:v2.1"));
        assert!(some.allows_image("exact:1"));
        assert!(!some.allows_image("registry.example/other/a:v2"));
        assert!(!some.allows_image("registry.example/exports/a:v1"));
        assert!(!some.allows_image("exact:12"));
    }

    #[test]
    fn a_pattern_that_ends_where_it_begins_does_not_overlap() {
        assert!(!matches("aa*aa", "aaa"));
        assert!(matches("aa*aa", "aaaa"));
        assert!(matches("*", ""));
        assert!(matches("a*b*c", "a-b-b-c"));
    }

    #[test]
    fn a_host_path_must_be_below_an_allowed_folder() {
        let some = settings(&["--allowed-host-path", "/data/exports"]);
        assert!(some.allows_host_path("/data/exports"));
        assert!(some.allows_host_path("/data/exports/a"));
        assert!(!some.allows_host_path("/data/exports2"));
        assert!(!some.allows_host_path("/data/exports/../secret"));
        assert!(!some.allows_host_path("/data"));
        assert!(!settings(&[]).allows_host_path("/data"));
    }
}
