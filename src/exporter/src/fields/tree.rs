//! Columns of files as trees of leaves, and what several files have together.
//!
//! A leaf is everything that is not a struct: lists and maps are leaves, whatever they hold.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Fields};
use exportjob_plan::code;

use super::{
    dotted,
    types::{TEXT, name_of, plain, struct_of, widest},
};
use crate::{Error, Result};

/// Named columns in their order.
#[derive(Clone, Debug)]
pub(crate) struct Tree<L>(pub Vec<(String, Node<L>)>);

/// A column: a struct or a leaf.
#[derive(Clone, Debug)]
pub(crate) enum Node<L> {
    /// Neither of the below.
    Leaf(L),
    /// Columns below this one.
    Struct(Tree<L>),
}

impl<L> Default for Tree<L> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<L> Tree<L> {
    /// Column of this name.
    pub fn get(&self, name: &str) -> Option<&Node<L>> {
        self.0.iter().find_map(|(own, node)| (own == name).then_some(node))
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Node<L>> {
        self.0.iter_mut().find_map(|(own, node)| (own == name).then_some(node))
    }

    /// Column at this path.
    pub fn find<S: AsRef<str>>(&self, path: &[S]) -> Option<&Node<L>> {
        let (first, rest) = path.split_first()?;
        let node = self.get(first.as_ref())?;
        match (rest, node) {
            ([], node) => Some(node),
            (_, Node::Struct(tree)) => tree.find(rest),
            (_, Node::Leaf(_)) => None,
        }
    }

    /// Takes the column at this path out. A struct that has nothing left goes with it.
    pub fn remove<S: AsRef<str>>(&mut self, path: &[S]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let Some(at) = self.0.iter().position(|(name, _)| name == first.as_ref()) else {
            return;
        };
        let empty = match (rest, &mut self.0[at].1) {
            ([], _) => true,
            (_, Node::Struct(tree)) => {
                tree.remove(rest);
                tree.0.is_empty()
            }
            (_, Node::Leaf(_)) => false,
        };
        if empty {
            self.0.remove(at);
        }
    }

    /// Puts a column at this path, in place of what is there, with the structs around it. False: a leaf is in the way.
    pub fn insert(&mut self, path: &[String], node: Node<L>) -> bool {
        let Some((first, rest)) = path.split_first() else {
            return false;
        };
        match (rest, self.get_mut(first)) {
            ([], Some(old)) => {
                *old = node;
                true
            }
            ([], None) => {
                self.0.push((first.clone(), node));
                true
            }
            (_, Some(Node::Struct(tree))) => tree.insert(rest, node),
            (_, Some(Node::Leaf(_))) => false,
            (_, None) => {
                let mut tree = Self::default();
                let inserted = tree.insert(rest, node);
                self.0.push((first.clone(), Node::Struct(tree)));
                inserted
            }
        }
    }
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// The file's column at this path, of this type.
    Column(Vec<String>, DataType),
    /// A constant.
    Value(String),
}

impl Source {
    /// Type as it is written.
    pub fn plain(&self) -> DataType {
        match self {
            Self::Column(_, stored) => plain(stored),
            Self::Value(_) => TEXT,
        }
    }
}

/// The columns of a file as a tree.
pub(crate) fn columns_of(fields: &Fields) -> Tree<Source> {
    below(fields, &[])
}

fn below(fields: &Fields, parents: &[String]) -> Tree<Source> {
    let mut tree = Tree::default();
    for field in fields {
        let path = [parents, std::slice::from_ref(field.name())].concat();
        let node = match field.data_type() {
            DataType::Struct(fields) => Node::Struct(below(fields, &path)),
            other => Node::Leaf(Source::Column(path, other.clone())),
        };
        tree.0.push((field.name().clone(), node));
    }
    tree
}

/// A column of several files.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Holds the values of all of them.
    data_type: DataType,
    /// Whether a file has the column without ever a type for it (a Parquet column of nulls).
    untyped: bool,
    /// A file that has it.
    file: Arc<str>,
}

/// Two files that disagree on the type of a column.
#[derive(Clone, Debug)]
struct Conflict {
    path: Vec<String>,
    message: String,
}

/// The columns of several files together.
#[derive(Debug, Default)]
pub(crate) struct Union {
    tree: Tree<Column>,
    conflicts: Vec<Conflict>,
}

impl Union {
    /// Adds the columns of a file. Columns that are new go to the end of their struct.
    pub fn add(&mut self, columns: &Tree<Source>, file: &Arc<str>) {
        merge(&mut self.tree, columns, file, &mut Vec::new(), &mut self.conflicts);
    }

    /// All columns with the types that they are written as.
    pub fn fields(&self) -> Fields {
        match data_type_of(&self.tree) {
            DataType::Struct(fields) => fields,
            _ => Fields::empty(),
        }
    }

    /// Refuses columns below `taken` of which two files have different types.
    pub fn check(&self, taken: &Fields) -> Result<()> {
        let conflict = self.conflicts.iter().find(|conflict| reaches(taken, &conflict.path));
        conflict.map_or(Ok(()), |conflict| {
            Err(Error::new(code::COLUMN_TYPE, conflict.message.clone()))
        })
    }
}

/// Whether something at or below this path is among the fields.
fn reaches(fields: &Fields, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    match fields.find(first).map(|(_, field)| field.data_type()) {
        None => false,
        Some(DataType::Struct(fields)) => reaches(fields, rest),
        Some(_) => true,
    }
}

fn data_type_of(tree: &Tree<Column>) -> DataType {
    struct_of(tree.0.iter().map(|(name, node)| {
        let data_type = match node {
            Node::Leaf(column) => column.data_type.clone(),
            Node::Struct(tree) => data_type_of(tree),
        };
        (name, data_type)
    }))
}

fn merge(
    known: &mut Tree<Column>,
    new: &Tree<Source>,
    file: &Arc<str>,
    path: &mut Vec<String>,
    conflicts: &mut Vec<Conflict>,
) {
    for (name, node) in &new.0 {
        path.push(name.clone());
        if known.get(name).is_none() {
            let empty = match node {
                Node::Leaf(source) => Node::Leaf(column(source, file)),
                Node::Struct(_) => Node::Struct(Tree::default()),
            };
            known.0.push((name.clone(), empty));
        }
        match (known.get_mut(name), node) {
            (Some(Node::Struct(known)), Node::Struct(new)) => merge(known, new, file, path, conflicts),
            (Some(Node::Leaf(known)), Node::Leaf(source)) => {
                let new = column(source, file);
                match unify(known, &new) {
                    Some(unified) => *known = unified,
                    None => conflicts.push(conflict(path, known, &name_of(&new.data_type), file)),
                }
            }
            (Some(Node::Leaf(known)), Node::Struct(_)) => {
                conflicts.push(conflict(path, known, "a struct", file));
            }
            (Some(Node::Struct(known)), Node::Leaf(source)) => {
                let other = first_file(known).unwrap_or_else(|| file.clone());
                let known = Column {
                    data_type: source.plain(),
                    untyped: false,
                    file: file.clone(),
                };
                conflicts.push(conflict(path, &known, "a struct", &other));
            }
            (None, _) => {}
        }
        path.pop();
    }
}

fn column(source: &Source, file: &Arc<str>) -> Column {
    let untyped = matches!(source, Source::Column(_, DataType::Null));
    Column {
        data_type: source.plain(),
        untyped,
        file: file.clone(),
    }
}

fn unify(known: &Column, new: &Column) -> Option<Column> {
    if new.untyped {
        return Some(known.clone());
    }
    if known.untyped {
        return Some(new.clone());
    }
    widest(&known.data_type, &new.data_type).map(|data_type| Column {
        data_type,
        ..known.clone()
    })
}

fn first_file(tree: &Tree<Column>) -> Option<Arc<str>> {
    tree.0.iter().find_map(|(_, node)| match node {
        Node::Leaf(column) => Some(column.file.clone()),
        Node::Struct(tree) => first_file(tree),
    })
}

fn conflict(path: &[String], known: &Column, other_type: &str, other_file: &str) -> Conflict {
    let message = format!(
        "{} is {} in {} but {} in {}: no type holds both; write one of them anew, or map it to another path with the table's columns",
        dotted(path),
        name_of(&known.data_type),
        known.file,
        other_type,
        other_file,
    );
    Conflict {
        path: path.to_vec(),
        message,
    }
}
