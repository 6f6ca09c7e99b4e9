//! The program: a tree of instructions that borrows nothing and knows no source of data.

use std::{collections::HashSet, sync::Arc};

use regex::Regex;

use crate::ast::{Aggregate, ArithmeticOp, Comparison, Instant, Quantifier, Side, Unit, Which};

/// A field by name and, where the schema told it, by position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: Arc<str>,
    /// Its position among the fields of its struct.
    pub index: Option<usize>,
}

/// A value that the expression itself has.
#[derive(Clone, Debug)]
pub(crate) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
}

/// How values are put in order or compared when both are lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lists {
    InOrder,
    AsSets,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Constant(Constant),
    /// An element, counted from the outside: 0 is the profile.
    Element(usize),
    Variable(usize),
    Events,
    /// Fields of fields; through lists to the fields of all items.
    Path(Box<Op>, Vec<Step>),
    /// A value that is a time, also where the source has texts.
    AsTime(Box<Op>),
    List(Vec<Op>),
    Object(Vec<(Arc<str>, Op)>),
    Truth(Box<Op>, Truth),
    Logic(Logic),
    Compare(Comparison, Box<Op>, Box<Op>, Lists),
    In {
        value: Box<Op>,
        list: Box<Op>,
        negated: bool,
    },
    /// The same, where all items are texts that the expression itself has.
    InTexts {
        value: Box<Op>,
        texts: HashSet<String>,
        negated: bool,
    },
    Negate(Box<Op>),
    Arithmetic(ArithmeticOp, Box<Op>, Box<Op>),
    Text(TextOp),
    Time(TimeOp),
    Seq(SeqOp),
    /// Binds the variable of this number.
    Let {
        value: Box<Op>,
        body: Box<Op>,
    },
    IsNull(Box<Op>),
    Member(usize),
    Chain(Box<ChainOp>),
}

/// What makes a value true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    /// Booleans as they are, lists and maps when they have items, all else when it is there.
    Value,
    /// Structs that stand for maps, too, when they have entries.
    Entries,
}

#[derive(Clone, Debug)]
pub(crate) enum Logic {
    Not(Box<Op>),
    And(Vec<Op>),
    Or(Vec<Op>),
    If(Box<Op>, Box<Op>, Box<Op>),
}

#[derive(Clone, Debug)]
pub(crate) enum TextOp {
    /// Some text of the first passes the test against some text of the second.
    Test {
        text: Box<Op>,
        test: TextTest,
        others: Vec<Op>,
        ignore_case: bool,
        negated: bool,
    },
    Matches(Box<Op>, Regex),
    Group(Box<Op>, Regex, usize),
    Empty(Box<Op>, bool),
    Length(Box<Op>),
    Change(Box<Op>, Change),
    Concat(Vec<Op>),
    Substr(Box<Op>, Box<Op>, Option<Box<Op>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextTest {
    Equals,
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Lower,
    Upper,
    Trim,
}

#[derive(Clone, Debug)]
pub(crate) enum TimeOp {
    Instant(Instant),
    /// Year, month, day.
    Date(Box<[Op; 3]>),
    Part(Box<Op>, DatePart),
    /// Within a window that the program has computed beforehand.
    Absolute(Box<Op>, usize),
    Relative(Box<Op>, Box<WindowSpec>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatePart {
    Year,
    Month,
    Day,
}

/// A condition on a time.
#[derive(Clone, Debug)]
pub(crate) enum WindowSpec {
    Within {
        comparison: Comparison,
        amount: u32,
        unit: Unit,
        side: Side,
        anchor: AnchorOp,
    },
    Beside(Side, AnchorOp),
    On(AnchorOp),
    Between(AnchorOp, AnchorOp),
}

#[derive(Clone, Debug)]
pub(crate) enum AnchorOp {
    Period(Which, Unit),
    Time(Op),
}

#[derive(Clone, Debug)]
pub(crate) enum SeqOp {
    Filter(Box<Op>, Box<Op>),
    /// The body for each item, which is its element.
    Map(Box<Op>, Box<Op>),
    /// The body for each entry of a map, whose value is its element.
    MapValues(Box<Op>, Box<Op>),
    /// The body for each entry of a map, with key and value as variables; the body's key, where it has one.
    MapEntries {
        map: Box<Op>,
        key: Option<Box<Op>>,
        value: Box<Op>,
    },
    /// The body for each item, which is a variable.
    Each {
        list: Box<Op>,
        condition: Option<Box<Op>>,
        body: Box<Op>,
        flat: bool,
    },
    Exists(Box<Op>, Box<Op>),
    /// Whether the claim holds for some or all items, each a variable, that pass the condition.
    Quantified {
        quantifier: Quantifier,
        list: Box<Op>,
        condition: Option<Box<Op>>,
        claim: Box<Op>,
    },
    Aggregate(Aggregate, Box<Op>, Option<Box<Op>>),
    Count(Box<Op>, Counted),
    Distinct(Box<Op>),
    Intersection(Box<Op>, Box<Op>),
    Intersects(Box<Op>, Box<Op>),
    /// Whether all of the first is in the second.
    Subset(Box<Op>, Box<Op>),
    GroupBy(Box<Op>, Box<Op>),
    Top {
        list: Box<Op>,
        key: Box<Op>,
        count: Box<Op>,
        largest: bool,
    },
    Head(Box<Op>),
    Get(Box<Op>, Box<Op>),
    Keys(Box<Op>),
    Values(Box<Op>),
}

/// What is counted besides the items that are not null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Present,
    All,
    Null,
    DistinctWithNull,
}

#[derive(Clone, Debug)]
pub(crate) struct ChainOp {
    pub(crate) source: Op,
    pub(crate) time: Op,
    pub(crate) steps: Vec<ChainStep>,
}

#[derive(Clone, Debug)]
pub(crate) struct ChainStep {
    pub(crate) conditions: Vec<Op>,
    pub(crate) when: Option<When>,
    pub(crate) count: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum When {
    Absolute(usize),
    Relative(WindowSpec),
}
