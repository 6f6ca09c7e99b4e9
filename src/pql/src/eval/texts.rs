//! Functions of texts.

use super::{Context, Node, Value};
use crate::op::{Change, Op, TextOp, TextTest};

impl<'a, N: Node<'a>> Context<'a, N> {
    pub(super) fn text_truth(&mut self, op: &'a Op) -> bool {
        match op {
            Op::Text(TextOp::Test {
                text,
                test,
                others,
                ignore_case,
                negated,
            }) => others
                .iter()
                .any(|other| self.test(text, *test, other, (*ignore_case, *negated))),
            Op::Text(TextOp::Matches(text, regex)) => !self.each_or_self(text, &mut |_, value| {
                !value.text().is_some_and(|text| regex.is_match(text))
            }),
            Op::Text(TextOp::Empty(text, negated)) => self.value(text).text().is_none_or(str::is_empty) != *negated,
            _ => false,
        }
    }

    /// Whether some text passes the test against some other text.
    fn test(&mut self, text: &'a Op, kind: TextTest, other: &'a Op, (ignore_case, negated): (bool, bool)) -> bool {
        let other = self.value(other);
        let wanted: Vec<_> = if other.is_list() { other.items() } else { vec![other] };
        !self.each_or_self(text, &mut |_, value| {
            let Some(text) = value.text() else { return true };
            let passed = wanted.iter().filter_map(Value::text).any(|wanted| {
                let found = if ignore_case {
                    passes(kind, &text.to_lowercase(), &wanted.to_lowercase())
                } else {
                    passes(kind, text, wanted)
                };
                found != negated
            });
            !passed
        })
    }

    pub(super) fn text_value(&mut self, text: &'a TextOp, op: &'a Op) -> Value<'a, N> {
        match text {
            TextOp::Test { .. } | TextOp::Matches(..) | TextOp::Empty(..) => Value::Bool(self.text_truth(op)),
            TextOp::Group(text, regex, group) => {
                let value = self.value(text);
                let found = value.text().and_then(|text| regex.captures(text));
                found
                    .and_then(|found| found.get(*group))
                    .map_or(Value::Null, |found| Value::made(found.as_str()))
            }
            TextOp::Length(text) => {
                let value = self.value(text);
                let length = value
                    .text()
                    .map(|text| text.chars().count())
                    .and_then(|length| i64::try_from(length).ok());
                length.map_or(Value::Null, Value::Int)
            }
            TextOp::Change(text, change) => {
                let value = self.value(text);
                value.text().map_or(Value::Null, |text| match change {
                    Change::Lower => Value::made(&text.to_lowercase()),
                    Change::Upper => Value::made(&text.to_uppercase()),
                    Change::Trim => Value::made(text.trim()),
                })
            }
            TextOp::Concat(parts) => {
                let mut whole = String::new();
                for part in parts {
                    match self.value(part).text() {
                        Some(part) => whole.push_str(part),
                        None => return Value::Null,
                    }
                }
                Value::made(&whole)
            }
            TextOp::Substr(text, from, to) => {
                let (value, from) = (self.value(text), self.value(from));
                let to = to.as_ref().map(|to| self.value(to));
                substr(&value, &from, to.as_ref())
            }
        }
    }
}

/// Characters from one position up to another; positions beyond the ends are the ends.
fn substr<'a, N: Node<'a>>(value: &Value<'a, N>, from: &Value<'a, N>, to: Option<&Value<'a, N>>) -> Value<'a, N> {
    let position = |value: &Value<'a, N>| match value {
        Value::Int(position) => Some(usize::try_from(*position).unwrap_or(0)),
        _ => None,
    };
    let to = match to {
        None => Some(usize::MAX),
        Some(to) => position(to),
    };
    let (Some(text), Some(from), Some(to)) = (value.text(), position(from), to) else {
        return Value::Null;
    };
    let part: String = text.chars().skip(from).take(to.saturating_sub(from)).collect();
    Value::made(&part)
}

fn passes(kind: TextTest, text: &str, wanted: &str) -> bool {
    match kind {
        TextTest::Equals => text == wanted,
        TextTest::StartsWith => text.starts_with(wanted),
        TextTest::EndsWith => text.ends_with(wanted),
        TextTest::Contains => text.contains(wanted),
    }
}
