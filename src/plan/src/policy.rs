//! Which merge policy governs an export.

use exportjob_api::{
    AttributeMergeType, DEFAULT_MERGE_POLICY_ID, IdentityGraphType, MergePolicy, MergePolicyReference, ProfileStore,
    SegmentDefinition,
};

use crate::{
    AttributeRule, IdentityGraphKind, MergePolicyPlan, PlanError, Reference, SegmentSelection, fields::nearest,
};

/// The policy of the job: the one that it names; else that of its segments, if they agree; else the store's default.
///
/// `definition` looks a segment's definition up by namespace and id. A segment without one, or whose definition names no
/// policy, goes with the store's default.
pub fn resolve_policy<'a>(
    named: Option<&MergePolicyReference>,
    segments: &[SegmentSelection],
    store: &ProfileStore,
    definition: impl Fn(&str, &str) -> Option<&'a SegmentDefinition>,
) -> Result<MergePolicyPlan, PlanError> {
    if let Some(reference) = named {
        return find(store, reference);
    }
    let default = default_policy(store);
    let mut policies: Vec<(String, MergePolicyPlan)> = Vec::new();
    for segment in segments {
        let policy = match definition(&segment.namespace, &segment.id).and_then(|d| d.spec.merge_policy.as_ref()) {
            Some(reference) => find(store, reference)?,
            None => default.clone(),
        };
        policies.push((segment.id.clone(), policy));
    }
    let Some((_, first)) = policies.first() else {
        return Ok(default);
    };
    if policies.iter().all(|(_, policy)| policy == first) {
        return Ok(first.clone());
    }
    Err(PlanError::PolicyConflict {
        policies: policies
            .iter()
            .map(|(segment, policy)| format!("{segment}: {} version {}", policy.id, policy.version))
            .collect(),
    })
}

fn find(store: &ProfileStore, reference: &MergePolicyReference) -> Result<MergePolicyPlan, PlanError> {
    let declared = store
        .spec
        .merge_policies
        .iter()
        .filter(|policy| policy.id == reference.id);
    let found = match reference.version {
        Some(version) => declared.clone().find(|policy| policy.version() == version),
        None => declared.clone().max_by_key(|policy| policy.version()),
    };
    if let Some(policy) = found {
        return Ok(plan_of(policy));
    }
    let built_in = built_in();
    if declared.count() == 0 && reference.id == built_in.id && reference.version.is_none_or(|v| v == built_in.version) {
        return Ok(built_in);
    }
    let ids = store.spec.merge_policies.iter().map(|policy| policy.id.as_str());
    Err(PlanError::NotFound {
        reference: Reference::MergePolicy {
            store: name_of(store).to_owned(),
            id: reference.id.clone(),
            version: reference.version,
        },
        nearest: nearest(&reference.id, ids.chain([DEFAULT_MERGE_POLICY_ID]))
            .filter(|id| *id != reference.id)
            .map(str::to_owned),
    })
}

fn default_policy(store: &ProfileStore) -> MergePolicyPlan {
    let policies = &store.spec.merge_policies;
    policies.iter().find(|policy| policy.default == Some(true)).map_or_else(
        || {
            // A store without a default falls back on the built-in id, which it may have declared itself.
            let own = policies.iter().filter(|policy| policy.id == DEFAULT_MERGE_POLICY_ID);
            own.max_by_key(|policy| policy.version()).map_or_else(built_in, plan_of)
        },
        plan_of,
    )
}

fn built_in() -> MergePolicyPlan {
    MergePolicyPlan {
        id: DEFAULT_MERGE_POLICY_ID.to_owned(),
        version: 1,
        identity_graph: IdentityGraphKind::None,
        attributes: AttributeRule::TimestampOrdered,
        event_datasets: None,
    }
}

fn plan_of(policy: &MergePolicy) -> MergePolicyPlan {
    MergePolicyPlan {
        id: policy.id.clone(),
        version: policy.version(),
        identity_graph: match policy.identity_graph.type_ {
            IdentityGraphType::None => IdentityGraphKind::None,
            IdentityGraphType::Pdg => IdentityGraphKind::Pdg,
        },
        attributes: match policy.attribute_merge.type_ {
            AttributeMergeType::TimestampOrdered => AttributeRule::TimestampOrdered,
            AttributeMergeType::DataSetPrecedence => {
                AttributeRule::DataSetPrecedence(policy.attribute_merge.order.clone().unwrap_or_default())
            }
        },
        event_datasets: policy.attribute_merge.event_datasets.clone(),
    }
}

fn name_of(store: &ProfileStore) -> &str {
    store.metadata.name.as_deref().unwrap_or_default()
}
