//! The words of the language, in both directions.

use crate::ast::{Aggregate, ArithmeticOp, Comparison, Instant, Unit};

/// Words that stand between two operands, in any case of letters: a name cannot begin an operand with them.
const INFIX: &[&str] = &[
    "and", "or", "in", "notin", "like", "occurs", "from", "where", "over", "before", "after", "between", "on",
];

/// Words that cannot be bare names: fields with these names stand between backticks.
const RESERVED: &[&str] = &[
    "and",
    "or",
    "not",
    "in",
    "notin",
    "like",
    "occurs",
    "from",
    "where",
    "over",
    "true",
    "false",
    "null",
    "now",
    "today",
    "yesterday",
    "tomorrow",
    "this",
    "last",
    "next",
    "let",
    "if",
    "select",
    "exists",
    "forall",
    "chain",
];

pub(crate) fn is_infix(word: &str) -> bool {
    INFIX.iter().any(|known| word.eq_ignore_ascii_case(known))
}

pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|known| word.eq_ignore_ascii_case(known))
        || word == "xEvent"
        || Aggregate::from_word(word).is_some()
}

/// Whether a name can be written without backticks.
pub(crate) fn is_plain(name: &str) -> bool {
    name.chars().next().is_some_and(is_name_start) && name.chars().all(is_name_part)
}

pub(crate) fn is_name_start(letter: char) -> bool {
    letter.is_alphabetic() || letter == '_'
}

pub(crate) fn is_name_part(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

impl Unit {
    pub(crate) const ALL: [(Self, &'static str, &'static str); 11] = [
        (Self::Millisecond, "millisecond", "milliseconds"),
        (Self::Second, "second", "seconds"),
        (Self::Minute, "minute", "minutes"),
        (Self::Hour, "hour", "hours"),
        (Self::Day, "day", "days"),
        (Self::Week, "week", "weeks"),
        (Self::Month, "month", "months"),
        (Self::Year, "year", "years"),
        (Self::Decade, "decade", "decades"),
        (Self::Century, "century", "centuries"),
        (Self::Millennium, "millennium", "millennia"),
    ];

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, one, many)| word.eq_ignore_ascii_case(one) || word.eq_ignore_ascii_case(many))
            .map(|(unit, ..)| *unit)
    }

    pub(crate) fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(unit, ..)| *unit == self)
            .map_or("", |(_, one, _)| one)
    }

    pub(crate) fn words(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(unit, ..)| *unit == self)
            .map_or("", |(.., many)| many)
    }
}

impl Instant {
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Now, Self::Today, Self::Yesterday, Self::Tomorrow]
            .into_iter()
            .find(|instant| word.eq_ignore_ascii_case(instant.word()))
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Today => "today",
            Self::Yesterday => "yesterday",
            Self::Tomorrow => "tomorrow",
        }
    }
}

impl Aggregate {
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Count, Self::Sum, Self::Average, Self::Min, Self::Max]
            .into_iter()
            .find(|function| word == function.word())
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Average => "average",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

impl Comparison {
    pub(crate) const ALL: [Self; 6] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
    ];

    /// Its sign.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl ArithmeticOp {
    pub(crate) const ALL: [Self; 5] = [Self::Add, Self::Subtract, Self::Multiply, Self::Divide, Self::Remainder];

    /// Its sign.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}
