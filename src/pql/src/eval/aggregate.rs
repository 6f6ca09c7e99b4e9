//! From many values to one.

use super::{Context, Node, Value, lists::distinct, value::order};
use crate::{
    ast::{Aggregate, ArithmeticOp},
    calendar::Clock,
    op::{Counted, Op, SeqOp},
};

impl<'a, N: Node<'a>> Context<'a, N> {
    pub(super) fn count(&mut self, list: &'a Op, what: Counted) -> Value<'a, N> {
        if what == Counted::DistinctWithNull {
            return number(distinct(self.collect(list), self.clock()).len());
        }
        let mut count = 0_usize;
        let mut add = |item: &Value<'a, N>| {
            count += usize::from(match what {
                Counted::Null => item.is_null(),
                Counted::Present => !item.is_null(),
                _ => true,
            });
            true
        };
        if matches!(list, Op::Seq(SeqOp::Filter(..) | SeqOp::Map(..) | SeqOp::Each { .. })) {
            self.each_item(list, &mut |_, item| add(&item));
            return number(count);
        }
        match self.value(list) {
            Value::MapNode(node) | Value::StructNode(node) => number(node.len()),
            Value::Map(entries) => number(entries.len()),
            value => {
                value.each(&mut |item| add(&item));
                number(count)
            }
        }
    }

    pub(super) fn aggregate(&mut self, function: Aggregate, list: &'a Op, body: Option<&'a Op>) -> Value<'a, N> {
        let clock = self.clock();
        let mut total = Total::new(function);
        self.each_item(list, &mut |context, item| {
            let value = match body {
                Some(body) => context.with_element(item, |context| context.value(body)),
                None => item,
            };
            if value.is_list() {
                value.each(&mut |value| {
                    total.add(value, clock);
                    true
                });
            } else {
                total.add(value, clock);
            }
            true
        });
        total.finish()
    }
}

fn number<'a, N: Node<'a>>(count: usize) -> Value<'a, N> {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// An aggregate on the way.
struct Total<'a, N> {
    function: Aggregate,
    count: i64,
    sum: Value<'a, N>,
    best: Value<'a, N>,
}

impl<'a, N: Node<'a>> Total<'a, N> {
    fn new(function: Aggregate) -> Self {
        Self {
            function,
            count: 0,
            sum: Value::Int(0),
            best: Value::Null,
        }
    }

    fn add(&mut self, value: Value<'a, N>, clock: &Clock) {
        if value.is_null() {
            return;
        }
        match self.function {
            Aggregate::Count => self.count += 1,
            Aggregate::Sum | Aggregate::Average => {
                if value.double().is_some() {
                    self.count += 1;
                    self.sum = super::arithmetic(ArithmeticOp::Add, &self.sum, &value);
                }
            }
            Aggregate::Min | Aggregate::Max => {
                let better = order(&value, &self.best, clock).map_or(self.best.is_null(), |order| {
                    if self.function == Aggregate::Min {
                        order.is_lt()
                    } else {
                        order.is_gt()
                    }
                });
                if better {
                    self.best = value;
                }
            }
        }
    }

    fn finish(self) -> Value<'a, N> {
        match self.function {
            Aggregate::Count => Value::Int(self.count),
            Aggregate::Sum => self.sum,
            Aggregate::Average if self.count == 0 => Value::Null,
            Aggregate::Average => super::arithmetic(ArithmeticOp::Divide, &self.sum, &Value::Int(self.count)),
            Aggregate::Min | Aggregate::Max => self.best,
        }
    }
}
