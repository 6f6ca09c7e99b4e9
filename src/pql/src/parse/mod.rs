//! From text to a syntax tree.

mod binders;
mod input;
mod lexer;
mod operators;
mod primary;
mod stop;
mod time;

use winnow::stream::{Stateful, TokenSlice};

use self::{
    input::{Input, Parsed, State, ahead, missing, refuse},
    lexer::Kind,
    stop::Stop,
};
use crate::{
    Diagnostic, Limit, Problem, Span,
    ast::{Expr, ExprKind},
    words,
};

/// Reads an expression of `pql/text`.
///
/// # Errors
/// The first thing that is wrong with the text.
pub fn parse(text: &str) -> Result<Expr, Diagnostic> {
    let all = Span::new(0, text.len());
    if text.len() > Limit::Size.allowed() {
        return Err(Diagnostic::new(
            all,
            Problem::Limit {
                limit: Limit::Size,
                found: text.len(),
            },
        ));
    }
    let tokens = lexer::tokens(text)?;
    if tokens.len() == 1 {
        return Err(Diagnostic::syntax(
            all,
            "the expression is empty: write a condition such as person.age >= 21",
        ));
    }
    let mut input = Stateful {
        input: TokenSlice::new(&tokens),
        state: State::default(),
    };
    query(&mut input).map_err(|error| {
        let reason = error.into_inner().ok().and_then(Stop::reason);
        reason.unwrap_or_else(|| Diagnostic::syntax(all, "the expression ends too early"))
    })
}

fn query(input: &mut Input<'_>) -> Parsed<Expr> {
    let expr = binders::expr(input)?;
    let Some(token) = ahead(input, 0) else { return Ok(expr) };
    match &token.kind {
        Kind::End => Ok(expr),
        Kind::Sign(sign @ (")" | "]" | "}")) => refuse(
            token.span,
            format!("this {sign} closes nothing: remove it, or open it earlier"),
        ),
        Kind::Sign("," | ":") => refuse(
            token.span,
            format!(
                "{} has no meaning here: a segment is one condition; join several with and / or",
                token.kind
            ),
        ),
        Kind::Word(word) if words::is_infix(word) => refuse(token.span, format!("{word} has no meaning here")),
        _ => missing(input, "and, or, an operator or the end of the expression"),
    }
}

/// A node, or the reason why it is too deep.
fn node(span: Span, kind: ExprKind) -> Parsed<Expr> {
    Expr::new(span, kind).or_else(input::refuse_with)
}
