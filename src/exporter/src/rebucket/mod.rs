//! Writes a profile store anew as a bucketed one: each profile's rows in one bucket of each table, sorted by its key.
//!
//! The rows are streamed through a sort that spills; nothing is decided about them but whose they are.

pub(crate) mod command;
mod hash;
mod write;

use std::{path::PathBuf, sync::Arc};

use datafusion::{
    arrow::datatypes::{Field, FieldRef, Fields, Schema, SchemaRef},
    dataframe::DataFrame,
    logical_expr::ident,
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column as ColumnExpr},
    physical_plan::{ExecutionPlan, Partitioning, repartition::RepartitionExec, sorts::sort::SortExec},
};
use exportjob_plan::{StorePlan, TablePlan, code};

use self::write::BucketWriter;
use crate::{
    Error, Progress, Result, Session,
    fields::types::TEXT,
    keys::KEY,
    objects::Stores,
    project::leaves,
    read::{
        Kind, RowFilter, StoreScan, StoreTable, Wanted,
        roles::{Need, Role},
    },
    session::engine_error,
    stitch::Stitcher,
};

/// Column that says which bucket a row goes to; it is not written.
const BUCKET: &str = "__bucket";
/// Column with the key of a row's profile, in the tables that are written.
pub const KEY_COLUMN: &str = "ups_key";

/// What a rewritten store looks like.
#[derive(Clone, Debug)]
pub struct Rebucket {
    /// Number of buckets.
    pub buckets: u32,
    /// Folder of the new tables: each in a folder of its own name.
    pub folder: PathBuf,
}

/// Rows written, table by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Name of each table that the store has, with its rows.
    pub tables: Vec<(&'static str, u64)>,
}

impl Rebucket {
    /// Writes the tables of `store`, one after the other. Mappings are applied: the new tables are in the store's columns.
    /// Rows without an identity belong to no profile and are left out.
    ///
    /// # Errors
    /// As for an export, for what is wrong with the store or lacks memory; `DATASET_UNWRITABLE` for the new folder.
    pub async fn run(&self, store: &StorePlan, session: &Session, progress: &Arc<Progress>) -> Result<Rewritten> {
        let stores = Stores::new(store.credentials.as_ref(), session.credentials.as_ref())?;
        let open = async |kind, plans: &[TablePlan]| {
            if plans.is_empty() {
                return Ok(None);
            }
            StoreTable::open(kind, plans, session, &stores).await.map(Some)
        };
        let identities = open(Kind::Identities, &store.identities).await?;
        let rows = identities.as_ref().map_or(0, StoreTable::rows);
        let mut stitcher = Stitcher::new(&session.context, rows, session.pool_bytes);
        if let Some(table) = &identities {
            let scan = StoreScan::new(table, &roles(table), RowFilter::default(), progress.clone())?.compact();
            stitcher.join_through(scan).map_err(engine_error)?;
        }
        let mut rewritten = Rewritten::default();
        let kinds = [
            (Kind::Fragments, &store.fragments),
            (Kind::Events, &store.events),
            (Kind::Memberships, &store.memberships),
        ];
        if let Some(graph) = stitcher.graph_with_profiles().map_err(engine_error)? {
            let schema = Arc::new(Schema::new(own_fields(Kind::Identities.roles())));
            let rows = self.write(Kind::Identities, graph, &schema, session).await?;
            rewritten.tables.push((Kind::Identities.name(), rows));
        }
        for (kind, plans) in kinds {
            let Some(table) = open(kind, plans).await? else {
                continue;
            };
            let attributes = attributes(&table);
            table.check(&attributes)?;
            let own = roles(&table);
            let customers = leaves(&attributes)
                .into_iter()
                .map(|(path, kind)| Wanted::Leaf(path, kind));
            let wanted: Vec<Wanted> = own.into_iter().chain(customers).collect();
            let scan = StoreScan::new(&table, &wanted, RowFilter::default(), progress.clone())?.compact();
            let keyed = stitcher.key(scan).map_err(engine_error)?;
            let fields: Fields = own_fields(stored_roles(&table))
                .iter()
                .chain(&attributes)
                .cloned()
                .collect();
            let rows = self.write(kind, keyed, &Arc::new(Schema::new(fields)), session).await?;
            rewritten.tables.push((kind.name(), rows));
        }
        Ok(rewritten)
    }

    /// Writes the buckets of a table and returns its rows.
    async fn write(&self, kind: Kind, keyed: DataFrame, columns: &SchemaRef, session: &Session) -> Result<u64> {
        let cores = session.cores();
        let sorted = self.sorted(keyed, cores).await.map_err(engine_error)?;
        let folder = self.folder.join(kind.name());
        let mut parts = tokio::task::JoinSet::new();
        for partition in 0..cores {
            let rows = sorted
                .execute(partition, session.context.task_ctx())
                .map_err(engine_error)?;
            let writer = BucketWriter::new(folder.clone(), columns.clone());
            parts.spawn(writer.consume(rows));
        }
        let mut rows = 0;
        while let Some(done) = parts.join_next().await {
            rows += done.map_err(|error| {
                Error::new(code::INTERNAL, "a part of the rewriting ended unexpectedly").caused_by(error)
            })??;
        }
        if rows == 0 {
            // A table without rows still has its columns.
            BucketWriter::new(folder, columns.clone()).write_columns()?;
        }
        Ok(rows)
    }

    /// The rows, each bucket in one partition, sorted by bucket and key.
    async fn sorted(&self, keyed: DataFrame, partitions: usize) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let bucket = hash::bucket_of(self.buckets).call(vec![ident(KEY)]);
        let plan = keyed.with_column(BUCKET, bucket)?.create_physical_plan().await?;
        let column = |name: &str| ColumnExpr::new_with_schema(name, &plan.schema()).map(Arc::new);
        let (bucket, key) = (column(BUCKET)?, column(KEY)?);
        let hashed = RepartitionExec::try_new(plan, Partitioning::Hash(vec![bucket.clone()], partitions))?;
        let order = [
            PhysicalSortExpr::new_default(bucket),
            PhysicalSortExpr::new_default(key),
        ];
        let sorted = SortExec::new(LexOrdering::from(order), Arc::new(hashed));
        Ok(Arc::new(sorted.with_preserve_partitioning(true)))
    }
}

fn roles(table: &StoreTable) -> Vec<Wanted> {
    stored_roles(table).into_iter().map(Wanted::Role).collect()
}

/// The columns of the store that a table has, or has to have: an optional one that it lacks would look, in the new store,
/// like one that it has.
fn stored_roles(table: &StoreTable) -> Vec<Role> {
    let has = |role: &Role| table.parts.iter().any(|part| part.columns.get(role.name).is_some());
    let roles = table.kind.roles().iter().copied();
    roles.filter(|role| role.need != Need::Optional || has(role)).collect()
}

/// The key, then the columns that the store owns.
fn own_fields(roles: impl IntoIterator<Item = impl std::borrow::Borrow<Role>>) -> Fields {
    let key = Arc::new(Field::new(KEY_COLUMN, TEXT, false));
    let own = roles.into_iter().map(|role| {
        let role = role.borrow();
        Arc::new(Field::new(role.name, role.data_type(), true))
    });
    std::iter::once(key).chain(own).collect()
}

/// The columns that are not among the store's own.
fn attributes(table: &StoreTable) -> Fields {
    let own = |field: &&FieldRef| table.kind.roles().iter().any(|role| role.name == field.name());
    table.fields().iter().filter(|field| !own(field)).cloned().collect()
}
