//! From a syntax tree to a program: what names mean, which types values have, and what is refused.

mod binders;
mod calls;
mod functions;
mod lists;
mod operators;
mod paths;
mod texts;
mod time;

use std::sync::Arc;

use crate::{
    Diagnostic, Expr, Problem, Reads, Schema, Span, Type, Warning,
    ast::{ExprKind, Literal},
    op::{Constant, Op, Truth, WindowSpec},
    reads::reads,
    types::Field,
};

/// An expression that is known to fit its schema, as a program.
#[derive(Clone, Debug)]
pub struct Typed {
    pub(crate) op: Arc<Op>,
    pub(crate) windows: Arc<[WindowSpec]>,
    type_: Type,
    span: Span,
    segments: Vec<String>,
    reads: Reads,
    warnings: Vec<Warning>,
}

impl Typed {
    /// The type of its outcome.
    pub fn type_(&self) -> &Type {
        &self.type_
    }

    /// What is allowed and probably not meant, from left to right.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The segments that it asks for membership, each once; their positions are those of membership look-ups.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The fields that it looks at.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// The same, where it can tell who is in a segment: a condition, or a list that is asked whether it has items.
    ///
    /// # Errors
    /// Its outcome is a number, a text, or another value that is neither true nor false.
    pub fn into_segment(self) -> Result<Self, Diagnostic> {
        match &self.type_ {
            Type::Bool | Type::List(_) | Type::Any => Ok(self),
            other => Err(Diagnostic::new(
                self.span,
                Problem::Type {
                    subject: "a segment".to_owned(),
                    expected: "a condition".to_owned(),
                    found: other.to_string(),
                    help: Some("compare the value with another, or ask for it with isNotNull()".to_owned()),
                },
            )),
        }
    }
}

/// Checks an expression against a schema.
///
/// # Errors
/// The first thing that does not fit: an unknown path or function, a value of the wrong type, or something that a batch
/// segment cannot use.
pub fn check(expr: &Expr, schema: &Schema) -> Result<Typed, Diagnostic> {
    let mut checker = Checker::new(schema);
    let body = checker.header(expr)?;
    let outcome = checker.expr(body)?;
    checker.warn_of_size(body);
    let mut warnings = checker.warnings;
    warnings.sort_by_key(|warning| warning.span.start);
    let op = if checker.named {
        Op::Let {
            value: Box::new(Op::Element(0)),
            body: Box::new(outcome.op),
        }
    } else {
        outcome.op
    };
    Ok(Typed {
        reads: reads(&op, schema),
        op: Arc::new(op),
        windows: checker.windows.into(),
        type_: outcome.type_,
        span: body.span,
        segments: checker.segments,
        warnings,
    })
}

/// A part of the program, and the type of its value.
#[derive(Clone, Debug)]
struct Checked {
    op: Op,
    type_: Type,
}

impl Checked {
    fn new(op: Op, type_: Type) -> Self {
        Self { op, type_ }
    }

    fn bool(op: Op) -> Self {
        Self::new(op, Type::Bool)
    }
}

/// An element whose fields bare names are.
#[derive(Clone, Debug)]
struct Scope {
    type_: Type,
    /// What it is, for people.
    label: String,
}

type Result<T, E = Diagnostic> = std::result::Result<T, E>;

struct Checker<'s> {
    schema: &'s Schema,
    scopes: Vec<Scope>,
    variables: Vec<(String, Type)>,
    /// Whether the first variable is the profile.
    named: bool,
    windows: Vec<WindowSpec>,
    segments: Vec<String>,
    warnings: Vec<Warning>,
}

impl<'s> Checker<'s> {
    fn new(schema: &'s Schema) -> Self {
        Self {
            schema,
            scopes: vec![Scope {
                type_: schema.profile.clone(),
                label: "the profile".to_owned(),
            }],
            variables: Vec::new(),
            named: false,
            windows: Vec::new(),
            segments: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn expr(&mut self, expr: &Expr) -> Result<Checked> {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Literal(literal) => Ok(constant(literal)),
            ExprKind::List(items) => self.list(items),
            ExprKind::Object(entries) => self.object(entries),
            ExprKind::Name(name) => self.name(span, name),
            ExprKind::Up(levels) => self.up(span, *levels),
            ExprKind::This => self.up(span, 0),
            ExprKind::Events => Ok(self.events()),
            ExprKind::Parameter(position) => self.parameter(span, *position),
            ExprKind::Context(path) => Err(Diagnostic::unsupported(
                span,
                format!("@{{{path}}}"),
                "it is an input of a decision and unknown when segments are computed; use fields of the profile",
            )),
            ExprKind::Field(holder, field) => self.field(holder, field),
            ExprKind::Filter(list, condition) => self.filter(list, condition),
            ExprKind::Call {
                function,
                receiver,
                arguments,
            } => self.call(span, function, receiver.as_deref(), arguments),
            ExprKind::Lambda(..) => Err(Diagnostic::syntax(
                span,
                "a function with => stands at the beginning of the expression, or in .map((key, group) => …) of a map",
            )),
            _ => self.operator(expr),
        }
    }

    fn list(&mut self, items: &[Expr]) -> Result<Checked> {
        let mut type_ = Type::Null;
        let mut ops = Vec::with_capacity(items.len());
        for item in items {
            let checked = self.expr(item)?;
            type_ = type_.join(&checked.type_).ok_or_else(|| {
                mismatch(
                    item.span,
                    "a list",
                    &type_,
                    &checked.type_,
                    Some("the items of a list are of one type"),
                )
            })?;
            ops.push(checked.op);
        }
        let item = if ops.is_empty() { Type::Any } else { type_ };
        Ok(Checked::new(Op::List(ops), Type::list(item)))
    }

    fn object(&mut self, entries: &[(String, Expr)]) -> Result<Checked> {
        let mut fields = Vec::with_capacity(entries.len());
        let mut ops = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let checked = self.expr(value)?;
            fields.push(Field::new(key.clone(), checked.type_));
            ops.push((Arc::from(key.as_str()), checked.op));
        }
        Ok(Checked::new(Op::Object(ops), Type::structure(fields)))
    }

    /// A value that is asked whether it is true.
    fn condition(&mut self, expr: &Expr) -> Result<Op> {
        let checked = self.expr(expr)?;
        let truth = match checked.type_ {
            Type::Int | Type::Double => {
                return Err(wrong_type(
                    expr.span,
                    "a condition",
                    "a bool or a list",
                    &checked.type_,
                    Some("compare the number with another"),
                ));
            }
            Type::Map(..) => Truth::Entries,
            _ => Truth::Value,
        };
        Ok(Op::Truth(Box::new(checked.op), truth))
    }

    /// Checks with another innermost element.
    fn within<T>(&mut self, type_: Type, label: String, check: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.scopes.push(Scope { type_, label });
        let outcome = check(self);
        self.scopes.pop();
        outcome
    }

    /// Checks with another variable.
    fn with_variable<T>(&mut self, name: &str, type_: Type, check: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.variables.push((name.to_owned(), type_));
        let outcome = check(self);
        self.variables.pop();
        outcome
    }

    fn warn(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.warnings.push(Warning {
            code,
            span,
            message: message.into(),
        });
    }
}

fn constant(literal: &Literal) -> Checked {
    match literal {
        Literal::Null => Checked::new(Op::Constant(Constant::Null), Type::Null),
        Literal::Bool(value) => Checked::new(Op::Constant(Constant::Bool(*value)), Type::Bool),
        Literal::Int(number) => Checked::new(Op::Constant(Constant::Int(*number)), Type::Int),
        Literal::Double(number) => Checked::new(Op::Constant(Constant::Double(*number)), Type::Double),
        Literal::String(text) => Checked::new(Op::Constant(Constant::Text(text.clone())), Type::String),
    }
}

fn wrong_type(span: Span, subject: impl Into<String>, expected: &str, found: &Type, help: Option<&str>) -> Diagnostic {
    Diagnostic::new(
        span,
        Problem::Type {
            subject: subject.into(),
            expected: expected.to_owned(),
            found: found.to_string(),
            help: help.map(str::to_owned),
        },
    )
}

fn mismatch(span: Span, subject: &str, left: &Type, right: &Type, help: Option<&str>) -> Diagnostic {
    Diagnostic::new(
        span,
        Problem::Mismatch {
            subject: subject.to_owned(),
            left: left.to_string(),
            right: right.to_string(),
            help: help.map(str::to_owned),
        },
    )
}
