//! Whatever the text, nothing panics, and what is read prints as text that reads the same.
#![allow(
    clippy::format_push_string,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    dead_code
)]

mod support;

use exportjob_pql::{
    Clock, Diagnostic, Explainer, JsonNode, Limit, Problem, Program, Row, Schema, check, dependencies, parse,
    parse_json,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

fn seed() -> u64 {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("SEED={seed}");
    seed
}

/// Everything that can be done with a text.
fn exercise(text: &str, schemas: &[Schema], profile: &serde_json::Value) {
    let expr = match parse(text) {
        Ok(expr) => expr,
        Err(error) => {
            assert!(
                error.span.start <= error.span.end && error.span.end <= text.len(),
                "{text:?} {error:?}"
            );
            assert!(!error.render(text).is_empty());
            return;
        }
    };
    let printed = expr.to_string();
    match parse(&printed) {
        Ok(again) => assert_eq!(again, expr, "{text:?} is printed as {printed:?}"),
        // Printing adds parentheses, which may be too many.
        Err(error) => assert!(
            matches!(error.problem, Problem::Limit { .. }),
            "{text:?} is printed as {printed:?}: {error}"
        ),
    }
    dependencies(&expr);
    for schema in schemas {
        let Ok(typed) = check(&expr, schema).inspect_err(|error| assert!(!error.render(text).is_empty())) else {
            continue;
        };
        let program = Program::new(&typed, Clock::new(1_718_452_800_000_000));
        let row = Row {
            profile: JsonNode::new(profile),
            events: profile.get("xEvent").map(JsonNode::new),
        };
        let member = |segment: &str| segment == "s1";
        program.value(row, &member);
        program.matches(row, &member);
        if let Ok(explainer) = Explainer::new(&expr, schema, &Clock::new(0)) {
            let _ = explainer.explain(row, &member).to_string();
        }
    }
}

const PIECES: &[&str] = &[
    "and",
    "or",
    "not",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "^",
    "$1",
    "xEvent",
    "this",
    "let x =",
    "in",
    "exists E from",
    "where",
    ":",
    "chain(xEvent, timestamp, [A: WHAT(",
    "occurs",
    "before",
    "now",
    "today",
    "< 3 days",
    "last month",
    "between",
    "\"",
    "\\",
    "`",
    "{",
    "}",
    "=>",
    "(K, G) =>",
    "-",
    "!",
    "%",
    "1",
    "1e999",
    "9223372036854775807",
    "null",
    "if(",
    "count()",
    ".sum(",
    "mapEntry(",
    "@{",
    "é",
    "\u{1F600}",
    "\n",
    "'",
    "person",
    "orders",
    "orders[",
    "inSegment(\"s1\")",
    "matches(\"(\")",
    "/ 0",
    "topN(",
    "like \"%\"",
];

#[test]
fn no_text_makes_anything_panic() {
    let table = support::table();
    let schemas = [support::schema(&table), Schema::any()];
    let texts: Vec<&str> = table
        .sections
        .iter()
        .flat_map(|section| &section.rows)
        .map(|row| row.expr.as_str())
        .collect();
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..6000 {
        let mut text: Vec<char> = texts.choose(&mut random).unwrap().chars().collect();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..=text.len());
            let end = random.random_range(at..=text.len().min(at + 6));
            let other = texts.choose(&mut random).unwrap();
            let piece: Vec<char> = match random.random_range(0..4) {
                0 => Vec::new(),
                1 => PIECES.choose(&mut random).unwrap().chars().collect(),
                2 => format!(" {} ", PIECES.choose(&mut random).unwrap()).chars().collect(),
                _ => other
                    .chars()
                    .skip(random.random_range(0..=other.len()))
                    .take(12)
                    .collect(),
            };
            text.splice(at..end, piece);
        }
        let text: String = text.into_iter().collect();
        exercise(&text, &schemas, &table.profile);
    }
    for _ in 0..2000 {
        let bytes: Vec<u8> = (0..random.random_range(0..60)).map(|_| random.random()).collect();
        let text = String::from_utf8_lossy(&bytes);
        exercise(&text, &schemas, &table.profile);
        let _ = parse_json(&text);
        let words: Vec<&str> = (0..random.random_range(1..12))
            .map(|_| *PIECES.choose(&mut random).unwrap())
            .collect();
        exercise(&words.join(" "), &schemas, &table.profile);
    }
}

fn limit(result: Result<impl Sized, Diagnostic>) -> Option<Limit> {
    match result.err()?.problem {
        Problem::Limit { limit, .. } => Some(limit),
        _ => None,
    }
}

#[test]
fn texts_that_nest_or_grow_without_end_are_refused_by_name() {
    let many = 20_000;
    for open in [
        "(",
        "[",
        "not ",
        "!",
        "- ",
        "a[",
        "if(",
        "f(",
        "let x = 1 in ",
        "{\"a\": ",
        "exists E from a : ",
        "(x) => ",
        "sum x over v from ",
    ] {
        assert_eq!(
            limit(parse(&open.repeat(many / open.len()))),
            Some(Limit::Depth),
            "{open}"
        );
    }
    for (first, more) in [("a", ".b"), ("a", " + 1"), ("a", " * 2"), ("a", "[b]"), ("a", ".f()")] {
        let text = first.to_owned() + &more.repeat(many / more.len());
        assert_eq!(limit(parse(&text)), Some(Limit::Depth), "{more}");
    }
    assert_eq!(limit(parse(&"x".repeat(70_000))), Some(Limit::Size));
    // Long is not deep.
    assert!(parse(&vec!["a = 1"; 5_000].join(" and ")).is_ok());
    let list: Vec<String> = (0..5_000).map(|number| number.to_string()).collect();
    assert!(parse(&format!("a in [{}]", list.join(", "))).is_ok());
    let nested = "(".repeat(50) + "a" + &")".repeat(50);
    assert!(parse(&nested).is_ok());
    assert_eq!(Limit::Depth.to_string(), "expression-depth");
    let message = parse(&"(".repeat(100)).err().unwrap();
    assert_eq!(message.code(), "PQL_LIMIT");
    assert_eq!(
        message.to_string(),
        "the limit expression-depth is 64, and this has 65: use fewer parentheses, or move parts of it to segments of their own and use inSegment()"
    );
}

#[test]
fn a_problem_is_shown_with_its_line_and_underlined() {
    let text = "person.age >= 21\n\tand persom.gender = \"female\"";
    let schemas = support::schema(&support::table());
    let error = check(&parse(text).unwrap(), &schemas).unwrap_err();
    let expected = "line 2, column 6: the profile has no field \"persom\" (did you mean person?)\n   and persom.gender = \"female\"\n       ^^^^^^";
    assert_eq!(error.render(text), expected);
    assert_eq!(error.code(), "PQL_UNKNOWN_FIELD");
}

#[test]
fn a_segment_is_a_condition() {
    let schema = support::schema(&support::table());
    let refused = |text: &str| {
        check(&parse(text).unwrap(), &schema)
            .unwrap()
            .into_segment()
            .unwrap_err()
            .line(text)
    };
    assert_eq!(
        refused("person.age + 1"),
        "line 1, column 1: a segment must be a condition, and is int: compare the value with another, or ask for it with isNotNull()"
    );
    for text in [
        "homeAddress.city",
        "attributes",
        "homeAddress",
        "now",
        "null",
        "orders.sum(price)",
        "orders.groupBy(id)",
    ] {
        assert!(refused(text).contains("a segment must be a condition"), "{text}");
    }
    for text in [
        "true",
        "select O from orders where O.paid",
        "orders[paid]",
        "loyalty.active",
        "let S = orders.sum(price) in S > 1",
    ] {
        assert!(
            check(&parse(text).unwrap(), &schema).unwrap().into_segment().is_ok(),
            "{text}"
        );
    }
}
