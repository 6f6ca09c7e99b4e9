//! Functions of lists and maps.

use std::sync::Arc;

use super::{Checked, Checker, Result, calls::Call, mismatch, operators::some_number, paths::timed, wrong_type};
use crate::{
    Diagnostic, Expr, Problem, Type,
    ast::{Aggregate, ExprKind, Name},
    op::{Counted, Op, SeqOp},
};

impl Checker<'_> {
    pub(super) fn list_function(&mut self, call: &Call<'_>) -> Result<Checked> {
        let subject = self.expr(call.subject)?;
        if matches!(call.function, "map" | "count") && matches!(subject.type_, Type::Map(..)) {
            return if call.function == "map" {
                self.map_entries(call, subject)
            } else {
                Ok(counted(subject.op, Counted::Present))
            };
        }
        let item = Self::items(call.subject, &subject.type_)?;
        let list = Box::new(subject.op);
        match call.function {
            "count" => Ok(counted(*list, Counted::Present)),
            "countWithNull" => Ok(counted(*list, Counted::All)),
            "countOnlyNull" => Ok(counted(*list, Counted::Null)),
            "distinctCountWithNull" => Ok(counted(*list, Counted::DistinctWithNull)),
            "distinct" => Ok(Checked::new(Op::Seq(SeqOp::Distinct(list)), Type::list(item))),
            "head" => Ok(Checked::new(Op::Seq(SeqOp::Head(list)), item)),
            "sum" | "average" | "min" | "max" => self.aggregate(call, *list, item),
            "intersects" | "intersection" | "subsetOf" | "supersetOf" | "includes" => {
                self.set_function(call, list, item)
            }
            _ => self.per_item(call, list, item),
        }
    }

    /// Functions whose argument is evaluated for every item.
    fn per_item(&mut self, call: &Call<'_>, list: Box<Op>, item: Type) -> Result<Checked> {
        let label = call.subject.to_string();
        let body = &call.arguments[0];
        match call.function {
            "filter" | "exists" => {
                let condition = Box::new(self.within(item.clone(), label, |checker| checker.condition(body))?);
                Ok(if call.function == "filter" {
                    Checked::new(Op::Seq(SeqOp::Filter(list, condition)), Type::list(item))
                } else {
                    Checked::bool(Op::Seq(SeqOp::Exists(list, condition)))
                })
            }
            "map" => {
                let body = self.within(item, label, |checker| checker.expr(body))?;
                Ok(Checked::new(
                    Op::Seq(SeqOp::Map(list, Box::new(body.op))),
                    Type::list(body.type_),
                ))
            }
            "groupBy" => {
                let key = self.within(item.clone(), label, |checker| checker.expr(body))?;
                let op = Op::Seq(SeqOp::GroupBy(list, Box::new(key.op)));
                Ok(Checked::new(
                    op,
                    Type::Map(Arc::new(key.type_.item().clone()), Arc::new(Type::list(item))),
                ))
            }
            _ => {
                let key = self.within(item.clone(), label, |checker| checker.expr(body))?;
                if !matches!(
                    key.type_,
                    Type::Any | Type::Int | Type::Double | Type::String | Type::Timestamp | Type::Date
                ) {
                    let subject = format!("the key of {}()", call.function);
                    return Err(wrong_type(
                        body.span,
                        subject,
                        "a number, text or time",
                        &key.type_,
                        None,
                    ));
                }
                let count = self.number(&call.arguments[1], "the number of items")?;
                let op = SeqOp::Top {
                    list,
                    key: Box::new(key.op),
                    count: Box::new(count.op),
                    largest: call.function == "topN",
                };
                Ok(Checked::new(Op::Seq(op), Type::list(item)))
            }
        }
    }

    fn set_function(&mut self, call: &Call<'_>, list: Box<Op>, item: Type) -> Result<Checked> {
        let other = self.expr(&call.arguments[0])?;
        let right = if call.function == "includes" {
            other.type_.clone()
        } else {
            Self::items(&call.arguments[0], &other.type_)?
        };
        if !item.compares_with(&right) {
            return Err(mismatch(
                call.span,
                &format!("{}()", call.function),
                &item,
                &right,
                None,
            ));
        }
        let other = Box::new(other.op);
        let op = match call.function {
            "includes" => {
                return Ok(Checked::bool(Op::In {
                    value: other,
                    list,
                    negated: false,
                }));
            }
            "intersects" => SeqOp::Intersects(list, other),
            "subsetOf" => SeqOp::Subset(list, other),
            "supersetOf" => SeqOp::Subset(other, list),
            _ => {
                return Ok(Checked::new(
                    Op::Seq(SeqOp::Intersection(list, other)),
                    Type::list(item),
                ));
            }
        };
        Ok(Checked::bool(Op::Seq(op)))
    }

    fn aggregate(&mut self, call: &Call<'_>, list: Op, item: Type) -> Result<Checked> {
        let function = Aggregate::from_word(call.function).unwrap_or(Aggregate::Count);
        let Some(body) = call.arguments.first() else {
            let type_ = Self::aggregated(function, call.subject, &item)?;
            return Ok(Checked::new(
                Op::Seq(SeqOp::Aggregate(function, Box::new(list), None)),
                type_,
            ));
        };
        let value = self.within(item, call.subject.to_string(), |checker| checker.expr(body))?;
        let type_ = Self::aggregated(function, body, value.type_.item())?;
        Ok(Checked::new(
            Op::Seq(SeqOp::Aggregate(function, Box::new(list), Some(Box::new(value.op)))),
            type_,
        ))
    }

    /// The type that an aggregate of values of this type has.
    pub(super) fn aggregated(function: Aggregate, value: &Expr, type_: &Type) -> Result<Type> {
        let fits = match function {
            Aggregate::Count => return Ok(Type::Int),
            Aggregate::Sum | Aggregate::Average => type_.is_number(),
            Aggregate::Min | Aggregate::Max => type_.is_number() || type_.is_time(),
        };
        if !fits {
            let expected = if matches!(function, Aggregate::Sum | Aggregate::Average) {
                "a number"
            } else {
                "a number or a time"
            };
            return Err(wrong_type(
                value.span,
                format!("what {} takes", function.word()),
                expected,
                type_,
                None,
            ));
        }
        Ok(match function {
            Aggregate::Average => Type::Double,
            Aggregate::Sum => some_number(type_.clone()),
            _ => type_.clone(),
        })
    }

    /// `map.map((key, group) => …)`, or with a body about the group.
    fn map_entries(&mut self, call: &Call<'_>, map: Checked) -> Result<Checked> {
        let Type::Map(key, value) = map.type_ else {
            return Err(wrong_type(
                call.subject.span,
                "the subject of map()",
                "a map",
                &map.type_,
                None,
            ));
        };
        let source = Box::new(map.op);
        let ExprKind::Lambda(names, body) = &call.arguments[0].kind else {
            let element = Type::clone(&value);
            let body = self.within(element, call.subject.to_string(), |checker| {
                checker.expr(&call.arguments[0])
            })?;
            return Ok(Checked::new(
                Op::Seq(SeqOp::MapValues(source, Box::new(body.op))),
                Type::Map(key, Arc::new(body.type_)),
            ));
        };
        let [first, second] = names.as_slice() else {
            let message = "the function of a map has two names, the key and the value: (key, group) => …".to_owned();
            return Err(Diagnostic::new(
                call.arguments[0].span,
                Problem::Arguments {
                    function: "map()".to_owned(),
                    message,
                },
            ));
        };
        self.with_variable(&first.text, Type::clone(&key), |checker| {
            checker.with_variable(&second.text, Type::clone(&value), |checker| match &body.kind {
                ExprKind::Call {
                    function: Name { text, .. },
                    receiver: None,
                    arguments,
                } if text == "mapEntry" && arguments.len() == 2 => {
                    let new_key = checker.expr(&arguments[0])?;
                    let new_value = checker.expr(&arguments[1])?;
                    let op = SeqOp::MapEntries {
                        map: source,
                        key: Some(Box::new(new_key.op)),
                        value: Box::new(new_value.op),
                    };
                    Ok(Checked::new(
                        Op::Seq(op),
                        Type::Map(Arc::new(new_key.type_), Arc::new(new_value.type_)),
                    ))
                }
                _ => {
                    let body = checker.expr(body)?;
                    let op = SeqOp::MapEntries {
                        map: source,
                        key: None,
                        value: Box::new(body.op),
                    };
                    Ok(Checked::new(Op::Seq(op), Type::Map(key.clone(), Arc::new(body.type_))))
                }
            })
        })
    }

    /// `map.get(key)`.
    pub(super) fn get(&mut self, subject: &Expr, map: Checked, key: &Expr) -> Result<Checked> {
        let wanted = self.expr(key)?;
        let (expected, type_) = match &map.type_ {
            Type::Map(key, value) => (Type::clone(key), Type::clone(value)),
            Type::Any => (Type::String, Type::Any),
            other => {
                return Err(wrong_type(
                    subject.span,
                    subject.to_string(),
                    "a map",
                    other,
                    Some("fields of a struct are read with a dot"),
                ));
            }
        };
        if !expected.compares_with(&wanted.type_) {
            return Err(wrong_type(
                key.span,
                "the key of get()",
                &expected.to_string(),
                &wanted.type_,
                None,
            ));
        }
        Ok(timed(Op::Seq(SeqOp::Get(Box::new(map.op), Box::new(wanted.op))), type_))
    }

    pub(super) fn keys_or_values(&mut self, call: &Call<'_>) -> Result<Checked> {
        let map = self.expr(call.subject)?;
        let (key, value) = match &map.type_ {
            Type::Map(key, value) => (Type::clone(key), Type::clone(value)),
            Type::Any => (Type::Any, Type::Any),
            other => {
                return Err(wrong_type(
                    call.subject.span,
                    call.subject.to_string(),
                    "a map",
                    other,
                    None,
                ));
            }
        };
        let source = Box::new(map.op);
        Ok(if call.function == "keys" {
            Checked::new(Op::Seq(SeqOp::Keys(source)), Type::list(key))
        } else {
            timed(Op::Seq(SeqOp::Values(source)), Type::list(value))
        })
    }
}

fn counted(list: Op, what: Counted) -> Checked {
    Checked::new(Op::Seq(SeqOp::Count(Box::new(list), what)), Type::Int)
}
