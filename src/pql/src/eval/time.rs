//! Conditions on times: windows that are computed once, or for each profile where their anchor is a field.

use super::{Context, Node, Value};
use crate::{
    ast::{Comparison, Instant, Side, Unit, Which},
    calendar::{self, Clock},
    op::{AnchorOp, DatePart, Op, TimeOp, WindowSpec},
};

/// A stretch of time in microseconds since 1970, both ends included; or all that is outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    first: i64,
    last: i64,
    outside: bool,
}

impl Window {
    const NEVER: Self = Self {
        first: 1,
        last: 0,
        outside: false,
    };

    fn new(first: i64, last: i64) -> Self {
        Self {
            first,
            last,
            outside: false,
        }
    }

    pub(crate) fn holds(self, micros: i64) -> bool {
        (self.first <= micros && micros <= self.last) != self.outside
    }
}

/// An anchor: a point, or a period from its first to its last microsecond.
#[derive(Clone, Copy)]
struct Reference {
    first: i64,
    last: i64,
    /// Where it is counted from: the start of a day.
    point: i64,
    period: bool,
}

impl Reference {
    fn point(micros: i64) -> Self {
        Self {
            first: micros,
            last: micros,
            point: micros,
            period: false,
        }
    }

    fn day(start: i64, clock: &Clock) -> Option<Self> {
        let end = clock.shift(start, 1, Unit::Day)?;
        Some(Self {
            first: start,
            last: end - 1,
            point: start,
            period: false,
        })
    }
}

/// The window of a condition that depends on the time alone.
pub(super) fn absolute(spec: &WindowSpec, clock: &Clock) -> Window {
    resolve(spec, clock, &mut |op| match op {
        Op::Time(TimeOp::Instant(instant)) => word(*instant, clock),
        Op::Time(TimeOp::Date(parts)) => {
            let number = |op: &Op| match op {
                Op::Constant(crate::op::Constant::Int(number)) => Some(*number),
                _ => None,
            };
            let day = calendar::day(number(&parts[0])?, number(&parts[1])?, number(&parts[2])?)?;
            Reference::day(clock.start_of(day)?, clock)
        }
        _ => None,
    })
}

fn start_of_today(clock: &Clock) -> Option<i64> {
    clock.floor(clock.now(), Unit::Day)
}

fn word(instant: Instant, clock: &Clock) -> Option<Reference> {
    if instant == Instant::Now {
        return Some(Reference::point(clock.now()));
    }
    Reference::day(start(instant, clock)?, clock)
}

fn start(instant: Instant, clock: &Clock) -> Option<i64> {
    match instant {
        Instant::Now => Some(clock.now()),
        Instant::Today => start_of_today(clock),
        Instant::Yesterday => clock.shift(start_of_today(clock)?, -1, Unit::Day),
        Instant::Tomorrow => clock.shift(start_of_today(clock)?, 1, Unit::Day),
    }
}

fn period(which: Which, unit: Unit, clock: &Clock) -> Option<Reference> {
    let this = clock.floor(clock.now(), unit)?;
    let first = match which {
        Which::This => this,
        Which::Last => clock.shift(this, -1, unit)?,
        Which::Next => clock.shift(this, 1, unit)?,
    };
    let end = clock.shift(first, 1, unit)?;
    Some(Reference {
        first,
        last: end - 1,
        point: first,
        period: true,
    })
}

/// Nothing is within a window whose anchor is not there.
fn resolve<'o>(spec: &'o WindowSpec, clock: &Clock, time: &mut dyn FnMut(&'o Op) -> Option<Reference>) -> Window {
    let mut anchor = |anchor: &'o AnchorOp| match anchor {
        AnchorOp::Period(which, unit) => period(*which, *unit, clock),
        AnchorOp::Time(op) => time(op),
    };
    let window = match spec {
        WindowSpec::Within {
            comparison,
            amount,
            unit,
            side,
            anchor: from,
        } => anchor(from).and_then(|from| within(*comparison, (i64::from(*amount), *unit), *side, from, clock)),
        WindowSpec::Beside(Side::Before, anchored) => {
            anchor(anchored).map(|at| Window::new(i64::MIN, at.point.saturating_sub(1)))
        }
        WindowSpec::Beside(Side::After, anchored) => anchor(anchored).map(|at| {
            let from = if at.period { at.last } else { at.point };
            Window::new(from.saturating_add(1), i64::MAX)
        }),
        WindowSpec::On(anchored) => anchor(anchored).map(|at| Window::new(at.first, at.last)),
        WindowSpec::Between(from, to) => match (anchor(from), anchor(to)) {
            (Some(from), Some(to)) => Some(Window::new(from.first, to.last)),
            _ => None,
        },
    };
    window.unwrap_or(Window::NEVER)
}

fn within(
    comparison: Comparison,
    (amount, unit): (i64, Unit),
    side: Side,
    anchor: Reference,
    clock: &Clock,
) -> Option<Window> {
    let before = side == Side::Before;
    let near = if !before && anchor.period {
        anchor.last.saturating_add(1)
    } else {
        anchor.point
    };
    // Distances that lead out of all years reach as far as there is time.
    let shifted = clock.shift(near, if before { -amount } else { amount }, unit);
    let far = shifted.unwrap_or(if before { i64::MIN } else { i64::MAX });
    let window = match (comparison, before) {
        (Comparison::Less, true) => Window::new(far.saturating_add(1), near),
        (Comparison::Less, false) => Window::new(near, far.saturating_sub(1)),
        (Comparison::LessOrEqual, true) => Window::new(far, near),
        (Comparison::LessOrEqual, false) => Window::new(near, far),
        (Comparison::Greater, true) => Window::new(i64::MIN, far.saturating_sub(1)),
        (Comparison::Greater, false) => Window::new(far.saturating_add(1), i64::MAX),
        (Comparison::GreaterOrEqual, true) => Window::new(i64::MIN, far),
        (Comparison::GreaterOrEqual, false) => Window::new(far, i64::MAX),
        (Comparison::Equal | Comparison::NotEqual, _) => {
            let first = clock.floor(shifted?, unit)?;
            let last = clock.shift(first, 1, unit)? - 1;
            Window {
                first,
                last,
                outside: comparison == Comparison::NotEqual,
            }
        }
    };
    Some(window)
}

impl<'a, N: Node<'a>> Context<'a, N> {
    pub(super) fn window(&self, index: usize) -> Window {
        self.program.windows.get(index).copied().unwrap_or(Window::NEVER)
    }

    /// The window of a condition whose anchor is in the profile.
    pub(super) fn relative(&mut self, spec: &'a WindowSpec) -> Window {
        let clock = self.clock();
        resolve(spec, clock, &mut |op| match op {
            Op::Time(TimeOp::Instant(instant)) => word(*instant, clock),
            _ => match self.value(op).as_time() {
                Value::Time(micros) => Some(Reference::point(micros)),
                Value::Date(day) => Reference::day(clock.start_of(day)?, clock),
                _ => None,
            },
        })
    }

    pub(super) fn time_truth(&mut self, op: &'a Op) -> bool {
        let clock = self.clock();
        let (time, window) = match op {
            Op::Time(TimeOp::Absolute(time, index)) => (time, self.window(*index)),
            Op::Time(TimeOp::Relative(time, spec)) => (time, self.relative(spec)),
            _ => return false,
        };
        !self.each_or_self(time, &mut |_, value| {
            !value.micros(clock).is_some_and(|micros| window.holds(micros))
        })
    }

    pub(super) fn time_value(&mut self, time: &'a TimeOp, op: &'a Op) -> Value<'a, N> {
        let clock = self.clock();
        match time {
            TimeOp::Instant(instant) => start(*instant, clock).map_or(Value::Null, Value::Time),
            TimeOp::Date(parts) => {
                let mut numbers = [0; 3];
                for (number, part) in numbers.iter_mut().zip(parts.iter()) {
                    match self.value(part) {
                        Value::Int(value) => *number = value,
                        _ => return Value::Null,
                    }
                }
                calendar::day(numbers[0], numbers[1], numbers[2]).map_or(Value::Null, Value::Date)
            }
            TimeOp::Part(time, part) => {
                let date = match self.value(time).as_time() {
                    Value::Date(day) => calendar::date(day),
                    Value::Time(micros) => clock.local(micros).map(jiff::civil::DateTime::date),
                    _ => None,
                };
                date.map_or(Value::Null, |date| {
                    Value::Int(match part {
                        DatePart::Year => i64::from(date.year()),
                        DatePart::Month => i64::from(date.month()),
                        DatePart::Day => i64::from(date.day()),
                    })
                })
            }
            TimeOp::Absolute(..) | TimeOp::Relative(..) => Value::Bool(self.time_truth(op)),
        }
    }
}
