//! The syntax tree. Trees are equal when they mean the same text, wherever it stands: spans are not compared.

use crate::Span;

/// An expression and where it stands.
#[derive(Clone, Debug)]
pub struct Expr {
    /// Its part of the text.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind,
    /// Levels of expressions in it, itself included.
    pub(crate) height: usize,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// A name and where it stands.
#[derive(Clone, Debug)]
pub struct Name {
    /// The name, without backticks.
    pub text: String,
    /// Its part of the text.
    pub span: Span,
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A literal.
    Literal(Literal),
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `{"key": a}`.
    Object(Vec<(String, Expr)>),
    /// A bare name: a variable, else a field of the innermost element.
    Name(String),
    /// `^`, `^^`: the element so many levels up.
    Up(usize),
    /// `this`: the innermost element.
    This,
    /// `xEvent`: the events of the profile.
    Events,
    /// `$1`.
    Parameter(u32),
    /// `@{…}`: an input of a decision.
    Context(String),
    /// `a.b`.
    Field(Box<Expr>, Name),
    /// `a[condition]`.
    Filter(Box<Expr>, Box<Expr>),
    /// `a.f(…)` or `f(…)`.
    Call {
        /// The function.
        function: Name,
        /// What stands before the dot.
        receiver: Option<Box<Expr>>,
        /// What stands between the parentheses.
        arguments: Vec<Expr>,
    },
    /// `-a`.
    Negate(Box<Expr>),
    /// `a + b`.
    Arithmetic(ArithmeticOp, Box<Expr>, Box<Expr>),
    /// `a < b`.
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// `a in b`, `a notIn b`.
    In {
        /// What is looked for.
        value: Box<Expr>,
        /// Where.
        list: Box<Expr>,
        /// `notIn`.
        negated: bool,
    },
    /// `a like b`.
    Like(Box<Expr>, Box<Expr>),
    /// `a occurs …`.
    Occurs(Box<Expr>, Box<Occurrence>),
    /// `now`, `today`, `yesterday`, `tomorrow`.
    Instant(Instant),
    /// `not a`.
    Not(Box<Expr>),
    /// `a and b and …`: two or more.
    And(Vec<Expr>),
    /// `a or b or …`: two or more.
    Or(Vec<Expr>),
    /// `if(condition, then, otherwise)`.
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `let name = value in body`.
    Let(Name, Box<Expr>, Box<Expr>),
    /// `exists v from a : claim`, `forall v from a : claim`.
    Quantified {
        /// Some element or all elements.
        quantifier: Quantifier,
        /// What is gone through.
        generators: Vec<Generator>,
        /// What is claimed of the elements.
        claim: Option<Box<Expr>>,
    },
    /// `select v from a where condition`.
    Select(Vec<Generator>),
    /// `sum a over v from b where condition`.
    Aggregate {
        /// `sum`, `count`, `average`, `min` or `max`.
        function: Aggregate,
        /// What is aggregated.
        value: Box<Expr>,
        /// What is gone through.
        generators: Vec<Generator>,
    },
    /// `(a, b) => body`.
    Lambda(Vec<Name>, Box<Expr>),
    /// `chain(list, time, [steps])`.
    Chain(Box<Chain>),
}

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// Whole number.
    Int(i64),
    /// Number with a fraction or an exponent.
    Double(f64),
    /// `"text"`.
    String(String),
}

/// `+ - * / %`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}

/// `= != < <= > >=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Words for points in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instant {
    /// The time of the evaluation.
    Now,
    /// The start of its day.
    Today,
    /// The start of the day before.
    Yesterday,
    /// The start of the day after.
    Tomorrow,
}

/// Units of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A thousandth of a second.
    Millisecond,
    /// Second.
    Second,
    /// Minute.
    Minute,
    /// Hour.
    Hour,
    /// Day of the calendar.
    Day,
    /// Seven days.
    Week,
    /// Month of the calendar.
    Month,
    /// Year of the calendar.
    Year,
    /// Ten years.
    Decade,
    /// A hundred years.
    Century,
    /// A thousand years.
    Millennium,
}

/// Which period of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one before.
    Last,
    /// The one that holds the time of the evaluation.
    This,
    /// The one after.
    Next,
}

/// Which side of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Earlier.
    Before,
    /// Later; also written `from`.
    After,
}

/// What stands after `occurs`, or in `WHEN(…)`.
#[derive(Clone, Debug, PartialEq)]
pub enum Occurrence {
    /// `< 3 days before now`.
    Within {
        /// How the distance compares.
        comparison: Comparison,
        /// How many units.
        amount: u32,
        /// Of which unit.
        unit: Unit,
        /// On which side of the anchor.
        side: Side,
        /// From where it is counted.
        anchor: Anchor,
    },
    /// `before now`.
    Beside(Side, Anchor),
    /// `on today`, `last month`.
    On(Anchor),
    /// `between a and b`.
    Between(Anchor, Anchor),
}

/// A time or a period.
#[derive(Clone, Debug, PartialEq)]
pub enum Anchor {
    /// `last month`.
    Period(Which, Unit),
    /// A word, a date, or any other expression.
    Time(Expr),
}

/// `exists` or `forall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// Some element.
    Exists,
    /// Every element.
    ForAll,
}

/// Functions from many values to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// How many are not null.
    Count,
    /// Their sum; 0 of none.
    Sum,
    /// Their mean; null of none.
    Average,
    /// The least; null of none.
    Min,
    /// The greatest; null of none.
    Max,
}

/// `v from list where condition`.
#[derive(Clone, Debug, PartialEq)]
pub struct Generator {
    /// The variable.
    pub variable: Name,
    /// Where its values come from.
    pub source: Expr,
    /// Which of them count.
    pub condition: Option<Expr>,
}

/// A sequence of events.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// The events.
    pub source: Expr,
    /// Path of their time.
    pub time: Expr,
    /// What must have happened, in this order.
    pub steps: Vec<Step>,
}

/// A step of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name, local to the chain.
    pub label: Name,
    /// `WHAT(…)` and `WHERE(…)`: all must hold.
    pub conditions: Vec<Expr>,
    /// `WHEN(…)`.
    pub when: Option<Occurrence>,
    /// `COUNT(…)`: at least so many; 1 by default.
    pub count: u32,
}
