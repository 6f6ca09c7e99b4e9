//! The stream of tokens, and what is asked of it.

use winnow::{
    ModalResult, Parser,
    error::{ErrMode, ParserError},
    stream::{Stateful, TokenSlice},
    token::any,
};

use super::{
    lexer::{Kind, Token},
    stop::Stop,
};
use crate::{Diagnostic, Limit, Problem, Span, ast::Name, words};

/// Tokens, the last of which is [`Kind::End`].
pub(crate) type Input<'t> = Stateful<TokenSlice<'t, Token>, State>;

/// What holds for the place that is parsed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    /// Brackets and prefixes that are open.
    depth: usize,
    /// Within the value of a `let`, where `in` ends the value.
    pub(crate) in_ends: bool,
    /// End of the token before.
    end: usize,
}

pub(crate) type Parsed<T> = ModalResult<T, Stop>;

/// Ends the parse with this problem.
pub(crate) fn refuse<T>(span: Span, message: impl Into<String>) -> Parsed<T> {
    refuse_with(Diagnostic::syntax(span, message))
}

/// Ends the parse with this problem.
pub(crate) fn refuse_with<T>(diagnostic: Diagnostic) -> Parsed<T> {
    Err(ErrMode::Cut(Stop::at(diagnostic)))
}

/// The token so many after the next.
pub(crate) fn ahead<'t>(input: &Input<'t>, distance: usize) -> Option<&'t Token> {
    // Cloning a stream clones two references; it dereferences to a slice of a shorter life than the tokens have.
    let mut copy = input.clone();
    let mut found = None;
    for _ in 0..=distance {
        found = step(&mut copy);
    }
    found
}

fn step<'t>(input: &mut Input<'t>) -> Option<&'t Token> {
    let next: Parsed<&'t Token> = any.parse_next(input);
    next.ok()
}

/// Takes the next token.
pub(crate) fn take<'t>(input: &mut Input<'t>) -> Parsed<&'t Token> {
    let token: &'t Token = any.parse_next(input)?;
    input.state.end = token.span.end;
    Ok(token)
}

/// From `start` to the end of what was taken last.
pub(crate) fn since(input: &Input<'_>, start: Span) -> Span {
    Span::new(start.start, input.state.end.max(start.end))
}

/// Where the next token stands.
pub(crate) fn here(input: &Input<'_>) -> Span {
    ahead(input, 0).map(|token| token.span).unwrap_or_default()
}

/// Whether the token so many after the next is this sign.
pub(crate) fn sign_at(input: &Input<'_>, distance: usize, sign: &str) -> bool {
    matches!(ahead(input, distance), Some(Token { kind: Kind::Sign(found), .. }) if *found == sign)
}

/// The word, in lower case, that the token so many after the next is.
pub(crate) fn word_at(input: &Input<'_>, distance: usize) -> Option<String> {
    match ahead(input, distance) {
        Some(Token {
            kind: Kind::Word(word), ..
        }) => Some(word.to_ascii_lowercase()),
        _ => None,
    }
}

/// Whether the next token is this keyword.
pub(crate) fn is_word(input: &Input<'_>, word: &str) -> bool {
    matches!(ahead(input, 0), Some(Token { kind: Kind::Word(found), .. }) if found.eq_ignore_ascii_case(word))
}

/// Whether the token so many after the next can be a name.
pub(crate) fn name_at(input: &Input<'_>, distance: usize) -> bool {
    match ahead(input, distance).map(|token| &token.kind) {
        Some(Kind::Word(word)) => !words::is_infix(word),
        Some(Kind::Quoted(_)) => true,
        _ => false,
    }
}

/// Takes the sign, if it is next.
pub(crate) fn accept(input: &mut Input<'_>, sign: &str) -> Parsed<bool> {
    let found = sign_at(input, 0, sign);
    if found {
        take(input)?;
    }
    Ok(found)
}

/// Takes the keyword, if it is next.
pub(crate) fn accept_word(input: &mut Input<'_>, word: &str) -> Parsed<bool> {
    let found = is_word(input, word);
    if found {
        take(input)?;
    }
    Ok(found)
}

/// Takes the sign, or says what is missing.
pub(crate) fn expect(input: &mut Input<'_>, sign: &str, purpose: &str) -> Parsed<Span> {
    let span = here(input);
    if accept(input, sign)? {
        Ok(span)
    } else {
        missing(input, &format!("{sign} {purpose}"))
    }
}

/// Says that something else is expected here.
pub(crate) fn missing<T>(input: &Input<'_>, expected: &str) -> Parsed<T> {
    match ahead(input, 0) {
        Some(token) => refuse(token.span, format!("expected {expected}, found {}", token.kind)),
        None => Err(ParserError::from_input(input)),
    }
}

/// Takes a name that is no keyword of this place; `what` says what it names.
pub(crate) fn name(input: &mut Input<'_>, what: &str) -> Parsed<Name> {
    match ahead(input, 0) {
        Some(Token {
            kind: Kind::Word(text) | Kind::Quoted(text),
            span,
        }) => {
            let name = Name {
                text: text.clone(),
                span: *span,
            };
            take(input)?;
            Ok(name)
        }
        _ => missing(input, what),
    }
}

/// Parses one level deeper, where `in` means what it always does.
pub(crate) fn deeper<'t, T>(input: &mut Input<'t>, parser: impl FnOnce(&mut Input<'t>) -> Parsed<T>) -> Parsed<T> {
    let before = input.state;
    let depth = before.depth + 1;
    if depth > Limit::Depth.allowed() {
        return refuse_with(Diagnostic::new(
            here(input),
            Problem::Limit {
                limit: Limit::Depth,
                found: depth,
            },
        ));
    }
    input.state.depth = depth;
    input.state.in_ends = false;
    let parsed = parser(input);
    input.state.depth = before.depth;
    input.state.in_ends = before.in_ends;
    parsed
}
