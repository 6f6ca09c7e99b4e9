//! Stable codes of everything that can go wrong, as they stand in `status.errors[].code` and in conditions.

/// The spec asks for something that this version does not do.
pub const UNSUPPORTED: &str = "UNSUPPORTED";
/// A field of the spec has a value that cannot be used.
pub const INVALID_SPEC: &str = "INVALID_SPEC";
/// The job asks for several shards of a store that is not bucketed, or that has fewer buckets.
pub const NOT_BUCKETED: &str = "NOT_BUCKETED";
/// A referenced resource does not exist.
pub const REFERENCE_NOT_FOUND: &str = "REFERENCE_NOT_FOUND";
/// The listed segments have several merge policies.
pub const MERGE_POLICY_CONFLICT: &str = "MERGE_POLICY_CONFLICT";
/// The store or dataset is declared in a way that cannot work.
pub const INVALID_STORE: &str = "INVALID_STORE";
/// A field path that the store does not have.
pub const UNKNOWN_FIELD: &str = "UNKNOWN_FIELD";
/// The expression of a segment does not follow the grammar.
pub const PQL_SYNTAX: &str = "PQL_SYNTAX";
/// The expression of a segment is larger than one may be.
pub const PQL_LIMIT: &str = "PQL_LIMIT";
/// The expression of a segment asks for a field that the store does not have.
pub const PQL_UNKNOWN_FIELD: &str = "PQL_UNKNOWN_FIELD";
/// The expression of a segment calls a function that the language does not have.
pub const PQL_UNKNOWN_FUNCTION: &str = "PQL_UNKNOWN_FUNCTION";
/// The expression of a segment has a value of the wrong type.
pub const PQL_TYPE: &str = "PQL_TYPE";
/// The expression of a segment has a part that segments cannot use.
pub const PQL_UNSUPPORTED: &str = "PQL_UNSUPPORTED";
/// Segments refer to each other in a circle.
pub const PQL_CYCLE: &str = "PQL_CYCLE";
/// A column of the store has a type that it must not have.
pub const COLUMN_TYPE: &str = "COLUMN_TYPE";
/// A column that the store must have is not there.
pub const MISSING_COLUMN: &str = "MISSING_COLUMN";
/// A table or file of the store cannot be read.
pub const STORE_UNREADABLE: &str = "STORE_UNREADABLE";
/// A file of the store is broken.
pub const CORRUPT_FILE: &str = "CORRUPT_FILE";
/// The dataset has another type for a path that the export writes.
pub const SCHEMA_CONFLICT: &str = "SCHEMA_CONFLICT";
/// The dataset cannot be used: not a Delta table, or one with settings that break exactly-once.
pub const DATASET_UNUSABLE: &str = "DATASET_UNUSABLE";
/// The dataset cannot be written: disk full, permission denied, volume gone, object store down.
pub const DATASET_UNWRITABLE: &str = "DATASET_UNWRITABLE";
/// The batch was aborted before this export could commit it.
pub const BATCH_ABORTED: &str = "BATCH_ABORTED";
/// The export needs more memory or disk than it may use.
pub const RESOURCES_EXHAUSTED: &str = "RESOURCES_EXHAUSTED";
/// Somebody cancelled the job.
pub const CANCELLED: &str = "CANCELLED";
/// The job did not end within its deadline.
pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";
/// Pods failed more often than the job allows.
pub const BACKOFF_LIMIT_EXCEEDED: &str = "BACKOFF_LIMIT_EXCEEDED";
/// All shards have ended well, and none of them has told of the commit.
pub const COMMIT_UNREPORTED: &str = "COMMIT_UNREPORTED";
/// A pod of the job could not start.
pub const POD_CANNOT_START: &str = "POD_CANNOT_START";
/// The API server refused the Job that the controller made.
pub const JOB_REFUSED: &str = "JOB_REFUSED";
/// The operator's settings do not allow what the spec asks for.
pub const NOT_ALLOWED: &str = "NOT_ALLOWED";
/// The batches could not be aborted; what may be left of them is named.
pub const CLEAN_UP_ABANDONED: &str = "CLEAN_UP_ABANDONED";
/// The export was stopped from outside (a signal) before it could commit; another attempt can take over.
pub const INTERRUPTED: &str = "INTERRUPTED";
/// Anything else.
pub const INTERNAL: &str = "INTERNAL";
