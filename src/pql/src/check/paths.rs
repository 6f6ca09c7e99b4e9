//! Names, paths and filters.

use std::sync::Arc;

use super::{Checked, Checker, Result, wrong_type};
use crate::{
    Diagnostic, Expr, Problem, Span, Type,
    ast::{ExprKind, Literal, Name},
    diagnostic::nearest,
    op::{Constant, Op, SeqOp, Step},
};

/// The field by which a profile has its events.
const EVENTS: &str = "xEvent";

impl Checker<'_> {
    pub(super) fn events(&self) -> Checked {
        Checked::new(Op::Events, Type::list(self.schema.event.clone()))
    }

    pub(super) fn parameter(&self, span: Span, position: u32) -> Result<Checked> {
        if position == 1 {
            return Ok(Checked::new(Op::Element(0), self.schema.profile.clone()));
        }
        let message = format!("there is no parameter ${position}: the profile, $1, is the only one of a segment");
        Err(Diagnostic::new(span, Problem::Scope(message)))
    }

    /// The element so many levels up.
    pub(super) fn up(&self, span: Span, levels: usize) -> Result<Checked> {
        let innermost = self.scopes.len() - 1;
        let Some(level) = innermost.checked_sub(levels) else {
            let message = format!(
                "{} leads out of the profile: there are {innermost} levels above",
                "^".repeat(levels)
            );
            return Err(Diagnostic::new(span, Problem::Scope(message)));
        };
        Ok(Checked::new(Op::Element(level), self.scopes[level].type_.clone()))
    }

    pub(super) fn name(&self, span: Span, name: &str) -> Result<Checked> {
        if let Some(slot) = self.variables.iter().rposition(|(known, _)| known == name) {
            return Ok(Checked::new(Op::Variable(slot), self.variables[slot].1.clone()));
        }
        let level = self.scopes.len() - 1;
        let scope = &self.scopes[level];
        if name == "profile"
            && level == 0
            && !matches!(&scope.type_, Type::Struct(fields) if fields.find(name).is_some())
        {
            return Ok(Checked::new(Op::Element(0), self.schema.profile.clone()));
        }
        let holder = Checked::new(Op::Element(level), scope.type_.clone());
        self.field_of(
            holder,
            &Name {
                text: name.to_owned(),
                span,
            },
            &scope.label,
        )
    }

    pub(super) fn field(&mut self, holder: &Expr, field: &Name) -> Result<Checked> {
        let checked = self.expr(holder)?;
        let own = matches!(&checked.type_, Type::Struct(fields) if fields.find(EVENTS).is_some());
        if field.text == EVENTS && self.is_profile(&checked.op) && !own {
            return Ok(self.events());
        }
        self.field_of(checked, field, &holder.to_string())
    }

    /// `$1`, however it is named.
    fn is_profile(&self, op: &Op) -> bool {
        matches!(op, Op::Element(0)) || (self.named && matches!(op, Op::Variable(0)))
    }

    fn field_of(&self, holder: Checked, field: &Name, label: &str) -> Result<Checked> {
        if let Type::Map(_, value) = &holder.type_ {
            let type_ = Type::clone(value);
            let key = Op::Constant(Constant::Text(field.text.clone()));
            return Ok(timed(Op::Seq(SeqOp::Get(Box::new(holder.op), Box::new(key))), type_));
        }
        let (index, type_) = self.find(&holder.type_, field, label)?;
        let step = Step {
            name: Arc::from(field.text.as_str()),
            index,
        };
        let op = match holder.op {
            Op::Path(base, mut steps) => {
                steps.push(step);
                Op::Path(base, steps)
            }
            base => Op::Path(Box::new(base), vec![step]),
        };
        Ok(timed(op, type_))
    }

    /// Position and type of a field; behind a list the type is a list.
    fn find(&self, holder: &Type, field: &Name, label: &str) -> Result<(Option<usize>, Type)> {
        match holder {
            Type::Any => Ok((None, Type::Any)),
            Type::List(item) => {
                let (index, type_) = self.find(item, field, label)?;
                Ok((
                    index,
                    if matches!(type_, Type::List(_) | Type::Any) {
                        type_
                    } else {
                        Type::list(type_)
                    },
                ))
            }
            Type::Struct(fields) => match fields.find(&field.text) {
                Some((index, type_)) => Ok((Some(index), type_.clone())),
                None => Err(Diagnostic::new(
                    field.span,
                    Problem::UnknownField {
                        name: field.text.clone(),
                        holder: label.to_owned(),
                        nearest: self.hint(fields.iter().map(|field| field.name.as_str()), field, label),
                    },
                )),
            },
            other => Err(wrong_type(
                field.span,
                format!("what has the field {}", field.text),
                "a struct",
                other,
                Some("use this for the value itself"),
            )),
        }
    }

    fn hint<'a>(&self, names: impl Iterator<Item = &'a str>, field: &Name, label: &str) -> Option<String> {
        if label.strip_suffix('s').is_some_and(|one| one.ends_with(&field.text)) {
            return Some("a field of the element: leave its own name out".to_owned());
        }
        let outer = self
            .scopes
            .iter()
            .rev()
            .skip(1)
            .enumerate()
            .find_map(|(index, scope)| match &scope.type_ {
                Type::Struct(fields) if fields.find(&field.text).is_some() => {
                    Some(format!("{}.{}", "^".repeat(index + 1), field.text))
                }
                _ => None,
            });
        let innermost = self.scopes.last().is_some_and(|scope| scope.label == label);
        outer.filter(|_| innermost).or_else(|| nearest(&field.text, names))
    }

    pub(super) fn filter(&mut self, list: &Expr, condition: &Expr) -> Result<Checked> {
        let checked = self.expr(list)?;
        match &condition.kind {
            ExprKind::Literal(Literal::Int(number)) => {
                return Err(wrong_type(
                    condition.span,
                    "what stands between [ and ]",
                    "a condition",
                    &Type::Int,
                    Some(&format!(
                        "items have no numbers: use head() or topN(key, count) instead of [{number}]"
                    )),
                ));
            }
            ExprKind::Literal(Literal::String(key))
                if matches!(checked.type_, Type::Map(..) | Type::Any | Type::Struct(_)) =>
            {
                self.warn(
                    "map-key",
                    condition.span,
                    format!("a value of a map is read with .get({key:?})"),
                );
                return self.get(list, checked, condition);
            }
            _ => {}
        }
        let item = Self::items(list, &checked.type_)?;
        let condition = self.within(item.clone(), list.to_string(), |checker| checker.condition(condition))?;
        Ok(Checked::new(
            Op::Seq(SeqOp::Filter(Box::new(checked.op), Box::new(condition))),
            Type::list(item),
        ))
    }

    /// The type of the items of a list.
    pub(super) fn items(expr: &Expr, type_: &Type) -> Result<Type> {
        match type_ {
            Type::List(item) => Ok(Type::clone(item)),
            Type::Any | Type::Null => Ok(Type::Any),
            other => Err(wrong_type(expr.span, expr.to_string(), "a list", other, None)),
        }
    }
}

/// A value from the data that is read as the time that it is.
pub(super) fn timed(op: Op, type_: Type) -> Checked {
    if matches!(type_.item(), Type::Timestamp | Type::Date) {
        return Checked::new(Op::AsTime(Box::new(op)), type_);
    }
    Checked::new(op, type_)
}
