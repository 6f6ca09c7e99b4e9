//! Calls of functions: `a.f(b)`, which may also be written `f(a, b)`.

use super::{Checked, Checker, Result, functions, wrong_type};
use crate::{
    Diagnostic, Expr, Problem, Span, Type,
    ast::{ExprKind, Instant, Literal, Name},
    diagnostic::nearest,
    op::{DatePart, Op, TimeOp},
};

/// A call whose function and number of arguments are known to be right.
pub(super) struct Call<'e> {
    pub(super) span: Span,
    pub(super) function: &'e str,
    /// The first operand, wherever it is written.
    pub(super) subject: &'e Expr,
    pub(super) arguments: &'e [Expr],
}

impl Checker<'_> {
    pub(super) fn call(
        &mut self,
        span: Span,
        function: &Name,
        receiver: Option<&Expr>,
        arguments: &[Expr],
    ) -> Result<Checked> {
        let name = function.text.as_str();
        let Some((_, least, most)) = functions::KNOWN.iter().find(|(known, ..)| *known == name) else {
            return Err(unknown(function));
        };
        let bounds = (*least, *most);
        if matches!(
            name,
            "currentMonth" | "currentYear" | "currentDayOfMonth" | "date" | "inSegment" | "mapEntry"
        ) {
            if receiver.is_some() {
                return Err(arguments_of(
                    function,
                    format!("it stands alone: write {name}(…), without a dot before it"),
                ));
            }
            check_count(function, bounds, arguments.len())?;
            return self.alone(span, function, arguments);
        }
        let (subject, arguments) = match (receiver, arguments.split_first()) {
            (Some(receiver), _) => (receiver, arguments),
            (None, Some((first, rest))) => (first, rest),
            (None, None) => {
                return Err(arguments_of(
                    function,
                    format!("it needs a value: write value.{name}(…) or {name}(value, …)"),
                ));
            }
        };
        check_count(function, bounds, arguments.len())?;
        self.method(&Call {
            span,
            function: name,
            subject,
            arguments,
        })
    }

    fn method(&mut self, call: &Call<'_>) -> Result<Checked> {
        match call.function {
            "in" | "notIn" => self.member_of(call.span, call.subject, &call.arguments[0], call.function == "notIn"),
            "isNull" | "isNotNull" => self.is_null(call.subject, call.function == "isNotNull"),
            "getMonth" => self.date_part(call.subject, DatePart::Month),
            "getYear" => self.date_part(call.subject, DatePart::Year),
            "getDayOfMonth" => self.date_part(call.subject, DatePart::Day),
            "get" => {
                let map = self.expr(call.subject)?;
                self.get(call.subject, map, &call.arguments[0])
            }
            "keys" | "values" => self.keys_or_values(call),
            "equals"
            | "notEqualTo"
            | "equalsIgnoreCase"
            | "notEqualWithIgnoreCase"
            | "startsWith"
            | "doesNotStartWith"
            | "endsWith"
            | "doesNotEndWith"
            | "contains"
            | "doesNotContain" => self.text_test(call),
            "matches" | "regexGroup" => self.regex(call),
            "isEmpty" | "isNotEmpty" | "length" | "lowerCase" | "upperCase" | "trim" | "concat" | "substr" => {
                self.text_function(call)
            }
            _ => self.list_function(call),
        }
    }

    /// Functions without a first operand.
    fn alone(&mut self, span: Span, function: &Name, arguments: &[Expr]) -> Result<Checked> {
        let part = match function.text.as_str() {
            "currentMonth" => DatePart::Month,
            "currentYear" => DatePart::Year,
            "currentDayOfMonth" => DatePart::Day,
            "date" => return self.date(arguments),
            "inSegment" => return self.in_segment(&arguments[0]),
            _ => {
                return Err(Diagnostic::unsupported(
                    span,
                    "mapEntry here",
                    "it is the body of .map((key, group) => mapEntry(key, value)) of a map",
                ));
            }
        };
        let now = Op::Time(TimeOp::Instant(Instant::Now));
        Ok(Checked::new(Op::Time(TimeOp::Part(Box::new(now), part)), Type::Int))
    }

    fn date(&mut self, arguments: &[Expr]) -> Result<Checked> {
        let mut parts = Vec::with_capacity(arguments.len());
        let mut numbers = Vec::new();
        for (argument, name) in arguments.iter().zip(["year", "month", "day"]) {
            let checked = self.expr(argument)?;
            if !matches!(checked.type_, Type::Int | Type::Any) {
                return Err(wrong_type(
                    argument.span,
                    format!("the {name} of date()"),
                    "int",
                    &checked.type_,
                    Some("write date(2024, 2, 29)"),
                ));
            }
            if let ExprKind::Literal(Literal::Int(number)) = argument.kind {
                numbers.push(number);
            }
            parts.push(checked.op);
        }
        let span = arguments
            .iter()
            .fold(arguments[0].span, |span, argument| span.to(argument.span));
        if let [year, month, day] = numbers[..]
            && crate::calendar::day(year, month, day).is_none()
        {
            return Err(Diagnostic::syntax(
                span,
                format!("there is no such day: year {year}, month {month}, day {day}"),
            ));
        }
        let parts: Box<[Op; 3]> = parts
            .into_boxed_slice()
            .try_into()
            .map_err(|_| Diagnostic::syntax(span, "date(year, month, day)"))?;
        Ok(Checked::new(Op::Time(TimeOp::Date(parts)), Type::Date))
    }

    fn in_segment(&mut self, id: &Expr) -> Result<Checked> {
        let ExprKind::Literal(Literal::String(id_text)) = &id.kind else {
            return Err(Diagnostic::unsupported(
                id.span,
                "a computed segment id",
                "inSegment takes an id between double quotes",
            ));
        };
        let known = self.segments.iter().position(|known| known == id_text);
        let index = known.unwrap_or_else(|| {
            self.segments.push(id_text.clone());
            self.segments.len() - 1
        });
        Ok(Checked::bool(Op::Member(index)))
    }

    fn is_null(&mut self, subject: &Expr, negated: bool) -> Result<Checked> {
        let checked = self.expr(subject)?;
        let op = Op::IsNull(Box::new(checked.op));
        Ok(Checked::bool(if negated {
            Op::Logic(crate::op::Logic::Not(Box::new(op)))
        } else {
            op
        }))
    }

    fn date_part(&mut self, subject: &Expr, part: DatePart) -> Result<Checked> {
        let op = self.time(subject, &subject.to_string(), false)?;
        Ok(Checked::new(Op::Time(TimeOp::Part(Box::new(op), part)), Type::Int))
    }
}

fn unknown(function: &Name) -> Diagnostic {
    let name = function.text.as_str();
    if let Some((_, reason)) = functions::ELSEWHERE.iter().find(|(known, _)| *known == name) {
        return Diagnostic::unsupported(function.span, format!("{name}()"), *reason);
    }
    let known = functions::KNOWN.iter().map(|(known, ..)| *known);
    Diagnostic::new(
        function.span,
        Problem::UnknownFunction {
            name: name.to_owned(),
            nearest: nearest(name, known),
        },
    )
}

fn arguments_of(function: &Name, message: String) -> Diagnostic {
    Diagnostic::new(
        function.span,
        Problem::Arguments {
            function: format!("{}()", function.text),
            message,
        },
    )
}

fn check_count(function: &Name, (least, most): (usize, usize), found: usize) -> Result<()> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    let wanted = if least == most {
        least.to_string()
    } else {
        format!("{least} to {most}")
    };
    Err(arguments_of(
        function,
        format!("it takes {wanted} arguments besides the value that it is about, and has {found}"),
    ))
}
