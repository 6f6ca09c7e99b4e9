//! Where the locations of manifests are on this machine: relative ones beside the manifest that has them.

use std::{collections::BTreeMap, path::PathBuf};

use exportjob_plan::{LocalLocations, Locate, PlanError};
use url::Url;

/// Locations of resources that come from several folders.
#[derive(Debug, Default)]
pub(crate) struct Locations {
    /// Folder of each resource's manifest, by kind and name as they stand in errors.
    pub(crate) folders: BTreeMap<String, PathBuf>,
    /// Mount paths, and the folders that stand for them.
    pub(crate) volumes: Vec<(PathBuf, PathBuf)>,
}

/// The name under which a resource is known to [`Locate`].
pub(crate) fn resource(kind: &str, name: &str) -> String {
    format!("{kind} {name:?}")
}

impl Locate for Locations {
    fn locate(&self, resource: &str, location: &str, mount: Option<&str>) -> Result<Url, PlanError> {
        let base = self.folders.get(resource).cloned().unwrap_or_default();
        LocalLocations {
            base,
            volumes: self.volumes.clone(),
        }
        .locate(resource, location, mount)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_resource_is_located_beside_its_own_manifest() {
        let locations = Locations {
            folders: BTreeMap::from([
                (resource("ProfileStore", "ups"), PathBuf::from("/a/stores")),
                (resource("Dataset", "d"), PathBuf::from("/b")),
            ]),
            volumes: vec![(PathBuf::from("/store"), PathBuf::from("/c"))],
        };
        let at = |resource: &str, location: &str| locations.locate(resource, location, None).unwrap().to_string();
        assert_eq!(at("ProfileStore \"ups\"", "../x"), "file:///a/x/");
        assert_eq!(at("ProfileStore \"ups\"", "file:x"), "file:///a/stores/x/");
        assert_eq!(at("Dataset \"d\"", "out"), "file:///b/out/");
        assert_eq!(at("ProfileStore \"ups\"", "file:///store/x"), "file:///c/x/");
    }
}
