//! The evaluator agrees with a second, slow one that follows the meaning of the syntax tree word for word.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    missing_docs
)]

mod maker;

use std::cmp::Ordering;

use exportjob_pql::{
    Clock, Expr, Field, JsonNode, Program, Row, Schema, Type,
    ast::{Aggregate, ArithmeticOp, Comparison, ExprKind, Literal, Quantifier},
    check, parse,
};
use maker::Maker;
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value as Json, json};

/// Elements from the profile inwards, and variables.
#[derive(Clone)]
struct Scope {
    elements: Vec<Json>,
    variables: Vec<(String, Json)>,
}

impl Scope {
    fn within(&self, element: &Json) -> Self {
        let mut inner = self.clone();
        inner.elements.push(element.clone());
        inner
    }

    fn with(&self, name: &str, value: &Json) -> Self {
        let mut inner = self.clone();
        inner.variables.push((name.to_owned(), value.clone()));
        inner
    }
}

fn truth(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(value) => *value,
        Json::Array(items) => !items.is_empty(),
        _ => true,
    }
}

fn field(holder: &Json, name: &str) -> Json {
    match holder {
        Json::Array(items) => {
            let mut found = Vec::new();
            for item in items {
                match field(item, name) {
                    Json::Null => {}
                    Json::Array(inner) => found.extend(inner.into_iter().filter(|value| !value.is_null())),
                    value => found.push(value),
                }
            }
            Json::Array(found)
        }
        other => other.get(name).cloned().unwrap_or(Json::Null),
    }
}

fn items(value: &Json) -> Vec<Json> {
    value.as_array().cloned().unwrap_or_default()
}

fn some(value: &Json, test: impl Fn(&Json) -> bool) -> bool {
    match value {
        Json::Array(items) => items.iter().any(test),
        other => test(other),
    }
}

fn ordering(left: &Json, right: &Json) -> Option<Ordering> {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Json::String(left), Json::String(right)) => Some(left.cmp(right)),
        (Json::Bool(left), Json::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn compare(operator: Comparison, left: &Json, right: &Json) -> bool {
    if let (Json::Array(left), Json::Array(right)) = (left, right) {
        let equal = left.len() == right.len()
            && left
                .iter()
                .zip(right)
                .all(|(left, right)| ordering(left, right) == Some(Ordering::Equal));
        return match operator {
            Comparison::Equal => equal,
            Comparison::NotEqual => !equal,
            _ => false,
        };
    }
    let test = |left: &Json, right: &Json| {
        ordering(left, right).is_some_and(|order| match operator {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        })
    };
    some(left, |left| some(right, |right| test(left, right)))
}

fn arithmetic(operator: ArithmeticOp, left: &Json, right: &Json) -> Json {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        let exact = match operator {
            ArithmeticOp::Add => left.checked_add(right),
            ArithmeticOp::Subtract => left.checked_sub(right),
            ArithmeticOp::Multiply => left.checked_mul(right),
            ArithmeticOp::Remainder => left.checked_rem(right),
            ArithmeticOp::Divide => return fraction(left as f64 / right as f64),
        };
        return exact.map_or(Json::Null, Json::from);
    }
    let (Some(left), Some(right)) = (left.as_f64(), right.as_f64()) else {
        return Json::Null;
    };
    fraction(match operator {
        ArithmeticOp::Add => left + right,
        ArithmeticOp::Subtract => left - right,
        ArithmeticOp::Multiply => left * right,
        ArithmeticOp::Divide => left / right,
        ArithmeticOp::Remainder => left % right,
    })
}

fn fraction(number: f64) -> Json {
    if number.is_finite() { json!(number) } else { Json::Null }
}

fn aggregate(function: Aggregate, values: &[Json]) -> Json {
    let values: Vec<&Json> = values.iter().filter(|value| !value.is_null()).collect();
    let sum = || {
        values
            .iter()
            .fold(json!(0), |sum, value| arithmetic(ArithmeticOp::Add, &sum, value))
    };
    let best = |wanted: Ordering| {
        values.iter().fold(Json::Null, |best, value| {
            if best.is_null() || ordering(value, &best) == Some(wanted) {
                (*value).clone()
            } else {
                best
            }
        })
    };
    match function {
        Aggregate::Count => json!(values.len()),
        Aggregate::Sum => sum(),
        Aggregate::Average if values.is_empty() => Json::Null,
        Aggregate::Average => arithmetic(ArithmeticOp::Divide, &sum(), &json!(values.len())),
        Aggregate::Min => best(Ordering::Less),
        Aggregate::Max => best(Ordering::Greater),
    }
}

fn eval(expr: &Expr, scope: &Scope) -> Json {
    let value = |expr: &Expr| eval(expr, scope);
    match &expr.kind {
        ExprKind::Literal(literal) => match literal {
            Literal::Null => Json::Null,
            Literal::Bool(value) => json!(value),
            Literal::Int(number) => json!(number),
            Literal::Double(number) => json!(number),
            Literal::String(text) => json!(text),
        },
        ExprKind::List(list) => list.iter().map(value).collect(),
        ExprKind::Name(name) => match scope.variables.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => value.clone(),
            None => field(scope.elements.last().unwrap(), name),
        },
        ExprKind::Up(levels) => scope.elements[scope.elements.len() - 1 - levels].clone(),
        ExprKind::This => scope.elements.last().unwrap().clone(),
        ExprKind::Parameter(_) => scope.elements[0].clone(),
        ExprKind::Field(holder, name) => field(&value(holder), &name.text),
        ExprKind::Filter(list, condition) => items(&value(list))
            .into_iter()
            .filter(|item| truth(&eval(condition, &scope.within(item))))
            .collect(),
        ExprKind::Negate(inner) => arithmetic(ArithmeticOp::Subtract, &json!(0), &value(inner)),
        ExprKind::Arithmetic(operator, left, right) => arithmetic(*operator, &value(left), &value(right)),
        ExprKind::If(condition, then, otherwise) => value(if truth(&value(condition)) { then } else { otherwise }),
        ExprKind::Let(name, bound, body) => eval(body, &scope.with(&name.text, &value(bound))),
        ExprKind::Call {
            function,
            receiver,
            arguments,
        } => call(&function.text, &value(receiver.as_ref().unwrap()), arguments, scope),
        _ => json!(holds(expr, scope)),
    }
}

/// What is true or false.
fn holds(expr: &Expr, scope: &Scope) -> bool {
    let value = |expr: &Expr| eval(expr, scope);
    match &expr.kind {
        ExprKind::Compare(operator, left, right) => compare(*operator, &value(left), &value(right)),
        ExprKind::In {
            value: wanted,
            list,
            negated,
        } => {
            let list = value(list);
            let list = list.as_array();
            some(&value(wanted), |wanted| {
                list.is_some_and(|list| {
                    !wanted.is_null()
                        && list.iter().any(|item| ordering(wanted, item) == Some(Ordering::Equal)) != *negated
                })
            })
        }
        ExprKind::Not(inner) => !truth(&value(inner)),
        ExprKind::And(list) => list.iter().all(|item| truth(&value(item))),
        ExprKind::Or(list) => list.iter().any(|item| truth(&value(item))),
        ExprKind::Quantified {
            quantifier,
            generators,
            claim,
        } => {
            let [generator] = generators.as_slice() else {
                panic!("one list")
            };
            let mut outcomes = items(&value(&generator.source)).into_iter().filter_map(|item| {
                let inner = scope.with(&generator.variable.text, &item);
                let counts = generator
                    .condition
                    .as_ref()
                    .is_none_or(|condition| truth(&eval(condition, &inner)));
                counts.then(|| claim.as_ref().is_none_or(|claim| truth(&eval(claim, &inner))))
            });
            if *quantifier == Quantifier::ForAll {
                outcomes.all(|outcome| outcome)
            } else {
                outcomes.any(|outcome| outcome)
            }
        }
        other => panic!("{other:?}"),
    }
}

fn call(function: &str, subject: &Json, arguments: &[Expr], scope: &Scope) -> Json {
    let each = || {
        items(subject).into_iter().flat_map(|item| match arguments.first() {
            None => vec![item],
            Some(body) => match eval(body, &scope.within(&item)) {
                Json::Array(values) => values,
                value => vec![value],
            },
        })
    };
    let aggregated = |function| aggregate(function, &each().collect::<Vec<_>>());
    match function {
        "count" => aggregated(Aggregate::Count),
        "sum" => aggregated(Aggregate::Sum),
        "average" => aggregated(Aggregate::Average),
        "min" => aggregated(Aggregate::Min),
        "max" => aggregated(Aggregate::Max),
        "exists" => json!(
            items(subject)
                .iter()
                .any(|item| truth(&eval(&arguments[0], &scope.within(item))))
        ),
        "head" => items(subject).first().cloned().unwrap_or(Json::Null),
        "startsWith" => {
            let wanted = eval(&arguments[0], scope);
            json!(some(
                subject,
                |text| matches!((text, &wanted), (Json::String(text), Json::String(wanted)) if text.starts_with(wanted))
            ))
        }
        other => panic!("{other}"),
    }
}

fn schema() -> Schema {
    let item = vec![
        Field::new("p", Type::Int),
        Field::new("q", Type::list(Type::Int)),
        Field::new("t", Type::String),
    ];
    let profile = vec![
        Field::new("a", Type::Int),
        Field::new("s", Type::String),
        Field::new(
            "b",
            Type::structure(vec![Field::new("c", Type::Double), Field::new("s", Type::String)]),
        ),
        Field::new("l", Type::list(Type::structure(item))),
        Field::new("n", Type::list(Type::Int)),
    ];
    Schema::new(profile, Vec::new())
}

#[test]
fn two_evaluators_agree_on_random_expressions() {
    let seed: u64 = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("SEED={seed}");
    let mut maker = Maker {
        random: StdRng::seed_from_u64(seed),
        item: false,
        budget: 0,
    };
    let nobody = |_: &str| false;
    let (mut held, mut all) = (0, 0);
    for _ in 0..4000 {
        maker.budget = 12;
        let text = maker.condition();
        let expr = parse(&text).unwrap_or_else(|error| panic!("SEED={seed}\n{}", error.render(&text)));
        assert_eq!(parse(&expr.to_string()).unwrap(), expr, "SEED={seed} {text}");
        let programs: Vec<Program> = [schema(), Schema::any()]
            .iter()
            .map(|schema| check(&expr, schema).unwrap_or_else(|error| panic!("SEED={seed}\n{}", error.render(&text))))
            .map(|typed| Program::new(&typed, Clock::new(0)))
            .collect();
        for _ in 0..5 {
            let profile = maker.profile();
            let expected = truth(&eval(
                &expr,
                &Scope {
                    elements: vec![profile.clone()],
                    variables: Vec::new(),
                },
            ));
            for program in &programs {
                let row = Row {
                    profile: JsonNode::new(&profile),
                    events: None,
                };
                assert_eq!(
                    program.matches(row, &nobody),
                    expected,
                    "SEED={seed}\n{text}\n{profile}"
                );
            }
            held += u32::from(expected);
            all += 1;
        }
    }
    // Both outcomes occur: neither evaluator says the same of everything.
    assert!(held > all / 10 && held < all * 9 / 10, "SEED={seed}: {held} of {all}");
}
