//! Expressions that bind names, and sequences of events.

use super::{Checked, Checker, Result};
use crate::{
    Diagnostic, Expr, Problem, Type,
    ast::{Aggregate, Chain, ExprKind, Generator, Quantifier},
    op::{ChainOp, ChainStep, Constant, Op, SeqOp, Truth},
};

/// What is done with the elements that generators yield.
enum Purpose<'e> {
    Quantify(Quantifier, Option<&'e Expr>),
    Collect(&'e Expr),
}

impl Checker<'_> {
    /// Takes `(Profile) =>` off, whose name becomes a variable.
    pub(super) fn header<'e>(&mut self, expr: &'e Expr) -> Result<&'e Expr> {
        let ExprKind::Lambda(names, body) = &expr.kind else {
            return Ok(expr);
        };
        let [name] = names.as_slice() else {
            let message = "a segment has one parameter, the profile: (Profile) => condition".to_owned();
            return Err(Diagnostic::new(expr.span, Problem::Scope(message)));
        };
        self.variables.push((name.text.clone(), self.schema.profile.clone()));
        self.named = true;
        Ok(body)
    }

    pub(super) fn binder(&mut self, expr: &Expr) -> Result<Checked> {
        match &expr.kind {
            ExprKind::Let(name, value, body) => {
                let value = self.expr(value)?;
                let body = self.with_variable(&name.text, value.type_, |checker| checker.expr(body))?;
                Ok(Checked::new(
                    Op::Let {
                        value: Box::new(value.op),
                        body: Box::new(body.op),
                    },
                    body.type_,
                ))
            }
            ExprKind::Quantified {
                quantifier,
                generators,
                claim,
            } => {
                let op = self.generators(generators, &Purpose::Quantify(*quantifier, claim.as_deref()))?;
                Ok(Checked::bool(op.op))
            }
            ExprKind::Select(generators) => self.select(expr, generators),
            ExprKind::Aggregate {
                function,
                value,
                generators,
            } => self.aggregate_over(*function, value, generators),
            ExprKind::Chain(chain) => self.chain(chain),
            _ => Err(Diagnostic::unsupported(
                expr.span,
                expr.to_string(),
                "it has no meaning here",
            )),
        }
    }

    fn select(&mut self, expr: &Expr, generators: &[Generator]) -> Result<Checked> {
        let [generator] = generators else {
            return Err(Diagnostic::unsupported(
                expr.span,
                "select with several lists",
                "it is not defined which elements it yields; use exists, which may go through several",
            ));
        };
        let source = self.expr(&generator.source)?;
        let item = Self::items(&generator.source, &source.type_)?;
        let slot = Op::Variable(self.variables.len());
        let condition = self.generator_condition(generator, &item)?;
        let op = SeqOp::Each {
            list: Box::new(source.op),
            condition,
            body: Box::new(slot),
            flat: false,
        };
        Ok(Checked::new(Op::Seq(op), Type::list(item)))
    }

    fn generator_condition(&mut self, generator: &Generator, item: &Type) -> Result<Option<Box<Op>>> {
        let Some(condition) = &generator.condition else {
            return Ok(None);
        };
        self.with_variable(&generator.variable.text, item.clone(), |checker| {
            checker.condition(condition)
        })
        .map(|op| Some(Box::new(op)))
    }

    /// Nested from the first to the last: later ones may use earlier variables.
    fn generators(&mut self, generators: &[Generator], purpose: &Purpose<'_>) -> Result<Checked> {
        let Some((first, rest)) = generators.split_first() else {
            return match purpose {
                Purpose::Quantify(_, None) => Ok(Checked::bool(Op::Constant(Constant::Bool(true)))),
                Purpose::Quantify(_, Some(claim)) => self.condition(claim).map(Checked::bool),
                Purpose::Collect(value) => {
                    let value = self.expr(value)?;
                    Ok(Checked::new(Op::List(vec![value.op]), value.type_))
                }
            };
        };
        let source = self.expr(&first.source)?;
        let item = Self::items(&first.source, &source.type_)?;
        let condition = self.generator_condition(first, &item)?;
        let inner = self.with_variable(&first.variable.text, item, |checker| checker.generators(rest, purpose))?;
        let list = Box::new(source.op);
        let op = match purpose {
            Purpose::Quantify(quantifier, _) => SeqOp::Quantified {
                quantifier: *quantifier,
                list,
                condition,
                claim: Box::new(inner.op),
            },
            Purpose::Collect(_) => SeqOp::Each {
                list,
                condition,
                body: Box::new(inner.op),
                flat: true,
            },
        };
        Ok(Checked::new(Op::Seq(op), inner.type_))
    }

    fn aggregate_over(&mut self, function: Aggregate, value: &Expr, generators: &[Generator]) -> Result<Checked> {
        let collected = self.generators(generators, &Purpose::Collect(value))?;
        let type_ = Self::aggregated(function, value, &collected.type_)?;
        Ok(Checked::new(
            Op::Seq(SeqOp::Aggregate(function, Box::new(collected.op), None)),
            type_,
        ))
    }

    fn chain(&mut self, chain: &Chain) -> Result<Checked> {
        let source = self.expr(&chain.source)?;
        let item = Self::items(&chain.source, &source.type_)?;
        let label = chain.source.to_string();
        let time = self.within(item.clone(), label.clone(), |checker| {
            checker.time(&chain.time, "the second argument of chain", false)
        })?;
        let mut steps = Vec::with_capacity(chain.steps.len());
        for step in &chain.steps {
            let compiled = self.within(item.clone(), label.clone(), |checker| {
                let conditions = step
                    .conditions
                    .iter()
                    .map(|condition| checker.condition(condition))
                    .collect::<Result<Vec<_>>>()?;
                let when = step.when.as_ref().map(|when| checker.when(when)).transpose()?;
                Ok(ChainStep {
                    conditions,
                    when,
                    count: usize::try_from(step.count).unwrap_or(usize::MAX),
                })
            })?;
            steps.push(compiled);
        }
        let op = Op::Chain(Box::new(ChainOp {
            source: source.op,
            time,
            steps,
        }));
        Ok(Checked::bool(Op::Truth(Box::new(op), Truth::Value)))
    }

    /// Warns of what costs much: the platform that the language is from advises against it, too.
    pub(super) fn warn_of_size(&mut self, expr: &Expr) {
        const AGGREGATIONS: usize = 3;
        const NESTED: usize = 2;
        let mut aggregations = 0;
        expr.walk(&mut |part| {
            aggregations += usize::from(match &part.kind {
                ExprKind::Aggregate { .. } => true,
                ExprKind::Call { function, .. } => Aggregate::from_word(&function.text).is_some(),
                _ => false,
            });
        });
        if aggregations > AGGREGATIONS {
            let message = format!("{aggregations} aggregations make a segment slow: up to {AGGREGATIONS} are advised");
            self.warn("many-aggregations", expr.span, message);
        }
        let nested = nesting(expr);
        if nested > NESTED {
            let message = format!(
                "lists within lists, {nested} levels deep, make a segment slow: up to {NESTED} levels are advised"
            );
            self.warn("nested-lists", expr.span, message);
        }
    }
}

/// How many lists are gone through within each other.
fn nesting(expr: &Expr) -> usize {
    let mut below = 0;
    expr.kind.each_child(&mut |child| below = below.max(nesting(child)));
    let own = match &expr.kind {
        ExprKind::Filter(_, condition) => Some(nesting(condition)),
        ExprKind::Chain(_) | ExprKind::Quantified { .. } => Some(below),
        ExprKind::Call {
            function, arguments, ..
        } if super::functions::goes_through(&function.text) => arguments.iter().map(nesting).max(),
        _ => None,
    };
    own.map_or(below, |inner| below.max(inner + 1))
}
