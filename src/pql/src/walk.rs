//! Making syntax trees that are not too deep, and going through them.

use crate::{
    Diagnostic, Limit, Problem, Span,
    ast::{Anchor, Chain, Expr, ExprKind, Generator, Occurrence},
};

impl Expr {
    /// A node, unless it would be deeper than an expression may be.
    pub(crate) fn new(span: Span, kind: ExprKind) -> Result<Self, Diagnostic> {
        let mut below = 0;
        kind.each_child(&mut |child| below = below.max(child.height));
        let height = below + 1;
        if height > Limit::Depth.allowed() {
            return Err(Diagnostic::new(
                span,
                Problem::Limit {
                    limit: Limit::Depth,
                    found: height,
                },
            ));
        }
        Ok(Self { span, kind, height })
    }

    /// Levels of expressions in it, itself included.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Calls `visit` with this expression and all in it, from the outside in.
    pub fn walk<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        visit(self);
        self.kind.each_child(&mut |child| child.walk(visit));
    }
}

impl ExprKind {
    /// Calls `visit` with every expression directly below, from left to right.
    pub fn each_child<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        match self {
            Self::Literal(_)
            | Self::Name(_)
            | Self::Up(_)
            | Self::This
            | Self::Events
            | Self::Parameter(_)
            | Self::Context(_)
            | Self::Instant(_) => {}
            Self::List(items) | Self::And(items) | Self::Or(items) => items.iter().for_each(visit),
            Self::Object(entries) => entries.iter().for_each(|(_, value)| visit(value)),
            Self::Field(inner, _) | Self::Negate(inner) | Self::Not(inner) | Self::Lambda(_, inner) => visit(inner),
            Self::Filter(left, right)
            | Self::Arithmetic(_, left, right)
            | Self::Compare(_, left, right)
            | Self::Like(left, right)
            | Self::Let(_, left, right)
            | Self::In {
                value: left,
                list: right,
                ..
            } => {
                visit(left);
                visit(right);
            }
            Self::Call {
                receiver, arguments, ..
            } => receiver.iter().map(AsRef::as_ref).chain(arguments).for_each(visit),
            Self::Occurs(time, occurrence) => {
                visit(time);
                occurrence.each_child(visit);
            }
            Self::If(condition, then, otherwise) => {
                for part in [condition, then, otherwise] {
                    visit(part);
                }
            }
            Self::Quantified { generators, claim, .. } => {
                each_of(generators, visit);
                claim.iter().map(AsRef::as_ref).for_each(visit);
            }
            Self::Select(generators) => each_of(generators, visit),
            Self::Aggregate { value, generators, .. } => {
                each_of(generators, visit);
                visit(value);
            }
            Self::Chain(chain) => chain.each_child(visit),
        }
    }
}

impl Occurrence {
    fn each_child<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        let (first, second) = match self {
            Self::Within { anchor, .. } | Self::Beside(_, anchor) | Self::On(anchor) => (anchor, None),
            Self::Between(from, to) => (from, Some(to)),
        };
        for anchor in std::iter::once(first).chain(second) {
            if let Anchor::Time(time) = anchor {
                visit(time);
            }
        }
    }
}

fn each_of<'e>(generators: &'e [Generator], visit: &mut dyn FnMut(&'e Expr)) {
    for generator in generators {
        visit(&generator.source);
        generator.condition.iter().for_each(&mut *visit);
    }
}

impl Chain {
    fn each_child<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        visit(&self.source);
        visit(&self.time);
        for step in &self.steps {
            step.conditions.iter().for_each(&mut *visit);
            if let Some(when) = &step.when {
                when.each_child(visit);
            }
        }
    }
}
