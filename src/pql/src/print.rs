//! From a syntax tree to text that reads as the same tree.

use std::fmt::{self, Display, Formatter, Write as _};

use crate::{
    ast::{
        Anchor, ArithmeticOp, Chain, Expr, ExprKind, Generator, Literal, Name, Occurrence, Quantifier, Side, Step,
        Which,
    },
    words,
};

/// How strongly an expression binds; weaker ones stand in parentheses where a stronger one is needed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Binder,
    Or,
    And,
    Not,
    Comparison,
    Sum,
    Product,
    Unary,
    Postfix,
}

impl Display for Expr {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        print(self, Binding::Binder, out)
    }
}

fn binding(expr: &Expr) -> Binding {
    match &expr.kind {
        ExprKind::Let(..)
        | ExprKind::Quantified { .. }
        | ExprKind::Select(_)
        | ExprKind::Aggregate { .. }
        | ExprKind::Lambda(..) => Binding::Binder,
        ExprKind::Or(_) => Binding::Or,
        ExprKind::And(_) => Binding::And,
        ExprKind::Not(_) => Binding::Not,
        ExprKind::Compare(..) | ExprKind::In { .. } | ExprKind::Like(..) | ExprKind::Occurs(..) => Binding::Comparison,
        ExprKind::Arithmetic(ArithmeticOp::Add | ArithmeticOp::Subtract, ..) => Binding::Sum,
        ExprKind::Arithmetic(..) => Binding::Product,
        ExprKind::Negate(_) => Binding::Unary,
        ExprKind::Literal(Literal::Int(number)) if *number < 0 => Binding::Unary,
        ExprKind::Literal(Literal::Double(number)) if number.is_sign_negative() => Binding::Unary,
        _ => Binding::Postfix,
    }
}

fn print(expr: &Expr, least: Binding, out: &mut Formatter<'_>) -> fmt::Result {
    if binding(expr) >= least {
        return print_bare(expr, out);
    }
    out.write_char('(')?;
    print_bare(expr, out)?;
    out.write_char(')')
}

fn print_bare(expr: &Expr, out: &mut Formatter<'_>) -> fmt::Result {
    match &expr.kind {
        ExprKind::Not(inner) => {
            out.write_str("not ")?;
            print(inner, Binding::Not, out)
        }
        ExprKind::And(items) => joined(items, " and ", Binding::Not, out),
        ExprKind::Or(items) => joined(items, " or ", Binding::And, out),
        ExprKind::Compare(operator, left, right) => infix(left, operator.sign(), right, Binding::Sum, out),
        ExprKind::Like(left, right) => infix(left, "like", right, Binding::Sum, out),
        ExprKind::In { value, list, negated } => {
            infix(value, if *negated { "notIn" } else { "in" }, list, Binding::Sum, out)
        }
        ExprKind::Occurs(time, occurrence) => {
            print(time, Binding::Sum, out)?;
            write!(out, " occurs {occurrence}")
        }
        ExprKind::Arithmetic(operator, left, right) => {
            let own = binding(expr);
            print(left, own, out)?;
            write!(out, " {} ", operator.sign())?;
            print(
                right,
                if own == Binding::Sum {
                    Binding::Product
                } else {
                    Binding::Unary
                },
                out,
            )
        }
        ExprKind::Negate(inner) => {
            let number = matches!(inner.kind, ExprKind::Literal(Literal::Int(_) | Literal::Double(_)));
            out.write_str(if number || binding(inner) == Binding::Unary {
                "-("
            } else {
                "-"
            })?;
            print(inner, Binding::Unary, out)?;
            out.write_str(if number || binding(inner) == Binding::Unary {
                ")"
            } else {
                ""
            })
        }
        _ => print_operand(expr, out),
    }
}

fn print_operand(expr: &Expr, out: &mut Formatter<'_>) -> fmt::Result {
    match &expr.kind {
        ExprKind::Literal(literal) => print_literal(literal, out),
        ExprKind::List(items) => enclosed("[", items, "]", out),
        ExprKind::Object(entries) => {
            out.write_char('{')?;
            for (index, (key, value)) in entries.iter().enumerate() {
                out.write_str(if index == 0 { "" } else { ", " })?;
                write!(out, "{}: {value}", quote(key))?;
            }
            out.write_char('}')
        }
        ExprKind::Name(name) => print_name(name, out),
        ExprKind::Up(levels) => out.write_str(&"^".repeat(*levels)),
        ExprKind::This => out.write_str("this"),
        ExprKind::Events => out.write_str("xEvent"),
        ExprKind::Parameter(position) => write!(out, "${position}"),
        ExprKind::Context(path) => write!(out, "@{{{path}}}"),
        ExprKind::Instant(instant) => out.write_str(instant.word()),
        ExprKind::Field(holder, field) => {
            print(holder, Binding::Postfix, out)?;
            write!(out, ".{field}")
        }
        ExprKind::Filter(list, condition) => {
            print(list, Binding::Postfix, out)?;
            write!(out, "[{condition}]")
        }
        ExprKind::Call {
            function,
            receiver,
            arguments,
        } => {
            if let Some(receiver) = receiver {
                print(receiver, Binding::Postfix, out)?;
                out.write_char('.')?;
            }
            write!(out, "{function}")?;
            enclosed("(", arguments, ")", out)
        }
        ExprKind::If(condition, then, otherwise) => write!(out, "if({condition}, {then}, {otherwise})"),
        ExprKind::Chain(chain) => write!(out, "{chain}"),
        _ => print_binder(expr, out),
    }
}

fn print_binder(expr: &Expr, out: &mut Formatter<'_>) -> fmt::Result {
    match &expr.kind {
        ExprKind::Let(name, value, body) => {
            write!(out, "let {name} = ")?;
            // A bare `in` would end the value.
            print(value, Binding::Sum, out)?;
            write!(out, " in {body}")
        }
        ExprKind::Quantified {
            quantifier,
            generators,
            claim,
        } => {
            out.write_str(if *quantifier == Quantifier::Exists {
                "exists "
            } else {
                "forall "
            })?;
            print_generators(generators, out)?;
            // What is claimed without a colon would be taken from the last generator.
            match claim {
                Some(claim) => write!(out, " : {claim}"),
                None => Ok(()),
            }
        }
        ExprKind::Select(generators) => {
            out.write_str("select ")?;
            print_generators(generators, out)
        }
        ExprKind::Aggregate {
            function,
            value,
            generators,
        } => {
            write!(out, "{} ", function.word())?;
            out.write_char('(')?;
            write!(out, "{value}) over ")?;
            print_generators(generators, out)
        }
        ExprKind::Lambda(names, body) => {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            write!(out, "({}) => {body}", names.join(", "))
        }
        _ => Err(fmt::Error),
    }
}

fn joined(items: &[Expr], word: &str, least: Binding, out: &mut Formatter<'_>) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        out.write_str(if index == 0 { "" } else { word })?;
        print(item, least, out)?;
    }
    Ok(())
}

fn infix(left: &Expr, word: &str, right: &Expr, least: Binding, out: &mut Formatter<'_>) -> fmt::Result {
    print(left, least, out)?;
    write!(out, " {word} ")?;
    print(right, least, out)
}

fn enclosed(open: &str, items: &[Expr], close: &str, out: &mut Formatter<'_>) -> fmt::Result {
    out.write_str(open)?;
    joined(items, ", ", Binding::Binder, out)?;
    out.write_str(close)
}

fn print_generators(generators: &[Generator], out: &mut Formatter<'_>) -> fmt::Result {
    for (index, generator) in generators.iter().enumerate() {
        write!(
            out,
            "{}{} from ",
            if index == 0 { "" } else { ", " },
            generator.variable
        )?;
        print(&generator.source, Binding::Or, out)?;
        if let Some(condition) = &generator.condition {
            out.write_str(" where ")?;
            print(condition, Binding::Or, out)?;
        }
    }
    Ok(())
}

fn print_literal(literal: &Literal, out: &mut Formatter<'_>) -> fmt::Result {
    match literal {
        Literal::Null => out.write_str("null"),
        Literal::Bool(value) => write!(out, "{value}"),
        Literal::Int(number) => write!(out, "{number}"),
        Literal::Double(number) => write!(out, "{number:?}"),
        Literal::String(text) => out.write_str(&quote(text)),
    }
}

fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn print_name(name: &str, out: &mut Formatter<'_>) -> fmt::Result {
    if words::is_plain(name) && !words::is_reserved(name) {
        return out.write_str(name);
    }
    write!(out, "`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

impl Display for Name {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        // Behind a dot and before a parenthesis only next, last and this need backticks; they do no harm to others.
        if words::is_plain(&self.text) && !matches!(self.text.as_str(), "next" | "last" | "this") {
            return out.write_str(&self.text);
        }
        print_name(&self.text, out)
    }
}

impl Display for Occurrence {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let word = |side: &Side| if *side == Side::Before { "before" } else { "after" };
        match self {
            Self::Within {
                comparison,
                amount,
                unit,
                side,
                anchor,
            } => {
                let unit = if *amount == 1 { unit.word() } else { unit.words() };
                write!(out, "{} {amount} {unit} {} {anchor}", comparison.sign(), word(side))
            }
            Self::Beside(side, anchor) => write!(out, "{} {anchor}", word(side)),
            Self::On(anchor @ Anchor::Time(_)) => write!(out, "on {anchor}"),
            Self::On(anchor) => write!(out, "{anchor}"),
            Self::Between(from, to) => write!(out, "between {from} and {to}"),
        }
    }
}

impl Display for Anchor {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Period(which, unit) => {
                let which = match which {
                    Which::Last => "last",
                    Which::This => "this",
                    Which::Next => "next",
                };
                write!(out, "{which} {}", unit.word())
            }
            Self::Time(expr) => print(expr, Binding::Sum, out),
        }
    }
}

impl Display for Chain {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "chain({}, {}, [", self.source, self.time)?;
        for (index, step) in self.steps.iter().enumerate() {
            write!(out, "{}{step}", if index == 0 { "" } else { ", " })?;
        }
        out.write_str("])")
    }
}

impl Display for Step {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}:", self.label)?;
        for condition in &self.conditions {
            write!(out, " WHAT({condition})")?;
        }
        if let Some(when) = &self.when {
            write!(out, " WHEN({when})")?;
        }
        if self.count != 1 || (self.conditions.is_empty() && self.when.is_none()) {
            write!(out, " COUNT({})", self.count)?;
        }
        Ok(())
    }
}
