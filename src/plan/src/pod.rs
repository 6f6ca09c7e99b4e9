//! Where things are in an export pod: shared by the controller, which builds pods, and the exporter, which lives there.

/// File with the plan, as JSON; a mounted ConfigMap.
pub const PLAN_PATH: &str = "/etc/exportjob/plan.json";
/// Key of the plan in its ConfigMap.
pub const PLAN_KEY: &str = "plan.json";
/// Folder with one file for each key of the profile store's Secret, if it names one. No volume can be mounted below
/// `/etc`.
pub const STORE_CREDENTIALS_PATH: &str = "/etc/exportjob-credentials/store";
/// The same for the dataset's Secret.
pub const DATASET_CREDENTIALS_PATH: &str = "/etc/exportjob-credentials/dataset";
/// Where the exporter writes its [`RunReport`](crate::RunReport), as JSON.
pub const TERMINATION_LOG: &str = "/dev/termination-log";
/// Folder for spill files: an emptyDir.
pub const SPILL_PATH: &str = "/tmp/exportjob";
/// Port on which the exporter serves `GET /progress` ([`ProgressReport`](crate::ProgressReport) as JSON), `GET
/// /healthz` and `GET /metrics`.
pub const PROGRESS_PORT: u16 = 8081;
/// Environment variable: bytes of memory that the pod may use (downward API, `limits.memory`).
pub const MEMORY_LIMIT_ENV: &str = "EXPORTJOB_MEMORY_LIMIT";
/// Environment variable: cores that the pod may use, rounded up (downward API, `limits.cpu`).
pub const CPU_LIMIT_ENV: &str = "EXPORTJOB_CPU_LIMIT";
/// Environment variable: name of the pod, which makes the names of its files its own.
pub const POD_NAME_ENV: &str = "EXPORTJOB_POD_NAME";
/// Environment variable: which shard the pod is, from 0. Kubernetes sets it in the pods of an Indexed Job.
pub const SHARD_ENV: &str = "JOB_COMPLETION_INDEX";
/// User and group id of export pods and of their volumes.
pub const USER_ID: i64 = 65532;

/// How long the exporter's allocator keeps memory that is free, in milliseconds, and the variable that says so. Its own
/// default is so short that big buffers are given back to the kernel and taken from it again all the time.
pub const ALLOCATOR_ENV: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "1000");
