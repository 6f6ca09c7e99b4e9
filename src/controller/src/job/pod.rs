//! The pods of an export.

use std::collections::BTreeMap;

use exportjob_api::{Credentials, ExportJob, PodTemplate, ProfileStore, Resources, Volume};
use exportjob_plan::{
    plan_name,
    pod::{
        ALLOCATOR_ENV, CPU_LIMIT_ENV, DATASET_CREDENTIALS_PATH, MEMORY_LIMIT_ENV, PLAN_PATH, POD_NAME_ENV,
        PROGRESS_PORT, SHARD_ENV, SPILL_PATH, STORE_CREDENTIALS_PATH, TERMINATION_LOG, USER_ID,
    },
};
use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource,
        HostPathVolumeSource, ObjectFieldSelector, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec,
        PodTemplateSpec, ResourceFieldSelector, ResourceRequirements, SeccompProfile, SecretVolumeSource,
        SecurityContext, Volume as PodVolume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use kube::ResourceExt;

use super::{CONTAINER, Landing};
use crate::settings::Settings;

/// What a pod is made of.
pub struct Parts<'a> {
    /// Whose pod it is.
    pub export_job: &'a ExportJob,
    /// Where it writes to.
    pub landing: &'a Landing,
    /// What it reads; a clean-up reads nothing.
    pub store: Option<&'a ProfileStore>,
    /// What it does: `run` or `abort`.
    pub command: &'a str,
    /// The operator's labels.
    pub labels: BTreeMap<String, String>,
}

/// Meshes would put a sidecar into the pod that never ends.
const NO_SIDECARS: [(&str, &str); 2] = [("sidecar.istio.io/inject", "false"), ("linkerd.io/inject", "disabled")];
/// Names of the pod's volumes.
const PLAN: &str = "plan";
const SPILL: &str = "spill";
const STORE: &str = "store";
const DATASET: &str = "dataset";
const STORE_CREDENTIALS: &str = "store-credentials";
const DATASET_CREDENTIALS: &str = "dataset-credentials";
/// Readable for the pod's own group, through `fsGroup`, and for nobody else.
const CREDENTIALS_MODE: i32 = 0o440;

/// The template of the pods.
pub fn template(parts: &Parts<'_>, settings: &Settings) -> PodTemplateSpec {
    let execution = parts.export_job.spec.execution.clone().unwrap_or_default();
    let overrides = execution.pod_template.clone().unwrap_or_default();
    let mut labels = overrides.labels.clone();
    labels.extend(parts.labels.clone());
    let mut annotations: BTreeMap<String, String> = NO_SIDECARS
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    annotations.extend(overrides.annotations.clone());
    let (mut volumes, mut mounts) = volumes(parts);
    add_credentials(parts, &mut volumes, &mut mounts);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            restart_policy: Some("Never".to_owned()),
            service_account_name: execution.service_account_name.clone(),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(pod_security(&overrides)),
            volumes: Some(volumes),
            containers: vec![container(parts, &overrides, mounts, settings)],
            node_selector: some(overrides.node_selector),
            tolerations: some(overrides.tolerations),
            affinity: overrides.affinity,
            topology_spread_constraints: some(overrides.topology_spread_constraints),
            priority_class_name: overrides.priority_class_name,
            runtime_class_name: overrides.runtime_class_name,
            scheduler_name: overrides.scheduler_name,
            image_pull_secrets: some(overrides.image_pull_secrets),
            ..PodSpec::default()
        }),
    }
}

fn container(parts: &Parts<'_>, overrides: &PodTemplate, mounts: Vec<VolumeMount>, settings: &Settings) -> Container {
    let execution = parts.export_job.spec.execution.clone().unwrap_or_default();
    let (image, policy) = image(parts, settings);
    Container {
        name: CONTAINER.to_owned(),
        image: Some(image),
        image_pull_policy: Some(policy),
        args: Some(vec![parts.command.to_owned()]),
        env: Some(environment(overrides)),
        ports: Some(vec![ContainerPort {
            name: Some("progress".to_owned()),
            container_port: i32::from(PROGRESS_PORT),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(requirements(
            execution.resources.as_ref().unwrap_or(&settings.exporter_resources),
        )),
        volume_mounts: Some(mounts),
        termination_message_path: Some(TERMINATION_LOG.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// Image and pull policy. A clean-up is the operator's own business: an image of the author that cannot be pulled must
/// not hold it up.
fn image(parts: &Parts<'_>, settings: &Settings) -> (String, String) {
    let execution = parts.export_job.spec.execution.clone().unwrap_or_default();
    let own = (
        settings.exporter_image.clone(),
        settings.exporter_image_pull_policy.clone(),
    );
    if parts.store.is_none() {
        return own;
    }
    (
        execution.image.unwrap_or(own.0),
        execution.image_pull_policy.unwrap_or(own.1),
    )
}

/// The operator's variables come last: of two with one name Kubernetes takes the last.
fn environment(overrides: &PodTemplate) -> Vec<EnvVar> {
    let limit = |name: &str, resource: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            resource_field_ref: Some(ResourceFieldSelector {
                container_name: Some(CONTAINER.to_owned()),
                resource: resource.to_owned(),
                divisor: Some(Quantity("1".to_owned())),
            }),
            ..EnvVarSource::default()
        }),
        value: None,
    };
    let own = [
        EnvVar {
            name: POD_NAME_ENV.to_owned(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    api_version: Some("v1".to_owned()),
                    field_path: "metadata.name".to_owned(),
                }),
                ..EnvVarSource::default()
            }),
            value: None,
        },
        limit(MEMORY_LIMIT_ENV, "limits.memory"),
        limit(CPU_LIMIT_ENV, "limits.cpu"),
    ];
    let given = overrides
        .env
        .iter()
        // Kubernetes tells a pod its shard only where nobody has told it before.
        .filter(|variable| own.iter().all(|own| own.name != variable.name) && variable.name != SHARD_ENV)
        .map(|variable| EnvVar {
            name: variable.name.clone(),
            value: Some(variable.value.clone()),
            value_from: None,
        });
    let (name, value) = ALLOCATOR_ENV;
    let is_given = overrides.env.iter().any(|variable| variable.name == name);
    let allocator = (!is_given).then(|| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    });
    allocator.into_iter().chain(given).chain(own.clone()).collect()
}

fn requirements(resources: &Resources) -> ResourceRequirements {
    let quantities = |given: &BTreeMap<String, IntOrString>| {
        some(
            given
                .iter()
                .map(|(name, quantity)| {
                    let quantity = match quantity {
                        IntOrString::Int(number) => number.to_string(),
                        IntOrString::String(text) => text.clone(),
                    };
                    (name.clone(), Quantity(quantity))
                })
                .collect::<BTreeMap<_, _>>(),
        )
    };
    ResourceRequirements {
        limits: quantities(&resources.limits),
        requests: quantities(&resources.requests),
        claims: None,
    }
}

fn pod_security(overrides: &PodTemplate) -> PodSecurityContext {
    let given = overrides.security_context.clone().unwrap_or_default();
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(given.run_as_user.unwrap_or(USER_ID)),
        run_as_group: Some(given.run_as_group.unwrap_or(USER_ID)),
        fs_group: Some(given.fs_group.unwrap_or(USER_ID)),
        // A volume with millions of files would otherwise be walked through at every start.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        supplemental_groups: some(given.supplemental_groups),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

fn volumes(parts: &Parts<'_>) -> (Vec<PodVolume>, Vec<VolumeMount>) {
    let folder = PLAN_PATH.rsplit_once('/').map_or("/", |(folder, _)| folder);
    let plan = plan_name(
        &parts.export_job.name_any(),
        parts.export_job.metadata.uid.as_deref().unwrap_or_default(),
    );
    let mut volumes = vec![
        PodVolume {
            name: PLAN.to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: plan,
                ..ConfigMapVolumeSource::default()
            }),
            ..PodVolume::default()
        },
        PodVolume {
            name: SPILL.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..PodVolume::default()
        },
    ];
    let mut mounts = vec![mount(PLAN, folder, true), mount(SPILL, SPILL_PATH, false)];
    let written = parts.landing.volume.as_ref();
    let written_path = parts.landing.mount_path.trim_end_matches('/');
    if let Some(store) = parts.store
        && let Some(read) = &store.spec.volume
    {
        let path = store.spec.mount_path().trim_end_matches('/');
        let shared = written == Some(read);
        if !shared {
            volumes.push(volume(STORE, read));
        }
        // One volume at one path is mounted once, and writable.
        if !(shared && path == written_path) {
            mounts.push(mount(if shared { DATASET } else { STORE }, path, true));
        }
    }
    if let Some(written) = written {
        volumes.push(volume(DATASET, written));
        mounts.push(mount(DATASET, written_path, false));
    }
    (volumes, mounts)
}

/// The Secret of each side, where it names one, as files that only the exporter can read. A pod whose Secret is missing
/// does not start, and says so.
fn add_credentials(parts: &Parts<'_>, volumes: &mut Vec<PodVolume>, mounts: &mut Vec<VolumeMount>) {
    let read = parts.store.and_then(|store| secret(store.spec.credentials.as_ref()));
    let sides = [
        (STORE_CREDENTIALS, STORE_CREDENTIALS_PATH, read),
        (
            DATASET_CREDENTIALS,
            DATASET_CREDENTIALS_PATH,
            parts.landing.credentials.clone(),
        ),
    ];
    for (name, path, secret) in sides {
        let Some(secret) = secret else { continue };
        volumes.push(PodVolume {
            name: name.to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret),
                default_mode: Some(CREDENTIALS_MODE),
                optional: Some(false),
                ..SecretVolumeSource::default()
            }),
            ..PodVolume::default()
        });
        mounts.push(mount(name, path, true));
    }
}

/// Name of the Secret.
pub fn secret(credentials: Option<&Credentials>) -> Option<String> {
    credentials.map(|credentials| credentials.secret_ref.name.clone())
}

fn volume(name: &str, volume: &Volume) -> PodVolume {
    PodVolume {
        name: name.to_owned(),
        persistent_volume_claim: volume.persistent_volume_claim.as_ref().map(|claim| {
            PersistentVolumeClaimVolumeSource {
                claim_name: claim.claim_name.clone(),
                read_only: None,
            }
        }),
        host_path: volume.host_path.as_ref().map(|folder| HostPathVolumeSource {
            path: folder.path.clone(),
            type_: Some("Directory".to_owned()),
        }),
        ..PodVolume::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// Empty lists and maps are left out.
fn some<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}
