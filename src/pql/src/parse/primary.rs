//! Operands: literals, names, calls, and what may follow them.

use super::{
    binders::{chain, expr, generators, lambda_head},
    input::{Input, Parsed, accept, accept_word, ahead, expect, here, missing, name, refuse, sign_at, since, take},
    lexer::Kind,
    node,
};
use crate::{
    Span,
    ast::{Aggregate, Expr, ExprKind, Instant, Literal, Name},
    words,
};

/// An operand with its fields, methods and filters.
pub(super) fn postfix(input: &mut Input<'_>) -> Parsed<Expr> {
    let start = here(input);
    let mut whole = primary(input)?;
    loop {
        if accept(input, ".")? {
            let field = name(input, "the name of a field or a function")?;
            whole = if sign_at(input, 0, "(") {
                let arguments = arguments(input)?;
                node(
                    since(input, start),
                    ExprKind::Call {
                        function: field,
                        receiver: Some(Box::new(whole)),
                        arguments,
                    },
                )?
            } else {
                node(since(input, start), ExprKind::Field(Box::new(whole), field))?
            };
        } else if accept(input, "[")? {
            let condition = expr(input)?;
            expect(input, "]", "to close the filter")?;
            whole = node(
                since(input, start),
                ExprKind::Filter(Box::new(whole), Box::new(condition)),
            )?;
        } else {
            return Ok(whole);
        }
    }
}

fn arguments(input: &mut Input<'_>) -> Parsed<Vec<Expr>> {
    expect(input, "(", "before the arguments")?;
    list(input, ")", expr)
}

/// Items up to the closing sign, separated by commas.
fn list<'t, T>(input: &mut Input<'t>, close: &str, item: impl Fn(&mut Input<'t>) -> Parsed<T>) -> Parsed<Vec<T>> {
    let mut found = Vec::new();
    if accept(input, close)? {
        return Ok(found);
    }
    loop {
        found.push(item(input)?);
        if !accept(input, ",")? {
            expect(input, close, "or a comma")?;
            return Ok(found);
        }
    }
}

fn primary(input: &mut Input<'_>) -> Parsed<Expr> {
    let Some(token) = ahead(input, 0) else {
        return missing(input, "an operand");
    };
    let span = token.span;
    let literal = |input: &mut Input<'_>, literal| {
        take(input)?;
        node(span, ExprKind::Literal(literal))
    };
    match &token.kind {
        Kind::String(text) => literal(input, Literal::String(text.clone())),
        Kind::Int(number) => literal(input, Literal::Int(*number)),
        Kind::Double(number) => literal(input, Literal::Double(*number)),
        Kind::Context(path) => {
            take(input)?;
            node(span, ExprKind::Context(path.clone()))
        }
        Kind::Quoted(_) => named(input),
        Kind::Word(word) => keyword(input, span, word),
        Kind::Sign(sign) => bracketed(input, span, sign),
        Kind::End => missing(input, "an operand: a path, a literal or a function"),
    }
}

fn bracketed(input: &mut Input<'_>, start: Span, sign: &str) -> Parsed<Expr> {
    match sign {
        "(" => {
            if let Some(names) = lambda_head(input)? {
                let body = expr(input)?;
                return node(since(input, start), ExprKind::Lambda(names, Box::new(body)));
            }
            take(input)?;
            let inner = expr(input)?;
            expect(input, ")", "to close the parenthesis")?;
            Ok(inner)
        }
        "[" => {
            take(input)?;
            let items = list(input, "]", expr)?;
            node(since(input, start), ExprKind::List(items))
        }
        "{" => {
            take(input)?;
            let entries = list(input, "}", entry)?;
            node(since(input, start), ExprKind::Object(entries))
        }
        "$" => {
            take(input)?;
            let position = ahead(input, 0).map(|token| &token.kind);
            let Some(Kind::Int(position)) = position else {
                return missing(input, "a number: $1 is the profile");
            };
            take(input)?;
            let position = u32::try_from(*position).unwrap_or(u32::MAX);
            node(since(input, start), ExprKind::Parameter(position))
        }
        "^" => up(input, start),
        _ => missing(input, "an operand: a path, a literal or a function"),
    }
}

fn entry(input: &mut Input<'_>) -> Parsed<(String, Expr)> {
    let Some(Kind::String(key)) = ahead(input, 0).map(|token| &token.kind) else {
        return missing(input, "a key between double quotes");
    };
    take(input)?;
    expect(input, ":", "and the value of the key")?;
    Ok((key.clone(), expr(input)?))
}

fn up(input: &mut Input<'_>, start: Span) -> Parsed<Expr> {
    let mut levels = 0;
    while accept(input, "^")? {
        levels += 1;
    }
    let above = node(since(input, start), ExprKind::Up(levels))?;
    if sign_at(input, 0, ".") || !super::input::name_at(input, 0) {
        return Ok(above);
    }
    let field = name(input, "the name of a field")?;
    if sign_at(input, 0, "(") {
        return refuse(
            start,
            "^ stands before a field, not before a function: write ^.field.function()",
        );
    }
    node(since(input, start), ExprKind::Field(Box::new(above), field))
}

fn keyword(input: &mut Input<'_>, span: Span, word: &str) -> Parsed<Expr> {
    let called = sign_at(input, 1, "(");
    let lower = word.to_ascii_lowercase();
    let kind = match lower.as_str() {
        "true" => ExprKind::Literal(Literal::Bool(true)),
        "false" => ExprKind::Literal(Literal::Bool(false)),
        "null" => ExprKind::Literal(Literal::Null),
        "this" if !called => ExprKind::This,
        "chain" if called => {
            take(input)?;
            let kind = chain(input)?;
            return node(since(input, span), kind);
        }
        "if" if called => return conditional(input, span),
        _ if called => return named(input),
        _ if word == "xEvent" => ExprKind::Events,
        _ if words::is_infix(word) || ["not", "last", "next"].contains(&lower.as_str()) => {
            return refuse(
                span,
                format!(
                    "{word} is a reserved word: an operand is expected here; a field of this name is written `{word}`"
                ),
            );
        }
        _ => match Instant::from_word(word) {
            Some(instant) => ExprKind::Instant(instant),
            None => return named(input),
        },
    };
    take(input)?;
    node(span, kind)
}

fn conditional(input: &mut Input<'_>, start: Span) -> Parsed<Expr> {
    take(input)?;
    let parts = arguments(input)?;
    let span = since(input, start);
    match <[Expr; 3]>::try_from(parts) {
        Ok([condition, then, otherwise]) => node(
            span,
            ExprKind::If(Box::new(condition), Box::new(then), Box::new(otherwise)),
        ),
        Err(parts) => refuse(
            span,
            format!(
                "if takes a condition and two values, if(condition, then, otherwise), and has {} arguments",
                parts.len()
            ),
        ),
    }
}

/// A bare name or a call.
fn named(input: &mut Input<'_>) -> Parsed<Expr> {
    let start = here(input);
    let found = name(input, "a name")?;
    if !sign_at(input, 0, "(") {
        return node(start, ExprKind::Name(found.text));
    }
    let arguments = arguments(input)?;
    match over(input, &found, arguments)? {
        Called::Plain(arguments) => node(
            since(input, start),
            ExprKind::Call {
                function: found,
                receiver: None,
                arguments,
            },
        ),
        Called::Over(kind) => node(since(input, start), kind),
    }
}

enum Called {
    Plain(Vec<Expr>),
    Over(ExprKind),
}

/// `sum(a) over v from b` is no call.
fn over(input: &mut Input<'_>, function: &Name, mut arguments: Vec<Expr>) -> Parsed<Called> {
    let Some(function) = Aggregate::from_word(&function.text) else {
        return Ok(Called::Plain(arguments));
    };
    if arguments.len() != 1 || !accept_word(input, "over")? {
        return Ok(Called::Plain(arguments));
    }
    let Some(value) = arguments.pop() else {
        return missing(input, "a value");
    };
    Ok(Called::Over(ExprKind::Aggregate {
        function,
        value: Box::new(value),
        generators: generators(input)?,
    }))
}
