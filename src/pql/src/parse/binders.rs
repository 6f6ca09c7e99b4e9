//! Expressions that bind names, and the sequence of events.

use super::{
    input::{
        Input, Parsed, accept, accept_word, ahead, deeper, expect, here, missing, name, name_at, refuse, refuse_with,
        since, take, word_at,
    },
    lexer::{Kind, Token},
    node,
    operators::or,
    time::occurrence,
};
use crate::{
    Diagnostic, Limit, Problem,
    ast::{Aggregate, Chain, Expr, ExprKind, Generator, Name, Quantifier, Step},
    words,
};

/// Any expression.
pub(super) fn expr(input: &mut Input<'_>) -> Parsed<Expr> {
    deeper(input, |input| if starts(input) { binder(input) } else { or(input) })
}

/// The same, where `in` ends it.
fn value_of_let(input: &mut Input<'_>) -> Parsed<Expr> {
    deeper(input, |input| {
        input.state.in_ends = true;
        or(input)
    })
}

/// Whether an expression that binds names begins here.
pub(super) fn starts(input: &Input<'_>) -> bool {
    let Some(word) = word_at(input, 0) else { return false };
    match word.as_str() {
        "let" | "exists" | "forall" | "select" => name_at(input, 1) && !super::input::sign_at(input, 1, "("),
        word => Aggregate::from_word(word).is_some() && operand_at(input, 1),
    }
}

/// Whether an operand begins there that is not the rest of the one before.
fn operand_at(input: &Input<'_>, distance: usize) -> bool {
    match ahead(input, distance).map(|token| &token.kind) {
        Some(Kind::Word(word)) => !words::is_infix(word),
        Some(Kind::Quoted(_) | Kind::Int(_) | Kind::Double(_) | Kind::Sign("$" | "^")) => true,
        _ => false,
    }
}

fn binder(input: &mut Input<'_>) -> Parsed<Expr> {
    let start = here(input);
    let word = word_at(input, 0).unwrap_or_default();
    take(input)?;
    let kind = match word.as_str() {
        "let" => {
            let variable = name(input, "a name for the value")?;
            expect(input, "=", "and the value: let name = value in expression")?;
            let value = value_of_let(input)?;
            if !accept_word(input, "in")? {
                return missing(input, "in, and the expression that uses the value");
            }
            ExprKind::Let(variable, Box::new(value), Box::new(expr(input)?))
        }
        "exists" => quantified(input, Quantifier::Exists)?,
        "forall" => quantified(input, Quantifier::ForAll)?,
        "select" => ExprKind::Select(generators(input)?),
        word => {
            let Some(function) = Aggregate::from_word(word) else {
                return missing(input, "an expression");
            };
            let value = Box::new(or(input)?);
            if !accept_word(input, "over")? {
                return missing(
                    input,
                    &format!("over, and where the values come from: {word} v.price over v from orders"),
                );
            }
            ExprKind::Aggregate {
                function,
                value,
                generators: generators(input)?,
            }
        }
    };
    node(since(input, start), kind)
}

fn quantified(input: &mut Input<'_>, quantifier: Quantifier) -> Parsed<ExprKind> {
    let mut generators = generators(input)?;
    let claim = if accept(input, ":")? {
        Some(expr(input)?)
    } else {
        // Without a colon the last condition is what is claimed.
        generators.last_mut().and_then(|last| last.condition.take())
    };
    Ok(ExprKind::Quantified {
        quantifier,
        generators,
        claim: claim.map(Box::new),
    })
}

/// `v from list where condition, …`.
pub(super) fn generators(input: &mut Input<'_>) -> Parsed<Vec<Generator>> {
    let mut found = Vec::new();
    loop {
        let variable = name(input, "a variable")?;
        if !accept_word(input, "from")? {
            return missing(input, "from, and the list that the variable goes through");
        }
        let source = or(input)?;
        let condition = if accept_word(input, "where")? {
            Some(expr(input)?)
        } else {
            None
        };
        found.push(Generator {
            variable,
            source,
            condition,
        });
        let another =
            super::input::sign_at(input, 0, ",") && name_at(input, 1) && word_at(input, 2).as_deref() == Some("from");
        if !another {
            return Ok(found);
        }
        take(input)?;
    }
}

/// `(list, time, [steps])`, after the word.
pub(super) fn chain(input: &mut Input<'_>) -> Parsed<ExprKind> {
    expect(input, "(", "after chain")?;
    let source = expr(input)?;
    expect(
        input,
        ",",
        "and the path of the events' time: chain(xEvent, timestamp, [A: WHAT(condition)])",
    )?;
    let time = expr(input)?;
    expect(
        input,
        ",",
        "and the steps: chain(xEvent, timestamp, [A: WHAT(condition)])",
    )?;
    let open = expect(input, "[", "before the steps")?;
    let mut steps = vec![step(input)?];
    while accept(input, ",")? {
        steps.push(step(input)?);
    }
    expect(input, "]", "after the steps, or a comma and another step")?;
    expect(input, ")", "to close the chain")?;
    if steps.len() > Limit::ChainSteps.allowed() {
        let problem = Problem::Limit {
            limit: Limit::ChainSteps,
            found: steps.len(),
        };
        return refuse_with(Diagnostic::new(since(input, open), problem));
    }
    Ok(ExprKind::Chain(Box::new(Chain { source, time, steps })))
}

fn step(input: &mut Input<'_>) -> Parsed<Step> {
    let label = name(input, "a label, such as A: WHAT(condition)")?;
    expect(input, ":", "and what happens in this step, such as A: WHAT(condition)")?;
    let mut step = Step {
        label,
        conditions: Vec::new(),
        when: None,
        count: 1,
    };
    let mut counted = false;
    loop {
        let span = here(input);
        let word = word_at(input, 0).unwrap_or_default();
        match word.as_str() {
            "what" | "where" => step.conditions.push(clause(input, expr)?),
            "when" if step.when.is_none() => step.when = Some(clause(input, occurrence)?),
            "count" if !counted => {
                step.count = clause(input, count)?;
                counted = true;
            }
            "when" | "count" => return refuse(span, format!("a step can have one {} only", word.to_uppercase())),
            _ if step.conditions.is_empty() && step.when.is_none() && !counted => {
                return missing(input, "WHAT(condition), WHEN(time), COUNT(number) or WHERE(condition)");
            }
            _ => return Ok(step),
        }
    }
}

fn clause<'t, T>(input: &mut Input<'t>, parser: impl FnOnce(&mut Input<'t>) -> Parsed<T>) -> Parsed<T> {
    take(input)?;
    expect(input, "(", "after the word")?;
    let found = deeper(input, parser)?;
    expect(input, ")", "to close it")?;
    Ok(found)
}

fn count(input: &mut Input<'_>) -> Parsed<u32> {
    match ahead(input, 0) {
        Some(Token {
            kind: Kind::Int(number @ 1..),
            ..
        }) if u32::try_from(*number).is_ok() => {
            take(input)?;
            Ok(u32::try_from(*number).unwrap_or(u32::MAX))
        }
        _ => missing(input, "a whole number of at least 1"),
    }
}

/// `(a, b) =>`, if it is next.
pub(super) fn lambda_head(input: &mut Input<'_>) -> Parsed<Option<Vec<Name>>> {
    let mut distance = 1;
    loop {
        if !name_at(input, distance) {
            return Ok(None);
        }
        distance += 2;
        if super::input::sign_at(input, distance - 1, ")") {
            break;
        }
        if !super::input::sign_at(input, distance - 1, ",") {
            return Ok(None);
        }
    }
    if !super::input::sign_at(input, distance, "=>") {
        return Ok(None);
    }
    let mut names = Vec::new();
    while !accept(input, "=>")? {
        take(input)?;
        if name_at(input, 0) {
            names.push(name(input, "a name")?);
        }
    }
    Ok(Some(names))
}
