//! Operators.

use std::collections::HashSet;

use super::{Checked, Checker, Result, mismatch, wrong_type};
use crate::{
    Diagnostic, Expr, Span, Type,
    ast::{ArithmeticOp, Comparison, ExprKind, Literal},
    op::{Constant, Lists, Logic, Op, SeqOp, TextOp, TimeOp},
};

impl Checker<'_> {
    pub(super) fn operator(&mut self, expr: &Expr) -> Result<Checked> {
        match &expr.kind {
            ExprKind::Negate(inner) => self.negate(inner),
            ExprKind::Arithmetic(operator, left, right) => self.arithmetic(*operator, left, right),
            ExprKind::Compare(operator, left, right) => self.compare(expr.span, *operator, left, right),
            ExprKind::In { value, list, negated } => self.member_of(expr.span, value, list, *negated),
            ExprKind::Like(text, pattern) => self.like(text, pattern),
            ExprKind::Occurs(time, occurrence) => self.occurs(time, occurrence),
            ExprKind::Instant(instant) => Ok(Checked::new(Op::Time(TimeOp::Instant(*instant)), Type::Timestamp)),
            ExprKind::Not(inner) => {
                let inner = self.condition(inner)?;
                Ok(Checked::bool(Op::Logic(Logic::Not(Box::new(inner)))))
            }
            ExprKind::And(items) => Ok(Checked::bool(Op::Logic(Logic::And(self.conditions(items)?)))),
            ExprKind::Or(items) => Ok(Checked::bool(Op::Logic(Logic::Or(self.conditions(items)?)))),
            ExprKind::If(condition, then, otherwise) => self.conditional(condition, then, otherwise),
            _ => self.binder(expr),
        }
    }

    fn conditions(&mut self, items: &[Expr]) -> Result<Vec<Op>> {
        items.iter().map(|item| self.condition(item)).collect()
    }

    fn conditional(&mut self, condition: &Expr, then: &Expr, otherwise: &Expr) -> Result<Checked> {
        let condition = self.condition(condition)?;
        let left = self.expr(then)?;
        let right = self.expr(otherwise)?;
        let type_ = left.type_.join(&right.type_).ok_or_else(|| {
            mismatch(
                then.span.to(otherwise.span),
                "if",
                &left.type_,
                &right.type_,
                Some("both values are of one type"),
            )
        })?;
        Ok(Checked::new(
            Op::Logic(Logic::If(Box::new(condition), Box::new(left.op), Box::new(right.op))),
            type_,
        ))
    }

    fn negate(&mut self, inner: &Expr) -> Result<Checked> {
        let checked = self.number(inner, "what stands behind -")?;
        Ok(Checked::new(
            Op::Negate(Box::new(checked.op)),
            some_number(checked.type_),
        ))
    }

    /// A number.
    pub(super) fn number(&mut self, expr: &Expr, subject: &str) -> Result<Checked> {
        let checked = self.expr(expr)?;
        if checked.type_.is_number() {
            return Ok(checked);
        }
        let help = matches!(checked.type_, Type::List(_))
            .then_some("a list has no value of its own: use sum(), average(), min(), max(), count() or head()");
        Err(wrong_type(expr.span, subject, "a number", &checked.type_, help))
    }

    fn arithmetic(&mut self, operator: ArithmeticOp, left: &Expr, right: &Expr) -> Result<Checked> {
        let sign = operator.sign();
        let first = self.number(left, &format!("the left side of {sign}"))?;
        let second = self.number(right, &format!("the right side of {sign}"))?;
        let type_ = match (&first.type_, &second.type_) {
            (Type::Int, Type::Int) if operator != ArithmeticOp::Divide => Type::Int,
            // Whatever it turns out to be, it is a number.
            _ => Type::Double,
        };
        Ok(Checked::new(
            Op::Arithmetic(operator, Box::new(first.op), Box::new(second.op)),
            type_,
        ))
    }

    fn compare(&mut self, span: Span, operator: Comparison, left: &Expr, right: &Expr) -> Result<Checked> {
        let first = self.expr(left)?;
        let second = self.expr(right)?;
        let sign = operator.sign();
        Self::comparable(span, sign, &first.type_, &second.type_)?;
        let equality = matches!(operator, Comparison::Equal | Comparison::NotEqual);
        let lists = matches!((&first.type_, &second.type_), (Type::List(_), Type::List(_)));
        if !equality {
            if lists {
                return Err(mismatch(
                    span,
                    sign,
                    &first.type_,
                    &second.type_,
                    Some("two lists have no order: compare counts, sums or single items"),
                ));
            }
            for type_ in [first.type_.item(), second.type_.item()] {
                if matches!(type_, Type::Bool) {
                    return Err(wrong_type(
                        span,
                        format!("what {sign} compares"),
                        "a number, text or time",
                        type_,
                        Some("truth values have no order"),
                    ));
                }
            }
        }
        let some = !lists && matches!((&first.type_, &second.type_), (Type::List(_), _) | (_, Type::List(_)));
        let null = is_null(left) || is_null(right);
        if null {
            self.warn(
                "null-literal",
                span,
                format!("a comparison with null is always false: use isNull() or isNotNull() instead of {sign} null"),
            );
        } else if operator == Comparison::NotEqual {
            self.warn_of_negative(span, some, "!=", "not (a = b)");
        }
        let sets = is_set(&first.op) || is_set(&second.op);
        let kind = if sets { Lists::AsSets } else { Lists::InOrder };
        Ok(Checked::bool(Op::Compare(
            operator,
            Box::new(first.op),
            Box::new(second.op),
            kind,
        )))
    }

    /// Whether two values, or items of them, can be compared.
    fn comparable(span: Span, sign: &str, left: &Type, right: &Type) -> Result<()> {
        let fits = if matches!((left, right), (Type::List(_), Type::List(_))) {
            left.compares_with(right)
        } else {
            left.item().compares_with(right.item())
        };
        if fits {
            return Ok(());
        }
        let help = match (left.item(), right.item()) {
            (Type::Timestamp | Type::Date, Type::String) | (Type::String, Type::Timestamp | Type::Date) => {
                Some("a day is written date(2024, 2, 29), and times are compared with occurs")
            }
            (Type::String, Type::Int | Type::Double) => Some("texts stand between double quotes, numbers do not"),
            (Type::Int | Type::Double, Type::String) => Some("numbers are written without quotes"),
            (Type::Bool, Type::String) | (Type::String, Type::Bool) => {
                Some("truth values are written true and false, without quotes")
            }
            (Type::Struct(_), _) | (_, Type::Struct(_)) => Some("compare fields of the struct"),
            _ => None,
        };
        Err(mismatch(span, sign, left, right, help))
    }

    /// `value in list`, `value notIn list`.
    pub(super) fn member_of(&mut self, span: Span, value: &Expr, list: &Expr, negated: bool) -> Result<Checked> {
        let sign = if negated { "notIn" } else { "in" };
        let first = self.expr(value)?;
        let second = self.expr(list)?;
        let (Type::List(_) | Type::Any | Type::Null) = second.type_ else {
            return Err(wrong_type(
                list.span,
                format!("the right side of {sign}"),
                "a list",
                &second.type_,
                Some("a list is written [a, b]"),
            ));
        };
        Self::comparable(span, sign, first.type_.item(), second.type_.item())?;
        if negated {
            self.warn_of_negative(span, matches!(first.type_, Type::List(_)), "notIn", "not (a in b)");
        }
        let value = Box::new(first.op);
        Ok(Checked::bool(match written_texts(&second.op) {
            Some(texts) => Op::InTexts { value, texts, negated },
            None => Op::In {
                value,
                list: Box::new(second.op),
                negated,
            },
        }))
    }

    fn like(&mut self, text: &Expr, pattern: &Expr) -> Result<Checked> {
        let text_op = self.text(text, "the left side of like")?;
        let ExprKind::Literal(Literal::String(written)) = &pattern.kind else {
            return Err(Diagnostic::unsupported(
                pattern.span,
                "a computed pattern",
                "like takes a text between double quotes",
            ));
        };
        let regex = super::texts::compile(pattern.span, &super::texts::like(written))?;
        Ok(Checked::bool(Op::Text(TextOp::Matches(Box::new(text_op.op), regex))))
    }

    /// Negative conditions are false where the value is missing, and about single items where it is a list.
    pub(super) fn warn_of_negative(&mut self, span: Span, list: bool, form: &str, other: &str) {
        if list {
            self.warn(
                "negative-list",
                span,
                format!("{form} on a list is true when some item differs: for none write {other}"),
            );
        } else {
            self.warn(
                "negative-null",
                span,
                format!("{form} is false where the value is missing: to include such profiles write {other}"),
            );
        }
    }
}

/// The type of a number, also where only that is known of it.
pub(super) fn some_number(type_: Type) -> Type {
    if type_ == Type::Int { type_ } else { Type::Double }
}

/// The items of a list that consists of texts.
fn written_texts(list: &Op) -> Option<HashSet<String>> {
    let Op::List(items) = list else { return None };
    let text = |item: &Op| match item {
        Op::Constant(Constant::Text(text)) => Some(text.clone()),
        _ => None,
    };
    items.iter().map(text).collect()
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Literal(Literal::Null))
}

fn is_set(op: &Op) -> bool {
    matches!(op, Op::Seq(SeqOp::Intersection(..) | SeqOp::Distinct(_)))
}
