//! What stands after `occurs` and in `WHEN(…)`.

use super::{
    input::{Input, Parsed, accept_word, ahead, here, missing, refuse, take, word_at},
    lexer::{Kind, Token},
    operators::{comparison_sign, sum},
};
use crate::ast::{Anchor, Occurrence, Side, Unit, Which};

/// A condition on a time.
pub(super) fn occurrence(input: &mut Input<'_>) -> Parsed<Occurrence> {
    if let Some(comparison) = comparison_sign(input) {
        take(input)?;
        let amount = amount(input)?;
        let unit = unit(input)?;
        let Some(side) = side(input)? else {
            return missing(input, "before, after or from and a time, such as 3 days before now");
        };
        return Ok(Occurrence::Within {
            comparison,
            amount,
            unit,
            side,
            anchor: anchor(input)?,
        });
    }
    if let Some(side) = side(input)? {
        return Ok(Occurrence::Beside(side, anchor(input)?));
    }
    if accept_word(input, "between")? {
        let from = anchor(input)?;
        if !accept_word(input, "and")? {
            return missing(input, "and, and the end of the period: between a and b");
        }
        return Ok(Occurrence::Between(from, anchor(input)?));
    }
    accept_word(input, "on")?;
    Ok(Occurrence::On(anchor(input)?))
}

fn side(input: &mut Input<'_>) -> Parsed<Option<Side>> {
    let side = match word_at(input, 0).as_deref() {
        Some("before") => Side::Before,
        Some("after" | "from") => Side::After,
        _ => return Ok(None),
    };
    take(input)?;
    Ok(Some(side))
}

fn amount(input: &mut Input<'_>) -> Parsed<u32> {
    match ahead(input, 0) {
        Some(Token {
            kind: Kind::Int(number),
            span,
        }) => match u32::try_from(*number) {
            Ok(amount) => {
                take(input)?;
                Ok(amount)
            }
            Err(_) => refuse(*span, format!("{number} is too many: at most {}", u32::MAX)),
        },
        _ => missing(input, "a whole number of units, such as 3 days"),
    }
}

fn unit(input: &mut Input<'_>) -> Parsed<Unit> {
    match word_at(input, 0).and_then(|word| Unit::from_word(&word)) {
        Some(unit) => {
            take(input)?;
            Ok(unit)
        }
        None => missing(
            input,
            "a unit of time (milliseconds, seconds, minutes, hours, days, weeks, months, years, decades, centuries, millennia)",
        ),
    }
}

fn anchor(input: &mut Input<'_>) -> Parsed<Anchor> {
    let start = here(input);
    let which = match word_at(input, 0).as_deref() {
        Some("last") => Some(Which::Last),
        Some("this") => Some(Which::This),
        Some("next") => Some(Which::Next),
        _ => None,
    };
    if let Some(which) = which {
        if let Some(unit) = word_at(input, 1).and_then(|word| Unit::from_word(&word)) {
            take(input)?;
            take(input)?;
            return Ok(Anchor::Period(which, unit));
        }
        if let Some(Token {
            kind: Kind::Int(number),
            ..
        }) = ahead(input, 1)
        {
            let form = if which == Which::Next { "after" } else { "before" };
            return refuse(
                start,
                format!("a stretch of time is written with <, such as occurs < {number} days {form} now"),
            );
        }
    }
    sum(input).map(Anchor::Time)
}
