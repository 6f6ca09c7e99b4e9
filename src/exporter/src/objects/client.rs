//! Clients of object stores.

use std::{sync::Arc, time::Duration};

use deltalake::ObjectStore;
use exportjob_plan::code;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};
use url::Url;

use super::Credentials;
use crate::{Error, Result};

/// To make a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one request with its answer, both whole.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);
/// Further tries of a request that the store has not answered, or with a 5xx or 429.
const RETRIES: usize = 8;
/// After this time from its first try, a request is not tried again.
const RETRY_TIMEOUT: Duration = Duration::from_mins(3);
/// The first pause between two tries, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What a cluster puts into the environment of a pod to give it an identity.
const IDENTITY: &[&str] = &[
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
];

/// A client of the bucket in `location`.
///
/// With a Secret, its settings count and nothing of the environment but the identity that the cluster gives, which the
/// Secret's own keys replace: no endpoint of somebody else gets to see them. Without one, it is the environment.
///
/// # Errors
/// `INVALID_STORE` for settings that do not go together.
pub(super) fn connect(location: &Url, credentials: Option<&Credentials>) -> Result<Arc<dyn ObjectStore>> {
    let bucket = location.host_str().unwrap_or_default();
    let options = options(credentials, location.scheme())?;
    let built: object_store::Result<Arc<dyn ObjectStore>> = match location.scheme() {
        "s3" => s3(bucket, credentials, options),
        "gs" => gcs(bucket, credentials, options),
        "az" | "abfss" => azure(bucket, credentials, options),
        other => {
            return Err(Error::new(
                code::INVALID_STORE,
                format!("location {location}: there is no store for {other}://"),
            ));
        }
    };
    built.map_err(|error| {
        let source = match credentials {
            Some(credentials) => format!("Secret {:?}", credentials.secret()),
            None => "the environment of the pod".to_owned(),
        };
        let values = credentials.map(Credentials::values).unwrap_or_default();
        let what = super::trouble::redacted(&error.to_string(), &values);
        Error::new(
            code::INVALID_STORE,
            format!("location {location}: the settings in {source} do not open it: {what}"),
        )
    })
}

fn s3(
    bucket: &str,
    credentials: Option<&Credentials>,
    options: ClientOptions,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = match credentials {
        None => AmazonS3Builder::from_env(),
        Some(_) => AmazonS3Builder::new(),
    }
    .with_client_options(options)
    .with_retry(retry())
    .with_bucket_name(bucket);
    for (key, value) in settings(credentials, "aws_", "aws_access_key_id") {
        builder = builder.with_config(key.parse::<AmazonS3ConfigKey>()?, value);
    }
    Ok(Arc::new(builder.build()?))
}

fn gcs(
    bucket: &str,
    credentials: Option<&Credentials>,
    options: ClientOptions,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = match credentials {
        None => GoogleCloudStorageBuilder::from_env(),
        Some(_) => GoogleCloudStorageBuilder::new(),
    }
    .with_client_options(options)
    .with_retry(retry())
    .with_bucket_name(bucket);
    for (key, value) in settings(credentials, "google_", "google_service_account_key") {
        builder = builder.with_config(key.parse::<GoogleConfigKey>()?, value);
    }
    Ok(Arc::new(builder.build()?))
}

fn azure(
    container: &str,
    credentials: Option<&Credentials>,
    options: ClientOptions,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = match credentials {
        None => MicrosoftAzureBuilder::from_env(),
        Some(_) => MicrosoftAzureBuilder::new(),
    }
    .with_client_options(options)
    .with_retry(retry())
    .with_container_name(container);
    for (key, value) in settings(credentials, "azure_", "azure_client_id") {
        builder = builder.with_config(key.parse::<AzureConfigKey>()?, value);
    }
    Ok(Arc::new(builder.build()?))
}

/// The Secret's settings of a provider, after the identity that the cluster gives: that one only counts where the Secret
/// has no key of its own.
fn settings(credentials: Option<&Credentials>, provider: &str, own: &str) -> Vec<(String, String)> {
    let Some(credentials) = credentials else {
        return Vec::new();
    };
    let mut settings = Vec::new();
    if !credentials.has(own) {
        let given = IDENTITY
            .iter()
            .filter_map(|name| Some((name.to_ascii_lowercase(), std::env::var(name).ok()?)));
        settings.extend(given.filter(|(name, _)| name.starts_with(provider)));
    }
    let named = credentials.of(provider);
    settings.extend(named.map(|(key, value)| (key.to_owned(), value.to_owned())));
    settings
}

fn options(credentials: Option<&Credentials>, scheme: &str) -> Result<ClientOptions> {
    let mut options = ClientOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT);
    if credentials.is_none() {
        // These options replace those that a client takes from the environment.
        let variable = match scheme {
            "s3" => "AWS_ALLOW_HTTP",
            "gs" => "GOOGLE_ALLOW_HTTP",
            _ => "AZURE_ALLOW_HTTP",
        };
        let allowed = std::env::var(variable).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        return Ok(options.with_allow_http(allowed));
    }
    let Some((credentials, authorities)) = credentials.and_then(|given| Some((given, given.authorities()?))) else {
        return Ok(options);
    };
    let refused = || {
        Error::new(
            code::INVALID_STORE,
            format!(
                "Secret {:?}: key \"ca.crt\" has no certificate that can be read: it takes one or more, in PEM",
                credentials.secret()
            ),
        )
    };
    let certificates = Certificate::from_pem_bundle(authorities.as_bytes()).map_err(|_| refused())?;
    if certificates.is_empty() {
        return Err(refused());
    }
    for certificate in certificates {
        options = options.with_root_certificate(certificate);
    }
    Ok(options)
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: PAUSES.0,
            max_backoff: PAUSES.1,
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_TIMEOUT,
    }
}
