//! From text to tokens.

use std::fmt;

use winnow::{
    ModalResult, Parser,
    combinator::{alt, opt, preceded, repeat},
    error::{ErrMode, ParserError},
    stream::{LocatingSlice, Location, Stream},
    token::{any, literal, one_of, take_till, take_while},
};

use super::stop::Stop;
use crate::{
    Diagnostic, Span,
    words::{is_name_part, is_name_start},
};

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A name or a keyword.
    Word(String),
    /// A name between backticks: never a keyword.
    Quoted(String),
    /// `"text"`.
    String(String),
    Int(i64),
    Double(f64),
    /// What stands in `@{…}`.
    Context(String),
    /// Punctuation and operators.
    Sign(&'static str),
    /// The end of the text.
    End,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(out, "{word}"),
            Self::Quoted(name) => write!(out, "`{name}`"),
            Self::String(text) => write!(out, "{text:?}"),
            Self::Int(number) => write!(out, "{number}"),
            Self::Double(number) => write!(out, "{number:?}"),
            Self::Context(path) => write!(out, "@{{{path}}}"),
            Self::Sign(sign) => write!(out, "{sign}"),
            Self::End => write!(out, "the end of the expression"),
        }
    }
}

/// Longest first: `<=` before `<`.
const SIGNS: &[&str] = &[
    "=>", "!=", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "!", "^", ".", ",", "(", ")", "[", "]", "{", "}",
    ":", "$",
];

/// What other languages write, and what it is here.
const FOREIGN: &[(&str, &str)] = &[
    ("==", "equality is written ="),
    ("<>", "inequality is written !="),
    ("&&", "write and"),
    ("||", "write or"),
    ("//", "the language has no comments"),
    ("/*", "the language has no comments"),
    ("--", "the language has no comments and no decrement: write - (-x)"),
    ("'", "texts stand between double quotes: \"text\""),
    ("\u{201c}", "texts stand between straight double quotes: \"text\""),
    ("\u{201d}", "texts stand between straight double quotes: \"text\""),
    ("#", "the language has no comments"),
    (";", "an expression stands alone: remove the ;"),
];

type Text<'t> = LocatingSlice<&'t str>;

/// All tokens, [`Kind::End`] last.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Diagnostic> {
    let mut input = LocatingSlice::new(text);
    let mut found = Vec::new();
    loop {
        let outcome: ModalResult<(), Stop> = take_while(0.., char::is_whitespace).void().parse_next(&mut input);
        if outcome.is_err() || input.is_empty() {
            break;
        }
        let start = input.current_token_start();
        if let Some(Token {
            kind: Kind::String(_),
            span,
        }) = found.last()
            && span.end == start
            && input.starts_with(is_name_part)
        {
            return Err(Diagnostic::syntax(
                *span,
                "this text is followed by letters: a \" is missing at its beginning, at its end, or further ahead",
            ));
        }
        match token.with_span().parse_next(&mut input) {
            Ok((kind, span)) => found.push(Token {
                kind,
                span: Span::new(span.start, span.end),
            }),
            Err(error) => {
                return Err(error
                    .into_inner()
                    .ok()
                    .and_then(Stop::reason)
                    .unwrap_or_else(|| unexpected(text, start)));
            }
        }
    }
    found.push(Token {
        kind: Kind::End,
        span: Span::new(text.len(), text.len()),
    });
    Ok(found)
}

fn unexpected(text: &str, start: usize) -> Diagnostic {
    let letter = text[start..].chars().next().unwrap_or(' ');
    Diagnostic::syntax(
        Span::new(start, start + letter.len_utf8()),
        format!("{letter:?} has no meaning here: remove it"),
    )
}

fn stop<T>(span: Span, message: impl Into<String>) -> ModalResult<T, Stop> {
    Err(ErrMode::Cut(Stop::at(Diagnostic::syntax(span, message))))
}

fn token(input: &mut Text<'_>) -> ModalResult<Kind, Stop> {
    alt((word, number, string, quoted, context, sign)).parse_next(input)
}

fn word(input: &mut Text<'_>) -> ModalResult<Kind, Stop> {
    (one_of(is_name_start), take_while(0.., is_name_part))
        .take()
        .map(|word: &str| Kind::Word(word.to_owned()))
        .parse_next(input)
}

fn sign(input: &mut Text<'_>) -> ModalResult<Kind, Stop> {
    let start = input.current_token_start();
    for (foreign, advice) in FOREIGN {
        if input.starts_with(foreign) {
            return stop(
                Span::new(start, start + foreign.len()),
                format!("{foreign} is not of this language: {advice}"),
            );
        }
    }
    for known in SIGNS {
        if opt(literal(*known)).parse_next(input)?.is_some() {
            return Ok(Kind::Sign(known));
        }
    }
    Err(ParserError::from_input(input))
}

fn number(input: &mut Text<'_>) -> ModalResult<Kind, Stop> {
    let start = input.current_token_start();
    let digits =
        |input: &mut Text<'_>| -> ModalResult<(), Stop> { take_while(1.., '0'..='9').void().parse_next(input) };
    let whole = digits.take().parse_next(input)?;
    let rest = (
        opt(('.', digits)),
        opt((one_of(['e', 'E']), opt(one_of(['+', '-'])), digits)),
    )
        .take()
        .parse_next(input)?;
    if rest.is_empty() {
        let _long = opt(one_of(['L', 'l'])).parse_next(input)?;
    }
    if let Some(letter) = input.chars().next().filter(|letter| is_name_part(*letter)) {
        let end = input.current_token_start();
        return stop(
            Span::new(start, end + letter.len_utf8()),
            format!("{whole}{rest}{letter} is neither a number nor a name: a name cannot begin with a digit"),
        );
    }
    let span = Span::new(start, input.current_token_start());
    if rest.is_empty() {
        let parsed = whole.parse().map(Kind::Int);
        return parsed.or_else(|_| {
            stop(
                span,
                format!("{whole} is too large: whole numbers go up to {}", i64::MAX),
            )
        });
    }
    match format!("{whole}{rest}").parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Kind::Double(number)),
        _ => stop(span, format!("{whole}{rest} is too large for a number")),
    }
}

fn string(input: &mut Text<'_>) -> ModalResult<Kind, Stop> {
    let start = input.current_token_start();
    '"'.void().parse_next(input)?;
    let mut text = String::new();
    loop {
        let plain = take_till(0.., ['"', '\\']).parse_next(input)?;
        text.push_str(plain);
        let end = input.current_token_start();
        match opt(any).parse_next(input)? {
            None => return stop(Span::new(start, end), "this text does not end: a \" is missing"),
            Some('"') => return Ok(Kind::String(text)),
            Some(_) => match opt(escape).parse_next(input)? {
                Some(letter) => text.push(letter),
                None => {
                    return stop(
                        Span::new(
                            end,
                            (end + 2).min(end + 1 + input.chars().next().map_or(0, char::len_utf8)),
                        ),
                        "a backslash in a text must be doubled (\\\\), or stand before \" n t r b f / or uXXXX",
                    );
                }
            },
        }
    }
}

fn escape(input: &mut Text<'_>) -> ModalResult<char, Stop> {
    let checkpoint = input.checkpoint();
    let letter: char = any.parse_next(input)?;
    let plain = match letter {
        '"' | '\\' | '/' | '\'' => Some(letter),
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'u' => return unicode.parse_next(input),
        _ => None,
    };
    plain.map_or_else(
        || {
            input.reset(&checkpoint);
            Err(ParserError::from_input(input))
        },
        Ok,
    )
}

/// Four digits, or a surrogate pair of two escapes.
fn unicode(input: &mut Text<'_>) -> ModalResult<char, Stop> {
    let first = unit.parse_next(input)?;
    let letter = if (0xd800..0xdc00).contains(&first) {
        let second = preceded("\\u", unit).parse_next(input)?;
        char::decode_utf16([first, second]).next().and_then(Result::ok)
    } else {
        char::from_u32(u32::from(first))
    };
    letter.ok_or_else(|| ParserError::from_input(input))
}

fn unit(input: &mut Text<'_>) -> ModalResult<u16, Stop> {
    let digits: &str = take_while(4, |letter: char| letter.is_ascii_hexdigit()).parse_next(input)?;
    u16::from_str_radix(digits, 16).map_err(|_| ParserError::from_input(input))
}

fn quoted(input: &mut Text<'_>) -> ModalResult<Kind, Stop> {
    let start = input.current_token_start();
    '`'.void().parse_next(input)?;
    let name: String = repeat(
        0..,
        alt((take_till(1.., ['`', '\\']), preceded('\\', one_of(['`', '\\']).take()))),
    )
    .fold(String::new, |name, part: &str| name + part)
    .parse_next(input)?;
    let end = input.current_token_start();
    if opt('`').parse_next(input)?.is_none() {
        return stop(Span::new(start, end), "this name does not end: a ` is missing");
    }
    if name.is_empty() {
        return stop(Span::new(start, end + 1), "a name between backticks cannot be empty");
    }
    Ok(Kind::Quoted(name))
}

fn context(input: &mut Text<'_>) -> ModalResult<Kind, Stop> {
    let start = input.current_token_start();
    "@{".void().parse_next(input)?;
    let path = take_till(0.., '}').parse_next(input)?;
    let end = input.current_token_start();
    if opt('}').parse_next(input)?.is_none() {
        return stop(Span::new(start, end), "this reference does not end: a } is missing");
    }
    Ok(Kind::Context(path.to_owned()))
}
