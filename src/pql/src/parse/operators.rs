//! Operators, by what binds how strongly.

use super::{
    binders,
    input::{Input, Parsed, accept, accept_word, deeper, here, is_word, refuse, sign_at, since, take, word_at},
    node, primary,
    time::occurrence,
};
use crate::ast::{ArithmeticOp, Comparison, Expr, ExprKind, Literal};

/// Operands joined by `or`.
pub(super) fn or(input: &mut Input<'_>) -> Parsed<Expr> {
    joined(input, "or", and, ExprKind::Or)
}

fn and(input: &mut Input<'_>) -> Parsed<Expr> {
    joined(input, "and", not, ExprKind::And)
}

fn joined<'t>(
    input: &mut Input<'t>,
    word: &str,
    operand: fn(&mut Input<'t>) -> Parsed<Expr>,
    join: fn(Vec<Expr>) -> ExprKind,
) -> Parsed<Expr> {
    let start = here(input);
    let first = operand(input)?;
    if !is_word(input, word) {
        return Ok(first);
    }
    let mut operands = vec![first];
    while accept_word(input, word)? {
        operands.push(operand(input)?);
    }
    node(since(input, start), join(operands))
}

fn not(input: &mut Input<'_>) -> Parsed<Expr> {
    if binders::starts(input) {
        return binders::expr(input);
    }
    let start = here(input);
    if !is_word(input, "not") {
        return comparison(input);
    }
    take(input)?;
    let inner = deeper_here(input, not)?;
    node(since(input, start), ExprKind::Not(Box::new(inner)))
}

/// One level deeper, within the same brackets.
fn deeper_here<'t>(input: &mut Input<'t>, parser: fn(&mut Input<'t>) -> Parsed<Expr>) -> Parsed<Expr> {
    let in_ends = input.state.in_ends;
    deeper(input, |input| {
        input.state.in_ends = in_ends;
        parser(input)
    })
}

fn comparison(input: &mut Input<'_>) -> Parsed<Expr> {
    let start = here(input);
    let left = sum(input)?;
    let Some(operator) = operator(input) else {
        return Ok(left);
    };
    take(input)?;
    let left = Box::new(left);
    let kind = match operator {
        Operator::Compare(comparison) => ExprKind::Compare(comparison, left, Box::new(sum(input)?)),
        Operator::In { negated } => ExprKind::In {
            value: left,
            list: Box::new(sum(input)?),
            negated,
        },
        Operator::Like => ExprKind::Like(left, Box::new(sum(input)?)),
        Operator::Occurs => ExprKind::Occurs(left, Box::new(occurrence(input)?)),
    };
    let whole = node(since(input, start), kind)?;
    if self::operator(input).is_some() {
        return refuse(
            here(input),
            "comparisons cannot be chained: join two of them with and, or use parentheses",
        );
    }
    Ok(whole)
}

enum Operator {
    Compare(Comparison),
    In { negated: bool },
    Like,
    Occurs,
}

/// The operator between two operands that is next.
fn operator(input: &Input<'_>) -> Option<Operator> {
    if let Some(comparison) = comparison_sign(input) {
        return Some(Operator::Compare(comparison));
    }
    match word_at(input, 0)?.as_str() {
        "in" if !input.state.in_ends => Some(Operator::In { negated: false }),
        "notin" => Some(Operator::In { negated: true }),
        "like" => Some(Operator::Like),
        "occurs" => Some(Operator::Occurs),
        _ => None,
    }
}

/// The comparison that is next.
pub(super) fn comparison_sign(input: &Input<'_>) -> Option<Comparison> {
    Comparison::ALL
        .into_iter()
        .find(|operator| sign_at(input, 0, operator.sign()))
}

/// Terms joined by `+` and `-`.
pub(super) fn sum(input: &mut Input<'_>) -> Parsed<Expr> {
    folded(input, &[ArithmeticOp::Add, ArithmeticOp::Subtract], product)
}

fn product(input: &mut Input<'_>) -> Parsed<Expr> {
    folded(
        input,
        &[ArithmeticOp::Multiply, ArithmeticOp::Divide, ArithmeticOp::Remainder],
        unary,
    )
}

fn folded<'t>(
    input: &mut Input<'t>,
    operators: &[ArithmeticOp],
    operand: fn(&mut Input<'t>) -> Parsed<Expr>,
) -> Parsed<Expr> {
    let start = here(input);
    let mut whole = operand(input)?;
    while let Some(operator) = operators.iter().find(|operator| sign_at(input, 0, operator.sign())) {
        take(input)?;
        let right = operand(input)?;
        whole = node(
            since(input, start),
            ExprKind::Arithmetic(*operator, Box::new(whole), Box::new(right)),
        )?;
    }
    Ok(whole)
}

fn unary(input: &mut Input<'_>) -> Parsed<Expr> {
    let start = here(input);
    if accept(input, "!")? {
        let inner = deeper_here(input, unary)?;
        return node(since(input, start), ExprKind::Not(Box::new(inner)));
    }
    if !accept(input, "-")? {
        return primary::postfix(input);
    }
    let inner = deeper_here(input, unary)?;
    let span = since(input, start);
    match inner.kind {
        ExprKind::Literal(Literal::Int(number)) if number >= 0 => node(span, ExprKind::Literal(Literal::Int(-number))),
        ExprKind::Literal(Literal::Double(number)) if number >= 0.0 => {
            node(span, ExprKind::Literal(Literal::Double(-number)))
        }
        _ => node(span, ExprKind::Negate(Box::new(inner))),
    }
}
