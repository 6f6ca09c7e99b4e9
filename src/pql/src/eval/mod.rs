//! From a program and a profile to its outcome. Nothing can fail here: what does not fit is null, and null is not true.

mod aggregate;
mod chain;
mod json;
mod lists;
mod node;
mod texts;
mod time;
mod value;

use std::sync::Arc;

pub use self::{
    json::JsonNode,
    node::{Memberships, Node, View},
};
use self::{
    time::Window,
    value::{Text, Value},
};
use crate::{
    Typed,
    ast::{ArithmeticOp, Comparison},
    calendar::Clock,
    op::{Constant, Lists, Logic, Op, SeqOp, Step, TextOp, TimeOp, Truth},
};

/// A checked expression at a fixed time, ready for any number of profiles, on any number of threads.
#[derive(Clone, Debug)]
pub struct Program {
    op: Arc<Op>,
    windows: Arc<[Window]>,
    segments: Arc<[String]>,
    clock: Clock,
}

/// A profile and its events.
#[derive(Clone, Copy, Debug)]
pub struct Row<N> {
    /// The profile: a struct.
    pub profile: N,
    /// Its events: a list of structs, in any order; `None` where it has none.
    pub events: Option<N>,
}

/// What an evaluation works on.
struct Context<'a, N> {
    program: &'a Program,
    memberships: &'a dyn Memberships,
    events: Value<'a, N>,
    /// The elements that bare names are fields of, from the profile inwards.
    elements: Vec<Value<'a, N>>,
    variables: Vec<Value<'a, N>>,
}

impl Program {
    /// Computes what depends on the time alone, once for all profiles.
    pub fn new(typed: &Typed, clock: Clock) -> Self {
        let windows = typed.windows.iter().map(|spec| time::absolute(spec, &clock)).collect();
        Self {
            op: Arc::clone(&typed.op),
            windows,
            segments: typed.segments().into(),
            clock,
        }
    }

    /// Whether the profile fulfils the expression.
    pub fn matches<'a, N: Node<'a>>(&'a self, row: Row<N>, memberships: &'a dyn Memberships) -> bool {
        Context::new(self, row, memberships).truth(&self.op)
    }

    /// The value of the expression, as JSON.
    pub fn value<'a, N: Node<'a>>(&'a self, row: Row<N>, memberships: &'a dyn Memberships) -> serde_json::Value {
        Context::new(self, row, memberships).value(&self.op).to_json()
    }
}

impl<'a, N: Node<'a>> Context<'a, N> {
    fn new(program: &'a Program, row: Row<N>, memberships: &'a dyn Memberships) -> Self {
        let events = match Value::of(row.events) {
            Value::Null => Value::list(Vec::new()),
            events => events,
        };
        Self {
            program,
            memberships,
            events,
            elements: vec![Value::of(Some(row.profile))],
            variables: Vec::new(),
        }
    }

    fn clock(&self) -> &'a Clock {
        &self.program.clock
    }

    /// Whether it is true; the short way for what is true or false anyway.
    fn truth(&mut self, op: &'a Op) -> bool {
        match op {
            Op::Truth(inner, Truth::Value) => self.truth(inner),
            Op::Truth(inner, Truth::Entries) => self.value(inner).truth(true),
            Op::Logic(Logic::Not(inner)) => !self.truth(inner),
            Op::Logic(Logic::And(items)) => items.iter().all(|item| self.truth(item)),
            Op::Logic(Logic::Or(items)) => items.iter().any(|item| self.truth(item)),
            Op::Compare(operator, left, right, lists) => self.compare(*operator, left, right, *lists),
            Op::In { value, list, negated } => self.is_in(value, list, *negated),
            Op::InTexts { value, texts, negated } => !self.each_or_self(value, &mut |_, value| {
                value.is_null() || value.text().is_some_and(|text| texts.contains(text)) == *negated
            }),
            Op::IsNull(inner) => self.is_null(inner),
            Op::Member(index) => self
                .program
                .segments
                .get(*index)
                .is_some_and(|segment| self.memberships.is_member(*index, segment)),
            Op::Chain(chain) => self.chain(chain),
            Op::Text(TextOp::Test { .. } | TextOp::Matches(..) | TextOp::Empty(..)) => self.text_truth(op),
            Op::Time(TimeOp::Absolute(..) | TimeOp::Relative(..)) => self.time_truth(op),
            Op::Seq(SeqOp::Exists(..) | SeqOp::Quantified { .. } | SeqOp::Intersects(..) | SeqOp::Subset(..)) => {
                self.list_truth(op)
            }
            Op::Let { value, body } => {
                let value = self.value(value);
                self.with_variable(value, |context| context.truth(body))
            }
            // Whether a list has items is known at the first.
            Op::Seq(SeqOp::Filter(..) | SeqOp::Each { .. }) => !self.each_item(op, &mut |_, _| false),
            other => self.value(other).truth(false),
        }
    }

    fn value(&mut self, op: &'a Op) -> Value<'a, N> {
        match op {
            Op::Constant(constant) => match constant {
                Constant::Null => Value::Null,
                Constant::Bool(value) => Value::Bool(*value),
                Constant::Int(number) => Value::Int(*number),
                Constant::Double(number) => Value::Double(*number),
                Constant::Text(text) => Value::Text(Text::Borrowed(text)),
            },
            Op::Element(level) => self.elements.get(*level).cloned().unwrap_or(Value::Null),
            Op::Variable(slot) => self.variables.get(*slot).cloned().unwrap_or(Value::Null),
            Op::Events => self.events.clone(),
            Op::Path(base, steps) => {
                let base = self.value(base);
                walk(base, steps)
            }
            Op::AsTime(inner) => match self.value(inner) {
                list if list.is_list() => Value::list(list.items().iter().map(Value::as_time).collect()),
                value => value.as_time(),
            },
            Op::List(items) => Value::list(items.iter().map(|item| self.value(item)).collect()),
            Op::Object(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| (Arc::clone(key), self.value(value)))
                    .collect(),
            ),
            Op::Negate(inner) => match self.value(inner) {
                Value::Int(number) => number.checked_neg().map_or(Value::Null, Value::Int),
                Value::Double(number) => Value::Double(-number),
                _ => Value::Null,
            },
            Op::Arithmetic(operator, left, right) => {
                let (left, right) = (self.value(left), self.value(right));
                arithmetic(*operator, &left, &right)
            }
            Op::Let { value, body } => {
                let value = self.value(value);
                self.with_variable(value, |context| context.value(body))
            }
            Op::Logic(Logic::If(condition, then, otherwise)) => {
                let chosen = if self.truth(condition) { then } else { otherwise };
                self.value(chosen)
            }
            Op::Text(text) => self.text_value(text, op),
            Op::Time(time) => self.time_value(time, op),
            Op::Seq(seq) => self.list_value(seq, op),
            Op::Logic(_)
            | Op::Truth(..)
            | Op::Compare(..)
            | Op::In { .. }
            | Op::InTexts { .. }
            | Op::IsNull(_)
            | Op::Member(_)
            | Op::Chain(_) => Value::Bool(self.truth(op)),
        }
    }

    fn with_variable<T>(&mut self, value: Value<'a, N>, evaluate: impl FnOnce(&mut Self) -> T) -> T {
        self.variables.push(value);
        let outcome = evaluate(self);
        self.variables.pop();
        outcome
    }

    fn with_element<T>(&mut self, element: Value<'a, N>, evaluate: impl FnOnce(&mut Self) -> T) -> T {
        self.elements.push(element);
        let outcome = evaluate(self);
        self.elements.pop();
        outcome
    }

    fn compare(&mut self, operator: Comparison, left: &'a Op, right: &'a Op, lists: Lists) -> bool {
        let clock = self.clock();
        let right_value = self.value(right);
        if right_value.is_list() {
            let left_value = self.value(left);
            if !left_value.is_list() {
                return right_value
                    .items()
                    .iter()
                    .any(|item| compares(operator, &left_value, item, clock));
            }
            return match operator {
                Comparison::Equal => equal_lists(&left_value, &right_value, lists, clock),
                Comparison::NotEqual => !equal_lists(&left_value, &right_value, lists, clock),
                _ => false,
            };
        }
        !self.each_or_self(left, &mut |_, value| !compares(operator, &value, &right_value, clock))
    }

    fn is_in(&mut self, value: &'a Op, list: &'a Op, negated: bool) -> bool {
        let clock = self.clock();
        let list = self.value(list);
        if !list.is_list() {
            return false;
        }
        let items = list.items();
        !self.each_or_self(value, &mut |_, value| {
            let found = || items.iter().any(|item| value.same(item, clock));
            value.is_null() || found() == negated
        })
    }

    /// A path is there when some value is at its end.
    fn is_null(&mut self, op: &'a Op) -> bool {
        match op {
            Op::Path(base, steps) => {
                let base = self.value(base);
                !lists::is_there(&base, steps)
            }
            Op::AsTime(inner) => self.is_null(inner),
            _ => self.value(op).is_null(),
        }
    }
}

fn equal_lists<'a, N: Node<'a>>(left: &Value<'a, N>, right: &Value<'a, N>, lists: Lists, clock: &Clock) -> bool {
    if lists == Lists::InOrder {
        return left.same(right, clock);
    }
    lists::is_subset(left, right, clock) && lists::is_subset(right, left, clock)
}

/// Compares two values that are no lists.
fn compares<'a, N: Node<'a>>(operator: Comparison, left: &Value<'a, N>, right: &Value<'a, N>, clock: &Clock) -> bool {
    if left.is_null() || right.is_null() {
        return false;
    }
    let Some(order) = value::order(left, right, clock) else {
        return false;
    };
    match operator {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

/// Null where there is no number, no quotient, or no room for the result.
fn arithmetic<'a, N: Node<'a>>(operator: ArithmeticOp, left: &Value<'a, N>, right: &Value<'a, N>) -> Value<'a, N> {
    if let (Value::Int(left), Value::Int(right), true) = (left, right, operator != ArithmeticOp::Divide) {
        let result = match operator {
            ArithmeticOp::Add => left.checked_add(*right),
            ArithmeticOp::Subtract => left.checked_sub(*right),
            ArithmeticOp::Multiply => left.checked_mul(*right),
            _ => left.checked_rem(*right),
        };
        return result.map_or(Value::Null, Value::Int);
    }
    let (Some(left), Some(right)) = (left.double(), right.double()) else {
        return Value::Null;
    };
    let result = match operator {
        ArithmeticOp::Add => left + right,
        ArithmeticOp::Subtract => left - right,
        ArithmeticOp::Multiply => left * right,
        ArithmeticOp::Divide => left / right,
        ArithmeticOp::Remainder => left % right,
    };
    if result.is_finite() {
        Value::Double(result)
    } else {
        Value::Null
    }
}

/// The end of a path; through lists the list of all ends that are there.
fn walk<'a, N: Node<'a>>(base: Value<'a, N>, steps: &[Step]) -> Value<'a, N> {
    let mut value = base;
    for (index, step) in steps.iter().enumerate() {
        value = match &value {
            Value::StructNode(node) | Value::MapNode(node) => Value::of(node.field(step)),
            Value::Object(entries) => entries
                .iter()
                .find(|(key, _)| *key == step.name)
                .map_or(Value::Null, |(_, value)| value.clone()),
            Value::List(_) | Value::ListNode(_) => {
                let mut found = Vec::new();
                lists::ends(&value, &steps[index..], &mut |end| {
                    found.push(end);
                    true
                });
                return Value::list(found);
            }
            _ => return Value::Null,
        };
    }
    value
}
