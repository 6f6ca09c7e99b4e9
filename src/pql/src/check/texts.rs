//! Functions of texts.

use regex::{Regex, RegexBuilder};

use super::{Checked, Checker, Result, calls::Call, wrong_type};
use crate::{
    Diagnostic, Expr, Limit, Problem, Span, Type,
    ast::{ExprKind, Literal},
    op::{Change, Op, TextOp, TextTest},
};

impl Checker<'_> {
    /// A text, or a list of texts of which some must do.
    pub(super) fn text(&mut self, expr: &Expr, subject: &str) -> Result<Checked> {
        let checked = self.expr(expr)?;
        if checked.type_.item().is_text() {
            return Ok(checked);
        }
        let help =
            matches!(checked.type_.item(), Type::Int | Type::Double | Type::Bool).then_some("use = to compare it");
        Err(wrong_type(expr.span, subject, "a string", &checked.type_, help))
    }

    fn one_text(&mut self, expr: &Expr, subject: &str) -> Result<Op> {
        let checked = self.text(expr, subject)?;
        if matches!(checked.type_, Type::List(_)) {
            return Err(wrong_type(
                expr.span,
                subject,
                "a string",
                &checked.type_,
                Some("use head(), or map() for each item"),
            ));
        }
        Ok(checked.op)
    }

    pub(super) fn text_test(&mut self, call: &Call<'_>) -> Result<Checked> {
        let (kind, negated) = match call.function {
            "startsWith" => (TextTest::StartsWith, false),
            "doesNotStartWith" => (TextTest::StartsWith, true),
            "endsWith" => (TextTest::EndsWith, false),
            "doesNotEndWith" => (TextTest::EndsWith, true),
            "contains" => (TextTest::Contains, false),
            "doesNotContain" => (TextTest::Contains, true),
            "notEqualTo" | "notEqualWithIgnoreCase" => (TextTest::Equals, true),
            _ => (TextTest::Equals, false),
        };
        let (arguments, case_sensitive) = match call.arguments.split_last() {
            Some((
                Expr {
                    kind: ExprKind::Literal(Literal::Bool(case_sensitive)),
                    ..
                },
                rest,
            )) if !rest.is_empty() => (rest, *case_sensitive),
            _ => (call.arguments, !call.function.contains("IgnoreCase")),
        };
        let name = call.function;
        if arguments.len() > 1 && call.function != "equals" {
            let message = "the second argument says whether case matters: true or false".to_owned();
            return Err(Diagnostic::new(
                arguments[1].span,
                Problem::Arguments {
                    function: format!("{name}()"),
                    message,
                },
            ));
        }
        let subject = call.subject.to_string();
        let text = self.text(call.subject, &subject)?;
        let others = arguments.iter().map(|other| {
            self.text(other, &format!("the argument of {name}()"))
                .map(|other| other.op)
        });
        let others = others.collect::<Result<Vec<_>>>()?;
        if negated {
            let positive = match kind {
                TextTest::Equals => "not a.equals(b)",
                TextTest::StartsWith => "not a.startsWith(b)",
                TextTest::EndsWith => "not a.endsWith(b)",
                TextTest::Contains => "not a.contains(b)",
            };
            self.warn_of_negative(call.span, matches!(text.type_, Type::List(_)), name, positive);
        }
        let op = TextOp::Test {
            text: Box::new(text.op),
            test: kind,
            others,
            ignore_case: !case_sensitive,
            negated,
        };
        Ok(Checked::bool(Op::Text(op)))
    }

    pub(super) fn regex(&mut self, call: &Call<'_>) -> Result<Checked> {
        let pattern = &call.arguments[0];
        let ExprKind::Literal(Literal::String(written)) = &pattern.kind else {
            let feature = "a computed regular expression";
            return Err(Diagnostic::unsupported(
                pattern.span,
                feature,
                format!("{}() takes one between double quotes", call.function),
            ));
        };
        let regex = compile(pattern.span, written)?;
        let subject = call.subject.to_string();
        if call.function == "matches" {
            let text = self.text(call.subject, &subject)?;
            return Ok(Checked::bool(Op::Text(TextOp::Matches(Box::new(text.op), regex))));
        }
        let text = self.one_text(call.subject, &subject)?;
        let number = &call.arguments[1];
        let ExprKind::Literal(Literal::Int(group)) = number.kind else {
            return Err(Diagnostic::unsupported(
                number.span,
                "a computed group",
                "regexGroup() takes a whole number",
            ));
        };
        let group = usize::try_from(group)
            .ok()
            .filter(|group| *group < regex.captures_len());
        let Some(group) = group else {
            let message = format!(
                "the regular expression has the groups 0 to {}",
                regex.captures_len() - 1
            );
            return Err(Diagnostic::new(
                number.span,
                Problem::Arguments {
                    function: "regexGroup()".to_owned(),
                    message,
                },
            ));
        };
        Ok(Checked::new(
            Op::Text(TextOp::Group(Box::new(text), regex, group)),
            Type::String,
        ))
    }

    pub(super) fn text_function(&mut self, call: &Call<'_>) -> Result<Checked> {
        let subject = call.subject.to_string();
        let text = Box::new(self.one_text(call.subject, &subject)?);
        let op = match call.function {
            "isEmpty" => return Ok(Checked::bool(Op::Text(TextOp::Empty(text, false)))),
            "isNotEmpty" => return Ok(Checked::bool(Op::Text(TextOp::Empty(text, true)))),
            "length" => return Ok(Checked::new(Op::Text(TextOp::Length(text)), Type::Int)),
            "lowerCase" => TextOp::Change(text, Change::Lower),
            "upperCase" => TextOp::Change(text, Change::Upper),
            "trim" => TextOp::Change(text, Change::Trim),
            "substr" => {
                let from = self.number(&call.arguments[0], "the start of substr()")?.op;
                let to = call
                    .arguments
                    .get(1)
                    .map(|to| self.number(to, "the end of substr()"))
                    .transpose()?;
                TextOp::Substr(text, Box::new(from), to.map(|to| Box::new(to.op)))
            }
            _ => {
                let mut parts = vec![*text];
                for argument in call.arguments {
                    parts.push(self.one_text(argument, "the argument of concat()")?);
                }
                TextOp::Concat(parts)
            }
        };
        Ok(Checked::new(Op::Text(op), Type::String))
    }
}

/// A regular expression of Java, as far as it can be matched in linear time.
pub(super) fn compile(span: Span, pattern: &str) -> Result<Regex> {
    let limit = Limit::Regex.allowed();
    let built = RegexBuilder::new(pattern)
        .size_limit(limit)
        .dfa_size_limit(2 * limit)
        .nest_limit(100)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(found) => Diagnostic::new(
            span,
            Problem::Limit {
                limit: Limit::Regex,
                found: found.max(limit + 1),
            },
        ),
        _ if ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|look| pattern.contains(look)) => Diagnostic::unsupported(
            span,
            "look-around in a regular expression",
            "it cannot be matched in linear time: join two conditions with and / not instead",
        ),
        _ if (1..10).any(|number| pattern.contains(&format!("\\{number}"))) => Diagnostic::unsupported(
            span,
            "a back-reference in a regular expression",
            "it cannot be matched in linear time",
        ),
        other => {
            let reason = other.to_string();
            let reason = reason
                .lines()
                .last()
                .unwrap_or("it cannot be read")
                .trim_start_matches("error: ")
                .to_owned();
            Diagnostic::syntax(span, format!("the regular expression is wrong: {reason}"))
        }
    })
}

/// The regular expression of a pattern of `like`.
pub(super) fn like(pattern: &str) -> String {
    let mut regex = String::from("(?s)\\A");
    let mut letter = [0; 4];
    for part in pattern.chars() {
        match part {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut letter))),
        }
    }
    regex.push_str("\\z");
    regex
}
