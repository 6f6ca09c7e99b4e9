//! Why a profile matches an expression, or does not.

use std::fmt::{self, Write as _};

use crate::{
    Clock, Diagnostic, Expr, Memberships, Node, Program, Row, Schema, Span,
    ast::{ExprKind, Name},
    check,
};

/// An expression whose parts can be evaluated one by one. For people: a [`Program`] is what is fast.
#[derive(Clone, Debug)]
pub struct Explainer {
    root: Part,
}

/// A condition, its parts where it joins several, and the values that it is about.
#[derive(Clone, Debug)]
struct Part {
    span: Span,
    text: String,
    joint: Joint,
    parts: Vec<Part>,
    program: Program,
    values: Vec<(String, Program)>,
}

/// How the outcome of a condition follows from that of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joint {
    /// All parts must be true.
    And,
    /// Some part must be true.
    Or,
    /// The part must be false.
    Not,
    /// There are no parts.
    None,
}

/// What became of a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Its part of the text.
    pub span: Span,
    /// The condition.
    pub text: String,
    /// Whether it was true.
    pub outcome: bool,
    /// How that follows from its parts.
    pub joint: Joint,
    /// Its parts.
    pub parts: Vec<Explanation>,
    /// Expressions that it is about, with their values.
    pub values: Vec<(String, serde_json::Value)>,
}

impl Explainer {
    /// Checks an expression and its parts.
    ///
    /// # Errors
    /// The expression does not fit the schema.
    pub fn new(expr: &Expr, schema: &Schema, clock: &Clock) -> Result<Self, Diagnostic> {
        let maker = Maker {
            schema,
            clock,
            header: header(expr),
        };
        Ok(Self {
            root: maker.part(body(expr))?,
        })
    }

    /// Evaluates the expression and its parts.
    pub fn explain<'a, N: Node<'a>>(&'a self, row: Row<N>, memberships: &'a dyn Memberships) -> Explanation {
        self.root.explain(row, memberships)
    }
}

fn header(expr: &Expr) -> Option<&[Name]> {
    match &expr.kind {
        ExprKind::Lambda(names, _) => Some(names),
        _ => None,
    }
}

fn body(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Lambda(_, body) => body,
        _ => expr,
    }
}

struct Maker<'m> {
    schema: &'m Schema,
    clock: &'m Clock,
    header: Option<&'m [Name]>,
}

impl Maker<'_> {
    fn part(&self, expr: &Expr) -> Result<Part, Diagnostic> {
        let (joint, parts): (Joint, &[Expr]) = match &expr.kind {
            ExprKind::And(items) => (Joint::And, items),
            ExprKind::Or(items) => (Joint::Or, items),
            ExprKind::Not(inner) => (Joint::Not, std::slice::from_ref(inner)),
            _ => (Joint::None, &[]),
        };
        let parts = parts.iter().map(|part| self.part(part)).collect::<Result<_, _>>()?;
        let mut values = Vec::new();
        if joint == Joint::None {
            for operand in operands(expr) {
                values.push((operand.to_string(), self.program(operand)?));
            }
        }
        Ok(Part {
            span: expr.span,
            text: expr.to_string(),
            joint,
            parts,
            program: self.program(expr)?,
            values,
        })
    }

    fn program(&self, expr: &Expr) -> Result<Program, Diagnostic> {
        let typed = match self.header {
            None => check(expr, self.schema)?,
            Some(names) => {
                let whole = Expr::new(expr.span, ExprKind::Lambda(names.to_vec(), Box::new(expr.clone())))?;
                check(&whole, self.schema)?
            }
        };
        Ok(Program::new(&typed, self.clock.clone()))
    }
}

/// What a condition is about: its operands that are not written out.
fn operands(expr: &Expr) -> Vec<&Expr> {
    let candidates: Vec<&Expr> = match &expr.kind {
        ExprKind::Compare(_, left, right)
        | ExprKind::In {
            value: left,
            list: right,
            ..
        } => vec![left, right],
        ExprKind::Like(text, _) => vec![text],
        ExprKind::Occurs(time, _) => vec![time],
        ExprKind::Call {
            function,
            receiver,
            arguments,
        } if function.text != "inSegment" => receiver.as_deref().or(arguments.first()).into_iter().collect(),
        ExprKind::Quantified { generators, .. } => generators.first().map(|first| &first.source).into_iter().collect(),
        ExprKind::Chain(chain) => vec![&chain.source],
        _ => Vec::new(),
    };
    candidates.into_iter().filter(|expr| !is_written_out(expr)).collect()
}

fn is_written_out(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Literal(_) => true,
        ExprKind::List(items) => items.iter().all(is_written_out),
        _ => false,
    }
}

impl Part {
    fn explain<'a, N: Node<'a>>(&'a self, row: Row<N>, memberships: &'a dyn Memberships) -> Explanation {
        Explanation {
            span: self.span,
            text: self.text.clone(),
            outcome: self.program.matches(row, memberships),
            joint: self.joint,
            parts: self.parts.iter().map(|part| part.explain(row, memberships)).collect(),
            values: self
                .values
                .iter()
                .map(|(text, program)| (text.clone(), program.value(row, memberships)))
                .collect(),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(0, out)
    }
}

impl Explanation {
    fn write(&self, depth: usize, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.outcome { "true " } else { "false" };
        let indent = "  ".repeat(depth);
        let what = match self.joint {
            Joint::And => "all of",
            Joint::Or => "any of",
            Joint::Not => "not",
            Joint::None => self.text.as_str(),
        };
        writeln!(out, "{outcome}  {indent}{what}")?;
        for (text, value) in &self.values {
            writeln!(out, "       {indent}  {text} is {}", shortened(&value.to_string()))?;
        }
        self.parts.iter().try_for_each(|part| part.write(depth + 1, out))
    }
}

/// As much of a value as fits on a line.
fn shortened(text: &str) -> String {
    const LETTERS: usize = 120;
    let mut short: String = text.chars().take(LETTERS).collect();
    if short.len() < text.len() {
        let _ = short.write_char('…');
    }
    short
}
