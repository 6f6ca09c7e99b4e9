//! §3: which identities are one profile.

use std::collections::{BTreeMap, BTreeSet};

use exportjob_plan::IdentityGraphKind;
use serde_json::Value;

use super::{model::text, table::View};

/// Namespace and id: "identity namespaces are compared exactly" (§3).
pub type Identity = (String, String);

/// Identity of a row; `None` for a row that says nothing of anybody.
pub fn identity(row: &Value) -> Option<Identity> {
    Some((text(row, "ups_namespace")?, text(row, "ups_identity")?))
}

/// Which profile: a cluster of the graph, or an identity by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProfileKey {
    Cluster(String),
    Alone(Identity),
}

/// The identity graph.
pub struct Graph {
    kind: IdentityGraphKind,
    clusters: BTreeMap<Identity, String>,
    listed: BTreeSet<Identity>,
}

impl Graph {
    pub fn new(kind: IdentityGraphKind, identities: &View) -> Self {
        let mut clusters: BTreeMap<Identity, String> = BTreeMap::new();
        let mut listed = BTreeSet::new();
        for row in &identities.rows {
            let Some(identity) = identity(row) else { continue };
            let cluster = match &row["ups_profile"] {
                Value::Number(number) => number.to_string(),
                Value::String(name) => name.clone(),
                _ => continue,
            };
            listed.insert(identity.clone());
            // An identity in two clusters belongs to the one whose name sorts first, so that row order does not matter.
            clusters
                .entry(identity)
                .and_modify(|known| *known = known.clone().min(cluster.clone()))
                .or_insert(cluster);
        }
        Self { kind, clusters, listed }
    }

    /// "`pdg` joins identities through the `identities` table (an identity that is not in it is a profile by itself);
    /// `none` makes each identity its own profile" (§3).
    pub fn profile(&self, identity: &Identity) -> ProfileKey {
        match (self.kind, self.clusters.get(identity)) {
            (IdentityGraphKind::Pdg, Some(cluster)) => ProfileKey::Cluster(cluster.clone()),
            _ => ProfileKey::Alone(identity.clone()),
        }
    }

    /// Identities that the table lists.
    pub fn listed(&self) -> &BTreeSet<Identity> {
        &self.listed
    }
}
