//! Opens the tables that make up one of the store's four.

use std::{path::PathBuf, sync::Arc};

use datafusion::arrow::datatypes::{DataType, Fields};
use exportjob_api::TableFormat;
use exportjob_plan::{TablePlan, code};
use url::Url;

use super::{
    bucket,
    delta::DeltaInput,
    files::{ParquetFile, read_folder},
    listing::read_prefix,
    mapping::Mapping,
    recipe::constant,
    roles::{KEY_COLUMN, Kind, Need, Role},
};
use crate::{
    Error, Result, Session,
    fields::{
        dotted,
        tree::{Node, Source, Tree, Union, columns_of},
        types::name_of,
    },
    objects::{Stores, is_object},
};

/// What columns of the store itself start with; they are never written.
const OWN_PREFIX: &str = "ups_";

/// One of the store's four tables, open: no row of it is read yet.
#[derive(Debug)]
pub(crate) struct StoreTable {
    /// Which one.
    pub kind: Kind,
    /// What it is made of.
    pub parts: Vec<Arc<Part>>,
    /// Number of buckets, if all of its tables are bucketed.
    pub buckets: Option<usize>,
    /// The customer's columns.
    columns: Union,
}

/// A file or table with one schema.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its place, for people.
    pub name: Arc<str>,
    /// Its columns under their names in the store.
    pub columns: Tree<Source>,
    /// Where the rows come from.
    pub input: Input,
    /// Which bucket it is of, if the table is bucketed.
    pub bucket: Option<Bucket>,
}

/// What a part of a bucketed table is.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Number of the bucket.
    pub number: usize,
    /// Whether its rows are sorted by their keys.
    pub is_sorted: bool,
    /// Path of the column with the key.
    pub column: Vec<String>,
    /// Type that the key is read as: text or a 64-bit number.
    pub key: DataType,
}

/// Where rows come from.
#[derive(Debug)]
pub(crate) enum Input {
    /// A Parquet file.
    Parquet(Box<ParquetFile>),
    /// A Delta table.
    Delta(Box<DeltaInput>),
}

impl StoreTable {
    /// Opens the tables and checks the store's own columns in them.
    pub async fn open(kind: Kind, plans: &[TablePlan], session: &Session, stores: &Stores) -> Result<Self> {
        let mut table = Self {
            kind,
            parts: Vec::new(),
            buckets: buckets(plans),
            columns: Union::default(),
        };
        for plan in plans {
            table.add(plan, session, stores).await?;
        }
        Ok(table)
    }

    async fn add(&mut self, plan: &TablePlan, session: &Session, stores: &Stores) -> Result<()> {
        let place = place(plan)?;
        let name = format!("table {place} ({})", self.kind.name());
        let mapping = Mapping::new(plan, &name)?;
        let opened = match plan.format {
            TableFormat::Parquet => open_parquet(&plan.location, stores).await?,
            TableFormat::Delta => {
                let needs_times = self.kind.roles().iter().any(|role| role.need == Need::Written);
                let input = DeltaInput::open(&plan.location, session, stores, needs_times).await?;
                vec![(
                    Arc::from(place.as_str()),
                    columns_of(&input.fields),
                    Input::Delta(Box::new(input)),
                )]
            }
        };
        let (mut all, mut parts) = (Vec::new(), Vec::new());
        for (file, columns, input) in opened {
            let mut mapped = mapping.apply(&columns, &file)?;
            let bucket = match &plan.bucketing {
                Some(bucketing) => Some(bucket::find(bucketing, &input, &place, &columns, &file)?),
                None => None,
            };
            if let Some(bucket) = &bucket {
                let key = Source::Column(bucket.column.clone(), bucket.key.clone());
                mapped.insert(&[KEY_COLUMN.to_owned()], Node::Leaf(key));
            }
            parts.push(Part {
                columns: mapped,
                name: file,
                input,
                bucket,
            });
            all.push(columns);
        }
        mapping.check_columns(&all, &name)?;
        for role in self.kind.roles() {
            check_role(role, &parts, &name)?;
        }
        for part in parts {
            let mut customers = part.columns.clone();
            customers.0.retain(|(column, _)| !column.starts_with(OWN_PREFIX));
            self.columns.add(&customers, &part.name);
            self.parts.push(Arc::new(part));
        }
        Ok(())
    }

    /// The customer's columns, with the types that they are written as.
    pub fn fields(&self) -> Fields {
        self.columns.fields()
    }

    /// Refuses columns below `taken` that files disagree on.
    pub fn check(&self, taken: &Fields) -> Result<()> {
        self.columns.check(taken)
    }

    /// Rows of the table, as far as that is known.
    pub fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.input.rows()).sum()
    }
}

/// Number of buckets, if all tables have as many.
fn buckets(plans: &[TablePlan]) -> Option<usize> {
    let mut counts = plans
        .iter()
        .map(|plan| plan.bucketing.as_ref().map(|bucketing| bucketing.count));
    let first = counts.next()??;
    counts
        .all(|count| count == Some(first))
        .then_some(usize::try_from(first).ok()?)
}

impl Input {
    pub fn rows(&self) -> usize {
        match self {
            Self::Parquet(file) => {
                usize::try_from(file.metadata.metadata().file_metadata().num_rows()).unwrap_or_default()
            }
            Self::Delta(input) => input.rows,
        }
    }
}

/// Where a table is, for people: a path, or a URL.
fn place(plan: &TablePlan) -> Result<String> {
    if is_object(&plan.location) {
        return Ok(plan.location.as_str().trim_end_matches('/').to_owned());
    }
    Ok(folder(&plan.location)?.display().to_string())
}

fn folder(location: &Url) -> Result<PathBuf> {
    location.to_file_path().map_err(|()| {
        Error::new(
            code::INVALID_STORE,
            format!("location {location} is not the URL of a folder: write file:///PATH"),
        )
    })
}

type Opened = (Arc<str>, Tree<Source>, Input);

async fn open_parquet(location: &Url, stores: &Stores) -> Result<Vec<Opened>> {
    let files = if is_object(location) {
        read_prefix(location, stores).await?
    } else {
        let folder = folder(location)?;
        tokio::task::spawn_blocking(move || read_folder(&folder))
            .await
            .map_err(|error| Error::new(code::INTERNAL, "listing the files of a table stopped").caused_by(error))??
    };
    let opened = files.into_iter().map(|file| {
        let columns = columns_of(file.metadata.schema().fields());
        (Arc::from(file.source.name()), columns, Input::Parquet(Box::new(file)))
    });
    Ok(opened.collect())
}

/// Refuses a table that lacks a column of the store, or has it in a type that cannot be read as the column's.
fn check_role(role: &Role, parts: &[Part], table: &str) -> Result<()> {
    for part in parts {
        match part.columns.get(role.name) {
            None if role.need == Need::EachFile => return Err(missing(role, &part.name)),
            Some(Node::Leaf(Source::Column(path, stored))) if !role.accepts(stored) => {
                return Err(wrong_type(role, &dotted(path), &name_of(stored), &part.name));
            }
            Some(Node::Struct(_)) => return Err(wrong_type(role, role.name, "a struct", &part.name)),
            Some(Node::Leaf(Source::Value(text))) => {
                constant(role, text).map(drop)?;
            }
            None | Some(Node::Leaf(_)) => {}
        }
    }
    let is_missing = role.need == Need::Table && !parts.is_empty();
    if is_missing && parts.iter().all(|part| part.columns.get(role.name).is_none()) {
        return Err(missing(role, table));
    }
    Ok(())
}

fn missing(role: &Role, place: &str) -> Error {
    let hint = if role.name == super::roles::DATASET.name {
        "give the table a dataset, or map the column with columns"
    } else {
        "map it with the table's columns"
    };
    Error::new(
        code::MISSING_COLUMN,
        format!("{place} has no column {}: {hint}", role.name),
    )
}

fn wrong_type(role: &Role, column: &str, stored: &str, place: &str) -> Error {
    let name = if column == role.name {
        role.name.to_owned()
    } else {
        format!("{} (from column {column})", role.name)
    };
    Error::new(
        code::COLUMN_TYPE,
        format!(
            "{place}: column {name} is {stored} and must be {}: write it so, or map another column to it",
            role.expected()
        ),
    )
}
