//! What a Secret says about an object store.

use std::{collections::BTreeMap, fmt, fs, io};

use exportjob_plan::{CredentialsPlan, code};

use crate::{Error, Result};

/// Keys that may stand in a Secret, in lower case; whether their values are secret.
const KEYS: &[(&str, bool)] = &[
    ("aws_access_key_id", true),
    ("aws_secret_access_key", true),
    ("aws_session_token", true),
    ("aws_region", false),
    ("aws_default_region", false),
    ("aws_endpoint", false),
    ("aws_endpoint_url", false),
    ("aws_endpoint_url_s3", false),
    ("aws_allow_http", false),
    ("aws_virtual_hosted_style_request", false),
    ("aws_unsigned_payload", false),
    ("aws_checksum_algorithm", false),
    ("aws_skip_signature", false),
    ("aws_request_payer", false),
    ("aws_server_side_encryption", false),
    ("aws_sse_kms_key_id", false),
    ("aws_sse_bucket_key_enabled", false),
    ("google_service_account_key", true),
    ("google_base_url", false),
    ("google_allow_http", false),
    ("google_skip_signature", false),
    ("azure_storage_account_name", false),
    ("azure_storage_account_key", true),
    ("azure_storage_access_key", true),
    ("azure_storage_sas_key", true),
    ("azure_storage_sas_token", true),
    ("azure_client_id", false),
    ("azure_client_secret", true),
    ("azure_tenant_id", false),
    ("azure_authority_host", false),
    ("azure_storage_endpoint", false),
    ("azure_endpoint", false),
    ("azure_allow_http", false),
    ("azure_skip_signature", false),
];
/// Certificates of authorities beside the public ones, in PEM.
const CA_KEY: &str = "ca.crt";
/// A shorter value is found in any text.
const SECRET_LENGTH: usize = 4;

/// The settings of an object store out of a Secret.
#[derive(Clone)]
pub struct Credentials {
    secret: String,
    settings: BTreeMap<String, String>,
    authorities: Option<String>,
}

impl Credentials {
    /// The keys of the Secret called `secret`: names as in the environment of the store's own tools, such as
    /// `AWS_ACCESS_KEY_ID`, in capitals or small letters, and `ca.crt`.
    ///
    /// # Errors
    /// `INVALID_STORE` names a key that is not known, or whose value is no text. Values are never named.
    pub fn new(secret: &str, keys: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self> {
        let mut credentials = Self {
            secret: secret.to_owned(),
            settings: BTreeMap::new(),
            authorities: None,
        };
        for (key, value) in keys {
            let refused =
                |what: &str| Error::new(code::INVALID_STORE, format!("Secret {secret:?}: key {key:?} {what}"));
            let text = String::from_utf8(value).map_err(|_| refused("is no text: write it in UTF-8"))?;
            let setting = key.to_ascii_lowercase();
            if key == CA_KEY {
                credentials.authorities = Some(text);
            } else if KEYS.iter().any(|(known, _)| *known == setting) {
                // A line's end that an editor or `echo` has left is never meant.
                let value = text.trim_end_matches(['\n', '\r']).to_owned();
                if credentials.settings.insert(setting, value).is_some() {
                    return Err(refused(
                        "stands there twice, in capitals and in small letters: remove one",
                    ));
                }
            } else {
                return Err(refused(&unknown(&setting)));
            }
        }
        Ok(credentials)
    }

    /// The Secret as it is mounted.
    pub(crate) fn read(plan: &CredentialsPlan) -> Result<Self> {
        let failed = |error: io::Error| {
            Error::new(
                code::INTERNAL,
                format!("Secret {:?} cannot be read from {}", plan.secret, plan.folder.display()),
            )
            .caused_by(error)
        };
        let mut keys = Vec::new();
        for entry in fs::read_dir(&plan.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let key = entry.file_name().to_string_lossy().into_owned();
            // The kubelet's own: the version that the links lead to.
            if !key.starts_with("..") {
                keys.push((key, fs::read(entry.path()).map_err(failed)?));
            }
        }
        Self::new(&plan.secret, keys)
    }

    /// Name of the Secret.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// Settings whose names start with `provider`, such as `aws_`.
    pub(crate) fn of<'a>(&'a self, provider: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let settings = self.settings.iter().filter(move |(key, _)| key.starts_with(provider));
        settings.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether it has this setting.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.settings.contains_key(key)
    }

    /// Certificates of authorities, in PEM.
    pub(crate) fn authorities(&self) -> Option<&str> {
        self.authorities.as_deref()
    }

    /// Values that no text may hold.
    pub(crate) fn values(&self) -> Vec<String> {
        let secret = |key: &str| KEYS.iter().any(|(known, secret)| *known == key && *secret);
        let values = self
            .settings
            .iter()
            .filter(|(key, value)| secret(key) && value.len() >= SECRET_LENGTH);
        values.map(|(_, value)| value.clone()).collect()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Credentials")
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

fn unknown(setting: &str) -> String {
    let known = KEYS.iter().map(|(key, _)| *key);
    let nearest = exportjob_plan::nearest(setting, known).map(str::to_ascii_uppercase);
    let hint = nearest
        .map(|name| format!(" (did you mean {name}?)"))
        .unwrap_or_default();
    format!("is not a setting of an object store{hint}: remove it; the settings stand in docs/how-to/object-stores.md")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn keys(pairs: &[(&str, &str)]) -> Result<Credentials> {
        Credentials::new(
            "lake",
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())),
        )
    }

    #[test]
    fn keys_are_as_in_the_environment_in_capitals_or_small_letters() {
        let read = keys(&[
            ("AWS_REGION", "eu-1\n"),
            ("aws_endpoint", "http://x"),
            ("ca.crt", "PEM\n"),
        ])
        .unwrap();
        assert_eq!(
            read.of("aws_").collect::<Vec<_>>(),
            [("aws_endpoint", "http://x"), ("aws_region", "eu-1")]
        );
        assert_eq!(read.authorities(), Some("PEM\n"));
    }

    #[test]
    fn an_unknown_key_is_named_and_its_value_is_not() {
        let error = keys(&[("AWS_SECRET_KEY", "hunter2hunter2")]).unwrap_err();
        assert_eq!((error.code(), error.exit_code()), (code::INVALID_STORE, 42));
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("AWS_SECRET_KEY") && text.contains("AWS_SECRET_ACCESS_KEY"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
        for refused in [
            "aws_bucket",
            "aws_conditional_put",
            "aws_role_arn",
            "google_application_credentials",
            "CA.CRT",
        ] {
            assert!(keys(&[(refused, "x")]).is_err(), "{refused}");
        }
        assert!(keys(&[("AWS_REGION", "a"), ("aws_region", "b")]).is_err());
    }

    #[test]
    fn credentials_do_not_show_when_they_are_printed() {
        let read = keys(&[("AWS_SECRET_ACCESS_KEY", "hunter2hunter2"), ("AWS_REGION", "eu-1")]).unwrap();
        assert!(!format!("{read:?}").contains("hunter2"));
        assert_eq!(read.values(), ["hunter2hunter2"]);
    }
}
