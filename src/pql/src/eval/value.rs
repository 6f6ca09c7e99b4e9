//! Values while they are computed: looked at in the data, or made on the way.

use std::{borrow::Borrow, cmp::Ordering, rc::Rc, sync::Arc};

use super::node::{Node, View};
use crate::{calendar, calendar::Clock};

#[derive(Clone)]
pub(crate) enum Text<'a> {
    Borrowed(&'a str),
    Made(Rc<str>),
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Made(text) => text,
        }
    }
}

#[derive(Clone)]
pub(crate) enum Value<'a, N> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Text<'a>),
    Time(i64),
    Date(i32),
    /// A list in the data.
    ListNode(N),
    /// A map in the data.
    MapNode(N),
    /// A struct in the data.
    StructNode(N),
    List(Rc<[Value<'a, N>]>),
    Map(Rc<[(Value<'a, N>, Value<'a, N>)]>),
    Object(Rc<[(Arc<str>, Value<'a, N>)]>),
}

/// Which values are the same, and which comes first, where the two can be compared at all.
pub(crate) fn order<'a, N: Node<'a>>(left: &Value<'a, N>, right: &Value<'a, N>, clock: &Clock) -> Option<Ordering> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Double(right)) => int_to_double(*left, *right),
        (Value::Double(left), Value::Int(right)) => int_to_double(*right, *left).map(Ordering::reverse),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) => Some(Borrow::<str>::borrow(left).cmp(right.borrow())),
        (Value::Date(left), Value::Date(right)) => Some(left.cmp(right)),
        (Value::Time(_) | Value::Date(_), _) | (_, Value::Time(_) | Value::Date(_)) => {
            Some(left.micros(clock)?.cmp(&right.micros(clock)?))
        }
        _ => None,
    }
}

/// Compares without rounding the whole number, which a conversion would do beyond 2^53.
fn int_to_double(left: i64, right: f64) -> Option<Ordering> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if right.is_nan() {
        return None;
    }
    if right >= BOUND {
        return Some(Ordering::Less);
    }
    if right < -BOUND {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the number is within the range")]
    let whole = right.trunc() as i64;
    Some(
        left.cmp(&whole)
            .then_with(|| 0.0.partial_cmp(&right.fract()).unwrap_or(Ordering::Equal)),
    )
}

impl<'a, N: Node<'a>> Value<'a, N> {
    pub(crate) fn of(node: Option<N>) -> Self {
        let Some(node) = node else { return Self::Null };
        match node.view() {
            View::Null => Self::Null,
            View::Bool(value) => Self::Bool(value),
            View::Int(number) => Self::Int(number),
            View::Double(number) => Self::Double(number),
            View::Text(text) => Self::Text(Text::Borrowed(text)),
            View::Time(micros) => Self::Time(micros),
            View::Date(day) => Self::Date(day),
            View::List => Self::ListNode(node),
            View::Map => Self::MapNode(node),
            View::Struct => Self::StructNode(node),
        }
    }

    pub(crate) fn made(text: &str) -> Self {
        Self::Text(Text::Made(Rc::from(text)))
    }

    pub(crate) fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::from(items))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::List(_) | Self::ListNode(_))
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.borrow()),
            _ => None,
        }
    }

    pub(crate) fn double(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "numbers of both kinds meet as fractions")]
            Self::Int(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// Microseconds since 1970 of a time, a day or a text that is one.
    pub(crate) fn micros(&self, clock: &Clock) -> Option<i64> {
        match self.as_time() {
            Self::Time(micros) => Some(micros),
            Self::Date(day) => clock.start_of(day),
            _ => None,
        }
    }

    /// The time or day that it is, also as text; null where it is none.
    pub(crate) fn as_time(&self) -> Self {
        match self {
            Self::Time(_) | Self::Date(_) => self.clone(),
            Self::Text(text) => {
                let text: &str = text.borrow();
                let day = calendar::parse_date(text).map(Self::Date);
                day.or_else(|| calendar::parse_timestamp(text).map(Self::Time))
                    .unwrap_or(Self::Null)
            }
            _ => Self::Null,
        }
    }

    /// Whether it counts as true.
    pub(crate) fn truth(&self, entries: bool) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::ListNode(node) | Self::MapNode(node) => !node.is_empty(),
            Self::StructNode(node) => !entries || !node.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
            _ => true,
        }
    }

    /// Whether two values are the same; lists item by item, in order.
    pub(crate) fn same(&self, other: &Self, clock: &Clock) -> bool {
        if self.is_list() && other.is_list() {
            let (left, right) = (self.items(), other.items());
            return left.len() == right.len() && left.iter().zip(&right).all(|(left, right)| left.same(right, clock));
        }
        match (self, other) {
            (
                Self::StructNode(_) | Self::MapNode(_) | Self::Object(_) | Self::Map(_),
                Self::StructNode(_) | Self::MapNode(_) | Self::Object(_) | Self::Map(_),
            ) => self.to_json() == other.to_json(),
            _ => order(self, other, clock) == Some(Ordering::Equal),
        }
    }

    /// Calls `visit` with each item of a list until it has enough; says whether it wants more. What is no list has no items.
    pub(crate) fn each(&self, visit: &mut dyn FnMut(Self) -> bool) -> bool {
        match self {
            Self::ListNode(node) => (0..node.len()).all(|index| visit(Self::of(node.item(index)))),
            Self::List(items) => items.iter().all(|item| visit(item.clone())),
            _ => true,
        }
    }

    /// The items of a list; of anything else none.
    pub(crate) fn items(&self) -> Vec<Self> {
        match self {
            Self::ListNode(node) => (0..node.len()).map(|index| Self::of(node.item(index))).collect(),
            Self::List(items) => items.to_vec(),
            _ => Vec::new(),
        }
    }

    /// The entries of a map; of anything else none.
    pub(crate) fn entries(&self) -> Vec<(Self, Self)> {
        match self {
            Self::MapNode(node) | Self::StructNode(node) => (0..node.len())
                .filter_map(|index| {
                    node.key(index)
                        .map(|key| (Self::Text(Text::Borrowed(key)), Self::of(node.item(index))))
                })
                .collect(),
            Self::Map(entries) => entries.to_vec(),
            _ => Vec::new(),
        }
    }

    /// The same as JSON, for people; structs in the data without a list of their fields show as they are.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        let key = |value: &Self| match value.text() {
            Some(text) => text.to_owned(),
            None => value.to_json().to_string(),
        };
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(number) => Json::from(*number),
            Self::Double(number) => Json::from(*number),
            Self::Text(text) => Json::from(Borrow::<str>::borrow(text)),
            Self::Time(micros) => Json::from(calendar::show(*micros)),
            Self::Date(day) => calendar::date(*day).map_or(Json::Null, |date| Json::from(date.to_string())),
            Self::ListNode(_) | Self::List(_) => self.items().iter().map(Self::to_json).collect(),
            Self::MapNode(_) | Self::StructNode(_) | Self::Map(_) => self
                .entries()
                .iter()
                .map(|(name, value)| (key(name), value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Self::Object(entries) => entries
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}
