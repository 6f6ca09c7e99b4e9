//! What is wrong with an expression, where, and what to do about it.

use std::fmt;

use thiserror::Error;

use crate::Span;

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{problem}")]
pub struct Diagnostic {
    /// The part of the text that is to blame.
    pub span: Span,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What can be wrong with an expression.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// The text does not follow the grammar.
    #[error("{0}")]
    Syntax(String),
    /// A node of `pql/json` is not what it must be; the place is a JSON pointer.
    #[error("{}: {message}", if .pointer.is_empty() { "the root" } else { .pointer })]
    Json {
        /// JSON pointer of the node.
        pointer: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The expression is larger than an expression may be.
    #[error("the limit {limit} is {}, and this has {found}: {}", .limit.allowed(), .limit.advice())]
    Limit {
        /// Which limit.
        limit: Limit,
        /// What the expression has.
        found: usize,
    },
    /// A path that the schema does not have.
    #[error("{holder} has no field {name:?}{}", suggestion(.nearest.as_deref()))]
    UnknownField {
        /// What was asked for.
        name: String,
        /// What was asked: the profile, the event, or a path.
        holder: String,
        /// A field that exists and looks alike, or another hint.
        nearest: Option<String>,
    },
    /// A function that the language does not have.
    #[error("there is no function {name}(){}", suggestion(.nearest.as_deref()))]
    UnknownFunction {
        /// What was called.
        name: String,
        /// A function that exists and looks alike.
        nearest: Option<String>,
    },
    /// A value of another type than is needed.
    #[error("{subject} must be {expected}, and is {found}{}", .help.as_ref().map(|help| format!(": {help}")).unwrap_or_default())]
    Type {
        /// What has the wrong type.
        subject: String,
        /// The type that is needed.
        expected: String,
        /// The type that it has.
        found: String,
        /// What to do.
        help: Option<String>,
    },
    /// Two values whose types do not go together.
    #[error("{subject} cannot take {left} and {right}{}", .help.as_ref().map(|help| format!(": {help}")).unwrap_or_default())]
    Mismatch {
        /// The operator or function.
        subject: String,
        /// Type of the left value.
        left: String,
        /// Type of the right value.
        right: String,
        /// What to do.
        help: Option<String>,
    },
    /// A function is called with the wrong number of arguments, or with arguments of the wrong form.
    #[error("{function}: {message}")]
    Arguments {
        /// The function.
        function: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A name or parameter that is not bound here.
    #[error("{0}")]
    Scope(String),
    /// Part of the language, or of its relatives, that a batch segment cannot use.
    #[error("{feature} is not supported: {reason}")]
    Unsupported {
        /// What it is.
        feature: String,
        /// Why not, and what to do.
        reason: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!(" (did you mean {name}?)"))
        .unwrap_or_default()
}

/// Limits on the size of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of the text.
    Size,
    /// Levels of expressions within expressions.
    Depth,
    /// Steps of one chain.
    ChainSteps,
    /// Size of a compiled regular expression.
    Regex,
}

impl Limit {
    /// The largest number that is allowed.
    pub fn allowed(self) -> usize {
        match self {
            Self::Size => 65_536,
            Self::Depth => 64,
            Self::ChainSteps => 6,
            Self::Regex => 1 << 20,
        }
    }

    /// Stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Size => "expression-size",
            Self::Depth => "expression-depth",
            Self::ChainSteps => "chain-steps",
            Self::Regex => "regex-size",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Size => "move parts of it to segments of their own and use inSegment()",
            Self::Depth => "use fewer parentheses, or move parts of it to segments of their own and use inSegment()",
            Self::ChainSteps => "split the chain, or leave steps out",
            Self::Regex => "repeat less, or match a shorter text",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl Diagnostic {
    /// This problem, there.
    pub fn new(span: Span, problem: Problem) -> Self {
        Self { span, problem }
    }

    pub(crate) fn syntax(span: Span, message: impl Into<String>) -> Self {
        Self::new(span, Problem::Syntax(message.into()))
    }

    pub(crate) fn unsupported(span: Span, feature: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(
            span,
            Problem::Unsupported {
                feature: feature.into(),
                reason: reason.into(),
            },
        )
    }

    /// Stable code of the problem.
    pub fn code(&self) -> &'static str {
        match self.problem {
            Problem::Syntax(_) | Problem::Json { .. } => "PQL_SYNTAX",
            Problem::Limit { .. } => "PQL_LIMIT",
            Problem::UnknownField { .. } | Problem::Scope(_) => "PQL_UNKNOWN_FIELD",
            Problem::UnknownFunction { .. } => "PQL_UNKNOWN_FUNCTION",
            Problem::Type { .. } | Problem::Mismatch { .. } | Problem::Arguments { .. } => "PQL_TYPE",
            Problem::Unsupported { .. } => "PQL_UNSUPPORTED",
        }
    }

    /// Position and problem on one line.
    pub fn line(&self, text: &str) -> String {
        format!("{}: {}", self.span.position(text), self.problem)
    }

    /// Position and problem, then the line of the text with the part to blame underlined.
    pub fn render(&self, text: &str) -> String {
        excerpt(self.span, text, &self.line(text))
    }
}

/// Something that is allowed and probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Stable name.
    pub code: &'static str,
    /// The part of the text.
    pub span: Span,
    /// What happens, and what is perhaps meant.
    pub message: String,
}

impl Warning {
    /// Position, name and message on one line.
    pub fn line(&self, text: &str) -> String {
        format!("{}: {}: {}", self.span.position(text), self.code, self.message)
    }

    /// The same, then the line of the text with the part underlined.
    pub fn render(&self, text: &str) -> String {
        excerpt(self.span, text, &self.line(text))
    }
}

fn excerpt(span: Span, text: &str, message: &str) -> String {
    let position = span.position(text);
    let Some(line) = text.lines().nth(position.line - 1) else {
        return message.to_owned();
    };
    let shown: String = line
        .chars()
        .map(|letter| if letter == '\t' { ' ' } else { letter })
        .collect();
    let room = shown.chars().count().saturating_sub(position.column - 1);
    let width = span
        .of(text)
        .chars()
        .take_while(|letter| *letter != '\n')
        .count()
        .clamp(1, room.max(1));
    format!(
        "{message}\n  {shown}\n  {}{}",
        " ".repeat(position.column - 1),
        "^".repeat(width)
    )
}

/// The candidate that looks most like `name`, if any looks alike.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Jaro-Winkler from here on reads as a slip of the finger rather than as another word.
    const ALIKE: f64 = 0.75;
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(score, candidate)| *score >= ALIKE && *candidate != name)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate.to_owned())
}
