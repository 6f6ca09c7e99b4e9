//! CEL rules and bounds that several resources share. The bounds keep the estimated cost of the rules within the API
//! server's budget.

/// A calendar-correct RFC 3339 time with `Z` or an offset and at most six fraction digits.
///
/// The calendar is in the pattern, because CEL's `timestamp()` does not return false for a 30th of February: it fails,
/// and the user would read of a failed rule instead of a wrong time.
pub const IS_TIME: &str = concat!(
    r"self.matches('^(",
    r"[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))",
    r"|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29",
    r")T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$')",
    r" && !self.startsWith('0000')"
);

/// What [`IS_TIME`] asks for.
pub const TIME_MESSAGE: &str = "must be a time in RFC 3339 format with Z or an offset and at most six digits of fractional seconds, for example 2018-01-01T00:00:00Z";

/// Longest time that [`IS_TIME`] accepts is 32 characters; a little more is let in so that the rule's message is seen.
pub const TIME_LENGTH: u32 = 64;

/// Rule for an absolute path in its shortest form.
pub const IS_PATH: &str = "self.matches('^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+/?$')";
/// What [`IS_PATH`] asks for.
pub const PATH_MESSAGE: &str = "must be an absolute path such as /store, of letters, digits, '.', '_' and '-'";
/// Rule for a path at which a volume is mounted: nothing that the image or the operator has put into the pod may be
/// hidden, or else a volume could bring a program of its own.
pub const IS_NO_SYSTEM_FOLDER: &str =
    "!self.matches('^/(bin|boot|dev|etc|lib|lib32|lib64|proc|root|run|sbin|sys|tmp|usr)(/|$)')";
/// What [`IS_NO_SYSTEM_FOLDER`] asks for.
pub const SYSTEM_FOLDER_MESSAGE: &str =
    "must not be, or be below, /bin, /boot, /dev, /etc, /lib, /proc, /root, /run, /sbin, /sys, /tmp or /usr";

/// Rule for where a table or dataset is. A path without a scheme is for local runs: in a cluster the plan refuses it.
///
/// An object store is named by its bucket alone. Neither an account nor an endpoint can stand here: who may write a
/// manifest, but not the Secret, could send the Secret's credentials there.
pub const IS_LOCATION: &str = "self.startsWith('file:') || !self.matches('^[A-Za-z][A-Za-z0-9+.-]*:') \
     || (self.matches('^(s3|gs|az|abfss)://[A-Za-z0-9][A-Za-z0-9._-]*(/[^?#]*)?$') && !self.matches('/[.][.]?(/|$)'))";
/// What [`IS_LOCATION`] asks for.
pub const LOCATION_MESSAGE: &str = "must be a file: URL under the volume's mount path, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or abfss://CONTAINER/PREFIX without account, user, query and ..: endpoint and account stand in the Secret";
/// What an empty location is told.
pub const NO_LOCATION_MESSAGE: &str =
    "must be a file: URL under the volume's mount path, or the URL of a prefix in an object store";

/// Rule for an environment variable of an author of jobs, who must not choose where credentials go.
pub const IS_NO_CREDENTIAL_VARIABLE: &str =
    "!self.matches('^(AWS_|AZURE_|GOOGLE_|GCE_|SSL_CERT_|SERVICE_ACCOUNT)') && !self.matches('_[Pp][Rr][Oo][Xx][Yy]$')";
/// What [`IS_NO_CREDENTIAL_VARIABLE`] asks for.
pub const CREDENTIAL_VARIABLE_MESSAGE: &str = "decides where credentials of object stores go: settings of a store stand in the Secret that its ProfileStore or Dataset names";

/// Rule for the name of an object of Kubernetes.
pub const IS_NAME: &str = "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')";

/// Rule for a string that must say something.
pub const NOT_EMPTY: &str = "self.size() > 0";
/// Rule for an object that may not change once it is there.
pub const UNCHANGED: &str = "self == oldSelf";

/// Two optional times in order; times that are not times are left to their own rule.
pub fn ordered(first: &str, second: &str) -> String {
    const SHAPE: &str = "'^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?(Z|[+-][0-2][0-9]:[0-5][0-9])$'";
    format!(
        "!has(self.{first}) || !has(self.{second}) || !self.{first}.matches({SHAPE}) || !self.{second}.matches({SHAPE}) \
         || timestamp(self.{first}) <= timestamp(self.{second})"
    )
}

/// Keeps optional fields from being added or removed; changes of their values are refused by [`UNCHANGED`] on each.
pub fn neither_added_nor_removed(fields: &[&str]) -> String {
    fields
        .iter()
        .map(|field| format!("has(self.{field}) == has(oldSelf.{field})"))
        .collect::<Vec<_>>()
        .join(" && ")
}

/// The same for fields of an optional object, which may come and go as long as these fields do not.
pub fn neither_added_nor_removed_in(object: &str, fields: &[&str]) -> String {
    fields
        .iter()
        .map(|field| {
            format!(
                "(has(self.{object}) && has(self.{object}.{field})) == \
                 (has(oldSelf.{object}) && has(oldSelf.{object}.{field}))"
            )
        })
        .collect::<Vec<_>>()
        .join(" && ")
}
