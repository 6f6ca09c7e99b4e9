//! From the `location` of a manifest to a URL that the exporter can open.

use std::path::{Component, Path, PathBuf};

use url::Url;

use crate::{PlanError, pod};

/// The two sides of an export that have credentials of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The profile store.
    Store,
    /// The dataset.
    Dataset,
}

/// Turns locations into URLs.
pub trait Locate {
    /// Folder with one file for each key of the Secret of this side. A run without a cluster has no such folder: it has
    /// the Secret itself.
    fn credentials(&self, side: Side) -> PathBuf {
        let folder = match side {
            Side::Store => pod::STORE_CREDENTIALS_PATH,
            Side::Dataset => pod::DATASET_CREDENTIALS_PATH,
        };
        PathBuf::from(folder)
    }

    /// URL of `location`, as the resource `resource` (kind and name, for errors) gives it; `mount` is where its volume
    /// is mounted, if it has one.
    fn locate(&self, resource: &str, location: &str, mount: Option<&str>) -> Result<Url, PlanError>;
}

/// Locations in a pod: `file:` URLs under the mount path of the volume.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountedLocations;

impl Locate for MountedLocations {
    fn locate(&self, resource: &str, location: &str, mount: Option<&str>) -> Result<Url, PlanError> {
        if let Some(url) = object_url(resource, location)? {
            return Ok(url);
        }
        let path = absolute(resource, location)?;
        let Some(mount) = mount else {
            return Err(invalid(
                resource,
                format!(
                    "location {location} is on a volume, but spec.volume is missing: name the PersistentVolumeClaim that holds it"
                ),
            ));
        };
        if !path.starts_with(mount) {
            return Err(invalid(
                resource,
                format!(
                    "location {location} is not below {mount}, where the volume is mounted: put it there or change spec.volumeMountPath"
                ),
            ));
        }
        to_url(resource, &path)
    }
}

/// Locations of a run without a cluster: paths may be relative to the manifest, and mount paths map to folders.
#[derive(Clone, Debug, Default)]
pub struct LocalLocations {
    /// Folder of the manifest.
    pub base: PathBuf,
    /// Mount paths and the folders that stand for them.
    pub volumes: Vec<(PathBuf, PathBuf)>,
}

impl Locate for LocalLocations {
    fn locate(&self, resource: &str, location: &str, _mount: Option<&str>) -> Result<Url, PlanError> {
        if let Some(url) = object_url(resource, location)? {
            return Ok(url);
        }
        let path = if let Some(rest) = location.strip_prefix("file:") {
            match rest.strip_prefix("//") {
                Some(_) => absolute(resource, location)?,
                None => PathBuf::from(rest),
            }
        } else if location.contains("://") {
            return Err(unsupported_scheme(resource, location));
        } else {
            PathBuf::from(location)
        };
        let mapped = self
            .volumes
            .iter()
            .filter_map(|(mount, folder)| {
                path.strip_prefix(mount)
                    .ok()
                    .map(|rest| (mount.as_os_str().len(), folder.join(rest)))
            })
            .max_by_key(|(length, _)| *length);
        let path = match mapped {
            Some((_, path)) => path,
            None => self.base.join(path),
        };
        to_url(resource, &normal(&path))
    }
}

/// Path of a `file:///…` URL.
fn absolute(resource: &str, location: &str) -> Result<PathBuf, PlanError> {
    let url = Url::parse(location).map_err(|error| {
        invalid(
            resource,
            format!("location {location:?} is not a URL such as file:///store/fragments: {error}"),
        )
    })?;
    if url.scheme() != "file" {
        return Err(unsupported_scheme(resource, location));
    }
    let path = url.to_file_path().map_err(|()| {
        invalid(
            resource,
            format!("location {location:?} has a host: write file:/// with three slashes"),
        )
    })?;
    Ok(normal(&path))
}

fn unsupported_scheme(resource: &str, location: &str) -> PlanError {
    invalid(
        resource,
        format!(
            "location {location:?} is neither a file: URL nor in an object store: write file:///PATH, or one of {}",
            OBJECT_SCHEMES
                .map(|scheme| format!("{scheme}://BUCKET/PREFIX"))
                .join(", ")
        ),
    )
}

/// Schemes of object stores, as they are written in a location.
pub const OBJECT_SCHEMES: [&str; 4] = ["s3", "gs", "az", "abfss"];

/// URL of a prefix in an object store, with a slash at its end; `None` for other locations.
fn object_url(resource: &str, location: &str) -> Result<Option<Url>, PlanError> {
    let Some((scheme, rest)) = location.split_once("://") else {
        return Ok(None);
    };
    if !OBJECT_SCHEMES.contains(&scheme) {
        return Ok(None);
    }
    let refuse = |what: &str| {
        Err(invalid(
            resource,
            format!("location {location:?} {what}: write {scheme}://BUCKET/PREFIX"),
        ))
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    // Credentials, account and endpoint stand in the Secret: who may write a location must not choose who gets to see them.
    if bucket.contains('@') {
        return refuse("names a user or an account, which belongs into the Secret (AZURE_STORAGE_ACCOUNT_NAME)");
    }
    if bucket.is_empty() {
        return refuse("has no bucket");
    }
    let is_plain = bucket.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !is_plain || !bucket.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return refuse("has a bucket that is none: its name may have letters, digits, '.', '_' and '-' only");
    }
    if location.contains(['?', '#']) {
        return refuse("has a query or a fragment, which no prefix has");
    }
    let prefix = prefix.trim_end_matches('/');
    for folder in prefix.split('/').filter(|_| !prefix.is_empty()) {
        match folder.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "" => return refuse("has two slashes after each other"),
            "." | ".." => return refuse("has '.' or '..' in its prefix"),
            _ => {}
        }
    }
    let slash = if prefix.is_empty() { "" } else { "/" };
    Url::parse(&format!("{scheme}://{bucket}/{prefix}{slash}"))
        .map(Some)
        .map_err(|error| invalid(resource, format!("location {location:?} is not a URL: {error}")))
}

/// The path without `.` and `..`, so that nothing climbs out of a mount.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

fn to_url(resource: &str, path: &Path) -> Result<Url, PlanError> {
    Url::from_directory_path(path)
        .map_err(|()| invalid(resource, format!("location {} is not an absolute path", path.display())))
}

fn invalid(resource: &str, message: String) -> PlanError {
    PlanError::InvalidResource {
        resource: resource.to_owned(),
        message,
    }
}
