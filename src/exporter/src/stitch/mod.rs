//! Keys each row of the store with the profile that it belongs to, and brings the rows of a profile together.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Schema},
    common::{Result, ScalarValue},
    dataframe::DataFrame,
    execution::SessionStateBuilder,
    functions::expr_fn::{concat, octet_length},
    functions_aggregate::expr_fn::min,
    logical_expr::{Expr, JoinType, cast, ident, in_list, lit, when},
    physical_expr::expressions::Column,
    physical_plan::{
        ExecutionPlan, Partitioning, empty::EmptyExec, repartition::RepartitionExec, sorts::sort::SortExec,
    },
    prelude::SessionContext,
};

use crate::{
    keys::KEY,
    read::{
        StoreScan, by_key,
        roles::{IDENTITY, NAMESPACE, PROFILE, SEGMENT_ID},
    },
};

const GRAPH_NAMESPACE: &str = "__graph_namespace";
const GRAPH_IDENTITY: &str = "__graph_identity";
const GRAPH_PROFILE: &str = "__graph_profile";
const CANDIDATE: &str = "__candidate";

/// Bytes of an identity in the table of a hash join (its texts, its hash, its place), in each of the joins that run beside
/// each other.
const GRAPH_ROW_BYTES: usize = 4 * 160;

/// Keys rows by an identity graph, or each by its own identity.
pub(crate) struct Stitcher {
    context: SessionContext,
    graph: Option<DataFrame>,
    candidates: Option<DataFrame>,
}

impl Stitcher {
    /// `table_rows` is how many rows of the graph and of memberships a join may have to hold, `pool_bytes` the memory
    /// for all of them: what does not fit is joined by sorting, which spills.
    pub fn new(context: &SessionContext, table_rows: usize, pool_bytes: usize) -> Self {
        let fits = table_rows.saturating_mul(GRAPH_ROW_BYTES) < pool_bytes / 2;
        let mut config = context.copied_config();
        config.options_mut().optimizer.prefer_hash_join = fits;
        let state = SessionStateBuilder::new_from_existing(context.state())
            .with_config(config)
            .build();
        Self {
            context: SessionContext::new_with_state(state),
            graph: None,
            candidates: None,
        }
    }

    /// Joins identities through this table from now on. An identity that is listed twice belongs to the smallest of its
    /// clusters.
    pub fn join_through(&mut self, identities: StoreScan) -> Result<()> {
        let graph = self
            .context
            .read_table(Arc::new(identities))?
            .aggregate(
                vec![ident(NAMESPACE.name), ident(IDENTITY.name)],
                vec![min(ident(PROFILE.name)).alias(GRAPH_PROFILE)],
            )?
            .select(vec![
                ident(NAMESPACE.name).alias(GRAPH_NAMESPACE),
                ident(IDENTITY.name).alias(GRAPH_IDENTITY),
                ident(GRAPH_PROFILE),
            ])?
            .filter(ident(GRAPH_PROFILE).is_not_null())?;
        self.graph = Some(graph);
        Ok(())
    }

    /// The identities of the graph, keyed.
    pub fn graph(&self) -> Result<Option<DataFrame>> {
        let Some(graph) = self.graph.clone() else {
            return Ok(None);
        };
        let keyed = graph.select(vec![
            concat(vec![lit("g"), ident(GRAPH_PROFILE)]).alias(KEY),
            ident(GRAPH_NAMESPACE).alias(NAMESPACE.name),
            ident(GRAPH_IDENTITY).alias(IDENTITY.name),
        ])?;
        Ok(Some(keyed))
    }

    /// The same with the cluster of each identity as the table has it.
    pub fn graph_with_profiles(&self) -> Result<Option<DataFrame>> {
        let Some(graph) = self.graph.clone() else {
            return Ok(None);
        };
        let keyed = graph.select(vec![
            concat(vec![lit("g"), ident(GRAPH_PROFILE)]).alias(KEY),
            ident(GRAPH_NAMESPACE).alias(NAMESPACE.name),
            ident(GRAPH_IDENTITY).alias(IDENTITY.name),
            ident(GRAPH_PROFILE).alias(PROFILE.name),
        ])?;
        Ok(Some(keyed))
    }

    /// The rows of a table, keyed: the key first, then the table's columns.
    pub fn key(&self, scan: StoreScan) -> Result<DataFrame> {
        let rows = self.context.read_table(Arc::new(scan))?;
        let columns: Vec<Expr> = rows.schema().fields().iter().map(|field| ident(field.name())).collect();
        let (namespace, identity) = (ident(NAMESPACE.name), ident(IDENTITY.name));
        // The length tells where the namespace ends; the first letter keeps lone identities apart from clusters.
        let length = cast(octet_length(namespace.clone()), DataType::Utf8);
        let lone = concat(vec![lit("i"), length, lit(":"), namespace, identity]);
        let (rows, key) = match self.graph.clone() {
            None => (rows, lone),
            Some(graph) => {
                let joined = graph.join(
                    rows,
                    JoinType::Right,
                    &[GRAPH_NAMESPACE, GRAPH_IDENTITY],
                    &[NAMESPACE.name, IDENTITY.name],
                    None,
                )?;
                let clustered = concat(vec![lit("g"), ident(GRAPH_PROFILE)]);
                (
                    joined,
                    when(ident(GRAPH_PROFILE).is_not_null(), clustered).otherwise(lone)?,
                )
            }
        };
        rows.select(std::iter::once(key.alias(KEY)).chain(columns).collect::<Vec<_>>())
    }

    /// From now on, [`Self::narrow`] keeps only profiles that have a membership row in one of these segments.
    pub fn narrow_to(&mut self, keyed_memberships: &DataFrame, segments: &[&str]) -> Result<()> {
        let listed = segments
            .iter()
            .map(|id| lit(ScalarValue::Utf8View(Some((*id).to_owned()))))
            .collect();
        let candidates = keyed_memberships
            .clone()
            .filter(in_list(ident(SEGMENT_ID.name), listed, false))?
            .select(vec![ident(KEY).alias(CANDIDATE)])?
            .distinct()?;
        self.candidates = Some(candidates);
        Ok(())
    }

    /// The keyed rows of profiles that may be in the audience: cheaper to drop the others here than to sort them.
    pub fn narrow(&self, keyed: DataFrame) -> Result<DataFrame> {
        match self.candidates.clone() {
            Some(candidates) => candidates.join(keyed, JoinType::RightSemi, &[CANDIDATE], &[KEY], None),
            None => Ok(keyed),
        }
    }

    /// The rows brought together: in each of `partitions`, sorted by key; rows of a key are in one partition, which is the
    /// same for all tables.
    pub async fn gather(&self, keyed: DataFrame, partitions: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = keyed.create_physical_plan().await?;
        let key = Arc::new(Column::new_with_schema(KEY, &plan.schema())?);
        let hashed = RepartitionExec::try_new(plan, Partitioning::Hash(vec![key], partitions))?;
        let sorted = SortExec::new(by_key(&hashed.schema())?, Arc::new(hashed));
        Ok(Arc::new(sorted.with_preserve_partitioning(true)))
    }
}

/// A table without rows in place of one that is not needed.
pub(crate) fn nothing(schema: &Schema, partitions: usize) -> Arc<dyn ExecutionPlan> {
    Arc::new(EmptyExec::new(Arc::new(schema.clone())).with_partitions(partitions))
}
