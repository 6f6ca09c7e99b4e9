//! Which segments an expression asks for, and in which order segments are computed.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::{
    Expr,
    ast::{ExprKind, Literal},
};

/// Segments that refer to each other in a circle.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the segments {} refer to each other in a circle: take inSegment() out of one of them", .segments.join(" → "))]
pub struct Cycle {
    /// Their ids; the last is the first.
    pub segments: Vec<String>,
}

impl Cycle {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        "PQL_CYCLE"
    }
}

/// The ids that the expression asks for with `inSegment`, each once, from left to right.
pub fn dependencies(expr: &Expr) -> Vec<&str> {
    let mut found = Vec::new();
    expr.walk(&mut |part| {
        if let ExprKind::Call {
            function,
            receiver: None,
            arguments,
        } = &part.kind
            && function.text == "inSegment"
            && let [
                Expr {
                    kind: ExprKind::Literal(Literal::String(id)),
                    ..
                },
            ] = arguments.as_slice()
            && !found.contains(&id.as_str())
        {
            found.push(id.as_str());
        }
    });
    found
}

/// Definitions, by id, in an order in which each comes after those that it asks for; ids without a definition are left
/// out. Equal definitions give an equal order.
///
/// # Errors
/// Some of them refer to each other in a circle.
pub fn order<'d>(definitions: &'d BTreeMap<String, Expr>) -> Result<Vec<&'d str>, Cycle> {
    let mut waiting: BTreeMap<&'d str, Vec<&'d str>> = BTreeMap::new();
    for (id, expr) in definitions {
        let asked = dependencies(expr)
            .into_iter()
            .filter(|asked| definitions.contains_key(*asked));
        waiting.insert(id, asked.collect());
    }
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let ready: Vec<&str> = waiting
            .iter()
            .filter(|(_, asked)| asked.iter().all(|asked| !waiting.contains_key(asked)))
            .map(|(id, _)| *id)
            .collect();
        if ready.is_empty() {
            return Err(cycle(&waiting));
        }
        for id in ready {
            waiting.remove(id);
            ordered.push(id);
        }
    }
    Ok(ordered)
}

/// Follows what is waited for until something comes twice: all of these wait for another of them.
fn cycle(waiting: &BTreeMap<&str, Vec<&str>>) -> Cycle {
    let mut path: Vec<&str> = Vec::new();
    let mut next = waiting.keys().next().copied();
    while let Some(id) = next {
        if let Some(start) = path.iter().position(|known| *known == id) {
            path.drain(..start);
            path.push(id);
            break;
        }
        path.push(id);
        next = waiting
            .get(id)
            .and_then(|asked| asked.iter().find(|asked| waiting.contains_key(*asked)).copied());
    }
    Cycle {
        segments: path.into_iter().map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn definitions(list: &[(&str, &str)]) -> BTreeMap<String, Expr> {
        list.iter()
            .map(|(id, text)| ((*id).to_owned(), parse(text).unwrap()))
            .collect()
    }

    #[test]
    fn a_segment_comes_after_those_that_it_asks_for() {
        let all = definitions(&[
            ("a", r#"inSegment("c") and not inSegment("b")"#),
            ("b", r#"inSegment("c") or inSegment("elsewhere") or inSegment("c")"#),
            ("c", "x = 1"),
            ("d", "x = 2"),
        ]);
        assert_eq!(dependencies(&all["b"]), ["c", "elsewhere"]);
        assert_eq!(order(&all), Ok(vec!["c", "d", "b", "a"]));
    }

    #[test]
    fn a_circle_is_named() {
        let all = definitions(&[
            ("a", r#"inSegment("b")"#),
            ("b", r#"exists E from xEvent : inSegment("c")"#),
            ("c", r#"not inSegment("b")"#),
            ("d", "x = 2"),
        ]);
        let cycle = order(&all).unwrap_err();
        assert_eq!(
            cycle.to_string(),
            "the segments b → c → b refer to each other in a circle: take inSegment() out of one of them"
        );
        let own = definitions(&[("a", r#"inSegment("a")"#)]);
        assert_eq!(order(&own).unwrap_err().segments, ["a", "a"]);
    }
}
