//! Functions of lists and maps.

use std::rc::Rc;

use super::{Context, Node, Value, value::order, walk};
use crate::{
    ast::Quantifier,
    calendar::Clock,
    op::{Op, SeqOp, Step},
};

/// Called with each item; says whether it wants the next.
type Visit<'v, 'a, N> = &'v mut dyn FnMut(&mut Context<'a, N>, Value<'a, N>) -> bool;

/// Calls `visit` with the ends of a path that are there, through all lists, until it has enough. Says whether it wants more.
pub(super) fn ends<'a, N: Node<'a>>(
    value: &Value<'a, N>,
    steps: &[Step],
    visit: &mut dyn FnMut(Value<'a, N>) -> bool,
) -> bool {
    let items: &mut dyn Iterator<Item = Value<'a, N>> = match value {
        Value::ListNode(node) => &mut (0..node.len()).map(|index| Value::of(node.item(index))),
        Value::List(items) => &mut items.iter().cloned(),
        other => match steps.split_first() {
            Some((step, rest)) => {
                let next = walk(other.clone(), std::slice::from_ref(step));
                return next.is_null() || ends(&next, rest, visit);
            }
            None => return visit(other.clone()),
        },
    };
    for item in items {
        let more = if steps.is_empty() {
            item.is_null() || visit(item)
        } else {
            ends(&item, steps, visit)
        };
        if !more {
            return false;
        }
    }
    true
}

/// Whether a path leads to something, through lists to something in some item; an empty list at its end is something.
pub(super) fn is_there<'a, N: Node<'a>>(value: &Value<'a, N>, steps: &[Step]) -> bool {
    match (value, steps.split_first()) {
        (_, None) => !value.is_null(),
        (list, Some(_)) if list.is_list() => list.items().iter().any(|item| is_there(item, steps)),
        (_, Some((step, rest))) => {
            let next = walk(value.clone(), std::slice::from_ref(step));
            !next.is_null() && is_there(&next, rest)
        }
    }
}

/// Whether all of the first is in the second.
pub(super) fn is_subset<'a, N: Node<'a>>(part: &Value<'a, N>, whole: &Value<'a, N>, clock: &Clock) -> bool {
    let whole = whole.items();
    part.items().iter().all(|item| contains(&whole, item, clock))
}

fn contains<'a, N: Node<'a>>(items: &[Value<'a, N>], wanted: &Value<'a, N>, clock: &Clock) -> bool {
    items.iter().any(|item| item.same(wanted, clock))
}

/// Without the items that were there before; nulls are the same.
pub(super) fn distinct<'a, N: Node<'a>>(items: Vec<Value<'a, N>>, clock: &Clock) -> Vec<Value<'a, N>> {
    let mut found: Vec<Value<'a, N>> = Vec::new();
    for item in items {
        let known = found
            .iter()
            .any(|known| known.same(&item, clock) || (known.is_null() && item.is_null()));
        if !known {
            found.push(item);
        }
    }
    found
}

impl<'a, N: Node<'a>> Context<'a, N> {
    /// Calls `visit` with each item of a list until it has enough; says whether it wants more. What is no list has no items.
    pub(super) fn each_item(&mut self, op: &'a Op, visit: Visit<'_, 'a, N>) -> bool {
        match op {
            Op::Seq(SeqOp::Filter(list, condition)) => self.each_item(list, &mut |context, item| {
                let element = item.clone();
                !context.with_element(element, |context| context.truth(condition)) || visit(context, item)
            }),
            Op::Seq(SeqOp::Map(list, body)) => self.each_item(list, &mut |context, item| {
                let value = context.with_element(item, |context| context.value(body));
                visit(context, value)
            }),
            Op::Seq(SeqOp::Each {
                list,
                condition,
                body,
                flat,
            }) => self.each_item(list, &mut |context, item| {
                context.with_variable(item, |context| {
                    if condition.as_ref().is_some_and(|condition| !context.truth(condition)) {
                        return true;
                    }
                    if *flat {
                        return context.each_item(body, visit);
                    }
                    let value = context.value(body);
                    visit(context, value)
                })
            }),
            _ => {
                let list = self.value(op);
                list.each(&mut |item| visit(self, item))
            }
        }
    }

    /// Calls `visit` with each item of a list, or with a value that is no list.
    pub(super) fn each_or_self(&mut self, op: &'a Op, visit: Visit<'_, 'a, N>) -> bool {
        match op {
            Op::Path(..) => self.each_end(op, visit),
            Op::Seq(SeqOp::Filter(..) | SeqOp::Map(..) | SeqOp::Each { .. }) => self.each_item(op, visit),
            _ => match self.value(op) {
                list if list.is_list() => list.items().into_iter().all(|item| visit(self, item)),
                value => visit(self, value),
            },
        }
    }

    /// Calls `visit` with what is at the end of a path, through all lists.
    pub(super) fn each_end(&mut self, op: &'a Op, visit: Visit<'_, 'a, N>) -> bool {
        let Op::Path(base, steps) = op else {
            return self.each_or_self(op, visit);
        };
        let base = self.value(base);
        ends(&base, steps, &mut |value| visit(self, value))
    }

    pub(super) fn list_truth(&mut self, op: &'a Op) -> bool {
        let clock = self.clock();
        match op {
            Op::Seq(SeqOp::Exists(list, condition)) => !self.each_item(list, &mut |context, item| {
                !context.with_element(item, |context| context.truth(condition))
            }),
            Op::Seq(SeqOp::Quantified {
                quantifier,
                list,
                condition,
                claim,
            }) => {
                let all = self.each_item(list, &mut |context, item| {
                    context.with_variable(item, |context| {
                        if condition.as_ref().is_some_and(|condition| !context.truth(condition)) {
                            return true;
                        }
                        context.truth(claim) == (*quantifier == Quantifier::ForAll)
                    })
                });
                all == (*quantifier == Quantifier::ForAll)
            }
            Op::Seq(SeqOp::Intersects(left, right)) => {
                let (left, right) = (self.value(left), self.value(right).items());
                left.items().iter().any(|item| contains(&right, item, clock))
            }
            Op::Seq(SeqOp::Subset(part, whole)) => {
                let (part, whole) = (self.value(part), self.value(whole));
                part.is_list() && whole.is_list() && is_subset(&part, &whole, clock)
            }
            _ => false,
        }
    }

    pub(super) fn collect(&mut self, op: &'a Op) -> Vec<Value<'a, N>> {
        let mut found = Vec::new();
        self.each_item(op, &mut |_, item| {
            found.push(item);
            true
        });
        found
    }

    pub(super) fn list_value(&mut self, seq: &'a SeqOp, op: &'a Op) -> Value<'a, N> {
        let clock = self.clock();
        match seq {
            SeqOp::Filter(..) | SeqOp::Map(..) | SeqOp::Each { .. } => Value::list(self.collect(op)),
            SeqOp::Exists(..) | SeqOp::Quantified { .. } | SeqOp::Intersects(..) | SeqOp::Subset(..) => {
                Value::Bool(self.list_truth(op))
            }
            SeqOp::Aggregate(function, list, body) => self.aggregate(*function, list, body.as_deref()),
            SeqOp::Count(list, what) => self.count(list, *what),
            SeqOp::Distinct(list) => {
                let items = self.collect(list).into_iter().filter(|item| !item.is_null()).collect();
                Value::list(distinct(items, clock))
            }
            SeqOp::Intersection(left, right) => {
                let (left, right) = (self.collect(left), self.collect(right));
                Value::list(
                    distinct(left, clock)
                        .into_iter()
                        .filter(|item| contains(&right, item, clock))
                        .collect(),
                )
            }
            SeqOp::GroupBy(list, key) => self.group(list, key),
            SeqOp::Top {
                list,
                key,
                count,
                largest,
            } => self.top(list, key, count, *largest),
            SeqOp::Head(list) => {
                let mut first = Value::Null;
                self.each_item(list, &mut |_, item| {
                    first = item;
                    false
                });
                first
            }
            _ => self.map_value(seq),
        }
    }

    fn map_value(&mut self, seq: &'a SeqOp) -> Value<'a, N> {
        match seq {
            SeqOp::Get(map, key) => {
                let (map, key) = (self.value(map), self.value(key));
                match &map {
                    Value::MapNode(node) | Value::StructNode(node) => {
                        Value::of(key.text().and_then(|key| node.get(key)))
                    }
                    Value::Map(entries) => {
                        let clock = self.clock();
                        entries
                            .iter()
                            .find(|(known, _)| known.same(&key, clock))
                            .map_or(Value::Null, |(_, value)| value.clone())
                    }
                    _ => Value::Null,
                }
            }
            SeqOp::Keys(map) => Value::list(self.value(map).entries().into_iter().map(|(key, _)| key).collect()),
            SeqOp::Values(map) => Value::list(self.value(map).entries().into_iter().map(|(_, value)| value).collect()),
            SeqOp::MapValues(map, body) => {
                let entries = self.value(map).entries();
                let mapped = entries
                    .into_iter()
                    .map(|(key, value)| (key, self.with_element(value, |context| context.value(body))));
                Value::Map(mapped.collect())
            }
            SeqOp::MapEntries { map, key, value } => {
                let entries = self.value(map).entries();
                let mapped = entries.into_iter().map(|(own, group)| {
                    self.variables.push(own.clone());
                    self.variables.push(group);
                    let new_key = key.as_ref().map_or(own, |key| self.value(key));
                    let new_value = self.value(value);
                    self.variables.truncate(self.variables.len() - 2);
                    (new_key, new_value)
                });
                Value::Map(mapped.collect())
            }
            _ => Value::Null,
        }
    }

    fn group(&mut self, list: &'a Op, key: &'a Op) -> Value<'a, N> {
        let clock = self.clock();
        let mut groups: Vec<(Value<'a, N>, Vec<Value<'a, N>>)> = Vec::new();
        self.each_item(list, &mut |context, item| {
            let keys = context.with_element(item.clone(), |context| context.value(key));
            let keys = if keys.is_list() {
                distinct(keys.items(), clock)
            } else {
                vec![keys]
            };
            for key in keys.into_iter().filter(|key| !key.is_null()) {
                match groups.iter_mut().find(|(known, _)| known.same(&key, clock)) {
                    Some((_, members)) => members.push(item.clone()),
                    None => groups.push((key, vec![item.clone()])),
                }
            }
            true
        });
        Value::Map(
            groups
                .into_iter()
                .map(|(key, members)| (key, Value::list(members)))
                .collect::<Rc<[_]>>(),
        )
    }

    fn top(&mut self, list: &'a Op, key: &'a Op, count: &'a Op, largest: bool) -> Value<'a, N> {
        let clock = self.clock();
        let count = match self.value(count) {
            Value::Int(count) => usize::try_from(count).unwrap_or(0),
            _ => return Value::Null,
        };
        let mut keyed = Vec::new();
        self.each_item(list, &mut |context, item| {
            let key = context.with_element(item.clone(), |context| context.value(key));
            keyed.push((key, item));
            true
        });
        // Stable: items with the same key keep their order. Those without a key come last.
        keyed.sort_by(|(left, _), (right, _)| {
            left.is_null().cmp(&right.is_null()).then_with(|| {
                let order = order(left, right, clock).unwrap_or(std::cmp::Ordering::Equal);
                if largest { order.reverse() } else { order }
            })
        });
        Value::list(keyed.into_iter().take(count).map(|(_, item)| item).collect())
    }
}
